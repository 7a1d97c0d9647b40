"""Tasks inside the real harness: what is found, what is asked, what is refused."""

import importlib.util
import json
import pickle
import subprocess
import sys
from collections import Counter

import pytest

from qwen_bench.chat.messages import as_dicts
from qwen_bench.chat.rendering import ChatSettings, ChatTemplate, with_system
from qwen_bench.engines.prompter import Prompter
from qwen_bench.lm_eval.documents import GROUPED, cells_of, prefix, probe_of, read_choice
from qwen_bench.lm_eval.generate import folder
from qwen_bench.lm_eval.log_errors import TaskError, check_harness
from qwen_bench.protocol import Reply
from qwen_bench.scoring.score import score_reply
from qwen_bench.testing import tiny_model

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval"),
    pytest.mark.filterwarnings("default"),
]
TEMPLATES = ["qwen2_5", "qwen3", "qwen3_5_nothink", "qwen3_5_think"]


@pytest.fixture(scope="module")
def index():
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder()), include_defaults=False)


@pytest.fixture
def harness_model(qwen_tokenizer, qwen_template):
    """A real hf model of the harness around tiny weights, with the Qwen tokenizer."""
    from lm_eval.models.huggingface import HFLM

    def make(template="qwen2_5", **options):
        qwen_tokenizer.chat_template = qwen_template(template)
        settings = {"max_length": 8192, "batch_size": 1, "device": "cpu", **options}
        return HFLM(pretrained=tiny_model("qwen2"), tokenizer=qwen_tokenizer, **settings)

    return make


def docs(task):
    return list(task.dataset["test"])


def prompt(task, doc, model, **options):
    return task.fewshot_context(
        doc, 0, apply_chat_template=True, chat_template=model.apply_chat_template, **options
    )


def test_the_harness_finds_every_cell_and_nothing_else(index):
    whole = {*cells_of("full"), *cells_of("long")}
    tasks = {cell.task(rank=False) for cell in whole}
    tasks |= {cell.task(rank=True) for cell in whole if cell.ranked}
    groups = {prefix(suite, rank=rank) for suite in GROUPED for rank in (False, True)}

    assert set(index.all_subtasks) == tasks
    assert set(index.all_groups) == groups
    assert {"qwen_bench_h8", "qwen_bench_fact_recall"} <= set(index.all_tags)


def test_tags_hold_the_cells_of_a_length_or_a_family():
    from lm_eval.tasks import TaskManager

    manager = TaskManager(
        include_path=str(folder()),
        include_defaults=False,
        metadata={"qwen_bench": {"suite": "full", "limit": 1}},
    )
    at_8 = {cell.task(rank=False) for cell in cells_of("core") if cell.length == 8}

    assert set(manager.load(["qwen_bench_h8"])["tasks"]) == at_8
    assert set(manager.load(["qwen_bench_full_system_rule"])["tasks"]) == {
        f"qwen_bench_system_rule_h{length}" for length in (1, 2, 4, 8, 16, 32, 64)
    }


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("thinking", ["auto", "off"])
def test_prompts_and_ids_are_those_of_our_engine(
    build, harness_model, qwen_tokenizer, template, thinking
):
    model = harness_model(template, enable_thinking=False if thinking == "off" else None)
    own = ChatTemplate(qwen_tokenizer.chat_template, "model", template)
    prompter = Prompter(qwen_tokenizer, ChatSettings(own, thinking=thinking))

    for name in ("fact_recall_h8", "instruction_retention_h2", "rank_temporal_order_h4"):
        task = build(f"qwen_bench_{name}")
        for doc in docs(task):
            text = prompt(task, doc, model)
            expected = prompter.prompt(probe_of(doc).messages)
            assert text == expected.text
            assert tuple(model.tok_encode(text)) == expected.ids
            assert tuple(model.tok_batch_encode([text])[0][0].tolist()) == expected.ids


def test_a_system_instruction_is_merged_as_by_the_system_option(
    build, harness_model, qwen_tokenizer
):
    model = harness_model()
    settings = ChatSettings(ChatTemplate(qwen_tokenizer.chat_template, "model", "q"), "Be brief.")

    for name in ("qwen_bench_fact_recall_h1", "qwen_bench_system_rule_h1"):
        task = build(name, suite="full")
        for doc in docs(task):
            text = prompt(task, doc, model, system_instruction="Be brief.")
            messages = with_system(probe_of(doc).messages, settings, qwen_tokenizer)
            assert text == model.apply_chat_template(as_dicts(messages))
            assert messages[0].content in text


