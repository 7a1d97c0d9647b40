"""Parts get a colour each; asked whether a quote of that is true (false_history_resistance).

The level is the number of parts. The user states the colours or the assistant proposes them; the
question quotes whoever it was. The quote gives one part the colour that was stated for another
(A), or its own (B): the two colours swap, the quote stays. Without the true twin, always saying no
would look like memory.
"""

from __future__ import annotations

from pydantic import Field

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Valued, Words

SPEAKERS = ("user", "assistant")
# Not in the word files: both splits share them, and splits share no word.
LABELS = {False: ("yes", "no"), True: ("是", "否")}


class Part(Words):
    """What gets a colour, and how a paraphrase speaks of it; lures are never asked about."""

    say: str
    ask: str = ""


class QuotedTurns(Words):
    """Templates by who states the colours; the replies of the second hold them."""

    user: Templates
    assistant: Templates


class QuoteQuestions(Words):
    """Question templates by who is quoted, and by whether the part is named or described."""

    user_lexical: list[str]
    user_paraphrase: list[str]
    assistant_lexical: list[str]
    assistant_paraphrase: list[str]


class QuoteWords(Valued):
    """Words of one split; `pasted` are the forms of the two highest levels.

    `chinese` takes 是 and 否 for yes and no. The values are colours: not the answers themselves,
    but a second mention would make a quote true.
    """

    chinese: bool
    parts: list[Part]
    evidence: list[QuotedTurns]
    pasted: list[QuotedTurns] = Field(default=[])
    questions: QuoteQuestions
    only: str

    @property
    def keys(self) -> list[str]:
        """The parts that get a colour."""
        return [part.say for part in self.parts]


def build(brief: Brief, words: QuoteWords) -> Instance:
    """One turn with a colour for each part, and one quote of it."""
    draw, n = brief.draw, brief.load
    parts = draw.some("parts", words.parts, n)
    values = draw.some("values", words.values, n)
    asked = draw.counted("asked", n)
    other = (asked + 1 + draw.stream("misquoted").index(n - 1)) % n
    quoted = values[other]
    if brief.variant == "B":
        values[asked], values[other] = values[other], values[asked]
    told = [{"part": part.say, "value": v} for part, v in zip(parts, values, strict=True)]
    speaker = draw.balanced("speaker", SPEAKERS)
    forms = draw.balanced("evidence template", brief.forms(words))
    templates: Templates = getattr(forms, speaker)
    yes, no = LABELS[words.chinese]
    question = Question(
        family=brief.family,
        name="quote",
        context={"part": parts[asked].model_dump(), "value": quoted},
        gold=yes if values[asked] == quoted else no,
        candidates=(yes, no),
        needs=(0,),
        templates=f"{speaker}_{brief.wording}",
        rank_candidates=(yes, no),
        key_words=(parts[asked].say,),
    )
    # One factor for both speakers, so that it is balanced over all rotations of a slot.
    reply = draw.counted("reply", len(templates.assistant))
    return Instance((templates.replied(reply, {"bindings": told}),), (question,))


BUILDER = Builder(QuoteWords, build)
