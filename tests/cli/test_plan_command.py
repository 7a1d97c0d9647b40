import json
import subprocess
import sys
from pathlib import Path

import pytest

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite

SMALL = ("--suite", "quick", "--limit", "3", "--lengths", "8", "--mode", "generate", "--lang", "en")
TINY = ("--suite", "quick", "--limit", "1", "--lengths", "1", "--mode", "generate", "--lang", "en")


def planned(call, *words):
    called = call("plan", *words, "--json", "-")
    assert called.code == 0, called.err
    return json.loads(called.out)


def test_the_plan_of_the_default_suite_answers_in_probes(call):
    called = call("plan")

    assert called.code == 0
    assert (
        "to see a drop of 5 points with 80 % power: 469 independent probes; your probes share "
        "skeletons (61 each, design effect 8.3), so about 3,885 -> --limit 4 "
        "(4,608 probes in 304 dialogues)"
    ) in called.out
    assert "assumed: 15 % of the answers change, correlation 0.1 inside a skeleton" in called.out
    for word in ("detected", "regressed", "within noise", "prompts", "longest", "time"):
        assert f"  {word} " in called.out


def test_the_limit_of_a_plan_asks_that_many_probes(call):
    made = planned(call, "--suite", "quick", "--lang", "en", "--effect", "10")

    listed = call(
        "probes", "list", "--suite", "quick", "--lang", "en", "--limit", "2", "--json", "-"
    )
    asked = json.loads(listed.out)["probes"]
    # `quick` ranks, and rules cannot be ranked.
    main = [p for p in asked if p["condition"] == "main" and p["family"] != "instruction_retention"]
    assert made["need"]["rotations"] == 2
    assert made["need"]["probes_asked"] == len(main)
    assert made["need"]["clusters"] == len({p["cluster"] for p in main})
    suite = build_suite("quick", Selection(langs=("en",), conditions=("main",), limit=2))
    assert made["need"]["dialogues"] == len(list(suite.dialogues()))


def test_more_power_and_smaller_drops_need_more_probes(call):
    few = planned(call, *SMALL)["need"]
    sure = planned(call, *SMALL, "--power", "0.9")["need"]
    small = planned(call, *SMALL, "--effect", "3", "--discordance", "0.1")["need"]

    assert (few["pairs"], sure["pairs"], small["pairs"]) == (469, 627, 870)
    assert few["probes"] < sure["probes"] < small["probes"]


@pytest.fixture
def two(call):
    for name, solver in (("base", "window-4"), ("cand", "recency")):
        assert call("run", "--model", f"mock:{solver}", *SMALL, "--run-id", name, "-q").code == 0


@pytest.mark.usefixtures("two")
def test_a_recorded_comparison_replaces_the_assumptions(call):
    made = planned(call, *SMALL, "--from", "base", "--from", "cand")
    judged = call("compare", "base", "cand", "--fail-on", "never", "--json", "-")

    cell = json.loads(judged.out)["candidates"][0]["modes"]["generate"]["overall"]
    assert made["assumed"]["measured"]
    assert made["assumed"]["runs"] == ["base", "cand"]
    assert made["assumed"]["discordance"] == pytest.approx(cell["effects"]["flip_rate"], abs=0.1)
    assert 0 <= made["assumed"]["correlation"] <= 1


def test_one_candidate_knows_its_baseline(call):
    words = ("--baseline", "mock:oracle", "--model", "mock:window-4")
    assert call("run", *words, *SMALL, "-q").code == 0
    (candidate,) = (path.name for path in Path("runs").glob("*window-4*"))

    called = call("plan", *SMALL, "--from", candidate)

    assert called.code == 0
    assert f"baseline of {candidate}: " in called.err
    assert "oracle" in called.err
    assert f"measured on {called.err.split('/')[-1].split()[0]} and {candidate}: " in called.out


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("base",), "base does not say which run it was compared with"),
        (("base", "base"), "both arguments are the same run"),
        (("base", "nope"), "no such run: nope"),
        (("base", "cand", "cand"), "--from takes a baseline and a candidate"),
    ],
)
def test_recorded_runs_that_are_no_comparison_are_refused(call, words, message):
    called = call("plan", *SMALL, *(part for word in words for part in ("--from", word)))

    assert called.code == 2
    assert message in called.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--effect", "20"), 2, "a drop of 20 points cannot come from 15 % changed answers"),
        (("--effect", "0"), 2, "0 is not above 0 and below 100"),
        (("--effect", "five"), 2, "'five' is not a number"),
        (("--power", "1"), 2, "1 is not above 0.05 and below 1"),
        (("--discordance", "15"), 2, "15 is not above 0 and below 1"),
        (("--rate", "-3"), 2, "-3 is not above 0"),
        (("--from", "base", "--discordance", ".2"), 2, "give one"),
        (("--condition", "blind"), 2, "no main probe is asked by generate"),
        (("--policy", "last-tokens:500"), 2, "counts tokens; give a --model SPEC"),
        (("--model", "mock:oracle"), 2, "mock solvers have no"),
        (("--model", "embedded", "--model", "embedded"), 2, "give one --model"),
    ],
)
def test_what_cannot_be_planned_is_refused(call, words, code, message):
    called = call("plan", *SMALL, *words)

    assert called.code == code
    assert message in called.err
    assert "Traceback" not in called.err


