import errno
import fcntl
import json
import shutil
import stat
from dataclasses import replace

import pytest

from qwen_bench.errors import EngineError, NotComparableError, RunError, RunLockedError
from qwen_bench.runs.job import RunInterruptedError
from qwen_bench.runs.journal import JOURNAL_NAME, read_journal
from qwen_bench.runs.manifest_file import read_manifest, write_manifest
from qwen_bench.runs.recorder import locked, record
from qwen_bench.runs.store import read_run
from qwen_bench.testing import ScriptedEngine


def never():
    return False


def rows(folder):
    """Rows without what differs between two identical runs."""
    return {
        (row.probe_id, row.mode): replace(row, seconds=0.0, attempt=1)
        for row in read_journal(folder / JOURNAL_NAME).outcomes
    }


def test_a_run_leaves_one_row_for_each_probe_and_mode(make_job, make_engine, watcher):
    job = make_job()

    run = record(job, make_engine(), watcher, never)

    assert {(row.probe_id, row.mode) for row in run.outcomes} == job.plan.keys
    assert len(watcher.answers) == len(job.plan.keys)
    assert run.manifest.status == "finished"
    assert run.manifest.expected.rows == len(job.plan.keys)
    assert run.manifest.counts == {"ok": len(job.plan.keys)}


def test_folder_name_tells_time_model_and_identity(make_job, make_engine, watcher):
    run = record(make_job(label="My Model/v1"), make_engine(), watcher, never)

    assert run.folder.name == f"20261122T101503Z-my-model-v1-{run.manifest.identity[:6]}"


def test_two_runs_of_one_second_get_two_folders(make_job, make_engine, watcher):
    first = record(make_job(), make_engine(), watcher, never)
    second = record(make_job(), make_engine(), watcher, never)

    assert second.folder.name == f"{first.folder.name}-2"


def test_a_taken_run_id_is_refused(make_job, make_engine, watcher):
    record(make_job(run_id="mine"), make_engine(), watcher, never)

    with pytest.raises(RunError, match="exists already"):
        record(make_job(run_id="mine"), make_engine(), watcher, never)


