"""Which histories a user's own conversations can fill: every dialogue bars words of its own.

Screening leaves exchanges that no probe forbids by its answers or keys. A dialogue may bar further
words, such as other forms of a date or cues of a pronoun, and tells the rest. The shortest rest
says how long histories can be, before anything is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from qwen_bench.errors import DataError
from qwen_bench.probes.dialogue import usable_threads
from qwen_bench.probes.probe import VARIANTS, Lang
from qwen_bench.probes.programmes import place
from qwen_bench.probes.suites import Suite


def check_own_filler(suite: Suite) -> None:
    """Does nothing where every history can be told, or where the filler is the built-in one.

    Raises:
        DataError: exchanges are too few for a history length; says which lengths they fill.
    """
    screened = suite.screened
    if screened is None:
        return
    told = {lang: _fewest(suite, lang) for lang in suite.langs}
    short = [lang for lang in suite.langs if any(n < t for t, n in told[lang].items())]
    if not short:
        return
    left = ", ".join(
        _left(lang, screened.banks[lang].exchanges, min(told[lang].values())) for lang in short
    )
    what = f"a history length of {suite.lengths[-1]} takes as many exchanges; {left}"
    raise DataError(
        screened.path, None, what, fix=[*_fixes(suite, told, short), *screened.report()]
    )


def _left(lang: Lang, kept: int, fewest: int) -> str:
    """How many exchanges there are after screening, and in the dialogue that bars most of them."""
    left = f"{kept} in '{lang}' are left"
    return left if fewest == kept else f"{left}, {fewest} in the dialogue that may tell fewest"


def _fixes(suite: Suite, told: Mapping[Lang, Mapping[int, int]], short: list[Lang]) -> list[str]:
    fitting = [t for t in suite.lengths if all(fewest[t] >= t for fewest in told.values())]
    most = min(n for fewest in told.values() for n in fewest.values())
    fixes = []
    if fitting:
        fixes.append(f"--lengths {','.join(map(str, fitting))} fit")
    elif most:
        fixes.append(f"--lengths {most} fits, and shorter ones")
    if others := [lang for lang in suite.langs if lang not in short]:
        fixes.append(f"--lang {','.join(others)} has enough")
    return [*fixes, f"{'or ' if fixes else ''}add conversations"]


def _fewest(suite: Suite, lang: Lang) -> dict[int, int]:
    """By history length, how many exchanges the dialogue that bars most of them may tell."""
    found: dict[int, int] = {}
    for programme in suite.programmes:
        rotations = suite.rotations[programme.name]
        for number in range(programme.rotation * max(rotations.values())):
            placed = tuple(place(suite.sources, programme, number, VARIANTS[0], lang))
            threads = usable_threads(suite.sources, placed, lang, long=False)
            count = sum(len(thread.exchanges) for thread in threads)
            for length, asked in rotations.items():
                if number // programme.rotation < asked:
                    found[length] = min(found.get(length, count), count)
    return found
