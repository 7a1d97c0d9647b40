import json
import re
from pathlib import Path

import pytest

from qwen_bench.errors import EngineError
from qwen_bench.protocol import Abilities, Reply
from qwen_bench.runs.manifest_file import read_manifest
from qwen_bench.solvers.solver_engine import SolverEngine

TWO = ("--model", "mock:window-4", "--baseline", "mock:oracle")
SMALL = ("--suite", "quick", "--limit", "1", "--lengths", "1,8", "--lang", "en")
# Enough skeletons for an interval.
WIDE = ("--suite", "quick", "--limit", "3", "--lengths", "8", "--mode", "generate")


def test_the_oracle_is_right_in_every_cell_of_its_profile(ask):
    called = ask("oracle")

    assert called.code == 0
    assert "oracle · suite quick" in called.out
    rows = re.findall(r"^ +(1|8|all) +(\S+) %", called.out, re.MULTILINE)
    assert {accuracy for _, accuracy in rows} == {"100.0"}
    assert [length for length, _ in rows] == ["1", "8", "all"] * 2


def test_the_first_table_is_that_of_the_deciding_scorer(ask):
    out = ask("oracle").out

    assert out.index("rank (") < out.index("generate (")


def test_a_run_with_a_baseline_names_the_loss_and_exits_0_unless_asked_to_fail(call):
    called = call("run", *TWO, *WIDE)

    assert called.code == 0
    assert "window-4 against oracle" in called.out
    assert "REGRESSED (margin 5" in called.out
    assert "exit" not in called.err


def test_fail_on_regression_exits_3_and_says_where_to_look(call):
    called = call("run", *TWO, *WIDE, "--fail-on", "regression", "--html", "page.html")

    assert called.code == 3
    assert called.err.splitlines()[-1] == "exit 3: regression, see page.html#flips"
    assert Path("page.html").read_text().startswith("<!DOCTYPE html>")


def test_fail_on_inconclusive_exits_4(call):
    called = call("run", *TWO, *SMALL, "--family", "pronoun", "--fail-on", "inconclusive")

    assert called.code == 4
    assert called.err.splitlines()[-1].startswith("exit 4: inconclusive")


def test_a_run_folder_can_be_the_baseline(ask):
    ask("oracle", run_id="base")

    called = ask("window-4", "--baseline", "base")

    assert called.code == 0
    assert "window-4 against oracle" in called.out
    assert len(list(Path("runs").iterdir())) == 2


def test_a_candidate_that_could_not_be_compared_is_refused_before_it_is_asked(ask):
    ask("oracle", run_id="base")

    called = ask("window-4", "--baseline", "runs/base", "--max-new-tokens", "7", "--seed", "3")

    assert called.code == 5
    assert "generation.max_new_tokens" in called.err
    assert "suite.seed" in called.err
    assert called.err.splitlines()[-1] == "exit 5: not comparable"
    assert [path.name for path in Path("runs").iterdir()] == ["base"]


def test_stdout_of_json_is_json_whatever_is_told_on_the_way(call):
    called = call("run", *TWO, *WIDE, "--json", "-", "--fail-on", "regression", "-v")

    document = json.loads(called.out)
    assert called.code == document["exit_code"] == 3
    assert document["candidates"][0]["verdict"] == "regressed"
    assert "REGRESSED" in called.err


def test_json_of_a_single_run_is_its_summary(ask):
    called = ask("oracle", "--json", "-", run_id="one")

    assert json.loads(called.out) == json.loads(Path("runs/one/summary.json").read_text())


def test_plain_display_has_no_control_characters(call):
    called = call("run", *TWO, *SMALL, "--display", "plain", "-v")

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", called.out + called.err)


def test_plain_progress_is_whole_lines_at_each_tenth(ask):
    err = ask("oracle", "--display", "plain", run_id="one").err

    lines = [line for line in err.splitlines() if " oracle  " in line]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d oracle  start  \d+ probes, \d+ answers  runs/one", lines[0]
    )
    assert [int(re.search(r"(\d+) %", line)[1]) for line in lines[1:]] == list(range(10, 101, 10))


