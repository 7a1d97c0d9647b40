"""Chat templates in the files of a model or adapter folder. Imports no model library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from qwen_bench.errors import TemplateError

DEFAULT = "default"


def template_in(folder: Path) -> str | None:
    """The chat template of a folder, from wherever transformers 4 and 5 keep one.

    In the order of transformers: `chat_template.jinja` with `additional_chat_templates/*.jinja`
    (from 4.51 on), then `chat_template` of `tokenizer_config.json`, a text or a list of
    ``{"name", "template"}`` (before), then `chat_template.json` (processors of multimodal models).

    Returns:
        The one named ``default``, or the only one; None if there is none.

    Raises:
        TemplateError: several, none of them named ``default``; or a file that cannot be read.
    """
    found = _jinja_files(folder) or _in_settings(folder / "tokenizer_config.json")
    found = found or _in_settings(folder / "chat_template.json")
    return chosen(found, folder.name)


def chosen(templates: Mapping[str, str], owner: str) -> str | None:
    """Of several chat templates the one named ``default``, or the only one; None of none.

    Args:
        templates: text by name.
        owner: whose they are, for the message.

    Raises:
        TemplateError: several, none of them named ``default``.
    """
    if not templates:
        return None
    if DEFAULT in templates:
        return templates[DEFAULT]
    if len(templates) == 1:
        return next(iter(templates.values()))
    raise TemplateError(
        f"{owner} has several chat templates and none is named default: "
        f"{', '.join(sorted(templates))}",
        fix="pass the one that it was trained with: --chat-template FILE",
    )


def named(value: object) -> dict[str, str]:
    """Templates by name, from the value of ``chat_template`` in a settings file or a tokenizer."""
    if isinstance(value, str):
        return {DEFAULT: value}
    if isinstance(value, dict):
        return {str(name): text for name, text in value.items() if isinstance(text, str)}
    if isinstance(value, list | tuple):
        return {
            str(item["name"]): item["template"]
            for item in value
            if isinstance(item, dict) and "name" in item and isinstance(item.get("template"), str)
        }
    return {}


def _jinja_files(folder: Path) -> dict[str, str]:
    files = {
        file.stem: file for file in sorted((folder / "additional_chat_templates").glob("*.jinja"))
    }
    own = folder / "chat_template.jinja"
    if own.is_file():
        files[DEFAULT] = own
    return {name: _text(file) for name, file in files.items()}


def _in_settings(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        settings = json.loads(_text(file))
    except ValueError as error:
        raise TemplateError(
            f"{file.parent.name}/{file.name} is not JSON", why=str(error)
        ) from error
    return named(settings.get("chat_template")) if isinstance(settings, dict) else {}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(
            f"{file.parent.name}/{file.name} cannot be read", why=str(error)
        ) from error