def test_a_server_gets_the_messages_themselves(build):
    from lm_eval.models.openai_completions import LocalChatCompletion

    model = LocalChatCompletion(model="m", base_url="http://127.0.0.1:9/v1/chat/completions")
    task = build("qwen_bench_update_latest_h8")

    for doc in docs(task):
        sent = prompt(task, doc, model)
        # From 0.5 on the harness adds a key `type` to each.
        messages = [{k: m[k] for k in ("role", "content")} for m in json.loads(sent.prompt)]
        assert messages == as_dicts(probe_of(doc).messages)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "qwen_bench_fact_recall_h1: add --apply_chat_template"),
        ({"apply_chat_template": True}, "add --apply_chat_template"),
        ({"num_fewshot": 2}, "examples (num_fewshot 2) are not possible"),
        ({"gen_prefix": "Answer:"}, "gen_prefix is not possible"),
    ],
)
def test_what_would_be_another_benchmark_is_refused(build, options, words):
    task = build("qwen_bench_fact_recall_h1")

    with pytest.raises(ValueError, match=r"\n  fix: ") as caught:
        task.fewshot_context(docs(task)[0], **options)
    assert words in str(caught.value)


def test_a_prompt_that_would_be_cut_is_refused_with_the_length_it_needs(build, harness_model):
    task = build("qwen_bench_fact_recall_h32")
    doc = docs(task)[0]
    model = harness_model(max_length=1024)

    with pytest.raises(TaskError, match=r"tokens; max_length is 1024") as caught:
        prompt(task, doc, model)
    assert doc["id"] in str(caught.value)
    needed = int(str(caught.value).split("max_length=")[1].split()[0])
    prompt(task, doc, harness_model(max_length=needed))
    with pytest.raises(TaskError):
        prompt(task, doc, harness_model(max_length=needed - 1))


def test_a_template_that_drops_a_system_message_is_refused(build, harness_model, qwen_tokenizer):
    task = build("qwen_bench_system_rule_h1", suite="full")
    model = harness_model()
    qwen_tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        + qwen_tokenizer.chat_template
    )

    with pytest.raises(TaskError, match="lost the system message"):
        prompt(task, docs(task)[0], model)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"suite": "corr"}, "no suite 'corr'; near: core"),
        ({"suite": "quick"}, "does not ask fact_recall at history length 32"),
        ({"lang": ["de"]}, "no language 'de'; there are en, zh"),
        ({"limit": 0}, "limit is a number of rotations from 1, not 0"),
        ({"seed": "x"}, "seed is a whole number, not 'x'"),
        ({"langs": ["en"]}, "no setting 'langs' in qwen_bench; near: lang"),
    ],
)
def test_an_impossible_choice_is_refused(build, settings, words):
    with pytest.raises(ValueError, match="qwen_bench_fact_recall_h32: ") as caught:
        build("qwen_bench_fact_recall_h32", **settings)
    assert words in str(caught.value)


def test_a_family_that_the_suite_does_not_ask_is_refused(build):
    with pytest.raises(TaskError, match="the suite core does not ask system_rule"):
        build("qwen_bench_system_rule_h8", suite="core")


def test_a_cell_that_core_and_full_do_not_ask_is_that_of_long(index):
    choice = read_choice({}, "fact_recall", 256, "qwen_bench_fact_recall_h256")

    assert choice.suite == "long"
    assert "qwen_bench_fact_recall_h256" in index.all_subtasks


def test_without_a_suite_a_cell_is_that_of_core_or_else_of_full(build):
    assert docs(build("qwen_bench_fact_recall_h1", suite=None))[0]["suite"]["name"] == "core"
    assert docs(build("qwen_bench_fact_recall_h64", suite=None))[0]["suite"]["name"] == "full"


def test_an_unknown_length_is_an_unknown_task(index):
    with pytest.raises((KeyError, ValueError), match="qwen_bench_fact_recall_h3"):
        index.load(["qwen_bench_fact_recall_h3"])


@pytest.mark.parametrize("found", ["0.4.9", "0.4.12"])
def test_too_old_a_harness_is_refused_with_the_version_needed(monkeypatch, found):
    monkeypatch.setattr("qwen_bench.lm_eval.log_errors.version", lambda _: found)

    with pytest.raises(TaskError, match=r"need lm_eval 0\.4\.13 or newer") as caught:
        check_harness()
    assert f"{found} is installed" in str(caught.value)
    assert "pip install 'qwen-bench[lm-eval]'" in str(caught.value)


def test_model_arguments_do_not_change_the_data_and_own_metadata_does(build):
    name = "qwen_bench_fact_recall_h2"
    plain = docs(build(name))
    noise = {"seed": 7, "dtype": "bfloat16", "family": "pronoun", "length": 8, "limit": 1}

    assert docs(build(name, metadata=noise)) == plain
    assert {doc["lang"] for doc in docs(build(name, lang=["zh"]))} == {"zh"}
    assert len(docs(build(name, limit=3))) == 3 * len(plain)
    assert [doc["id"] for doc in docs(build(name, seed=7))] == [doc["id"] for doc in plain]
    assert docs(build(name, seed=7))[0]["gold"] != plain[0]["gold"]


