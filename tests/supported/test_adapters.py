"""PEFT adapters, alone and beside others, answer as transformers with peft, or are refused."""

import json
import warnings

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from qwen_bench.chat.messages import Message
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines, open_prompter
from qwen_bench.errors import AdapterMismatchError
from qwen_bench.protocol import Request, Unit
from qwen_bench.testing import tiny_4bit_checkpoint, tiny_checkpoint

TITLE = "Adapters"
INTRODUCTION = """\
Log-probabilities within 1e-4 of transformers with peft (0.05 on 4 bit, which bitsandbytes computes
in bfloat16 on a CPU), and the same text. *Beside others*: with
the base and a second LoRA in the same command, which both answer as they do alone. *A copy to
itself*: the adapter is not put on the base that others compute with; one line says so."""
CORNER = "PEFT method, options"

AS_PEFT = "as peft"
SHARED = "as peft, on the weights of the base"
COPY = "as peft, on a copy to itself"
Q = ("q_proj", "v_proj")


def lora(**options):
    """A LoRA on the attention, with other options."""
    return "LoraConfig", {"r": 4, "lora_alpha": 8, "target_modules": list(Q), **options}


def other(name, targets=Q, **options):
    """Another method."""
    return f"{name}Config", {"target_modules": list(targets), **options}


TIED, UNTIED, PACKED = "qwen2", "qwen3", "4-bit"
# bitsandbytes computes in bfloat16 on a CPU where the processor can.
TOLERANCE = {TIED: 1e-4, UNTIED: 1e-4, PACKED: 5e-2}
WORKS = {
    "LoRA": (SHARED, lora()),
    "LoRA, rank_pattern, alpha_pattern": (
        SHARED,
        lora(rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3}),
    ),
    "LoRA, layers_to_transform": (SHARED, lora(layers_to_transform=[1])),
    "LoRA, exclude_modules": (SHARED, lora(exclude_modules=["model.layers.0.self_attn.q_proj"])),
    "LoRA, target_modules=all-linear": (SHARED, lora(target_modules="all-linear")),
    "LoRA, use_dora (DoRA)": (SHARED, lora(use_dora=True)),
    "LoRA, use_rslora (rsLoRA)": (SHARED, lora(use_rslora=True)),
    "LoRA, lora_bias": (SHARED, lora(lora_bias=True)),
    "LoRA, modules_to_save=norm": (SHARED, lora(modules_to_save=["norm"])),
    "LoRA, modules_to_save=lm_head, untied": (SHARED, lora(modules_to_save=["lm_head"])),
    "LoRA, modules_to_save=embed_tokens, tied": (SHARED, lora(modules_to_save=["embed_tokens"])),
    "LoRA on lm_head, tied": (SHARED, lora(target_modules=[*Q, "lm_head"])),
    "LoRA on lm_head, untied": (SHARED, lora(target_modules=[*Q, "lm_head"])),
    "LoRA on embed_tokens, tied": (SHARED, lora(target_modules=[*Q, "embed_tokens"])),
    "LoRA on embed_tokens, untied": (SHARED, lora(target_modules=[*Q, "embed_tokens"])),
    "LoRA on embed_tokens, which were trained too": (
        COPY,
        lora(target_modules=[*Q, "embed_tokens"]),
    ),
    "LoRA, init_lora_weights=gaussian": (SHARED, lora(init_lora_weights="gaussian")),
    "LoRA, init_lora_weights=orthogonal": (SHARED, lora(init_lora_weights="orthogonal")),
    "LoRA, init_lora_weights=pissa": (COPY, lora(init_lora_weights="pissa")),
    "LoRA, init_lora_weights=olora": (COPY, lora(init_lora_weights="olora")),
    "LoRA, bias=all": (COPY, lora(bias="all")),
    "LoRA, bias=lora_only": (COPY, lora(bias="lora_only")),
    "LoRA, trainable_token_indices": (COPY, lora(trainable_token_indices=[5, 6])),
    "LoRA on a 4-bit base (QLoRA)": (COPY, lora()),
    "LoRA on a 4-bit base, all-linear": (COPY, lora(target_modules="all-linear")),
    "LoRA on a 4-bit base, use_dora": (COPY, lora(use_dora=True)),
    "AdaLoRA": (COPY, other("AdaLora", total_step=10)),
    "IA3": (COPY, other("IA3", ("k_proj", "down_proj"), feedforward_modules=["down_proj"])),
    "LoHa": (COPY, other("LoHa")),
    "LoKr": (COPY, other("LoKr")),
    "OFT": (COPY, other("OFT")),
    "BOFT": (COPY, other("BOFT", ("q_proj",), boft_block_size=4)),
    "VeRA": (COPY, other("Vera")),
    "RandLoRA": (COPY, other("RandLora")),
    "FourierFT": (COPY, other("FourierFT", n_frequency=50)),
    "VB-LoRA": (COPY, other("VBLoRA", num_vectors=32, vector_length=16)),
    "HRA": (COPY, other("HRA")),
    "MiSS": (COPY, other("Miss", r=4)),
    "SHiRA": (COPY, other("Shira", r=4)),
    "C3A": (COPY, other("C3A", block_size=16)),
    "RoAd": (COPY, other("Road", group_size=16)),
    "LN tuning": (COPY, other("LNTuning", ("input_layernorm",))),
    "trainable tokens": (COPY, other("TrainableTokens", ("embed_tokens",), token_indices=[5, 6])),
}
UNKNOWN = "a method that peft does not know"
REFUSED = {
    "prompt tuning": ("PROMPT_TUNING", ("PromptTuningConfig", {"num_virtual_tokens": 4})),
    "prefix tuning": ("PREFIX_TUNING", ("PrefixTuningConfig", {"num_virtual_tokens": 4})),
    "P-tuning": (
        "P_TUNING",
        ("PromptEncoderConfig", {"num_virtual_tokens": 4, "encoder_hidden_size": 16}),
    ),
    "multitask prompt tuning": (
        "MULTITASK_PROMPT_TUNING",
        ("MultitaskPromptTuningConfig", {"num_virtual_tokens": 4, "num_tasks": 2}),
    ),
    "CPT": (
        "CPT",
        (
            "CPTConfig",
            {"cpt_token_ids": [5, 6], "cpt_mask": [1, 1], "cpt_tokens_type_mask": [1, 1]},
        ),
    ),
    "Poly": ("POLY", other("Poly", r=4, n_tasks=2)),
    "LoRA, alora_invocation_tokens (activated LoRA)": (
        "activated LoRA",
        lora(alora_invocation_tokens=[5, 6]),
    ),
    "LoRA, layer_replication": (
        "layer_replication",
        lora(layer_replication=[[0, 2], [1, 2]]),
    ),
    UNKNOWN: ("BRAND_NEW", lora()),
}
CELLS = [
    *(
        (row, column, says if column == "beside others" else AS_PEFT, options)
        for row, (says, options) in WORKS.items()
        for column in ("alone", "beside others")
    ),
    *(
        (row, column, "refused by name", case)
        for row, case in REFUSED.items()
        for column in ("alone", "beside others")
    ),
]
TURNS = (
    Message("user", "My cat is called Biscuit."),
    Message("assistant", "Noted."),
    Message("user", "My locker is number 44."),
    Message("assistant", "Thank you."),
)
CANDIDATES = ("44", "Biscuit", "red green")


