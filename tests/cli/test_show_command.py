"""`probes show`: a chat for people, the exact prompt for everybody else."""

import io
import json
import re

import pytest

from qwen_bench.chat.jsonl import read_records
from qwen_bench.chat.rendering import CHATML
from qwen_bench.cli.conversation import shows_colour
from qwen_bench.probes.suites import find_probe
from qwen_bench.testing import tiny_checkpoint

ID = "mixed-0/A/en/fact_recall.value/T4/main"
FAR = "mixed-0/A/zh/fact_recall.value/T8/main"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder with tokenizer and template and no weights."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture
def raw(call, model):
    def raw(probe_id, *words):
        return call("probes", "show", probe_id, "--raw", "--model", model, *words)

    return raw


def plain_chatml(messages):
    """What the built-in template writes."""
    blocks = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    return blocks + "<|im_start|>assistant\n"


def counts(called):
    """(name, tokens, note) of every line on stderr."""
    found = re.findall(r"^(.+?) +([\d,]+) tokens(?:  (.*))?$", called.err, re.MULTILINE)
    return [(name, int(number.replace(",", "")), note) for name, number, note in found]


@pytest.mark.parametrize(
    "probe_id", [ID, FAR, ID.replace("A/en", "B/zh"), ID.replace("main", "concat")]
)
def test_raw_is_the_rendered_prompt_and_nothing_else(raw, probe_id):
    called = raw(probe_id)

    assert called.code == 0
    assert called.out == plain_chatml(find_probe(probe_id)[1].messages)


def test_token_counts_go_to_stderr_and_add_up(raw):
    called = raw(FAR)

    whole, *parts = counts(called)
    names = [name for name, _, _ in parts]
    needs = find_probe(FAR)[1].probe.needs
    assert whole[0] == "prompt"
    assert names == [*(f"turn {n}" for n in range(1, 9)), "question", "generation prompt"]
    assert sum(number for _, number, _ in parts) == whole[1]
    assert [name for name, _, note in parts if note == "evidence"] == [f"turn {n}" for n in needs]


@pytest.mark.parametrize("probe_id", [ID.replace("T4/main", "T0/blind"), ID])
def test_a_system_text_is_shown_and_counted(raw, probe_id, tmp_path):
    (tmp_path / "system.txt").write_text("Be brief.")

    called = raw(probe_id, "--system", "system.txt")

    assert called.out.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    assert counts(called)[1][0] == "system"
    assert sum(number for _, number, _ in counts(called)[1:]) == counts(called)[0][1]


def test_raw_honours_the_chat_template(raw, tmp_path):
    (tmp_path / "t.jinja").write_text("<|endoftext|>" + CHATML)

    assert raw(ID, "--chat-template", "t.jinja").out.startswith("<|endoftext|><|im_start|>")
    assert raw(ID, "--chat-template", "chatml").out == raw(ID).out


def test_a_template_without_chatml_gives_the_whole_count_only(raw, tmp_path):
    (tmp_path / "t.jinja").write_text("{% for m in messages %}[{{ m['content'] }}]{% endfor %}")

    assert [name for name, _, _ in counts(raw(ID, "--chat-template", "t.jinja"))] == ["prompt"]


def test_raw_honours_the_history_policy_and_says_what_it_cut(raw):
    messages = find_probe(ID)[1].messages

    called = raw(ID, "--policy", "last-turns:2")

    assert called.out == plain_chatml(messages[4:])
    assert [name for name, _, _ in counts(called)][1:3] == ["turn 3", "turn 4"]
    assert called.err.splitlines()[-1] == (
        "history policy last-turns:2 leaves out turns 1 to 2, evidence among them"
    )
    assert "leaves out no turn\n" in raw(ID, "--policy", "last-turns:4").err


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_policy_that_counts_tokens_uses_the_tokenizer_of_the_model(raw, share):
    limit = int(share * counts(raw(FAR))[0][1])

    called = raw(FAR, "--policy", f"last-tokens:{limit}")

    assert counts(called)[0][1] <= limit
    assert "leaves out turn" in called.err


def test_quiet_leaves_the_prompt_alone(raw):
    assert raw(ID, "-q") == raw(ID)._replace(err="")