def test_a_store_that_cannot_be_written_is_named(make_job, make_engine, watcher, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(RunError, match=r"cannot write to .*: file exists") as caught:
        record(make_job(runs_dir=tmp_path / "file"), make_engine(), watcher, never)

    assert "--runs-dir" in caught.value.fix[0]


def test_summary_and_manifest_are_json_with_sorted_keys(make_job, make_engine, watcher):
    folder = record(make_job(), make_engine(), watcher, never).folder

    for name in ("manifest.json", "summary.json"):
        text = (folder / name).read_text()
        assert (
            text
            == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        )


def stop_after(count):
    """A `stopped` that says yes from the n-th question on."""
    asked = iter(range(1000))
    return lambda: next(asked) >= count


def test_a_stopped_run_is_resumed_to_the_same_rows(make_job, make_engine, watcher):
    whole = record(make_job(), make_engine(), watcher, never)

    with pytest.raises(RunInterruptedError, match=r"interrupted: \d+ of \d+ answers") as caught:
        record(make_job(run_id="cut"), make_engine(), watcher, stop_after(1))
    folder = watcher.folder
    saved = len(read_journal(folder / JOURNAL_NAME).outcomes)
    assert read_manifest(folder).status == "interrupted"
    assert caught.value.command == f"qwen-bench run --resume {folder}"
    engine = make_engine()
    resumed = record(make_job(resume=folder), engine, watcher, never)

    assert len(engine.asked) == len(whole.outcomes) - saved
    assert 0 < saved < len(whole.outcomes)
    assert rows(folder) == rows(whole.folder)
    assert resumed.manifest.status == "finished"
    assert [item.ended for item in resumed.manifest.invocations] == ["interrupted", "finished"]


def test_a_second_signal_keeps_what_was_answered(make_job, watcher):
    def answers(_):
        if len(engine.asked) > 5:
            raise KeyboardInterrupt
        return "Kwame"

    engine = ScriptedEngine(answers)

    with pytest.raises(RunInterruptedError, match="5 of"):
        record(make_job(), engine, watcher, never)

    assert read_manifest(watcher.folder).status == "interrupted"
    assert len(rows(watcher.folder)) == 5


class Reader(ScriptedEngine):
    """Reads 4 chunks before each dialogue's answers and tells after each."""

    def tell(self, read):
        self.told = read

    def answer(self, unit):
        for chunk in range(1, 5):
            self.told(512 * chunk, 2048)
        yield from super().answer(unit)


def test_a_stop_while_a_history_is_read_ends_within_one_chunk(make_job, make_engine, watcher):
    whole = record(make_job(), make_engine(), watcher, never)
    watcher.read.clear()

    with pytest.raises(RunInterruptedError, match=r"interrupted: 0 of \d+ answers"):
        record(make_job(run_id="cut"), Reader({}), watcher, stop_after(2))
    folder = watcher.folder

    # Asked once before the dialogue and once a chunk.
    assert watcher.read == [(512, 2048), (1024, 2048)]
    assert read_manifest(folder).status == "interrupted"
    record(make_job(resume=folder), make_engine(), watcher, never)
    assert rows(folder) == rows(whole.folder)


def test_a_stop_when_a_history_is_read_waits_for_its_answers(make_job, watcher):
    with pytest.raises(RunInterruptedError):
        record(make_job(), Reader({}), watcher, stop_after(4))

    assert watcher.read == [(512 * chunk, 2048) for chunk in range(1, 5)]
    assert watcher.answers


def test_a_finished_run_is_used_as_it_is(make_job, make_engine, watcher):
    first = record(make_job(), make_engine(), watcher, never)
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    engine = make_engine()

    second = record(make_job(resume="latest"), engine, watcher, never)

    assert second.folder == first.folder
    assert engine.asked == []
    assert {name: data for name, data in before.items() if name != ".lock"} == {
        path.name: path.read_bytes() for path in first.folder.iterdir() if path.name != ".lock"
    }


def test_latest_without_a_match_starts_a_new_run_and_says_so(make_job, make_engine, watcher):
    first = record(make_job(), make_engine(name="one"), watcher, never)

    second = record(make_job(resume="latest"), make_engine(name="two"), watcher, never)

    assert second.folder != first.folder
    assert any("nothing to resume" in notice for notice in watcher.notices)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ({"limit": 1}, {"limit": 2}),
        ({"lengths": (1,)}, {"lengths": (1, 2)}),
        ({"langs": ("en",)}, {"langs": ("en", "zh")}),
        ({"families": ("fact_recall",)}, {"families": ("fact_recall", "pronoun")}),
    ],
    ids=["limit", "lengths", "langs", "families"],
)
def test_an_extended_run_equals_one_with_the_larger_selection(
    make_job, make_suite, make_engine, watcher, *, small, large
):
    whole = record(make_job(make_suite(**large)), make_engine(), watcher, never)
    folder = record(
        make_job(make_suite(**small), run_id="grown"), make_engine(), watcher, never
    ).folder
    asked_before = len(rows(folder))
    engine = make_engine()

    grown = record(make_job(make_suite(**large), resume=folder), engine, watcher, never)

    assert rows(folder) == rows(whole.folder)
    assert len(engine.asked) == len(whole.outcomes) - asked_before
    assert grown.manifest.expected == whole.manifest.expected
    assert grown.manifest.identity == whole.manifest.identity


def test_another_mode_extends_a_run(make_job, make_engine, watcher):
    folder = record(make_job(modes=("generate",)), make_engine(), watcher, never).folder
    engine = make_engine()

    grown = record(make_job(modes=("rank",), resume=folder), engine, watcher, never)

    assert {request.mode for request in engine.asked} == {"rank"}
    assert grown.manifest.suite.modes == ("generate", "rank")


def test_a_smaller_selection_neither_deletes_nor_asks(make_job, make_suite, make_engine, watcher):
    folder = record(make_job(make_suite(limit=2)), make_engine(), watcher, never).folder
    before = rows(folder)
    engine = make_engine()

    run = record(make_job(make_suite(limit=1), resume=folder), engine, watcher, never)

    assert engine.asked == []
    assert rows(folder) == before
    assert run.manifest.suite.limit == 2


