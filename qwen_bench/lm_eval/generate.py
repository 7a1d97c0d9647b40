"""Writes the YAML of `tasks/lm_eval/` from the suites.

python -m qwen_bench.lm_eval.generate           write
python -m qwen_bench.lm_eval.generate --check   exit 1 if a file is not as it would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from qwen_bench.lm_eval.documents import DEFAULT, GROUPED, TAGGED, WHOLE, TaskCell, cells_of, prefix
from qwen_bench.probes.selection import load_canary, load_suite_files
from qwen_bench.resources import data_folder

FOLDERS = {False: "generate", True: "rank"}
_TEMPLATES = {
    False: """\
class: !function qwen_bench.lm_eval.task.ConversationTask
output_type: generate_until
custom_dataset: !function qwen_bench.lm_eval.task.dataset
test_split: test
num_fewshot: 0
doc_to_text: question_text
doc_to_target: gold
process_results: !function qwen_bench.lm_eval.task.score
metric_list:
  - {{metric: retained, aggregation: mean, higher_is_better: true}}
generation_kwargs:
  do_sample: false
  temperature: 0.0
  repetition_penalty: 1.0      # without it the checkpoint's own value applies
  max_gen_toks: {max_new_tokens}
  until: ["<|im_end|>"]
metadata: {{version: {version}}}
""",
    True: """\
class: !function qwen_bench.lm_eval.task.RankingTask
output_type: multiple_choice
custom_dataset: !function qwen_bench.lm_eval.task.dataset
test_split: test
num_fewshot: 0
doc_to_text: question_text
doc_to_choice: candidates
doc_to_target: gold_index
process_results: !function qwen_bench.lm_eval.task.score_ranking
metric_list:
  - {{metric: retained, aggregation: mean, higher_is_better: true}}
metadata: {{version: {version}}}
""",
}


def folder() -> Path:
    """The folder to give to `--include_path`."""
    return data_folder("tasks") / "lm_eval"


def template_name(*, rank: bool) -> str:
    """File that the tasks of a kind include; no `.yaml`, or the harness would read it as a task."""
    return f"_{prefix(DEFAULT, rank=rank)}_template"


def files() -> dict[str, str]:
    """Text of every generated file by its path in the folder."""
    tasks = data_folder("tasks")
    suites = load_suite_files(tasks)
    head = f'# canary: "{load_canary(tasks)}"\n'
    version, budget = suites[WHOLE].version, suites[WHOLE].max_new_tokens
    found: dict[str, str] = {}
    for rank, where in FOLDERS.items():
        template = _TEMPLATES[rank].format(version=version, max_new_tokens=budget)
        found[f"{where}/{template_name(rank=rank)}"] = head + template
        for cell in (cell for suite in GROUPED for cell in _asked(suite, rank=rank)):
            found[f"{where}/{cell.family}_h{cell.length}.yaml"] = head + _task(cell, rank=rank)
        for suite in GROUPED:
            name = prefix(suite, rank=rank)
            found[f"{name}.yaml"] = head + _group(suite, version, rank=rank)
    return found


def drift(where: Path, wanted: Mapping[str, str]) -> list[str]:
    """Paths of generated files that are missing, different or no longer wanted, sorted."""
    there = {
        path.relative_to(where).as_posix(): path.read_text(encoding="utf-8")
        for path in where.rglob("*")
        if path.is_file() and (path.suffix == ".yaml" or path.name.startswith("_"))
    }
    names = there.keys() | wanted.keys()
    return sorted(name for name in names if there.get(name) != wanted.get(name))


def main(arguments: Sequence[str]) -> int:
    """Write or check the files; the exit code."""
    where, wanted = folder(), files()
    changed = drift(where, wanted)
    if "--check" in arguments:
        sys.stdout.writelines(f"{name} is not up to date\n" for name in changed)
        return 1 if changed else 0
    for name in changed:
        path = where / name
        if name not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[name], encoding="utf-8", newline="\n")
    sys.stdout.write(f"{len(wanted)} files, {len(changed)} of them changed\n")
    return 0


def _asked(suite: str, *, rank: bool) -> Iterator[TaskCell]:
    return (cell for cell in cells_of(suite) if cell.ranked or not rank)


def _task(cell: TaskCell, *, rank: bool) -> str:
    names = [prefix(suite, rank=rank) for suite in TAGGED if cell in cells_of(suite)]
    tags = [tag for name in names for tag in (f"{name}_{cell.family}", f"{name}_h{cell.length}")]
    return (
        f"include: {template_name(rank=rank)}\n"
        f"task: {cell.task(rank=rank)}\n"
        f"task_alias: {cell.alias}{', ranked' if rank else ''}\n"
        f"tag: [{', '.join(tags)}]\n"
        f"dataset_kwargs: {{cell: {{family: {cell.family}, length: {cell.length}}}}}\n"
    )


def _group(suite: str, version: str, *, rank: bool) -> str:
    members = "".join(f"  - {cell.task(rank=rank)}\n" for cell in _asked(suite, rank=rank))
    return (
        f"group: {prefix(suite, rank=rank)}\n"
        f"task:\n{members}"
        "aggregate_metric_list:\n"
        "  - {metric: retained, aggregation: mean, weight_by_size: false}\n"
        f"metadata: {{version: {version}}}\n"
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