def test_rich_display_leaves_the_result_alone(ask, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    called = ask("oracle", "--display", "rich")

    assert called.code == 0
    assert "\x1b" not in called.out
    assert "oracle" in called.err


def test_quiet_prints_the_result_and_nothing_else(ask):
    called = ask("oracle", "-q")

    assert called.err == ""
    assert "oracle · suite quick" in called.out


def test_a_dry_run_counts_and_writes_nothing(ask):
    called = ask("oracle", "--dry-run")

    assert re.search(
        r"^\d+ probes \(12 families, 1 languages, 2 lengths, \d+ skeletons\)", called.out
    )
    assert re.search(r"oracle: 0 answers are there, \d+ to ask", called.out)
    assert not Path("runs").exists()


def test_a_dry_run_of_a_model_names_tokens_and_memory_and_loads_no_weights(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny")
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    words = ("--model", folder, *SMALL, "--device", "cpu", "--dry-run")

    whole = call("run", *words)
    longer = call("run", *words, "--lengths", "1,8,16")
    cut = call("run", *words, "--policy", "last-tokens:100")

    assert whole.code == 0, whole.err
    said = re.search(
        r"about (\S+) M prompt tokens naive, ([\d,]+) shared \(from characters\) · longest about "
        r"([\d,]+) of 1,024 · K/V [\d.]+ MB for it",
        whole.out,
    )
    assert float(said[1]) * 1e6 > 2 * int(said[2].replace(",", ""))
    assert "longest about" in longer.out
    assert said[3] not in longer.out.split("longest about")[1]
    assert "prompt tokens" not in cut.out
    assert not Path("runs").exists()


def test_a_dry_run_tells_time_from_an_earlier_run_and_counts_what_is_left(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny")
    words = ("--model", folder, "--suite", "quick", "--lengths", "1", "--lang", "en",
             "--family", "fact_recall", "--max-new-tokens", "2")  # fmt: skip
    assert call("run", *words, "--limit", "1", "--run-id", "one", "-q").code == 0

    rest = call("run", *words, "--limit", "2", "--resume", "one", "--dry-run").out
    all_of_it = call("run", *words, "--limit", "2", "--dry-run").out

    naive = [
        int(re.search(r"about ([\d,]+) prompt tokens", out)[1].replace(",", ""))
        for out in (rest, all_of_it)
    ]
    assert 0 < naive[0] < naive[1]
    assert "at the rate of one" in rest


def test_a_dry_run_counts_what_a_resume_would_skip(ask):
    ask("oracle", run_id="one")

    for resume in ("one", "latest"):
        out = ask("oracle", "--resume", resume, "--dry-run", "--limit", "2").out
        assert re.search(r"oracle: [1-9]\d* answers are there, [1-9]\d* to ask", out)


def test_resuming_by_name_takes_the_settings_from_the_run(call, ask):
    ask("oracle", "--seed", "4", "--max-new-tokens", "9", "--mode", "generate", run_id="one")
    before = read_manifest(Path("runs/one"))

    called = call("run", "--resume", "one", "--limit", "2")

    after = read_manifest(Path("runs/one"))
    assert called.code == 0
    assert (after.suite.seed, after.suite.modes, after.suite.lengths) == (4, ("generate",), (1, 8))
    assert after.generation.max_new_tokens == 9
    assert after.expected.rows > before.expected.rows
    assert after.identity == before.identity
    sources = after.invocations[-1].args_effective
    assert sources["seed"] == {"value": 4, "source": "run"}
    assert sources["limit"] == {"value": 2, "source": "command line"}


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--seed", "1"), "suite.seed"),
        (("--suite", "core"), "suite.name"),
        (("--max-new-tokens", "3"), "generation.max_new_tokens"),
        (("--model", "mock:blind"), "model.fingerprint"),
    ],
)
def test_resuming_with_another_setting_exits_5_and_names_it(call, ask, words, field):
    ask("oracle", run_id="one")

    called = call("run", "--resume", "one", *words)

    assert called.code == 5
    assert "error: runs/one was started with other settings" in called.err
    assert re.search(rf"^ +{re.escape(field)} +.*->", called.err, re.MULTILINE)


def test_resume_without_a_value_continues_each_model_or_starts_it(call, ask):
    ask("oracle", run_id="one")

    called = call("run", *TWO, *SMALL, "--resume")

    assert called.code == 0
    assert "nothing to resume for window-4, starting a new run" in called.err
    assert sorted(path.name == "one" for path in Path("runs").iterdir()) == [False, True]


def flaky(monkeypatch, break_when):
    """Make solvers fail where `break_when(engine name, request)` says so."""
    plain = SolverEngine._reply

    def reply(self, request):
        if break_when(self._name, request):
            return Reply(
                request.id,
                request.mode,
                "error",
                reason="oom",
                error_type="OutOfMemoryError",
                error_message="\x1b[31m[bold]::error::no room\u202e",
            )
        return plain(self, request)

    monkeypatch.setattr(SolverEngine, "_reply", reply)


def test_errors_above_the_limit_exit_1_after_the_run_is_saved(ask, monkeypatch):
    flaky(monkeypatch, lambda _, request: "T8" in request.id)

    called = ask("oracle", run_id="one")

    assert called.code == 1
    assert re.search(
        r"error: oracle: \d+ of \d+ answers failed \(\d+\.\d %, limit 0 %\)", called.err
    )
    assert "qwen-bench run --resume runs/one --retry-errors" in called.err
    assert read_manifest(Path("runs/one")).status == "finished"


def test_errors_below_the_limit_count_as_wrong_and_are_shown(ask, monkeypatch):
    flaky(monkeypatch, lambda _, request: "T8" in request.id)

    called = ask("oracle", "--max-error-rate", "90")

    assert called.code == 0
    assert re.search(r"^ +8 +0.0 %", called.out, re.MULTILINE)
    assert re.search(r"^ [1-9]\d* errors", called.out, re.MULTILINE)


def test_retrying_errors_mends_them(call, ask, monkeypatch):
    with monkeypatch.context() as broken:
        flaky(broken, lambda _, request: "T8" in request.id)
        ask("oracle", run_id="one")

    called = call("run", "--resume", "one", "--retry-errors")

    assert called.code == 0
    assert " 0 errors" in called.out


def test_of_three_candidates_a_broken_one_decides_the_exit_code(call, monkeypatch):
    flaky(monkeypatch, lambda name, _: name == "blind")
    candidates = [
        word
        for name in ("blind", "window-4", "oracle")
        for word in ("--model", f"c-{name}=mock:{name}")
    ]

    called = call("run", "--baseline", "mock:oracle", *candidates, *WIDE, "--fail-on", "regression")

    assert called.code == 1
    assert "error: c-blind:" in called.err
    assert "c-window-4 against oracle" in called.out
    assert "c-oracle against oracle" in called.out
    assert called.err.splitlines()[-1].startswith("exit 1:")


@pytest.mark.parametrize("stored", [True, False])
def test_an_engine_that_cannot_work_does_not_stop_the_other_candidates(
    call, ask, monkeypatch, stored
):
    ask("oracle", run_id="base")
    plain = SolverEngine.answer

    def answer(self, unit):
        if self._name == "blind":
            raise EngineError("the device is gone")
        return plain(self, unit)

    monkeypatch.setattr(SolverEngine, "answer", answer)
    base = "base" if stored else "mock:oracle"

    called = call(
        "run", "--baseline", base, "--model", "mock:blind", "--model", "mock:window-4", *SMALL
    )

    assert called.code == 1
    assert "error: the device is gone" in called.err
    assert "window-4 against oracle" in called.out


def test_when_every_candidate_breaks_there_is_no_table(call, monkeypatch):
    def answer(self, unit):
        if self._name != "oracle":
            raise EngineError("the device is gone")
        return plain(self, unit)

    plain = SolverEngine.answer
    monkeypatch.setattr(SolverEngine, "answer", answer)
    models = ("--model", "mock:blind", "--model", "mock:window-4")

    called = call("run", "--baseline", "mock:oracle", *models, *SMALL, "--json", "x.json")

    assert called.code == 1
    assert called.out == ""
    assert called.err.count("error: the device is gone") == 2
    assert not Path("x.json").exists()


def test_hostile_text_of_a_model_is_neutralised(ask, monkeypatch):
    flaky(monkeypatch, lambda *_: True)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    called = ask("oracle", "-v", "--display", "plain")

    assert "\x1b" not in called.err
    assert "\u202e" not in called.err
    assert "␛[31m[bold]" in called.err
    lines = called.err.splitlines()
    quoted = next(number for number, line in enumerate(lines) if "::error::no room" in line)
    assert lines[quoted - 1].startswith("::stop-commands::")
    assert lines[quoted + 1] == f"::{lines[quoted - 1].removeprefix('::stop-commands::')}::"


def test_hostile_text_goes_through_live_display_without_markup(ask, monkeypatch):
    flaky(monkeypatch, lambda *_: True)
    monkeypatch.setenv("NO_COLOR", "1")

    err = ask("oracle", "-v", "--display", "rich").err

    assert "␛[31m[bold]" in err


def too_long(monkeypatch, when):
    plain = SolverEngine._reply

    def reply(self, request):
        if when(request):
            return Reply(request.id, request.mode, "too_long", reason="local", prompt_tokens=3114)
        return plain(self, request)

    monkeypatch.setattr(SolverEngine, "_reply", reply)


def test_some_prompts_too_long_are_a_warning(ask, monkeypatch):
    too_long(monkeypatch, lambda request: "/T8/" in request.id)

    called = ask("oracle")

    assert called.code == 0
    assert re.search(r"warning: \d+ probes recorded as too_long, lengths 8", called.err)


def test_all_prompts_too_long_exit_1(ask, monkeypatch):
    too_long(monkeypatch, lambda _: True)

    called = ask("oracle")

    assert called.code == 1
    assert "probes need more than the tokens" not in called.err
    assert "shortest 3,114" in called.err
    assert "try --lengths 1,2,4" in called.err


def test_the_first_line_says_that_the_embedded_model_is_used(call):
    called = call("run", *SMALL, "--dry-run")

    assert called.code == 0
    assert "using the embedded model" in called.err.splitlines()[0]


class TestAModelWithoutASystemRole:
    @pytest.fixture(autouse=True)
    def refuses_system_messages(self, monkeypatch):
        monkeypatch.setattr(SolverEngine, "abilities", lambda _: Abilities(system_messages=False))

    def test_leaves_the_rules_of_system_messages_out_of_its_run_and_says_so(self, call):
        full = ("--suite", "full", "--limit", "1", "--lengths", "1", "--lang", "en")
        families = ("--family", "system_rule", "--family", "fact_recall")

        done = call("run", "--model", "mock:oracle", *full, *families, "--run-id", "r")

        assert done.code == 0, done.err
        assert "takes no system message; system_rule is left out" in done.err
        manifest = json.loads(Path("runs/r/manifest.json").read_text(encoding="utf-8"))
        assert manifest["suite"]["families"] == ["fact_recall"]
        assert manifest["status"] == "finished"

    def test_is_refused_when_nothing_else_is_asked(self, call):
        done = call(
            "run", "--model", "mock:oracle", "--suite", "full", "--limit", "1",
            "--family", "system_rule",
        )  # fmt: skip

        assert done.code == 2
        assert "takes no system message, and only families that need one are asked" in done.err


def test_form_and_content_of_replies_to_rules_stand_in_terminal_and_page(call):
    rules = ("--suite", "quick", "--limit", "1", "--lang", "en", "--mode", "generate",
             "--family", "instruction_retention")  # fmt: skip

    called = call("run", "--model", "mock:oracle", *rules, "--run-id", "rules", "--html", "p.html")

    assert called.code == 0, called.err
    assert re.search(
        r"^ rules: form 100\.0 %, content 100\.0 %, both 100\.0 % of \d+ replies$",
        called.out,
        re.MULTILINE,
    )
    page = Path("p.html").read_text(encoding="utf-8")
    assert "Form and content of replies to rules" in page
    assert "form: the rule is kept" in page
