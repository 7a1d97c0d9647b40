import json
import re
import subprocess
import sys
import time

import pytest

COMMANDS = [
    (),
    ("run",),
    ("compare",),
    ("report",),
    ("check",),
    ("plan",),
    ("lm-eval-path",),
    ("import-lm-eval",),
    ("probes",),
    ("probes", "list"),
    ("probes", "show"),
    ("finetune",),
    ("data",),
    ("data", "validate"),
    ("data", "convert"),
    ("data", "generate"),
    ("data", "overlap"),
    ("data", "stats"),
]
HEAVY = {"torch", "transformers", "peft", "matplotlib", "vllm", "numpy", "scipy"}
PROBE = """
import json, sys
from qwen_bench.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_quick_and_imports_no_model_library(command):
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PROBE, *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.perf_counter() - began)
        if seconds[-1] < 0.5:
            break

    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert "Usage: qwen-bench" in done.stdout
    assert not HEAVY & {name.split(".")[0] for name in modules}
    assert min(seconds) < 0.5


def test_options_are_listed_under_their_headings(call):
    out = call("run", "--help").out

    headings = re.findall(r"^(\w+):$", out, re.MULTILINE)
    assert headings == ["Model", "Probes", "Generation", "Run", "Verdict", "Output", "Display"]


def test_commands_that_read_files_need_no_model_library(ask):
    ask("oracle", run_id="a")
    ask("blind", run_id="b")

    done = subprocess.run(
        [sys.executable, "-c", PROBE, "compare", "a", "b", "--fail-on", "never", "-q"],
        capture_output=True,
        text=True,
        check=True,
    )

    modules = json.loads(done.stderr.splitlines()[-1])[1]
    assert not {"torch", "transformers", "peft", "matplotlib"} & {
        name.split(".")[0] for name in modules
    }


def test_a_closed_pipe_ends_silently():
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -c '{PIPE}' probes list --suite core --json - -q | head -c 1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "{"
    assert done.stderr == ""


PIPE = "import sys; from qwen_bench.cli.main import entry_point; entry_point()"


def test_the_version_is_printed(call):
    assert re.fullmatch(r"qwen-bench, version \S+\n", call("--version").out)
