"""Whether a full model was loaded as its files have it.

transformers drops tensors that a model does not expect and draws those it does not find, both with
a notice at most. Knows names and sizes of tensors, and what trainers leave in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from qwen_bench.engines.checkpoint_files import UNMERGED, Cause, foreign, listed
from qwen_bench.errors import ModelError

# Parts that text is computed without: other senses, heads of other trainings, drafts of later
# tokens, and buffers of old versions.
_BESIDE = re.compile(
    r"(^|\.)(visual|vision_tower|vision_model|vision_embed_tokens|multi_modal_projector|mm_projector"
    r"|audio_tower|talker|token2wav|code2wav|mtp|mtp_block|v_head|value_head|score)(\.|$)"
    r"|(^|\.)(rotary_emb\.inv_freq|attn\.(masked_)?bias|attention\.(masked_)?bias|position_ids)$"
)
# Scales of activations and of the cache, which are not those of weights.
_ACTIVATIONS = re.compile(r"\.(k_scale|v_scale|q_scale|kv_scale|input_scale|activation_scale)$")


_CAUSES = (
    UNMERGED,
    Cause(
        re.compile(
            r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
            r"|^(module|base_model\.model|pretrained_model)\."
        ),
        "names begin as in the wrapper (torch.compile, DDP, FSDP, peft, trl) it was trained in",
        (
            "accelerator.unwrap_model(model).save_pretrained(FOLDER) writes the model alone",
            "or take the prefix off the names of the tensors",
        ),
    ),
    Cause(
        re.compile(
            r"\.(weight_scale(_inv|_2)?|weight_packed|weight_shape|weight_zero_point|qweight|qzeros"
            r"|scales|g_idx|absmax|quant_map|nested_absmax|nested_quant_map|SCB|weight_format|_data"
            r"|_scale|quant_state\.\w+)$"
        ),
        "the weights are quantised in a way that config.json does not tell",
        ("copy quantization_config from the config.json of the original",),
    ),
)


def check_loaded_weights(
    label: str,
    model: Any,  # noqa: ANN401 - a transformers model
    info: Mapping[str, Any],
) -> tuple[str, ...]:
    """Refuse a model in which a tensor was dropped, drawn at random or has another size.

    Args:
        label: what the model is called in errors.
        model: as loaded.
        info: loading information of transformers; what it declares to be ignorable is not in it.

    Returns:
        Lines for the user about tensors that text is computed without.

    Raises:
        ModelError: counts the tensors, names the first, and says where they come from.
    """
    missing = sorted(info["missing_keys"])
    unexpected = sorted(info["unexpected_keys"])
    quantised = getattr(model, "hf_quantizer", None) is not None
    beside = [
        name
        for name in unexpected
        if _BESIDE.search(name) or (quantised and _ACTIVATIONS.search(name))
    ]
    unexpected = [name for name in unexpected if name not in set(beside)]
    sizes = {name: (tuple(found), tuple(wanted)) for name, found, wanted in info["mismatched_keys"]}
    faults = []
    if sizes:
        first = min(sizes)
        faults.append(
            f"{len(sizes)} tensors have another size than the model; first: {first} "
            f"{list(sizes[first][0])}, wanted {list(sizes[first][1])}"
        )
    if unexpected:
        faults.append(foreign(unexpected))
    if missing:
        faults.append(f"{len(missing)} weights are not in the files; first: {listed(missing)}")
    if not faults:
        return _left_out(beside)
    cause = _cause(unexpected)
    why = [*faults[1:], cause.why] if cause else [*faults[1:], *_plain_cause(missing, unexpected)]
    fix = cause.fix if cause else ("save or download the model again, with its own config.json",)
    raise ModelError(f"{label}: {faults[0]}", why=why, fix=fix)


def check_finite_weights(label: str, model: Any) -> None:  # noqa: ANN401 - a transformers model
    """Refuse NaN and infinity; reads every weight once.

    Raises:
        ModelError: names the first tensor.
    """
    for name, tensor in model.named_parameters():
        if tensor.numel() == 0 or not _is_number(tensor.dtype):
            continue
        if not all(bool(torch.isfinite(end)) for end in torch.aminmax(tensor)):
            raise ModelError(
                f"{label} is not finite: {name} holds NaN or infinity",
                why="training diverged, or the numbers are too large for this number format",
                fix=("an earlier checkpoint", "--dtype float32 or bfloat16 holds larger numbers"),
            )


def check_packed(label: str, model: torch.nn.Module) -> None:
    """Refuse plain weights where bitsandbytes was promised packed ones; it fails at the first use.

    Raises:
        ModelError: counts the layers and names the first.
    """
    state = {"Linear4bit": "quant_state", "Linear8bitLt": "SCB"}
    plain = [
        name
        for name, module in model.named_modules()
        if (key := state.get(type(module).__name__)) and getattr(module.weight, key, None) is None
    ]
    if plain:
        raise ModelError(
            f"{label}: {len(plain)} layers are not quantised, as config.json says they are; "
            f"first: {plain[0]}",
            why="the model was saved whole with the configuration of a quantised one",
            fix="take quantization_config out of its config.json",
        )


def head_notice(label: str, model: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    """A line where the configuration ties the output to the embeddings and the files do not."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    tied = getattr(model.config.get_text_config(decoder=True), "tie_word_embeddings", False)
    own = getattr(head, "weight", None)
    if not tied or own is None or own is embeddings.weight:
        return ()
    line = "has an lm_head that differs from its embeddings, although its config.json ties them"
    return (f"{label} {line}; the one in the files is used",)


def check_vocabulary(
    label: str,
    model: Any,  # noqa: ANN401 - as above
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
) -> None:
    """Refuse a tokenizer that has tokens without an embedding; embeddings may be padded.

    A padding token alone may lie outside, as it is never computed.

    Raises:
        ModelError: says both sizes.
    """
    rows = _rows(model)
    vocabulary = tokenizer.get_vocab()
    outside = sorted(
        (number, token)
        for token, number in vocabulary.items()
        if rows is not None and number >= rows and token != tokenizer.pad_token
    )
    if outside:
        raise ModelError(
            f"{label}: its tokenizer has {max(vocabulary.values()) + 1} tokens, its embeddings "
            f"{rows}; first outside: {outside[0][1]}",
            why="tokens were added and the model was not resized, or the tokenizer is another's",
            fix=(
                "the tokenizer it was trained with",
                "or model.resize_token_embeddings(len(tokenizer)) before training",
            ),
        )


def _rows(model: Any) -> int | None:  # noqa: ANN401 - as above
    """Tokens that have an embedding; None where that cannot be told."""
    weight = getattr(model.get_input_embeddings(), "weight", None)
    if weight is not None and weight.ndim == 2:
        return int(weight.shape[0])
    return None


def _is_number(dtype: torch.dtype) -> bool:
    return dtype in {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def _left_out(names: Iterable[str]) -> tuple[str, ...]:
    names = list(names)
    if not names:
        return ()
    return (
        f"{len(names)} tensors that text is computed without were left out; first: {listed(names)}",
    )


def _cause(names: Iterable[str]) -> Cause | None:
    """The first cause that a name speaks of."""
    return next(
        (cause for cause in _CAUSES if any(cause.names.search(name) for name in names)), None
    )


def _plain_cause(missing: list[str], unexpected: list[str]) -> list[str]:
    """What is true of any such file."""
    why = []
    if missing:
        why.append("they would be random numbers")
    if unexpected:
        why.append("they would be dropped without a word")
    return why