def unit():
    """Prompts that fork, each to be written after and ranked."""
    return Unit(
        "dialogue",
        tuple(
            Request(f"{turns}", (*TURNS[:turns], Message("user", "Which one is mine?")), *rest)
            for turns in (0, 2, 4)
            for rest in (("generate", (), 6), ("rank", CANDIDATES))
        ),
    )


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Folder of a base with tied, and of one with untied embeddings."""
    root = tmp_path_factory.mktemp("bases")
    whole = {family: tiny_checkpoint(root / family, family) for family in (TIED, UNTIED)}
    return whole | {PACKED: tiny_4bit_checkpoint(root / PACKED)}


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def write(folder, base, made_of, change=None):
    """An adapter as a trainer leaves it: every number it trains is moved."""
    name, options = made_of
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(7)
        model = get_peft_model(load(base), getattr(peft, name)(task_type="CAUSAL_LM", **options))
        for key, weight in model.named_parameters():
            if weight.requires_grad or (change is not None and change in key):
                weight.data += torch.randn_like(weight) * 0.3
        model.save_pretrained(folder)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text("utf-8")) | {"base_model_name_or_path": str(base)}
    file.write_text(json.dumps(config), "utf-8")
    return folder


def replies_of(engine):
    return [
        (reply.id, reply.mode, reply.text, [score.logprob for score in reply.scores])
        for reply in engine.answer(unit())
    ]


def ask(*folders):
    """Replies of several models in one command, and the warnings of the last."""
    specs = [parse_spec(f"m{number}={folder}") for number, folder in enumerate(folders)]
    found = []
    with open_engines(specs, EngineOptions()) as engines:
        for engine in engines:
            found.append(sorted(replies_of(engine)))
            said = engine.identity().warnings
    return found, said


def expected(folder, base):
    """Replies from transformers with peft, one whole prompt at a time."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = PeftModel.from_pretrained(load(base), folder).eval()
    prompter = open_prompter(parse_spec(str(folder)), EngineOptions())
    stops = prompter.stop_tokens(())
    found = []
    for request in unit().requests:
        prompt = list(prompter.prompt(request.messages).ids)
        ids = torch.tensor([prompt])
        if request.mode == "generate":
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request.max_new_tokens,
                do_sample=False,
                eos_token_id=sorted(stops.ids),
            )[0, len(prompt) :].tolist()
            text = prompter.text([token for token in written if token not in stops.ids])
            found.append((request.id, request.mode, text, []))
            continue
        scores = []
        for text in request.candidates:
            own = list(prompter.candidate(text))
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([prompt + own])).logits[0].float()
            rows = logits.log_softmax(-1)[len(prompt) - 1 :]
            scores.append(sum(float(rows[place, token]) for place, token in enumerate(own)))
        found.append((request.id, request.mode, None, scores))
    return sorted(found)