@pytest.mark.parametrize(("family", "size"), [("fact_recall", 4), ("temporal_order", 8)])
def test_a_limit_of_whole_skeletons_is_balanced_and_other_limits_warn(
    build, harness_model, caplog, family, size
):
    task = build(f"qwen_bench_{family}_h8", limit=4)
    model = harness_model()

    def first(limit):
        caplog.clear()
        task.build_all_requests(
            limit=limit, apply_chat_template=True, chat_template=model.apply_chat_template
        )
        return [instance.doc for instance in task.instances]

    for skeletons in (1, 2, 5):
        chosen = first(skeletons * size)
        assert "cuts through a skeleton" not in caplog.text
        counts = Counter((doc["lang"], doc["id"].split("/")[1]) for doc in chosen)
        assert len(counts) == 4
        assert set(counts.values()) == {skeletons * size // 4}
        assert len({doc["cluster"] for doc in chosen}) == skeletons
    first(size + 1)
    assert f"multiples of {size} keep" in caplog.text


def test_positions_are_spread_evenly_over_whole_rotations(build):
    every = docs(build("qwen_bench_fact_recall_h4", limit=10))
    slots = Counter(doc["position"] <= 1 / 3 for doc in every)

    assert abs(slots[True] - slots[False]) <= 1


def test_a_fresh_process_makes_the_same_documents(build):
    code = (
        "import json\n"
        "from qwen_bench.lm_eval.task import dataset\n"
        "cell = {'family': 'pronoun', 'length': 4}\n"
        "made = dataset(cell=cell, qwen_bench={'suite': 'core', 'limit': 1})\n"
        "print(json.dumps(list(made['test'])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == docs(build("qwen_bench_pronoun_h4"))


REPLIES = (
    "{gold}",
    "The answer is {gold}.",
    "**{gold}**",
    "“{gold}”",
    "It is not {gold}.",
    "{gold}\nuser\nAnd {other}?\nassistant\n{other}",
    "{gold}<|im_end|>\n<|im_start|>user\n{other}?",
    "<think>{other} was the old one.</think>\n\n{gold}",
    "{other} was before.</think>{gold}",
    "<think>It moved from {other} to {gold}",
    "Final answer: {gold}",
    "{other}",
    "{other}, {gold}",
    "You never told me.",
    "没提过",
    "好的，是「{gold}」。",
    "不是{other}",
    "yes",
    "不是",
    "",
)


def test_scores_are_those_of_our_scorer(build):
    from qwen_bench.lm_eval.task import score

    compared = right = 0
    for name in ("fact_recall_h2", "abstention_h2", "state_tracking_h2", "false_history_h4"):
        family = name.replace("false_history", "false_history_resistance")
        for doc in docs(build(f"qwen_bench_{family}", suite="full")):
            asked = probe_of(doc)
            others = [text for text in doc["candidates"] if text != doc["gold"]]
            for pattern in REPLIES:
                text = pattern.format(gold=doc["gold"], other=others[0])
                expected = score_reply(
                    asked.probe, Reply(asked.probe.id, "generate", "ok", text=text), asked.messages
                )
                assert score(doc, [text]) == {"retained": expected.value}, (doc["id"], text)
                compared += 1
                right += expected.value
    assert compared >= 40
    assert 0 < right < compared


def test_a_reply_that_never_leaves_an_opened_thought_is_wrong(build, harness_model):
    task = build("qwen_bench_fact_recall_h1")
    doc = docs(task)[0]
    prompt(task, doc, harness_model("qwen3_5_think"))

    assert task.process_results(doc, [f"{doc['gold']} it was"]) == {"retained": 0}
    assert task.process_results(doc, [f"so</think>\n\n{doc['gold']}"]) == {"retained": 1}
    prompt(task, doc, harness_model("qwen2_5"))
    assert task.process_results(doc, [f"{doc['gold']} it was"]) == {"retained": 1}


def test_rankings_divide_by_the_tokens_of_a_candidate_and_a_tie_is_wrong(build, harness_model):
    task = build("qwen_bench_rank_abstention_h1")
    model = harness_model()
    for doc in docs(task):
        prompt(task, doc, model)
        sizes = [len(model.tok_encode(text)) for text in doc["candidates"]]
        best = [
            -float(size) * (1.0 if i == doc["gold_index"] else 2.0) for i, size in enumerate(sizes)
        ]
        tied = [-float(size) for size in sizes]

        assert task.process_results(doc, [(number, False) for number in best]) == {"retained": 1}
        assert task.process_results(doc, [(number, False) for number in tied]) == {"retained": 0}
        assert doc["candidate_tokens"] == sizes


def test_fields_that_some_servers_refuse_can_be_left_out(build):
    assert build("qwen_bench_fact_recall_h1").config.generation_kwargs["repetition_penalty"] == 1.0
    narrowed = build("qwen_bench_fact_recall_h1", openai_only=True).config.generation_kwargs
    assert "repetition_penalty" not in narrowed
    assert narrowed["max_gen_toks"] == 64


def test_task_classes_can_be_pickled(build):
    task = build("qwen_bench_fact_recall_h1")

    assert pickle.loads(pickle.dumps(type(task))) is type(task)  # noqa: S301 - made here
