"""The pipelines in docs/ci are valid YAML and every command in them parses."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from qwen_bench.app.outputs import IN_FOLDER
from qwen_bench.cli.main import cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
FOLDER = "qwen-bench-report/"


def texts(value):
    """Every text inside a YAML document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def commands_of(path):
    found = [text for text in texts(yaml.safe_load(path.read_text())) if "qwen-bench " in text]
    return [
        shlex.split(line)
        for text in found
        for line in text.replace("\\\n", " ").splitlines()
        if line.startswith("qwen-bench ")
    ]


def parse(words):
    """Parse a command line without running it; returns the options."""
    assert words[0] == "qwen-bench"
    group = click.Context(cli, info_name="qwen-bench")
    command = cli.get_command(group, words[1])
    return command.make_context(words[1], list(words[2:]), parent=group).params


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_every_command_of_an_example_parses(name):
    commands = commands_of(DOCS / "ci" / name)

    assert [words[1] for words in commands] == ["check", "check"]
    gated = parse(commands[-1])
    assert gated["out"] == FOLDER.rstrip("/")
    assert gated["gate"]
    assert gated["runs_dir"] == "runs"
    assert parse(commands[0])["dry_run"] is True


def test_the_github_example_keeps_report_and_run_folders_whatever_happens():
    job = yaml.safe_load((DOCS / "ci" / "github.yml").read_text())["jobs"]["check"]
    kept = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]

    assert [step["with"]["path"] for step in kept] == [FOLDER, "runs/"]
    assert all(step["if"] == "always()" for step in kept)
    assert all("uses" in step or "run" in step for step in job["steps"])


def test_the_gitlab_example_keeps_report_and_run_folders_and_shows_junit():
    job = yaml.safe_load((DOCS / "ci" / "gitlab.yml").read_text())["conversation-memory"]

    assert job["artifacts"]["paths"] == [FOLDER, "runs/"]
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"]["junit"] == FOLDER + IN_FOLDER["junit"]


def test_the_two_examples_ask_the_same():
    first, second = (commands_of(DOCS / "ci" / name) for name in ("github.yml", "gitlab.yml"))

    assert first == second


@pytest.mark.parametrize("name", ["verdicts.md", "ci/README.md"])
def test_commands_and_links_of_a_page_exist(name):
    page = DOCS / name
    text = page.read_text(encoding="utf-8")

    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ ")) if "qwen-bench " in line else []
            if words[:1] == ["qwen-bench"]:
                parse(words)
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / link).exists(), link


def test_the_terminal_output_of_the_page_on_verdicts_is_what_the_command_prints(call):
    text = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    block = re.search(r"```console\n\$ (.*?)\n```", text, re.DOTALL)[1].replace("\\\n", " ")
    command, shown = block.split("\n", 1)

    called = call(*shlex.split(command)[1:])

    assert called.code == 3
    assert (called.out + called.err).rstrip("\n") == shown
