"""Options that say which model answers, what computes it, and how answers are generated.

Declarations only; the rest of the options and the values they end up in are in `cli.options`.
"""

from __future__ import annotations

import math

import click

from qwen_bench.cli import values
from qwen_bench.cli.options import OFFLINE, POLICY, Declaration, option_group
from qwen_bench.engines.engine_options import arguments_help

# Declarations that two commands share.
_CHAT_TEMPLATE: Declaration = (
    ("--chat-template",),
    {"metavar": "FILE|chatml", "help": "Instead of the model's own; recorded by hash."},
)
_DEVICE: Declaration = (
    ("--device",),
    {"default": "auto", "show_default": True, "help": "auto, cuda, mps, cpu."},
)
_DTYPE: Declaration = (
    ("--dtype",),
    {"default": "auto", "show_default": True, "help": "Number format of the weights."},
)
_BASE_URL: Declaration = (
    ("--base-url",),
    {
        "envvar": "OPENAI_BASE_URL",
        "metavar": "URL",
        "help": "Server of openai:NAME models, ending in /v1.  [env: OPENAI_BASE_URL]",
    },
)
_MODEL_ARG: Declaration = (
    ("-M", "--model-arg"),
    {
        "multiple": True,
        "metavar": "KEY=VALUE",
        "help": "Setting of one engine; repeatable. " + arguments_help(),
    },
)
_TRUST_REMOTE_CODE: Declaration = (
    ("--trust-remote-code",),
    {"is_flag": True, "help": "Run code from the model folder."},
)
_THINKING: Declaration = (
    ("--thinking",),
    {
        "type": click.Choice(["auto", "on", "off"]),
        "default": "auto",
        "show_default": True,
        "help": "auto: what the template does by itself.",
    },
)
_BUDGETS: tuple[Declaration, ...] = (
    (
        ("--max-new-tokens",),
        {
            "callback": values.whole(1),
            "metavar": "N",
            "help": "Budget of an answer; that of the suite by default.",
        },
    ),
    (
        ("--max-thinking-tokens",),
        {
            "callback": values.whole(1),
            "default": "2048",
            "show_default": True,
            "metavar": "N",
            "help": "Budget of the thought before it.",
        },
    ),
)
_SYSTEM: Declaration = (
    ("--system",),
    {
        "default": "default",
        "show_default": True,
        "metavar": "FILE|none|default",
        "help": "System message: a file, an empty one, or what the template inserts.",
    },
)

model_options = option_group(
    "Model",
    (
        (
            ("--model",),
            {
                "multiple": True,
                "metavar": "SPEC",
                "help": "Model to ask; repeatable. Default of run: the embedded model.",
            },
        ),
        (
            ("--baseline",),
            {"metavar": "SPEC_OR_RUN", "help": "Compare with this model or run folder."},
        ),
        (
            ("--engine",),
            {
                "type": click.Choice(["auto", "hf", "vllm"]),
                "default": "auto",
                "show_default": True,
                "help": "What computes models that are not behind a server; auto is hf.",
            },
        ),
        _DEVICE,
        _DTYPE,
        (
            ("--batch-size",),
            {
                "callback": values.batch_size,
                "default": "auto",
                "show_default": True,
                "metavar": "auto|N",
                "help": "hf: most sequences computed together; auto fits them to the memory.",
            },
        ),
        (
            ("--replicas",),
            {
                "callback": values.whole(1),
                "default": "1",
                "show_default": True,
                "metavar": "N",
                "help": "Engines side by side, one a GPU, on Ray.",
            },
        ),
        (
            ("--ray-address",),
            {"metavar": "A", "help": "Ray cluster to use; without it one is started here."},
        ),
        _BASE_URL,
        (
            ("--concurrency",),
            {
                "callback": values.whole(1),
                "default": "8",
                "show_default": True,
                "metavar": "N",
                "help": "Requests sent to a server at one time.",
            },
        ),
        _MODEL_ARG,
        _CHAT_TEMPLATE,
        _TRUST_REMOTE_CODE,
        (("--allow-pickle",), {"is_flag": True, "help": "Load pickled weights (*.bin)."}),
    ),
)

generation_options = option_group(
    "Generation",
    (
        *_BUDGETS,
        _THINKING,
        (
            ("--temperature",),
            {
                "callback": values.from_to(0, 100),
                "default": "0",
                "show_default": True,
                "metavar": "T",
                "help": "0 takes the most probable token; above, tokens are drawn.",
            },
        ),
        (
            ("--top-p",),
            {
                "callback": values.probability,
                "default": "1",
                "show_default": True,
                "metavar": "P",
                "help": "Draw from the most probable tokens that together have this probability.",
            },
        ),
        (
            ("--top-k",),
            {
                "callback": values.whole(0),
                "default": "0",
                "show_default": True,
                "metavar": "K",
                "help": "Draw from the K most probable tokens; 0 from all.",
            },
        ),
        (
            ("--sampling-seed",),
            {
                "callback": values.whole(0),
                "default": "0",
                "show_default": True,
                "metavar": "N",
                "help": "Seed of the draws.",
            },
        ),
        _SYSTEM,
    ),
)

cost_options = option_group(
    "Cost",
    (
        (
            ("--model",),
            {
                "multiple": True,
                "metavar": "SPEC",
                "help": "Count tokens with its tokenizer and memory from its configuration; loads "
                "no weights.",
            },
        ),
        (
            ("--rate",),
            {
                "metavar": "TOKENS",
                "callback": values.between(0, math.inf),
                "help": "Tokens a second of your machine, for the time; else that of a recorded "
                "run.",
            },
        ),
        _DEVICE,
        _DTYPE,
        _MODEL_ARG,
        _CHAT_TEMPLATE,
        _TRUST_REMOTE_CODE,
        OFFLINE,
        *_BUDGETS,
        _THINKING,
        _SYSTEM,
    ),
)

prompt_options = option_group(
    "Prompt",
    (
        (
            ("--raw",),
            {
                "is_flag": True,
                "help": "Print the prompt exactly as a model gets it and nothing else; token "
                "counts go to stderr, no weights are loaded.",
            },
        ),
        (
            ("--model",),
            {
                "multiple": True,
                "metavar": "SPEC",
                "help": "With --raw: whose template and tokenizer. Default: the embedded model.",
            },
        ),
        _CHAT_TEMPLATE,
        _TRUST_REMOTE_CODE,
        _MODEL_ARG,
        POLICY,
        _THINKING,
        _SYSTEM,
        OFFLINE,
    ),
)
