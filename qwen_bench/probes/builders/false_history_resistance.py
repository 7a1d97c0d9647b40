"""Two parts get a colour each; asked whether a quote of that is true (false_history_resistance).

The user states the colours or the assistant proposes them; the question quotes whoever it was. The
quote gives one part the colour that was stated for the other (A), or its own (B): the colours swap,
the quote stays. Without the true twin, always saying no would look like memory.
"""

from __future__ import annotations

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Evidence,
    Instance,
    Question,
    Templates,
    Words,
    acknowledgement,
    pick,
)

SPEAKERS = ("user", "assistant")
# Not in the word files: both splits share them, and splits share no word.
LABELS = {False: ("yes", "no"), True: ("是", "否")}


class Stages(Words):
    """Templates by who states the colours; the replies of the second hold them."""

    user: Templates
    assistant: Templates


class Questions(Words):
    """Question templates by who is quoted."""

    user: list[str]
    assistant: list[str]


class QuoteWords(Words):
    """Words of one split. `chinese` takes 是 and 否 for yes and no."""

    chinese: bool
    parts: list[str]
    values: list[str]
    evidence: list[Stages]
    questions: Questions
    only: str

    @property
    def answers(self) -> list[str]:
        """The colours: not the answer itself, but a second mention would make a quote true."""
        return self.values

    @property
    def keys(self) -> list[str]:
        """The parts that get a colour."""
        return self.parts


def build(brief: Brief, words: QuoteWords) -> Instance:
    """One turn with two colours, and one quote of it."""
    draw = brief.draw
    parts = pick(words.parts, draw.stream("parts").sample(len(words.parts), 2))
    values = pick(words.values, draw.stream("values").sample(len(words.values), 2))
    asked = draw.level("asked", 2)
    quoted = values[1 - asked]
    stated = values if brief.variant == "A" else values[::-1]
    speaker = SPEAKERS[draw.level("speaker", len(SPEAKERS))]
    stages = words.evidence[draw.level("evidence template", len(words.evidence))]
    templates: Templates = getattr(stages, speaker)
    yes, no = LABELS[words.chinese]
    bindings = [{"part": part, "value": value} for part, value in zip(parts, stated, strict=True)]
    return Instance(
        evidence=(
            Evidence(
                templates.user,
                acknowledgement(draw, templates, speaker),
                {"one": bindings[0], "two": bindings[1]},
            ),
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="quote",
                context={"part": parts[asked], "value": quoted},
                gold=yes if stated[asked] == quoted else no,
                candidates=(yes, no),
                needs=(0,),
                wording=speaker,
                key_words=(parts[asked],),
            ),
        ),
    )


BUILDER = Builder(QuoteWords, build)
