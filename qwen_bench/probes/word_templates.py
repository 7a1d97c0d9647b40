"""Words into text and out of it: templates are rendered, surface forms are found again.

Templates are Jinja2, sandboxed, and every name in them must exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from qwen_bench.errors import QwenBenchError
from qwen_bench.probes.definitions import Join


def _capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
_ENVIRONMENT.filters["capitalize_first"] = _capitalize_first


@lru_cache(maxsize=4096)
def _template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def render(source: str, context: Mapping[str, Any], join: Join, *, lines: bool = False) -> str:
    """Text of a template; `join(loop)` in it yields what stands before the loop's item.

    Args:
        source: of the template.
        context: names it may use.
        join: how a list is joined.
        lines: line breaks are welcome, as in a pasted list or table; never two blank lines.

    Raises:
        QwenBenchError: the template is broken, names something unknown, or gives a text with
            double blanks, chat markers or a line break where none is welcome.
    """
    try:
        text = _template(source).render(**context, join=_joiner(join)).strip()
    except TemplateError as error:
        raise QwenBenchError(
            f"a word template fails: {error}", why=f"template: {source}"
        ) from error
    broken = "\n\n\n" in text or " \n" in text if lines else "\n" in text
    if broken or "  " in text or "<|" in text or not text:
        raise QwenBenchError(
            "a word template gives an empty text, a line break, a double blank or a chat marker",
            why=f"template: {source}",
        )
    return text


def _joiner(join: Join) -> Callable[[Any], str]:
    def joined(loop: Any) -> str:  # noqa: ANN401  (jinja2's loop object is untyped)
        if loop.first:
            return ""
        return join.last if loop.last else join.sep

    return joined


def pattern_of(words: Iterable[str], *, plurals: bool = False) -> re.Pattern[str] | None:
    """Matches any of the words, the longest first, whatever the case; None without words.

    Args:
        words: surface forms.
        plurals: a Latin word may have an s or es at its end.
    """
    ending = "(?:s|es)?" if plurals else ""
    forms = [
        rf"(?<![A-Za-z0-9]){re.escape(word)}{ending}(?![A-Za-z0-9])"
        if word.isascii()
        else re.escape(word)
        for word in sorted(set(words), key=lambda word: (-len(word), word))
        if word
    ]
    return re.compile("|".join(forms), re.IGNORECASE) if forms else None
