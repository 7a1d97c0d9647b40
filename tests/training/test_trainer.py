"""The loop lowers the loss of exactly the labelled tokens, and only the adapter changes."""

import json
import math
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.jsonl import record_line
from qwen_bench.chat.messages import Message
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.hf.attaching import attach_adapter
from qwen_bench.engines.loading import load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.errors import AdapterMismatchError, EngineError, InputError
from qwen_bench.testing import tiny_4bit_checkpoint, tiny_checkpoint, tiny_model
from qwen_bench.training.adapter import add_lora, seeded
from qwen_bench.training.finetuning import finetune
from qwen_bench.training.labelled_rows import IGNORED, LabelledRow, Span, marked
from qwen_bench.training.preparation import TrainingJob, prepare
from qwen_bench.training.recipe import LoraBlock, NamedRecipe, Recipe, Schedule
from qwen_bench.training.trainer import last_checkpoint, measure, share_of_loss, train

CPU = torch.device("cpu")
ROWS = (
    LabelledRow("a", (5, 6, 7, 8, 2, 9, 10, 11, 2), (Span(3, 5, 0), Span(7, 9, 1))),
    LabelledRow("b", (20, 21, 22, 23, 2), (Span(2, 5, 0),)),
    LabelledRow("c", tuple(range(30, 60)), (Span(10, 12, 0),)),
)


def lora_model(seed=0, **lora):
    from peft import LoraConfig, get_peft_model

    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]} | lora
    model = tiny_model()
    with warnings.catch_warnings(), seeded(seed):
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, LoraConfig(**settings))


def schedule(**changes):
    values = {"steps": 20, "batch": 3, "lr": 0.02, "warmup": 2, "weight_decay": 0.0, "seed": 0}
    return Schedule(**(values | {"precision": "float32"} | changes))


def row_loss(model, row):
    labels = torch.tensor([row.labels])
    keep = torch.tensor([i - 1 for i, label in enumerate(row.labels) if label != IGNORED])
    return share_of_loss(model(input_ids=torch.tensor([row.ids]), logits_to_keep=keep), labels, 1)


def test_the_loss_of_a_row_is_that_of_its_labelled_positions():
    model = tiny_model()
    for row in ROWS:
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1].float()

        expected = cross_entropy(logits, torch.tensor(row.labels[1:]), reduction="sum")

        assert torch.allclose(row_loss(model, row), expected, atol=1e-4)


def test_a_step_reports_the_summed_loss_over_all_trained_tokens_of_its_batch():
    model = lora_model()
    total = sum(float(row_loss(model, row).detach()) for row in ROWS)

    (report,) = train(model, ROWS, schedule(steps=1), CPU, lambda _: None)

    assert report.loss == pytest.approx(total / sum(row.trained_tokens for row in ROWS), abs=1e-5)


def test_twenty_steps_lower_the_loss_and_leave_the_base_as_it_was():
    model = lora_model()
    base = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    seen = []

    reports = train(model, ROWS, schedule(), CPU, seen.append)

    assert reports[-1].loss < 0.5 * reports[0].loss
    assert seen == reports
    after = dict(model.named_parameters())
    assert all(torch.equal(tensor, after[name]) for name, tensor in base.items())


def test_the_same_seed_gives_the_same_curve_and_another_seed_another():
    curves = [
        [r.loss for r in train(lora_model(seed), ROWS, schedule(batch=1, seed=seed), CPU, print)]
        for seed in (0, 0, 1)
    ]

    assert curves[0] == curves[1] != curves[2]


def test_steps_are_those_of_a_loop_written_out():
    settings = schedule(steps=9, batch=2, weight_decay=0.1, seed=5)
    model, plain = lora_model(), lora_model()

    reports = train(model, ROWS, settings, CPU, lambda _: None)

    weights = [p for p in plain.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=0.1)
    order, epochs = [], random.Random(5)  # noqa: S311 - as the trainer
    while len(order) < 18:
        order += epochs.sample(ROWS, len(ROWS))
    curve = []
    for step in range(9):
        batch = order[2 * step : 2 * step + 2]
        loss = sum(row_loss(plain, row) for row in batch) / sum(r.trained_tokens for r in batch)
        curve.append(loss.item())
        share = (step + 1) / 2 if step < 2 else 1 - 0.9 * (step - 1) / 7
        optimizer.param_groups[0]["lr"] = settings.lr * share
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    assert [r.loss for r in reports] == pytest.approx(curve, abs=1e-5)
    assert [r.tokens for r in reports][-1] == sum(len(row.ids) for row in order[:18])
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(trained, weights, strict=True))