def change_part(part, **values):
    def change(manifest):
        section = getattr(manifest, part).model_copy(update=values)
        return manifest.model_copy(update={part: section})

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (change_part("suite", version="9"), "suite.version"),
        (change_part("suite", sha256="x"), "suite.sha256"),
        (change_part("suite", seed=7), "suite.seed"),
        (change_part("suite", name="core"), "suite.name"),
        (change_part("suite", filler_sha256="x"), "suite.filler_sha256"),
        (change_part("suite", policy="last-turns:2"), "suite.policy"),
        (change_part("model", fingerprint="x"), "model.fingerprint"),
        (change_part("model", dtype="float16"), "model.dtype"),
        (change_part("template", chat_template_sha256="x"), "template.chat_template_sha256"),
        (change_part("template", tokenizer_sha256="x"), "template.tokenizer_sha256"),
        (change_part("generation", temperature=0.7), "generation.temperature"),
        (change_part("generation", max_new_tokens=99), "generation.max_new_tokens"),
        (change_part("generation", system_sha256="x"), "generation.system_sha256"),
        (change_part("engine", name="vllm"), "engine.name"),
        (change_part("engine", device="cuda:1"), "engine.device"),
        (change_part("scorer", version="0.0"), "scorer.version"),
    ],
)
def test_resuming_with_a_changed_field_names_exactly_it(
    make_job, make_engine, watcher, change, field
):
    folder = record(make_job(), make_engine(), watcher, never).folder
    write_manifest(folder, change(read_manifest(folder)))

    with pytest.raises(NotComparableError) as caught:
        record(make_job(resume=folder), make_engine(), watcher, never)

    assert [name for name, _, _ in caught.value.differences] == [field]
    assert caught.value.exit_code == 5


def test_a_run_and_its_rows_name_the_history_policy(make_job, make_engine, watcher):
    plain = record(make_job(run_id="plain"), make_engine(), watcher, never)
    cut = record(make_job(run_id="cut", policy="last-turns:2"), make_engine(), watcher, never)

    assert (plain.manifest.suite.policy, cut.manifest.suite.policy) == ("full", "last-turns:2")
    assert {row.policy for row in cut.outcomes} == {"last-turns:2"}
    assert plain.manifest.identity != cut.manifest.identity
    assert json.loads((cut.folder / "summary.json").read_text())["modes"]["rank"]["policy"]


def test_a_run_is_not_continued_under_another_policy(make_job, make_engine, watcher):
    folder = record(make_job(policy="last-turns:2"), make_engine(), watcher, never).folder

    with pytest.raises(NotComparableError) as caught:
        record(make_job(resume=folder, policy="last-turns:3"), make_engine(), watcher, never)

    assert caught.value.differences == (("suite.policy", "last-turns:2", "last-turns:3"),)


def test_an_extended_run_keeps_its_policy(make_job, make_suite, make_engine, watcher):
    folder = record(make_job(policy="qwen-v1:99"), make_engine(), watcher, never).folder
    wider = make_job(make_suite(lengths=(1, 2)), resume=folder, policy="qwen-v1:99")

    run = record(wider, make_engine(), watcher, never)

    assert run.manifest.suite.lengths == (1, 2)
    assert run.manifest.suite.policy == "qwen-v1:99"
    assert {row.policy for row in run.outcomes} == {"qwen-v1:99"}


def test_errors_are_asked_again_only_when_wanted_and_never_erase_a_success(make_job, watcher):
    broken = set()

    def moody(request):
        if request.id in broken:
            raise ValueError("out of order")
        return "Kwame"

    job = make_job(modes=("generate",))
    last = max(probe_id for probe_id, _ in job.plan.keys)
    broken.add(last)
    first = record(job, ScriptedEngine(moody), watcher, never)
    failed = [row for row in first.outcomes if row.status == "error"]
    assert failed
    assert {row.error_type for row in failed} == {"ValueError"}
    assert first.manifest.status == "finished"

    untouched = ScriptedEngine(moody)
    record(make_job(modes=("generate",), resume=first.folder), untouched, watcher, never)
    assert untouched.asked == []

    again = make_job(modes=("generate",), resume=first.folder, retry_errors=True)
    still = record(again, ScriptedEngine(moody), watcher, never)
    assert {row.probe_id for row in still.outcomes if row.status == "error"} >= {last}

    broken.clear()
    healed = record(again, ScriptedEngine(moody), watcher, never)
    assert {row.status for row in healed.outcomes} == {"ok"}
    assert max(row.attempt for row in healed.outcomes) == 3

    broken.add(last)
    final = record(again, ScriptedEngine(moody), watcher, never)
    assert {row.status for row in final.outcomes} == {"ok"}


def test_an_engine_that_cannot_go_on_fails_the_run_and_tells_how_to_continue(make_job, watcher):
    def answers(_):
        if len(engine.asked) > 4:
            raise EngineError("the device is gone")
        return "Kwame"

    engine = ScriptedEngine(answers)

    with pytest.raises(EngineError) as caught:
        record(make_job(), engine, watcher, never)

    manifest = read_manifest(watcher.folder)
    assert (manifest.status, manifest.invocations[-1].error) == ("failed", "the device is gone")
    assert f"--resume {watcher.folder}" in caught.value.fix[-1]
    assert len(rows(watcher.folder)) == 4