def agree(row, found, wanted):
    assert [(key, mode, text) for key, mode, text, _ in found if mode == "generate"] == [
        (key, mode, text) for key, mode, text, _ in wanted if mode == "generate"
    ]
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine[3] == pytest.approx(theirs[3], abs=TOLERANCE[kind_of(row)])


def kind_of(row):
    """Which base a row is about."""
    if "4-bit" in row:
        return PACKED
    return UNTIED if "untied" in row or row == "LoRA, lora_bias" else TIED


@pytest.fixture
def adapter(tmp_path, bases):
    """Writes the adapter of a row; gives its folder and its base."""

    def make(row, made_of):
        base = bases[kind_of(row)]
        change = "embed_tokens.base_layer" if row.endswith("trained too") else None
        folder = write(tmp_path / "adapter", base, made_of, change)
        if row == UNKNOWN:
            file = folder / "adapter_config.json"
            config = json.loads(file.read_text("utf-8")) | {"peft_type": "BRAND_NEW"}
            file.write_text(json.dumps(config), "utf-8")
        return folder, base

    return make


def works(column):
    """Parameters of a test over a column: row, adapter, and what the page says."""
    return [
        pytest.param(row, case, says, id=row)
        for row, where, says, case in CELLS
        if where == column and row in WORKS
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, bases):
    """By base: what it and a LoRA on it answer, each in a command of its own."""
    found = {}
    for family, base in bases.items():
        neighbour = write(tmp_path_factory.mktemp(family) / "neighbour", base, lora())
        found[base] = (neighbour, ask(base)[0][0], ask(neighbour)[0][0])
    return found


@pytest.mark.parametrize(("row", "made_of", "says"), works("alone"))
def test_alone_it_answers_as_transformers_with_peft(row, made_of, says, adapter, alone):
    folder, base = adapter(row, made_of)

    (found,), said = ask(folder)

    agree(row, found, expected(folder, base))
    assert found != alone[base][1]
    assert (says, [line for line in said if "copy of the weights" in line]) == (AS_PEFT, [])


@pytest.mark.parametrize(("row", "made_of", "says"), works("beside others"))
def test_beside_others_it_answers_so_and_they_as_they_do_alone(row, made_of, says, adapter, alone):
    folder, base = adapter(row, made_of)
    neighbour, base_alone, neighbour_alone = alone[base]

    (before, beside, found), said = ask(base, neighbour, folder)

    agree(row, found, expected(folder, base))
    assert before == base_alone
    assert beside == neighbour_alone
    copied = [line for line in said if "has a copy of the weights to itself" in line]
    assert len(copied) == (says == COPY), said


@pytest.mark.parametrize("column", ["alone", "beside others"])
@pytest.mark.parametrize(
    ("row", "case"), [pytest.param(row, case, id=row) for row, case in REFUSED.items()]
)
def test_what_is_not_part_of_the_layers_is_refused_by_name(row, case, column, adapter):
    method, made_of = case
    folder, base = adapter(row, made_of)

    with pytest.raises(AdapterMismatchError, match=method):
        ask(*([base, folder] if column == "beside others" else [folder]))