@pytest.mark.model
def test_without_a_model_the_embedded_one_is_shown_and_said(call):
    called = call("probes", "show", ID, "--raw")

    assert called.out.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert called.err.startswith("no --model given: using the embedded model")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "embedded"), "--model needs --raw"),
        (("--policy", "last-turns:2"), "--policy needs --raw"),
        (("--system", "none"), "--system needs --raw"),
        (("--chat-template", "chatml"), "--chat-template needs --raw"),
        (("--raw", "--jsonl"), "--raw and --jsonl are two forms of output; give one"),
        (("--raw", "--model", "a", "--model", "b"), "--raw shows the prompt of one model"),
        (("--raw", "--model", "mock:oracle"), "mock:oracle: mock solvers have no tokenizer"),
        (("--raw", "--model", "./nope"), "no folder ./nope"),
        (("--raw", "--policy", "last-turn:2"), "unknown history policy 'last-turn'; near: last-t"),
        (("--raw", "--system", "nope.txt"), "--system: cannot read nope.txt"),
        (("--raw", "--modle", "x"), "no such option --modle; near: --model"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, words, message):
    called = call("probes", "show", ID, *words)

    assert called.code == 2
    assert f"error: {message}" in called.err
    assert called.out == ""


def test_jsonl_reads_back_as_the_conversation(call, tmp_path):
    (tmp_path / "one.jsonl").write_text(call("probes", "show", FAR, "--jsonl").out)

    record = next(iter(read_records(tmp_path / "one.jsonl")))

    assert record.messages == find_probe(FAR)[1].messages


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "display", "environment", "coloured"),
    [
        (Terminal(), "auto", {"TERM": "xterm"}, True),
        (Terminal(), "rich", {}, True),
        (Terminal(), "plain", {}, False),
        (Terminal(), "auto", {"NO_COLOR": "1"}, False),
        (Terminal(), "auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (Terminal(), "auto", {"TERM": "dumb"}, False),
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), "auto", {}, False),
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), "rich", {}, False),
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), "auto", {"FORCE_COLOR": "1"}, True),
        (io.TextIOWrapper(io.BytesIO(), "ascii"), "auto", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_unless_told_otherwise(stream, display, environment, coloured):
    assert shows_colour(display, stream, environment) is coloured


@pytest.fixture
def coloured(call, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *words: call("probes", "show", *words).out


def styled(out, style):
    """Everything printed in a style, without frames and line breaks."""
    found = re.findall(rf"\x1b\[{style}m(.*?)\x1b\[0m", out)
    return " ".join(" ".join(found).split())


@pytest.mark.parametrize("probe_id", [ID, FAR])
def test_evidence_and_question_are_bold_and_coloured(coloured, probe_id):
    asked = find_probe(probe_id)[1]
    out = coloured(probe_id)

    def joined(text):
        return "".join(text.split())

    said = [m.content for m in asked.messages]
    turn = asked.probe.needs[0]
    evidence = "".join(said[2 * turn - 2 : 2 * turn])
    assert joined(styled(out, "1;33")) == joined(evidence)
    assert joined(styled(out, "1;36")) == joined(said[-1])
    assert f"turn {turn} · evidence" in out
    assert "· question" in out


def test_the_user_speaks_on_the_left_and_the_assistant_on_the_right(coloured):
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured(ID).splitlines()]
    tops = [line for line in lines if line.lstrip().startswith("╭")]

    assert [line.startswith("╭") for line in tops] == [True, False] * 4 + [True]
    assert all(line.rstrip().endswith("╮") for line in tops)


@pytest.mark.parametrize("variable", ["NO_COLOR", None])
def test_pipes_and_no_color_stay_plain(call, monkeypatch, variable):
    if variable:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv(variable, "1")

    out = call("probes", "show", ID).out

    assert "\x1b" not in out
    assert re.search(r"^\* +1 user", out, re.MULTILINE)


def test_jsonl_stays_one_line_of_json_on_a_terminal(coloured):
    assert list(json.loads(coloured(ID, "--jsonl"))) == ["type", "id", "messages", "canary"]
