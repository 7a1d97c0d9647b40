"""The logic of each family, as small pure functions; task.yaml names them."""

from qwen_bench.probes.builders import abstention, bindings, ellipsis, pronoun, update
from qwen_bench.probes.instance import Builder

BUILDERS: dict[str, Builder] = {
    "abstention": abstention.BUILDER,
    "bindings": bindings.BUILDER,
    "ellipsis": ellipsis.BUILDER,
    "pronoun": pronoun.BUILDER,
    "update": update.BUILDER,
    "update_questions": update.QUESTIONS,
}