def test_checkpointed_activations_change_nothing_but_memory():
    settings = schedule(steps=3)
    model = lora_model()

    with_them = train(
        model, ROWS, settings.model_copy(update={"gradient_checkpointing": True}), CPU, print
    )

    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    plain = train(lora_model(), ROWS, settings, CPU, print)
    assert [r.loss for r in with_them] == pytest.approx([r.loss for r in plain], abs=1e-5)


def test_after_training_in_bfloat16_the_model_computes_in_its_own_precision():
    model = lora_model()

    train(model, ROWS, schedule(steps=1, precision="bfloat16"), CPU, lambda _: None)

    own = measure(model, ROWS, CPU, bfloat16=False)
    assert own != measure(model, ROWS, CPU, bfloat16=True)


def test_processes_share_the_rows_of_a_step_evenly_or_not_at_all(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(InputError, match="batch: 3 rows a step cannot be shared by 2 processes"):
        train(lora_model(), ROWS, schedule(batch=3), CPU, lambda _: None)


def test_a_loss_that_is_not_finite_stops_the_training():
    model = lora_model()
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).fill_(math.nan)

    with pytest.raises(EngineError, match="not finite at step 1"):
        train(model, ROWS, schedule(), CPU, lambda _: None)


def test_whole_answers_are_counted_by_their_most_likely_tokens():
    model = tiny_model()
    logits = model(input_ids=torch.tensor([[5, 6, 7]])).logits[0]
    likely = int(logits[2].argmax())
    right = LabelledRow("r", (5, 6, 7, likely), (Span(3, 4, 0),))
    wrong = LabelledRow("w", (5, 6, 7, (likely + 1) % 512), (Span(3, 4, 0),))

    fit = measure(model, [right, wrong], CPU, bfloat16=False)

    assert (fit.exact, fit.answers) == (1, 2)


# From here on: the whole recipe on a checkpoint in a folder.

