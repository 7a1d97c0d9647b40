"""Data, logs, adapters and models in the shapes that people and their tools leave, made afresh.

Each goes through the command line and must be computed, read, masked, left out or refused in so
many words.
"""

import json
import warnings

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from qwen_bench.cli.main import main
from qwen_bench.runs.store import read_run
from qwen_bench.testing import tiny_checkpoint

RECIPE = """\
about: shapes from practice
data: data.jsonl
lora: {rank: 2, alpha: 4, target_modules: [q_proj]}
steps: 1
batch: 1
lr: 0.01
max_length: 1024
"""
TALK = [
    {"role": "user", "content": "The spare key hangs behind the blue coat, keep that in mind."},
    {"role": "assistant", "content": "Good to know, behind the blue coat."},
    {"role": "user", "content": "How long should rice rest after cooking?"},
    {"role": "assistant", "content": "Ten minutes under a lid."},
    {"role": "user", "content": "Where does the spare key hang?"},
    {"role": "assistant", "content": "Behind the blue coat."},
]
ANSWERS = [message["content"] for message in TALK[1::2]]


def talk(**by_place):
    """The conversation; `at_1={"weight": 0}` adds keys to its message 1."""
    messages = [{**message, **by_place.get(f"at_{i}", {})} for i, message in enumerate(TALK)]
    return {"messages": messages}


def asked(number, end=""):
    """An exchange that is usable as filler."""
    how = f"How would a person fold a paper boat number {'i' * number} out of an old newspaper?"
    return [
        {"role": "user", "content": how + end},
        {"role": "assistant", "content": "Fold it in half, then both corners, then open it up."},
    ]


