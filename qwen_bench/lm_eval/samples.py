"""Samples that the harness logged: which probe, and what was answered, as a reply of an engine.

A sample counts only if its document is what the installed suites make of its id; scores in the log
are not looked at: one scorer judges both. Needs no harness.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qwen_bench.chat.messages import opens_thought, split_thought
from qwen_bench.errors import DataError, InputError, QwenBenchError
from qwen_bench.lm_eval.documents import (
    PREFIX,
    ProbeChoice,
    choice_of,
    chosen_suite,
    document,
    probe_of,
)
from qwen_bench.lm_eval.log_errors import OLDEST
from qwen_bench.lm_eval.logged_forms import arguments_of, sums_of, text_of
from qwen_bench.probes.probe import AskedProbe, Probe
from qwen_bench.protocol import Reply, Score
from qwen_bench.record.outcome import Mode

_FILLED_LATER = "candidate_tokens"


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered probe.

    Attributes:
        choice: the probes among which it was chosen.
    """

    asked: AskedProbe
    choice: ProbeChoice
    reply: Reply


def read_samples(files: Sequence[Path], *, thoughts_cut: bool) -> dict[tuple[str, Mode], Sample]:
    """All samples by probe id and mode, in the order of the files.

    Args:
        files: `samples_*.jsonl` of one run of the harness.
        thoughts_cut: the harness removed thoughts before it logged the answers.

    Raises:
        InputError: a file is missing, or there is no sample.
        DataError: a line is not a sample of these tasks, or an answer is there twice and differs.
    """
    found: dict[tuple[str, Mode], Sample] = {}
    for file in files:
        for number, line in _lines(file):
            fault = partial(DataError, file, number)
            sample = _sample(line, fault, thoughts_cut=thoughts_cut)
            known = found.setdefault((sample.reply.id, sample.reply.mode), sample)
            if known != sample:
                raise fault(
                    f"{sample.reply.id} was answered before, and differently",
                    fix="import the samples of one run of the harness at a time",
                )
    if not found:
        raise InputError("there is no sample in these files", fix="lm-eval run --log_samples ...")
    return found


def task_samples(file: Path) -> int | None:
    """Number of samples of another task; None for a file of ours, or one that nobody can tell.

    Told by the documents, not by names: a task that includes one of ours may have any name.

    Raises:
        InputError: the file cannot be read.
    """
    lines = _lines(file)
    first = next(lines, None)
    if PREFIX in file.name or first is None:
        return None
    try:
        doc = json.loads(first[1])["doc"]
        ours = not isinstance(doc, dict) or {"id", "length", "suite"} <= doc.keys()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if ours else 1 + sum(1 for _ in lines)


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with file.open("rb") as stream:
            yield from ((number, line) for number, line in enumerate(stream, 1) if line.strip())
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {(error.strerror or str(error)).lower()}",
            fix="give the samples_*.jsonl files of one run",
        ) from error


def _sample(line: bytes, fault: Callable[..., DataError], *, thoughts_cut: bool) -> Sample:
    """The sample of a line; a fault knows file and line.

    Raises:
        DataError: it is none of these tasks.
    """
    try:
        record = json.loads(line)
        doc = record["doc"]
        choice, probe_id, length = choice_of(doc), doc["id"], doc["length"]
        asked_with = record["arguments"]
        answered = record["resps"] if "resps" in record else record["filtered_resps"]
        asked = _checked(doc, choice, probe_id, length, fault)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise fault(
            "not a sample of a qwen_bench task",
            fix="give the samples_qwen_bench_*.jsonl of lm-eval run --log_samples",
        ) from error
    try:
        reply = _reply(asked, arguments_of(asked_with), answered, doc, thoughts_cut=thoughts_cut)
    except (ValueError, KeyError, TypeError, IndexError, QwenBenchError) as error:
        raise fault(
            f"the answer to {probe_id} cannot be read: {error}",
            fix=f"a log in the form of lm_eval {OLDEST} or newer, or the older one with lists",
        ) from error
    return Sample(asked, choice, reply)


def _checked(
    doc: Mapping[str, Any],
    choice: ProbeChoice,
    probe_id: str,
    length: int,
    fault: Callable[..., DataError],
) -> AskedProbe:
    """The probe of a document, which must be what it would be today."""
    try:
        suite = chosen_suite(choice, length)
    except QwenBenchError as error:
        raise fault(error.message) from error
    made, installed = str(doc["suite"]["sha256"]), suite.sha256
    if made != installed:
        raise fault(
            f"made with other definitions of the suite {choice.suite}: {made[:12]}, installed "
            f"is {installed[:12]}",
            fix="import with the version of qwen-bench that lm-eval used",
        )
    try:
        asked = probe_of(doc)
    except KeyError as error:
        raise fault(f"no probe '{probe_id}' in the suite {choice.suite}") from error
    wanted = document(asked, choice)
    changed = [name for name in wanted if name != _FILLED_LATER and wanted[name] != doc.get(name)]
    if changed:
        raise fault(
            f"{probe_id}: {', '.join(changed)} in the log is not what the suite asks",
            fix="the log was edited, or made by other code; it cannot be imported",
        )
    return asked


def _reply(
    asked: AskedProbe,
    arguments: Sequence[tuple[Any, Any]],
    answers: object,
    doc: Mapping[str, Any],
    *,
    thoughts_cut: bool,
) -> Reply:
    """The answer of a sample: rank tasks send a candidate where others send settings."""
    first, second = arguments[0]
    prompt = first if isinstance(first, str) else None
    if isinstance(second, str):
        # The harness may move white space from the end of the prompt to the candidates later.
        sums = sums_of(answers)
        return ranked(asked.probe, sums, [int(n) for n in doc[_FILLED_LATER]], prompt)
    text = text_of(answers)
    opened = prompt is not None and opens_thought(prompt) and not thoughts_cut
    return written(asked.probe, text, opened=opened, prompt=prompt)


def written(probe: Probe, text: str | None, *, opened: bool, prompt: str | None = None) -> Reply:
    """A generated answer.

    Args:
        probe: what was asked.
        text: the answer; None where there was none.
        opened: the prompt ended inside a thought, so that the answer only closes it.
        prompt: the rendered prompt; None where a server rendered it.
    """
    made = partial(Reply, probe.id, "generate", prompt_sha256=_sha256(prompt))
    if text is None:
        lost = "the log holds no reply"
        return made("error", reason="empty", error_type="NoReply", error_message=lost)
    answer = split_thought(text, prompt_opened=opened)
    if not answer.complete:
        return made("truncated", reason="thinking", text=answer.text)
    return made("ok", text=answer.text)


def ranked(
    probe: Probe, sums: Sequence[float], tokens: Sequence[int], prompt: str | None = None
) -> Reply:
    """Log-probabilities of the candidates.

    Args:
        probe: what was asked.
        sums: log-probability of each rank candidate, in the probe's order.
        tokens: number of tokens of each.
        prompt: the rendered prompt.

    Raises:
        QwenBenchError: their number is not that of the candidates.
    """
    candidates = probe.rank_candidates
    if not len(candidates) == len(sums) == len(tokens):
        raise QwenBenchError(
            f"{probe.id}: {len(sums)} log-probabilities and {len(tokens)} token counts for "
            f"{len(candidates)} candidates"
        )
    scores = tuple(
        Score(text, total, None, count)
        for text, total, count in zip(candidates, sums, tokens, strict=True)
    )
    return Reply(probe.id, "rank", "ok", scores=scores, prompt_sha256=_sha256(prompt))


def _sha256(text: str | None) -> str | None:
    if text is None:
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
