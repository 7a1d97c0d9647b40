"""Two parts get a colour each; asked whether a quote of that is true (false_history_resistance).

The user states the colours or the assistant proposes them; the question quotes whoever it was. The
quote gives one part the colour that was stated for the other (A), or its own (B): the colours swap,
the quote stays. Without the true twin, always saying no would look like memory.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Valued, Words

SPEAKERS = ("user", "assistant")
# Not in the word files: both splits share them, and splits share no word.
LABELS = {False: ("yes", "no"), True: ("是", "否")}


class QuotedTurns(Words):
    """Templates by who states the colours; the replies of the second hold them."""

    user: Templates
    assistant: Templates


class QuoteQuestions(Words):
    """Question templates by who is quoted."""

    user: list[str]
    assistant: list[str]


class QuoteWords(Valued):
    """Words of one split. `chinese` takes 是 and 否 for yes and no.

    The values are colours: not the answers themselves, but a second mention would make a quote
    true.
    """

    chinese: bool
    parts: list[str]
    evidence: list[QuotedTurns]
    questions: QuoteQuestions
    only: str

    @property
    def keys(self) -> list[str]:
        """The parts that get a colour."""
        return self.parts


def build(brief: Brief, words: QuoteWords) -> Instance:
    """One turn with two colours, and one quote of it."""
    draw = brief.draw
    parts = draw.some("parts", words.parts, 2)
    values = draw.some("values", words.values, 2)
    asked = draw.counted("asked", 2)
    quoted = values[1 - asked]
    stated = values if brief.variant == "A" else values[::-1]
    speaker = draw.balanced("speaker", SPEAKERS)
    templates: Templates = getattr(draw.balanced("evidence template", words.evidence), speaker)
    yes, no = LABELS[words.chinese]
    one, two = ({"part": part, "value": value} for part, value in zip(parts, stated, strict=True))
    question = Question(
        family=brief.family,
        name="quote",
        context={"part": parts[asked], "value": quoted},
        gold=yes if stated[asked] == quoted else no,
        candidates=(yes, no),
        needs=(0,),
        wording=speaker,
        key_words=(parts[asked],),
    )
    return Instance((templates.turn(draw, speaker, {"one": one, "two": two}),), (question,))


BUILDER = Builder(QuoteWords, build)
