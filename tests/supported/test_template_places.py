"""A chat template is found wherever transformers 4 and 5 keep one."""

import json

import pytest
from transformers import AutoTokenizer

from qwen_bench.chat.rendering import CHATML
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_prompter
from qwen_bench.errors import TemplateError
from qwen_bench.testing import tiny_checkpoint, tiny_tokenizer

TITLE = "Places of a chat template"
INTRODUCTION = """\
The template of an adapter folder wins over that of its base, as its trainer wrote it last.
Compared with what transformers reads from the same folder."""
CORNER = "place"

OWN = CHATML.replace("<|im_end|>", "<|im_end|> ")
READ = "read"
DEFAULT_OF_SEVERAL = "the one named default"
PLACES = {
    "`chat_template.jinja`": (READ, {"chat_template.jinja": OWN}),
    "`chat_template.jinja` and `additional_chat_templates/`": (
        DEFAULT_OF_SEVERAL,
        {"chat_template.jinja": OWN, "additional_chat_templates/tool_use.jinja": CHATML},
    ),
    "`tokenizer_config.json`, a text": (READ, {"tokenizer_config.json": OWN}),
    "`tokenizer_config.json`, a list": (
        DEFAULT_OF_SEVERAL,
        {
            "tokenizer_config.json": [
                {"name": "tool_use", "template": CHATML},
                {"name": "default", "template": OWN},
            ]
        },
    ),
    "`tokenizer_config.json`, a list of one": (
        READ,
        {"tokenizer_config.json": [{"name": "default", "template": OWN}]},
    ),
    "`chat_template.jinja` beside another in `tokenizer_config.json`": (
        "the file of its own",
        {"chat_template.jinja": OWN, "tokenizer_config.json": CHATML},
    ),
    "`chat_template.json` of a processor": (READ, {"chat_template.json": OWN}),
    "several, none named default": (
        "refused, naming them",
        {
            "tokenizer_config.json": [
                {"name": "chat", "template": OWN},
                {"name": "tool_use", "template": CHATML},
            ]
        },
    ),
    "none, in an adapter folder": ("that of the base", {}),
}
CELLS = [
    (place, owner, says, files)
    for place, (says, files) in PLACES.items()
    for owner in ("adapter folder", "model folder")
    if files or owner == "adapter folder"
]


@pytest.fixture
def owner_of(tmp_path):
    """A model or adapter folder with some template files; gives it and its base."""
    base = tiny_checkpoint(tmp_path / "base", "qwen2")

    def make(owner, files):
        folder = base if owner == "model folder" else tmp_path / "adapter"
        folder.mkdir(exist_ok=True)
        if owner == "adapter folder":
            config = {"peft_type": "LORA", "base_model_name_or_path": str(base)}
            (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
            if files:
                tiny_tokenizer().save_pretrained(folder)
        if files:
            (folder / "chat_template.jinja").unlink(missing_ok=True)
            (folder / "additional_chat_templates").mkdir(exist_ok=True)
        for name, text in files.items():
            if name.endswith(".jinja"):
                (folder / name).write_text(text, "utf-8")
                continue
            file = folder / name
            known = json.loads(file.read_text("utf-8")) if file.exists() else {}
            file.write_text(json.dumps(known | {"chat_template": text}), "utf-8")
        return folder, base

    return make


@pytest.mark.parametrize(
    ("place", "owner", "says", "files"),
    [pytest.param(*cell, id=f"{cell[0]}, {cell[1]}") for cell in CELLS],
)
def test_the_template_is_the_one_that_transformers_reads(place, owner, says, files, owner_of):
    folder, base = owner_of(owner, files)
    spec = parse_spec(str(folder))

    if says.startswith("refused"):
        with pytest.raises(TemplateError, match=r"several chat templates .* chat, tool_use"):
            open_prompter(spec, EngineOptions())
        return
    found = open_prompter(spec, EngineOptions()).settings.template.text

    if place.startswith("`chat_template.json` of a processor"):
        # transformers gives it to the processor alone.
        assert found == OWN
        return
    read = AutoTokenizer.from_pretrained(folder if files else base).chat_template
    assert found == (read["default"] if isinstance(read, dict) else read)
    assert (found == OWN) == bool(files)