def test_a_run_in_use_is_refused_with_the_process_that_has_it(make_job, make_engine, watcher):
    folder = record(make_job(), make_engine(), watcher, never).folder

    with locked(folder, started="10:15"), pytest.raises(RunLockedError) as caught:
        record(make_job(resume=folder), make_engine(), watcher, never)

    assert "is in use by process" in caught.value.message
    assert "since 10:15" in caught.value.message


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_warned_of_and_the_run_goes_on(
    make_job, make_engine, watcher, monkeypatch, number
):
    def flock(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)

    run = record(make_job(), make_engine(), watcher, never)

    assert run.manifest.status == "finished"
    assert any("is on a file system without locks" in notice for notice in watcher.notices)


def test_the_text_of_the_lock_survives_a_second_writer(make_job, make_engine, watcher):
    folder = record(make_job(), make_engine(), watcher, never).folder

    with locked(folder, started="10:15"):
        for _ in range(2):
            other = locked(folder, started="11:00")
            with pytest.raises(RunLockedError, match="since 10:15"), other:
                pass


def test_a_full_disk_ends_the_run_with_whole_rows_and_the_way_on(
    make_job, make_engine, watcher, monkeypatch
):
    def append(self, outcomes):
        if len(watcher.answers) == 4:
            raise OSError(28, "No space left on device")
        return plain(self, outcomes)

    from qwen_bench.runs.journal import Journal

    plain = Journal.append
    monkeypatch.setattr(Journal, "append", append)
    with pytest.raises(RunError, match=r"the disk is full after 4 of \d+ answers; all 4 are saved"):
        record(make_job(), make_engine(), watcher, never)
    monkeypatch.undo()

    record(make_job(resume=watcher.folder), make_engine(), watcher, never)

    assert read_manifest(watcher.folder).status == "finished"


def test_a_manifest_that_cannot_be_replaced_stays_whole(
    make_job, make_engine, watcher, monkeypatch
):
    folder = record(make_job(), make_engine(), watcher, never).folder
    before = (folder / "manifest.json").read_bytes()

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="Input/output"):
        write_manifest(folder, read_manifest(folder))

    assert (folder / "manifest.json").read_bytes() == before
    assert list(folder.glob("*.tmp")) == []


def test_leftovers_of_a_killed_writer_go_away(make_job, make_engine, watcher):
    folder = record(make_job(), make_engine(), watcher, never).folder
    (folder / "manifest.json.tmp").write_text("half")

    record(make_job(resume=folder), make_engine(), watcher, never)

    assert list(folder.glob("*.tmp")) == []


def test_a_torn_last_line_is_dropped_with_a_notice_and_its_probe_asked_again(
    make_job, make_engine, watcher
):
    folder = record(make_job(), make_engine(), watcher, never).folder
    expected = rows(folder)
    journal = folder / JOURNAL_NAME
    journal.write_bytes(journal.read_bytes()[:-20])
    engine = make_engine()

    record(make_job(resume=folder), engine, watcher, never)

    assert len(engine.asked) == 1
    assert any("was cut off and is dropped" in notice for notice in watcher.notices)
    assert rows(folder) == expected


def test_unknown_keys_of_the_manifest_survive_a_rewrite(make_job, make_suite, make_engine, watcher):
    folder = record(make_job(), make_engine(), watcher, never).folder
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    data["later"] = {"a": 1}
    data["model"]["colour"] = "blue"
    path.write_text(json.dumps(data))

    record(make_job(make_suite(limit=2), resume=folder), make_engine(), watcher, never)

    after = json.loads(path.read_text())
    assert (after["later"], after["model"]["colour"]) == ({"a": 1}, "blue")


def test_a_reader_needs_no_write_permission_and_writes_nothing(
    make_job, make_engine, watcher, tmp_path
):
    folder = record(make_job(), make_engine(), watcher, never).folder
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / ".lock").unlink()
    (copy / "summary.json").unlink()
    copy.chmod(stat.S_IRUSR | stat.S_IXUSR)

    run = read_run(copy)

    names = sorted(path.name for path in copy.iterdir())
    copy.chmod(stat.S_IRWXU)
    assert len(run.outcomes) == run.manifest.expected.rows
    assert names == ["manifest.json", "results.jsonl"]


def test_the_check_comes_before_anything_is_written(make_job, make_engine, watcher):
    def check(manifest):
        raise NotComparableError("no", [("suite.seed", 0, manifest.suite.seed)])

    job = make_job(check=check)

    with pytest.raises(NotComparableError):
        record(job, make_engine(), watcher, never)

    assert not job.runs_dir.exists()