def test_runs_without_a_difference_measure_nothing(call):
    for name in ("one", "two"):
        call("run", "--model", "mock:oracle", *SMALL, "--run-id", name, "-q")

    called = call("plan", *SMALL, "--from", "one", "--from", "two")

    assert called.code == 1
    assert "no answer differs" in called.err
    assert "--discordance SHARE" in called.err


def test_a_model_gives_exact_tokens_memory_and_with_a_rate_time(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny", "qwen3")

    called = call("plan", *TINY, "--model", folder, "--rate", "1000")
    made = planned(call, *TINY, "--model", folder, "--rate", "1000")

    assert "tokens naive" in called.out
    assert "(tokenizer of tiny)" in called.out
    assert "bytes a token" in called.out
    assert "(1,000 tokens/s, stated)" in called.out
    assert made["tokens"]["exact"]
    assert made["time"]["seconds"] == pytest.approx(made["tokens"]["forward"] / 1000, abs=0.1)
    assert made["kv_cache"]["longest_bytes"] == (
        made["kv_cache"]["bytes_per_token"] * made["tokens"]["longest"]
    )


def test_a_recorded_run_of_the_model_gives_the_rate(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny", "qwen2")
    words = ("--condition", "main", "--max-new-tokens", "2", "--run-id", "earlier", "-q")
    assert call("run", "--model", folder, *TINY, *words).code == 0

    called = call("plan", *TINY, "--model", folder)

    assert "tokens/s, earlier)" in called.out


def test_only_runs_on_the_named_device_give_the_rate(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny", "qwen2")
    words = ("--condition", "main", "--max-new-tokens", "2", "--run-id", "earlier", "-q")
    assert call("run", "--model", folder, *TINY, *words, "--device", "cpu").code == 0

    here, there = (call("plan", *TINY, "--model", folder, "--device", kind) for kind in KINDS)

    assert "tokens/s, earlier)" in here.out
    assert "time        unknown" in there.out


KINDS = ("cpu", "cuda:1")


def test_the_device_decides_in_which_format_keys_and_values_are_held(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny", "qwen2")

    cpu, cuda = (
        planned(call, *TINY, "--model", folder, "--device", kind)["kv_cache"] for kind in KINDS
    )
    forced = planned(call, *TINY, "--model", folder, "--device", "cpu", "--dtype", "float16")

    assert (cpu["dtype"], cuda["dtype"]) == ("float32", "bfloat16")
    assert cpu["bytes_per_token"] == 2 * cuda["bytes_per_token"]
    assert forced["kv_cache"]["bytes_per_token"] == cuda["bytes_per_token"]


def test_the_memory_of_a_dialogue_is_a_longest_sequence_and_suffixes_not_a_prompt_each(
    call, tmp_path
):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny", "qwen2")

    made = planned(call, *TINY, "--model", folder)
    out = call("plan", *TINY, "--model", folder).out

    memory = made["kv_cache"]
    assert memory["longest_bytes"] < memory["together_bytes"] < memory["apart_bytes"]
    assert "for the largest dialogue at once, answers included" in out


def test_a_model_with_recurrent_layers_holds_a_copy_for_each_prompt(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    out = call("plan", *TINY, "--model", tiny_checkpoint(tmp_path / "tiny", "qwen3_5")).out

    assert "1 more of bounded size" in out
    assert "less where memory is short" in out


def test_a_model_that_thinks_names_the_budget_of_its_thoughts(call, saying):
    folder = saying("red")

    on = call("plan", *TINY, "--model", folder, "--max-thinking-tokens", "77").out
    off = call("plan", *TINY, "--model", folder, "--thinking", "off").out
    made = planned(call, *TINY, "--model", folder, "--max-thinking-tokens", "77")

    assert "thoughts    up to 77 tokens each" in on
    assert "thoughts" not in off
    assert made["tokens"]["max_thinking_tokens"] == 77


def test_a_plan_loads_no_model_library():
    code = (
        "import sys; from qwen_bench.cli.main import main; "
        "main(['plan', '--suite', 'quick', '-q']); "
        "print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"
