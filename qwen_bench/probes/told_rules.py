"""Rules for the form of some replies, told at five levels, and the question that one governs.

A rule is tied to what a question is for, or to who asks it, so scripted replies never have its
form, and copying the last one is always wrong. The level is the number of rules, exceptions and
changes told: one rule; a rule for three keys with another for one of them; two rules, one replaced;
three, one revoked; three, one replaced and one revoked. Variants differ in which key or rule is
meant, so that the same question asks for another form. Each form is told once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from qwen_bench.probes.instance import Brief, Question, Words
from qwen_bench.probes.probe import Rule, RuleKind
from qwen_bench.probes.seeded_draws import Draw


class RuleForm(Words):
    """How a form is asked for, with `{0}` and `{1}` for its marks, and the marks to choose from."""

    ask: str
    marks: list[list[str]]


class Governed(Words):
    """Who or what a question is for: as rules say it, and as a paraphrase does."""

    say: str
    ask: str = ""


class Known(Words):
    """A question with an answer that everybody knows, its other forms, and wrong ones."""

    ask: str
    answer: str
    also: list[str] = Field(default_factory=list)
    others: list[str]


class RulesTold(NamedTuple):
    """Rules as one variant tells them.

    Attributes:
        context: of the evidence templates.
        asked: what the question is for.
        right: form of the reply to it.
        forms: every form that either variant tells of, in the same order in both.
    """

    context: Mapping[str, Any]
    asked: Governed
    right: Rule
    forms: tuple[Rule, ...]


class FormSource:
    """Draws forms, each with a mark of its own."""

    def __init__(self, draw: Draw, rules: Mapping[RuleKind, RuleForm]) -> None:
        self._draw = draw
        self._rules = rules

    def some(self, kind: RuleKind, count: int) -> list[Rule]:
        """Different forms of a kind."""
        marks = self._draw.some(f"marks of {kind}", self._rules[kind].marks, count)
        return [Rule(kind, tuple(found)) for found in marks]

    def said(self, rule: Rule) -> str:
        """The form as one asks for it."""
        return self._rules[rule.kind].ask.format(*rule.marks)


def tell_rules(
    brief: Brief,
    source: FormSource,
    governed: Sequence[Governed],
    kinds: tuple[Sequence[RuleKind], Sequence[tuple[RuleKind, RuleKind]]],
) -> RulesTold:
    """The rules of a level.

    Args:
        brief: level, variant and draws.
        source: of forms.
        governed: what rules can be tied to.
        kinds: of rules that stand alone, and pairs of kinds that one reply can have together.
    """
    draw = brief.draw
    keys = draw.some("governed", governed, 3)
    # Which variant has which of the two states, so that neither is tied to a letter.
    first = (brief.variant == "A") is (draw.counted("state of A", 2) == 0)
    if brief.pastes:
        return _pasted(brief, source, keys, draw.balanced("kinds", kinds[1]), first=first)
    kind = draw.balanced("rule", kinds[0])
    asked = keys[0]
    if brief.level == 1:
        one, other = source.some(kind, 2)
        right = one if first else other
        told: dict[str, Any] = {"key": asked.say, "form": source.said(right)}
        return RulesTold(told, asked, right, (one, other))
    if brief.level == 2:
        general, special = source.some(kind, 2)
        listed = _with_at(keys[1:], asked, draw.counted("place in three", 3))
        told = {
            "keys": [key.say for key in listed],
            "form": source.said(general),
            "key": (asked if first else keys[1]).say,
            "other": source.said(special),
        }
        return RulesTold(told, asked, special if first else general, (general, special))
    old, sibling, new = source.some(kind, 3)
    rules = _with_at([(keys[1], sibling)], (asked, old), draw.counted("place in two", 2))
    told = {
        "rules": [{"key": key.say, "form": source.said(form)} for key, form in rules],
        "key": (asked if first else keys[1]).say,
        "form": source.said(new),
    }
    return RulesTold(told, asked, new if first else old, (old, new, sibling))


def _pasted(
    brief: Brief,
    source: FormSource,
    keys: Sequence[Governed],
    kinds: tuple[RuleKind, RuleKind],
    *,
    first: bool,
) -> RulesTold:
    """Two rules for what is asked for, one of which is revoked, and one for something else.

    At the highest level one is replaced as well: the one that stays, or that of the sibling.
    """
    draw = brief.draw
    one, sibling, *new = source.some(kinds[0], brief.level - 2)
    (two,) = source.some(kinds[1], 1)
    rules = [(keys[0], one), (keys[0], two)]
    rules.insert(draw.counted("place in three", 3), (keys[1], sibling))
    # Revoked, replaced or None, and right, in one variant and in the other.
    states: tuple[tuple[Rule, Rule | None, Rule], ...] = ((two, None, one), (one, None, two))
    if new:
        states = (
            ((two, one, new[0]), (one, sibling, two)),
            ((two, sibling, one), (one, sibling, two)),
            ((two, one, new[0]), (two, sibling, one)),
        )[draw.counted("states", 3)]
    revoked, replaced, right = states[0] if first else states[1]
    number = {form: place for place, (_, form) in enumerate(rules, start=1)}
    changes = [{"number": number[revoked], "form": ""}]
    if replaced:
        change = {"number": number[replaced], "form": source.said(new[0])}
        changes.insert(draw.counted("place of the change", 2), change)
    listed = [
        {"number": place, "key": key.say, "form": source.said(form)}
        for place, (key, form) in enumerate(rules, start=1)
    ]
    golds = tuple(dict.fromkeys(state[2] for state in states))
    rest = (form for form in (one, two, sibling, *new) if form not in golds)
    return RulesTold({"rules": listed, "changes": changes}, keys[0], right, (*golds, *rest))


def _with_at(items: Sequence[Any], item: object, place: int) -> list[Any]:
    """The items with one more at a place."""
    return [*items[:place], item, *items[place:]]


def question_about(
    brief: Brief, told: RulesTold, things: Sequence[Known], needs: tuple[int, ...]
) -> Question:
    """The question that a rule governs, about something that everybody knows.

    Args:
        brief: wording and draws.
        told: the rules.
        things: to ask about.
        needs: evidence turns that tell the rules; none where the system message does.
    """
    thing = brief.draw.balanced("thing", things)
    options = brief.draw.listed((thing.answer, *thing.others))
    return Question(
        family=brief.family,
        name="form",
        context={"key": told.asked.model_dump(), "thing": thing.ask},
        gold=told.right.gold,
        candidates=options,
        needs=needs,
        aliases={thing.answer: tuple(thing.also)} if thing.also else {},
        templates=brief.wording,
        rank_candidates=(),
        rule=told.right,
        forms=told.forms,
        content=thing.answer,
        key_words=(told.asked.say,),
    )
