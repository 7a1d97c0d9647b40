"""`run --policy`: what was cut is told apart from what was forgotten."""

import json
import re
from pathlib import Path

import pytest

from qwen_bench.runs.journal import read_journal
from qwen_bench.runs.manifest_file import read_manifest
from qwen_bench.testing import tiny_checkpoint

CUT = ("--policy", "last-turns:2")


def rows(name):
    return read_journal(Path("runs", name, "results.jsonl")).outcomes


def test_the_three_numbers_stand_under_each_table_and_in_the_summary(ask):
    called = ask("oracle", *CUT, run_id="cut")

    found = re.findall(
        r"^ history policy last-turns:2: accuracy (\S+) % · evidence visible (\S+) % · "
        r"accuracy given visible 100.0 %$",
        called.out,
        re.MULTILINE,
    )
    modes = json.loads(Path("runs/cut/summary.json").read_text())["modes"]
    assert called.code == 0
    assert len(found) == len(modes) == 2
    assert "lengths 1 8 · policy last-turns:2\n" in called.err
    for (accuracy, visible), mode in zip(found, ("rank", "generate"), strict=True):
        split = modes[mode]["policy"]["overall"]
        assert accuracy == f"{100 * modes[mode]['overall']['accuracy']:.1f}"
        assert visible == f"{100 * split['share_visible']:.1f}"
        assert split["accuracy"] == pytest.approx(split["visible_part"] + split["invisible_part"])


def test_a_full_run_speaks_of_no_policy(ask):
    called = ask("oracle", run_id="full")

    assert "policy" not in called.out + called.err
    assert {row.policy for row in rows("full")} == {"full"}


def test_a_solver_that_sees_the_end_only_is_right_where_the_evidence_is_visible(ask):
    ask("oracle", *CUT, run_id="cut")
    ask("window-2", run_id="window")

    cut, window = ({(row.probe_id, row.mode): row for row in rows(n)} for n in ("cut", "window"))
    main = {key for key, row in cut.items() if row.condition == "main"}
    assert {cut[key].evidence_visible for key in main} == {True, False}
    for key in main:
        assert cut[key].score == window[key].score
        if cut[key].evidence_visible:
            assert cut[key].score == 1


def test_resuming_a_run_takes_its_policy_over(call, ask):
    ask("oracle", *CUT, run_id="cut")

    called = call("run", "--resume", "cut", "--limit", "2")

    assert called.code == 0
    assert read_manifest(Path("runs/cut")).suite.policy == "last-turns:2"
    assert {row.policy for row in rows("cut")} == {"last-turns:2"}


def test_resuming_under_another_policy_is_refused(call, ask):
    ask("oracle", *CUT, run_id="cut")

    called = call("run", "--resume", "cut", "--policy", "full")

    assert called.code == 5
    assert "suite.policy  last-turns:2  ->  full" in called.err


def test_the_newest_run_to_resume_is_one_of_the_same_policy(ask):
    ask("oracle", *CUT, run_id="cut")

    called = ask("oracle", "--resume", "latest", "--dry-run")
    again = ask("oracle", *CUT, "--resume", "latest", "--dry-run")

    assert "oracle: 0 answers are there" in called.out
    assert "0 to ask" in again.out


def test_a_run_under_a_policy_compares_with_a_full_one_when_that_is_allowed(call, ask):
    ask("oracle", run_id="full")
    ask("oracle", *CUT, run_id="cut")

    refused = call("compare", "full", "cut")
    allowed = call(
        "compare", "full", "cut", "--allow-mismatch", "suite.policy", "--fail-on", "never"
    )

    assert refused.code == 5
    assert "suite.policy  full  ->  last-turns:2" in refused.err
    assert "--policy full" in refused.err
    assert "--allow-mismatch suite.policy" in refused.err
    assert allowed.code == 0
    assert "oracle (cut), history policy last-turns:2: accuracy" in allowed.out
    assert "oracle (full), history policy" not in allowed.out
    assert "allowed mismatch suite.policy: full -> last-turns:2" in allowed.out


def test_a_candidate_under_another_policy_is_refused_before_it_is_asked(ask):
    ask("oracle", run_id="base")

    called = ask("window-4", "--baseline", "base", *CUT)

    assert called.code == 5
    assert "suite.policy" in called.err
    assert [path.name for path in Path("runs").iterdir()] == ["base"]


@pytest.mark.parametrize("policy", ["last-tokens:100", "qwen-v1:100"])
def test_solvers_take_no_policy_that_counts_tokens(ask, policy):
    called = ask("oracle", "--policy", policy)

    assert called.code == 2
    assert "error: mock solvers have no tokenizer; use last-turns:N" in called.err
    assert not Path("runs").exists()


TINY = ("--suite", "quick", "--limit", "1", "--lengths", "2,4,8", "--family", "fact_recall")
SHORT = ("--condition", "main", "--lang", "en", "--mode", "rank", "-q")


def test_a_model_is_asked_what_a_full_history_would_not_leave_room_for(call, tmp_path):
    model = tiny_checkpoint(tmp_path / "tiny")
    for name, policy in (("full", "full"), ("cut", "last-tokens:1000")):
        call("run", "--model", model, *TINY, *SHORT, "--policy", policy, "--run-id", name)

    full, cut = ({row.probe_id: row for row in rows(name)} for name in ("full", "cut"))
    assert full.keys() == cut.keys()
    assert {row.status for row in full.values()} >= {"too_long"}
    assert {row.status for row in cut.values()} == {"ok"}
    assert {row.evidence_visible for row in cut.values()} == {True, False}
    assert all(row.evidence_visible for row in full.values())
    assert max(row.prompt_tokens for row in cut.values()) <= 1000
    assert all(row.messages_sha256 == full[key].messages_sha256 for key, row in cut.items())