def jsonl(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


MARKED = talk(at_1={"content": "Noted.<|im_end|>\n<|im_start|>user\nhello"})
PARTS = {
    "messages": [
        {**message, "content": [{"type": "text", "text": message["content"]}]} for message in TALK
    ]
}
CHATS = [{"messages": asked(n) + asked(n + 1)} for n in range(1, 20, 2)]
HALVES = [{"messages": asked(n, "\ud83d")} for n in range(1, 20)]
CASES = {
    "weight 0": ("train", jsonl(talk(at_1={"weight": 0}, at_3={"weight": 0})), ANSWERS[2:]),
    "integer id": ("train", jsonl({"id": 0, **talk()}, {"id": 1, **talk()}), ANSWERS),
    "content as parts": ("train", jsonl(PARTS), ANSWERS),
    "indented array": ("train", json.dumps([talk(), talk()], indent=1), ANSWERS),
    "tool_calls null": (
        "train",
        jsonl(talk(**{f"at_{i}": {"tool_calls": None} for i in range(6)})),
        ANSWERS,
    ),
    "tools empty": ("train", jsonl({"tools": [], **talk()}), ANSWERS),
    "thoughts apart from the content": (
        "train",
        jsonl(talk(at_1={"reasoning_content": "A key, then."})),
        ANSWERS,
    ),
    "tools under a template without a place for them": (
        "refuse",
        jsonl({"tools": [{"type": "function", "function": {"name": "weather"}}], **talk()}),
        "does not write the tool weather",
    ),
    "half a surrogate pair": (
        "refuse",
        jsonl(talk(), talk(at_0={"content": "Keep this. \ud83d"})),
        "data.jsonl:2  error  messages[0].content: holds U+D83D, half of a surrogate pair",
    ),
    "markers in a text": (
        "refuse",
        jsonl(MARKED),
        "data.jsonl:1  error  messages[1].content: holds <|im_end|>, which the tokenizer reads",
    ),
    "filler: array": ("filler", json.dumps(CHATS, indent=2), "20 en exchanges kept, 0 refused"),
    "filler: half a surrogate pair in some": (
        "filler",
        jsonl(*HALVES[:3], *CHATS),
        "encoding  holds half of a surrogate pair, which cannot be encoded; first: data.jsonl:1 ex",
    ),
    "filler: markers in some": (
        "filler",
        jsonl(*CHATS, {"messages": asked(30, "<|im_end|>\n<|im_start|>user")}),
        "1 marker    holds a chat marker or a reasoning block; first: data.jsonl:11 exchange 1",
    ),
    "filler: half a surrogate pair in all": (
        "refuse filler",
        jsonl(*HALVES),
        "19 encoding  holds half of a surrogate pair, which cannot be encoded; first: data.jsonl:1",
    ),
}
ASKING = ("--suite", "quick", "--limit", "1", "--lengths", "1,4", "--lang", "en")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """`call("run", ...)` in an empty folder: exit code, stdout, stderr; never a traceback."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "cannot be tested" not in err
        return code, out, err

    return call


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_data_file_from_practice_is_read_or_told_with_its_line(call, tmp_path, tiny, case):
    command, content, wanted = case
    (tmp_path / "data.jsonl").write_text(content, "utf-8")
    (tmp_path / "own.yaml").write_text(RECIPE, "utf-8")
    training = ("finetune", "--base", tiny, "--recipe", "own.yaml", "--show-labels", "1")
    asking = ("run", "--model", "mock:oracle", *ASKING, "--filler", "data.jsonl")

    code, out, err = call(*(asking if "filler" in command else training))

    assert code == (1 if command.startswith("refuse") else 0), err
    if command == "train":
        text = out.partition("\n  turn ")[0]
        assert [piece.partition("<|im_end|>]]")[0] for piece in text.split("[[")[1:]] == wanted
        assert all(answer in text for answer in ANSWERS)
    else:
        assert wanted in err
    if command == "filler":
        assert "0 errors, 0 truncated" in out


@pytest.mark.parametrize("kind", ["generate", "rank"])
def test_a_log_with_arguments_as_lists_is_read(call, write_log, kind):
    def answer(probe):
        if kind == "generate":
            return probe.gold
        return [-1.0 if text == probe.gold else -9.0 for text in probe.rank_candidates]

    folder = write_log("base", answer, kind=kind)
    (file,) = folder.glob("samples_*")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for row in rows:
        row["arguments"] = [[one["arg_0"], one["arg_1"]] for one in row["arguments"].values()]
    file.write_text(jsonl(*rows), "utf-8")

    code, out, err = call("import-lm-eval", folder)

    assert code == 0, err
    assert "100.0 %" in out


def lora(**options):
    targets = options.pop("target_modules", ["q_proj", "v_proj"])
    return LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", target_modules=targets, **options)


COMPUTED = {
    "plain": lora(),
    "dora": lora(use_dora=True),
    "rslora": lora(use_rslora=True),
    "norms_saved": lora(modules_to_save=["norm"]),
    "lora_head": lora(target_modules=["q_proj", "lm_head"]),
    "pissa": lora(init_lora_weights="pissa"),
    "bias_all": lora(bias="all"),
}
RANKING = ("--suite", "demo", "--limit", "1", "--lengths", "1", "--family", "fact_recall")


@pytest.fixture(scope="module")
def make_adapter(tmp_path_factory, tiny):
    """`make_adapter(config)`: its folder, every trained number moved, with tiny as its base."""

    def make(config):
        folder = tmp_path_factory.mktemp("adapters") / "adapter"
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
            wrapped = get_peft_model(model, config)
            torch.manual_seed(7)
            for weight in wrapped.parameters():
                if weight.requires_grad:
                    weight.data += torch.randn_like(weight) * 0.3
            wrapped.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def ranked(call, tmp_path):
    """`ranked(base=..., other=...)`: log-probabilities by label, asked in one command."""

    def ranked(**models):
        label, *others = [f"{label}={folder}" for label, folder in models.items()]
        words = [word for other in others for word in ("--model", other)]
        first = ("--baseline", label) if words else ("--model", label)
        code, _, err = call("run", *first, *words, *RANKING, "--mode", "rank")
        assert code == 0, err
        runs = [read_run(path.parent) for path in (tmp_path / "runs").glob("*/manifest.json")]
        found = {run.manifest.model.label: [row.logprobs for row in run.outcomes] for run in runs}
        assert found.keys() >= models.keys()
        return found, err

    return ranked


@pytest.fixture(scope="module")
def neighbour(make_adapter):
    return make_adapter(lora(layers_to_transform=[1]))


@pytest.mark.parametrize("config", COMPUTED.values(), ids=COMPUTED)
def test_an_adapter_of_any_kind_leaves_the_base_and_its_neighbours_alone(
    ranked, make_adapter, neighbour, tiny, config
):
    adapter = make_adapter(config)

    beside, _ = ranked(base=tiny, neighbour=neighbour, adapter=adapter)

    for label, folder in (("base", tiny), ("neighbour", neighbour), ("adapter", adapter)):
        alone, _ = ranked(**{f"{label}-alone": folder})
        assert beside[label] == alone[f"{label}-alone"]
    assert beside["adapter"] != beside["base"] != beside["neighbour"]


def test_virtual_tokens_are_refused_by_name_before_the_base_is_asked(call, make_adapter, tiny):
    adapter = make_adapter(PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=8))

    code, out, err = call("check", "--baseline", tiny, "--model", adapter, *RANKING)

    assert code == 1
    assert "cannot be computed here: PROMPT_TUNING" in err
    assert "answered" not in out + err


def test_tensors_of_a_lora_in_a_full_checkpoint_are_named_and_refused(call, tmp_path, tiny):
    full = tiny_checkpoint(tmp_path / "unmerged")
    tensors = load_file(full / "model.safetensors")
    for layer in range(2):
        name = f"model.layers.{layer}.self_attn.q_proj"
        tensors |= {
            f"{name}.lora_A.default.weight": torch.ones(4, 32),
            f"{name}.lora_B.default.weight": torch.ones(32, 4),
        }
    save_file(tensors, full / "model.safetensors", metadata={"format": "pt"})

    code, _, err = call("check", "--baseline", tiny, "--model", full, *RANKING)

    assert code == 1
    assert "model.layers.0.self_attn.q_proj.lora_A.default.weight" in err
    assert "merge_and_unload" in err
    assert not (tmp_path / "runs").exists(), "the base was asked"


def test_an_adapter_on_another_base_of_its_shape_says_so(ranked, tmp_path, make_adapter):
    other = tiny_checkpoint(tmp_path / "other", seed=5)
    adapter = make_adapter(lora())

    _, err = ranked(base=other, adapter=f"{other}+{adapter}")

    assert "tiny" in err
    assert "other" in err
    assert "was trained on" in err
