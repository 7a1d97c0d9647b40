"""What a folder of a model holds, told from its files alone: forms, weights, tokenizer.

What cannot be loaded is refused here with its cause, before a library is asked, because libraries
drop, rename or invent what they do not find. Reads names, `config.json` and headers of safetensors;
imports no model library.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qwen_bench.errors import ModelError

MODEL_CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
WHOLE = ("model.safetensors", "model.safetensors.index.json")
"""Names under which transformers finds weights; a whole file comes first."""
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "*.tiktoken",
)
"""A tokenizer has one of these; without, transformers makes one that knows no token."""
TOKENIZER_PARTS = (
    *VOCABULARIES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
SHOWN = 3

_QUANTISED_ELSEWHERE = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")
_FLOAT8 = ("F8_",)
_PACKED = ("F8_", "F4", "F6_", "I8", "U8", "I32", "U32")


class StoredTensor(NamedTuple):
    """A tensor as the header of its file describes it; `dtype` is a word of safetensors."""

    dtype: str
    shape: tuple[int, ...]


class Cause(NamedTuple):
    """What names of tensors tell about how they came about."""

    names: re.Pattern[str]
    why: str
    fix: tuple[str, ...]


UNMERGED = Cause(
    re.compile(
        r"\.(lora_(A|B|E|embedding_A|embedding_B|magnitude_vector)|base_layer"
        r"|original_module|modules_to_save)(\.|$)"
    ),
    "an adapter is in it that was not merged",
    (
        "model.merge_and_unload().save_pretrained(FOLDER) writes a full model",
        "or BASE+ADAPTER with the adapter's own folder",
    ),
)


class Form(NamedTuple):
    """A form of checkpoint that cannot be loaded as it is."""

    why: str
    fix: tuple[str, ...]


# By the name of a file or folder inside, the telling ones first.
_FORMS = (
    (
        r"global_step\d+|zero_pp_rank_.*|.*_model_states\.pt",
        Form(
            "its weights are DeepSpeed shards, one part for each process ({found})",
            ("python {where}/zero_to_fp32.py {where} {where} --safe_serialization",),
        ),
    ),
    (
        r"pytorch_model_fsdp_\d+",
        Form(
            "its weights are FSDP shards, one part for each process ({found})",
            ("accelerate merge-weights {place} OUT",),
        ),
    ),
    (
        r".*\.distcp",
        Form(
            "its weights are FSDP shards, one part for each process ({found})",
            ("accelerate merge-weights {where} OUT",),
        ),
    ),
    (
        r"mp_rank_\d+.*|iter_\d+|latest_checkpointed_iteration\.txt",
        Form(
            "its weights are Megatron shards ({found})",
            ("the converter of your trainer writes the form of transformers",),
        ),
    ),
    (
        r"consolidated.*\.(pth|safetensors)",
        Form(
            "{found} is in the form of the model's authors, not of transformers",
            ("take the form for transformers, or transformers' convert_*_weights_to_hf.py",),
        ),
    ),
    (
        r".*\.gguf",
        Form(
            "{found} is a file for llama.cpp",
            (
                "--model {place} reads it where transformers knows its architecture",
                "llama-server -m {place} serves it: --model openai:NAME --base-url URL",
            ),
        ),
    ),
    (
        r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)",
        Form(
            "{found} is one of several files, and their index is not there",
            (f"copy {WHOLE[1]} or {PICKLED[1]} beside it",),
        ),
    ),
    (
        rf".*/{ADAPTER_CONFIG}",
        Form("it holds an adapter in a folder of its own: {found}", ("--model {place}",)),
    ),
    (
        r"(training_args|optimizer|scheduler|scaler)\.(bin|pt)|rng_state.*|trainer_state\.json",
        Form(
            "it holds the state of a training without its weights ({found})",
            ("trainer.save_model(FOLDER) writes them",),
        ),
    ),
    (
        r".*\.(pt|pth|ckpt|h5|msgpack|onnx|bin|safetensors)",
        Form(
            "{found} is not a name under which transformers finds weights",
            ("model.save_pretrained(FOLDER) writes safetensors",),
        ),
    ),
)


def holds_full_model(folder: Path) -> bool:
    """Whether a folder has a configuration and weights that transformers would find."""
    return (folder / MODEL_CONFIG).is_file() and any(
        (folder / name).is_file() for name in (*WHOLE, *PICKLED)
    )


def read_config(label: str, folder: Path, name: str = MODEL_CONFIG) -> dict[str, Any]:
    """A JSON object out of a model's folder.

    Raises:
        ModelError: the file is not one.
    """
    try:
        config = json.loads((folder / name).read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{label}: {name} cannot be read", why=str(error.strerror)) from error
    except ValueError as error:
        raise ModelError(
            f"{label}: {name} is not valid JSON", why=str(error), fix="copy it from the base model"
        ) from error
    if not isinstance(config, dict):
        raise ModelError(f"{label}: {name} is not a JSON object", fix="copy it from the base model")
    return config


def check_weights(label: str, folder: Path, *, allow_pickle: bool) -> None:
    """Refuse a folder whose weights are missing, pickled without leave, or cannot be right.

    Args:
        label: what the model is called in errors.
        folder: of a full model.
        allow_pickle: whether the user trusts pickled weights.

    Raises:
        ModelError: see above; names the files or tensors.
    """
    config = read_config(label, folder) if (folder / MODEL_CONFIG).is_file() else {}
    if any((folder / name).is_file() for name in WHOLE):
        check_shards(label, folder, WHOLE)
        tensors = stored_tensors(folder)
        check_merged(label, tensors)
        check_stored(label, tensors, config, folder)
        return
    if not any((folder / name).is_file() for name in PICKLED):
        form = unusable_form(folder, str(folder))
        raise ModelError(
            f"{label} holds no weights ({' or '.join((WHOLE[0], PICKLED[0]))})",
            why=form.why if form else (),
            fix=form.fix if form else (),
        )
    if not allow_pickle:
        raise ModelError(
            f"the weights of {label} are pickled (*.bin)",
            why="loading a pickle can run code hidden in it",
            fix="convert them to safetensors, or pass --allow-pickle if you trust the source",
        )
    check_shards(label, folder, PICKLED)


def check_shards(label: str, folder: Path, names: tuple[str, str]) -> None:
    """Refuse an index whose shards are not all there.

    Args:
        label: what the model is called in errors.
        folder: of the model.
        names: of the whole file, which makes an index superfluous, and of the index.

    Raises:
        ModelError: names what is missing.
    """
    whole, index = names
    if (folder / whole).is_file() or not (folder / index).is_file():
        return
    shards = read_config(label, folder, index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ModelError(f"{label}: {index} has no weight_map", fix="save or download it again")
    wanted = sorted(set(shards.values()))
    absent = [name for name in wanted if not (folder / name).is_file()]
    if absent:
        raise ModelError(
            f"{label}: {len(absent)} of {len(wanted)} files of weights are not there; "
            f"first: {absent[0]}",
            why=f"{index} names them",
            fix="copy or download the model again",
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that would be loaded: one whole file, else those that an index names."""
    whole, index = WHOLE
    if (folder / whole).is_file():
        return [folder / whole]
    names = read_config(folder.name, folder, index)["weight_map"].values()
    return [folder / name for name in sorted(set(names))]


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Tensors by name, from the headers of the safetensors that would be loaded.

    A file that cannot be read is left out; loading it tells what is wrong.
    """
    found: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            try:
                header = json.loads(stream.read(min(length, 100 << 20)))
                found |= {
                    name: StoredTensor(str(item["dtype"]), tuple(item["shape"]))
                    for name, item in header.items()
                    if name != "__metadata__"
                }
            except (ValueError, AttributeError, KeyError, TypeError):
                continue
    return found


def check_merged(label: str, names: Iterable[str]) -> None:
    """Refuse a full model that still holds the tensors of an adapter, which would be dropped.

    Raises:
        ModelError: counts the tensors and names the first.
    """
    found = sorted(name for name in names if UNMERGED.names.search(name))
    if found:
        raise ModelError(f"{label}: {foreign(found)}", why=UNMERGED.why, fix=UNMERGED.fix)


def check_stored(
    label: str, tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], folder: Path
) -> None:
    """Refuse weights that libraries load without a word although they cannot be right.

    Those are tensors of size 0, and packed or 8-bit numbers that nothing says how to scale.

    Raises:
        ModelError: counts the tensors and names the first.
    """
    weights = {name: item for name, item in tensors.items() if name.endswith((".weight", ".bias"))}
    empty = [name for name, item in weights.items() if 0 in item.shape]
    if empty:
        raise ModelError(
            f"{label}: {len(empty)} of {len(tensors)} tensors have size 0; first: {listed(empty)}",
            why="DeepSpeed ZeRO-3 leaves such files when each process saves only its own part",
            fix=(
                "zero_to_fp32.py in the checkpoint folder writes whole weights",
                "or train with stage3_gather_16bit_weights_on_model_save",
            ),
        )
    said = isinstance(config.get("quantization_config"), dict) or any(
        (folder / name).is_file() for name in _QUANTISED_ELSEWHERE
    )
    packed = [name for name, item in weights.items() if item.dtype.startswith(_PACKED)]
    if packed and not said:
        raise ModelError(
            f"{label}: {len(packed)} weights are quantised numbers "
            f"({weights[packed[0]].dtype}); first: {listed(packed)}",
            why="config.json has no quantization_config, so they would be used without their scale",
            fix="copy quantization_config from the config.json of the original",
        )
    scaled = {
        name.rpartition(".")[0] for name in tensors if "scale" in name.rpartition(".")[2].lower()
    }
    bare = [
        name
        for name in packed
        if weights[name].dtype.startswith(_FLOAT8) and name.rpartition(".")[0] not in scaled
    ]
    if bare:
        raise ModelError(
            f"{label}: {len(bare)} weights of 8-bit floats have no scale; first: {listed(bare)}",
            why="they would be used as they stand, hundreds of times too large",
            fix="save or download the model again, with its scales",
        )


def check_tokenizer_files(label: str, folder: Path) -> None:
    """Refuse a folder without a tokenizer, for which transformers makes one that knows no token.

    Raises:
        ModelError: says where one is, if in the folder above.
    """
    if has_tokenizer(folder):
        return
    above = folder.absolute().parent
    if has_tokenizer(above):
        names = [path.name for part in TOKENIZER_PARTS for path in sorted(above.glob(part))]
        source = f"{shlex.quote(str(above))}/{{{','.join(names)}}}" if len(names) > 1 else names[0]
        raise ModelError(
            f"{label} holds no tokenizer; there is one in the folder above",
            fix=f"cp {source} {shlex.quote(str(folder))}",
        )
    raise ModelError(
        f"{label} holds no tokenizer (tokenizer.json or {VOCABULARIES[1]})",
        fix="copy the tokenizer files of the model it was made from into the folder",
    )


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds the vocabulary of a tokenizer."""
    return any(True for part in VOCABULARIES for _ in folder.glob(part))


def foreign(names: Sequence[str]) -> str:
    """Tensors that a model does not have, counted and named."""
    return f"{len(names)} tensors in the files are not of this model; first: {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """The first few names, in order."""
    ordered = sorted(names)
    return ", ".join(ordered[:SHOWN]) + (", ..." if len(ordered) > SHOWN else "")


def unusable_form(folder: Path, shown: str) -> Form | None:
    """What a folder holds instead of weights that can be loaded, and what makes a model of it.

    Args:
        folder: without weights, or without a configuration.
        shown: how the user wrote it.
    """
    where = shown.rstrip("/")
    names = sorted(
        [path.name for path in folder.iterdir()]
        + [f"{path.parent.name}/{ADAPTER_CONFIG}" for path in folder.glob(f"*/{ADAPTER_CONFIG}")]
    )
    for pattern, form in _FORMS:
        found = next((name for name in names if re.fullmatch(pattern, name)), None)
        if found is not None:
            place = f"{where}/{found.partition('/')[0]}"
            words = {"found": found, "where": where, "place": place}
            return Form(form.why.format(**words), tuple(fix.format(**words) for fix in form.fix))
    return None
