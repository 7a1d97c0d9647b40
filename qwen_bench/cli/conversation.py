"""One probe for people: its conversation as a chat on a terminal, as whole lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TextIO

from qwen_bench.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console, RenderableType
    from rich.text import Text

    from qwen_bench.probes.probe import AskedProbe

_LOOKS = {"evidence": "yellow", "question": "cyan", "": "bright_black"}
_WIDEST = 76


class Said(NamedTuple):
    """One message with its place.

    Attributes:
        turn: user turn from 1; 0 for the system message.
        part: `evidence`, `question`, or empty.
    """

    role: str
    text: str
    turn: int
    part: str


def messages_of(asked: AskedProbe) -> Iterator[Said]:
    """The messages of a prompt, each with what it is for the probe."""
    turn = 0
    for number, message in enumerate(asked.messages, start=1):
        turn += message.role == "user"
        evidence = "evidence" if turn in asked.probe.needs else ""
        part = "question" if number == len(asked.messages) else evidence
        yield Said(message.role, message.content, turn, part)


def shows_colour(display: str, stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream takes colours: a terminal, unless something says no.

    Args:
        display: `--display`.
        stream: where it is printed.
        environment: `NO_COLOR`, `FORCE_COLOR` and `TERM` are read.
    """
    encoding = (getattr(stream, "encoding", None) or "").lower()
    if (
        environment.get("NO_COLOR")
        or display in {"plain", "none"}
        or not encoding.startswith("utf")
    ):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"


def plain_lines(asked: AskedProbe) -> list[str]:
    """The conversation as lines; evidence turns carry a star, the question a mark."""
    heads = {"evidence": "*", "question": "?", "": " "}
    lines = [*_header(asked), ""]
    for said in messages_of(asked):
        label = str(said.turn) if said.role == "user" else ""
        texts = said.text.split("\n")
        lines.append(f"{heads[said.part]} {label:>3} {said.role:<10} {texts[0]}")
        lines += [f"{' ' * 17}{text}" for text in texts[1:]]
    return [*lines, "", *_facts(asked), "* evidence, ? question"]


def print_chat(asked: AskedProbe, console: Console) -> None:
    """The conversation as a chat: the user on the left, the assistant on the right.

    Evidence and question are bold and coloured.
    """
    from rich.text import Text

    name, about = _header(asked)
    console.print(Text(printable(name), style="bold"))
    console.print(Text(printable(about), style="bright_black"))
    for said in messages_of(asked):
        console.print(_bubble(said, asked.probe.question_text, console.width))
    for line in _facts(asked):
        console.print(Text(printable(line)))


def _bubble(said: Said, question: str, width: int) -> RenderableType:
    """One message in its frame."""
    from rich.align import Align
    from rich.panel import Panel
    from rich.text import Text

    words = [said.role, f"turn {said.turn}" if said.turn and said.role == "user" else "", said.part]
    look = _LOOKS[said.part]
    frame = Panel(
        _styled(said, question),
        title=Text(" · ".join(word for word in words if word)),
        title_align="right" if said.role == "assistant" else "left",
        border_style=look,
        expand=False,
    )
    return Align(
        frame,
        "right" if said.role == "assistant" else "left",
        width=max(20, min(_WIDEST, width * 4 // 5)),
    )


def _styled(said: Said, question: str) -> Text:
    """The text of a message; where a history stands before the question, only the latter shines."""
    from rich.text import Text

    text = Text("\n".join(map(printable, said.text.split("\n"))))
    if said.part == "question":
        text.stylize("bold cyan", max(0, len(text) - len(printable(question))))
    elif said.part == "evidence":
        text.stylize("bold yellow")
    return text


def _header(asked: AskedProbe) -> list[str]:
    """Name of the probe, and what it is."""
    probe = asked.probe
    place = "" if probe.distance is None else f" · distance {probe.distance}"
    wording = f" · {probe.wording}" if probe.wording else ""
    return [
        probe.id,
        (
            f"{probe.family} · level {probe.level}{wording} · {probe.lang} · {probe.condition} · "
            f"history length {probe.length}{place} · {probe.cluster}"
        ),
    ]


def _facts(asked: AskedProbe) -> list[str]:
    """What is right, what else could be said, and what guessing is worth."""
    probe = asked.probe
    lines = [f"answer      {probe.expected}" + (" (never stated)" if probe.gold_abstains else "")]
    if probe.candidates:
        lines.append(f"candidates  {', '.join(probe.candidates)}")
    return [*lines, f"chance      {100 * probe.chance:.1f} %"]
