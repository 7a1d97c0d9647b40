"""A rule for the form of replies that spares one kind of question, or covers only that kind.

Variant A: every reply obeys, except where the question asks for the scope. Variant B: only such a
reply obeys. Scripted replies obey in A and are plain in B, so that copying the last reply, always
obeying and never obeying are each right in half of the four cases of a twin group.
"""

from __future__ import annotations

from typing import get_args

from pydantic import Field

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Words
from qwen_bench.probes.probe import Rule, RuleKind

KINDS: tuple[RuleKind, ...] = get_args(RuleKind)


class RuleForm(Words):
    """How a rule is asked for, of every reply or of one, and the marks to choose from."""

    every: str
    one: str
    marks: list[list[str]]


class Scope(Words):
    """A kind of question: its name, what can be asked for, and words that filler must not hold."""

    say: str
    things: list[str]
    barred: list[str]


class Statement(Words):
    """Evidence templates of variant A (`unless`) and B (`when`), and their acknowledgements."""

    unless: str
    when: str
    assistant: list[str]


class ScopedRuleWords(Words):
    """Words of one split; `outside` holds things of no scope."""

    rules: dict[RuleKind, RuleForm] = Field(min_length=len(KINDS))
    scopes: list[Scope]
    outside: list[str]
    evidence: list[Statement]
    questions: list[str]

    @property
    def answers(self) -> list[str]:
        """Words and keys that mark a reply; brackets are no words."""
        spelled = [form.marks for kind, form in self.rules.items() if kind != "wrap"]
        return [marks[0] for found in spelled for marks in found]


def build(brief: Brief, words: ScopedRuleWords) -> Instance:
    """One statement of the rule; asked for a thing inside and a thing outside its scope."""
    draw, covers_all = brief.draw, brief.variant == "A"
    kind = draw.balanced("rule", KINDS)
    form = words.rules[kind]
    marks = draw.one("marks", form.marks)
    rule = Rule(kind, tuple(marks))
    scope = draw.balanced("scope", words.scopes)
    inside = draw.one("inside", scope.things)
    outside = draw.one("outside", words.outside)
    statement = draw.balanced("evidence template", words.evidence)
    request, sentence = (form.every, statement.unless) if covers_all else (form.one, statement.when)
    # The wording of the rule is a template too; as a block it becomes a name in the statement.
    templates = Templates(
        user=f"{{% set request %}}{request}{{% endset %}}{sentence}", assistant=statement.assistant
    )

    def question(name: str, thing: str, *, marked: bool) -> Question:
        return Question(
            family=brief.family,
            name=name,
            context={"thing": thing},
            gold="marked" if marked else "plain",
            candidates=(),
            needs=(0,),
            rank_candidates=(),
            rule=rule,
        )

    return Instance(
        evidence=(templates.turn(draw, "state", {"marks": marks, "scope": scope.say}),),
        questions=(
            question("in_scope", inside, marked=not covers_all),
            question("out_of_scope", outside, marked=covers_all),
        ),
        marked=rule if covers_all else None,
        barred=tuple(scope.barred),
    )


BUILDER = Builder(ScopedRuleWords, build)