CHAT = (
    Message("user", "My cat is called Biscuit."),
    Message("assistant", "Noted."),
    Message("user", "What is the name of my cat?"),
    Message("assistant", "Biscuit."),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


def job(folder, out, data, **changes):
    values = {
        "about": "a test",
        "data": str(data),
        "lora": LoraBlock(rank=4, alpha=8, target_modules=("q_proj", "v_proj")),
        "steps": 4,
        "batch": 2,
        "lr": 0.02,
        "max_length": 512,
        "held_out": 1,
    }
    recipe = Recipe.model_validate(values | changes)
    named = NamedRecipe("own.yaml", recipe, "0" * 64, data.parent)
    words = ["qwen-bench", "finetune", "--data", str(data), "--out", str(out)]
    return TrainingJob(parse_spec(str(folder)), named, out, words)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "own.jsonl"
    trained = (False, False, False, True)
    records = [ChatRecord(f"chat-{i}", CHAT, trained) for i in range(4)]
    path.write_text("".join(record_line(record) + "\n" for record in records), "utf-8")
    return path


@pytest.fixture
def made(folder, data, tmp_path):
    task = job(folder, tmp_path / "adapter", data)
    lines = []
    material = prepare(task, lines.append)
    finetune(task, material, lines.append)
    return task, material, lines


def test_the_reloaded_adapter_computes_what_the_trained_model_did(made, folder):
    task, material, _ = made
    trained = measure(material.base.model, material.rows, CPU, bfloat16=False)
    base = load_base(parse_spec(str(folder)), EngineOptions())
    untouched = measure(base.model, material.rows, CPU, bfloat16=False)

    adapter = attach_adapter(base, task.out)

    with base.weights(adapter.name):
        assert measure(base.model, material.rows, CPU, bfloat16=False) == trained
    with base.weights(None):
        assert measure(base.model, material.rows, CPU, bfloat16=False) == untouched
    assert trained != untouched
    assert adapter.warnings == ()


@pytest.mark.filterwarnings("ignore:bitsandbytes:UserWarning")
def test_an_adapter_trained_on_a_4_bit_base_is_kept_and_computed_on_it(data, tmp_path):
    base = tiny_4bit_checkpoint(tmp_path / "packed")
    task = job(base, tmp_path / "adapter", data)
    lines = []

    finetune(task, prepare(task, lines.append), lines.append)

    attached = attach_adapter(load_base(parse_spec(str(base)), EngineOptions()), task.out)
    assert attached.warnings == ()
    assert (
        attached.fingerprint != load_base(parse_spec(str(base)), EngineOptions()).source.fingerprint
    )


def test_the_folder_is_a_spec_of_its_own(made):
    spec = parse_spec(str(made[0].out))

    assert spec.kind == "adapter"
    assert spec.base is not None
    assert spec.base.kind == "local"


def test_the_record_tells_settings_data_and_curve_without_machine_paths(made, tmp_path):
    task, _, lines = made
    text = (task.out / "training.json").read_text("utf-8")
    record = json.loads(text)

    assert record["command"] == "qwen-bench finetune --data .../own.jsonl --out .../adapter"
    assert record["data"]["rows"]["targets"] == 3
    assert record["held_out"]["after"]["answers"] == 1
    assert len(record["result"]["loss_curve"]) == 4
    assert len(record["template"]["renderings"]) == 4
    readme = (task.out / "README.md").read_text("utf-8")
    assert str(tmp_path) not in (text + readme).replace(record["base"]["spec"], "")
    assert sum(line.startswith("step ") for line in lines) == 4


def test_tokenizer_files_travel_with_a_base_that_is_a_folder(made):
    assert (made[0].out / "tokenizer.json").is_file()
    assert (made[0].out / "chat_template.jinja").is_file()


def test_nothing_is_left_behind_when_training_fails(folder, data, tmp_path):
    out = tmp_path / "adapter"
    task = job(folder, out, data, lora={"rank": 1, "alpha": 1, "target_modules": ["nope"]})
    material = prepare(task, lambda _: None)

    with pytest.raises(
        InputError, match=r"lora\.target_modules: Qwen2ForCausalLM has none"
    ) as caught:
        finetune(task, material, lambda _: None)

    assert "q_proj" in caught.value.fix[0]
    assert [path.name for path in tmp_path.iterdir()] == [data.name]


def test_an_adapter_that_changes_nothing_is_refused(folder, data, tmp_path):
    task = job(folder, tmp_path / "adapter", data, steps=1, lr=1e-30)
    material = prepare(task, lambda _: None)

    with pytest.raises(AdapterMismatchError, match="change"):
        finetune(task, material, lambda _: None)

    assert not task.out.exists()


def test_an_existing_folder_is_never_written_over(made):
    task, material, _ = made
    before = (task.out / "adapter_model.safetensors").read_bytes()

    with pytest.raises(InputError, match="exists and is not overwritten"):
        finetune(task, material, lambda _: None)

    assert (task.out / "adapter_model.safetensors").read_bytes() == before


@pytest.mark.parametrize("base", ["mock:oracle", "adapter"])
def test_only_a_full_model_can_be_a_base(made, tmp_path, base):
    spec = parse_spec(str(made[0].out) if base == "adapter" else base)
    task = TrainingJob(spec, made[0].recipe, tmp_path / "other", [])

    with pytest.raises(InputError, match="a LoRA is trained on a full model"):
        prepare(task, lambda _: None)


def test_shown_rows_mark_the_trained_text(made):
    _, material, _ = made

    head, *lines = marked(material.rows[0], material.base.tokenizer)

    assert "1 span" not in head
    assert lines[-2].endswith("[[Biscuit.<|im_end|>]]")
    assert lines[-1].startswith("  turn 2: ")


def test_drawing_adapter_weights_leaves_the_global_generator_alone(folder):
    base = load_base(parse_spec(str(folder)), EngineOptions())
    before = torch.random.get_rng_state()

    with seeded(3):
        add_lora(base, LoraBlock(rank=2, alpha=2, target_modules="all-linear"))

    assert torch.equal(before, torch.random.get_rng_state())


def generators():
    numpy = np.random.get_state()[1].tolist()  # noqa: NPY002 - the one that Trainer seeds
    return random.getstate(), numpy, torch.get_rng_state().tolist()


def test_training_leaves_the_global_generators_alone(folder, data, tmp_path):
    task = job(folder, tmp_path / "adapter", data)
    material = prepare(task, lambda _: None)
    before = generators()

    finetune(task, material, lambda _: None)

    assert generators() == before


def weights_of(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def curve_of(folder):
    return json.loads((folder / "training.json").read_text("utf-8"))["result"]["loss_curve"]


def test_the_same_recipe_and_seed_give_the_same_adapter(made, folder, data, tmp_path):
    task = job(folder, tmp_path / "again", data)

    finetune(task, prepare(task, lambda _: None), lambda _: None)

    assert weights_of(task.out) == weights_of(made[0].out)
    assert curve_of(task.out) == curve_of(made[0].out)


def stop_at(task, line):
    """Train until this line is printed, and press Ctrl-C there; the lines printed after it."""
    lines = []

    def say(text):
        lines.append(text)
        if text.startswith(line):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(task, prepare(task, lambda _: None), say)
    return lines[next(i for i, text in enumerate(lines) if text.startswith(line)) + 1 :]


def test_an_interrupted_training_is_continued_by_the_same_command(made, folder, data, tmp_path):
    task = job(folder, tmp_path / "stopped", data)

    assert stop_at(task, "step    3/4") == ["stopped  the same command continues after step 2"]
    assert not task.out.exists()
    lines = []
    finetune(task, prepare(task, lambda _: None), lines.append)

    assert lines[0] == "resumed  after step 2 of 4"
    assert [line[:11] for line in lines if line.startswith("step")] == [
        "step    3/4",
        "step    4/4",
    ]
    assert weights_of(task.out) == weights_of(made[0].out)
    assert curve_of(task.out) == curve_of(made[0].out)
    assert {path.name for path in tmp_path.iterdir()} == {data.name, "adapter", "stopped"}


def test_a_training_interrupted_after_its_last_step_is_only_written(made, folder, data, tmp_path):
    task = job(folder, tmp_path / "stopped", data)
    stop_at(task, "held out")
    lines = []

    finetune(task, prepare(task, lambda _: None), lines.append)

    assert lines[0] == "resumed  after step 4 of 4"
    assert not any(line.startswith("step") for line in lines)
    assert weights_of(task.out) == weights_of(made[0].out)


def test_an_interruption_before_the_first_checkpoint_leaves_nothing(folder, data, tmp_path):
    assert stop_at(job(folder, tmp_path / "stopped", data), "step    1/4") == []

    assert [path.name for path in tmp_path.iterdir()] == [data.name]


def test_another_recipe_does_not_continue_an_interrupted_training(folder, data, tmp_path):
    stop_at(job(folder, tmp_path / "stopped", data), "step    3/4")
    other = job(folder, tmp_path / "stopped", data, lr=0.01)
    lines = []

    finetune(other, prepare(other, lambda _: None), lines.append)

    assert lines[0].startswith("step    1/4")


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(tmp_path):
    for step, state in ((8, "{}"), (16, '{"global_st'), (24, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state, "utf-8")

    assert last_checkpoint(tmp_path) == 8


def test_two_trainings_of_one_folder_are_told_apart(folder, data, tmp_path):
    task = job(folder, tmp_path / "adapter", data)
    material = prepare(task, lambda _: None)
    second = []

    def say(line):
        if line.startswith("step    2/4"):
            with pytest.raises(InputError, match="is being made by another process") as caught:
                finetune(task, material, lambda _: None)
            second.append(caught.value)

    finetune(task, material, say)

    assert len(second) == 1
    assert task.out.is_dir()


@pytest.mark.slow
def test_two_processes_make_the_adapter_that_one_makes(made, folder, tmp_path):
    recipe = made[0].recipe.recipe.model_dump(mode="json", exclude={"generate"})
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    code = "from qwen_bench.cli.main import entry_point; entry_point()"
    (tmp_path / "command.py").write_text(code, "utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words = ["finetune", "--base", str(folder), "--recipe", "own.yaml", "--out", "two"]

    done = subprocess.run(
        [*launcher, "command.py", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "two\n"
    assert done.stderr.count("step    4/4") == 1
    record = json.loads((tmp_path / "two/training.json").read_text("utf-8"))
    assert record["machine"]["processes"] == 2
    assert curve_of(tmp_path / "two") == pytest.approx(curve_of(made[0].out), abs=2e-4)
    one, two = (load_file(f / "adapter_model.safetensors") for f in (made[0].out, tmp_path / "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
