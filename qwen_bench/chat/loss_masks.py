"""Keys by which trainers say what is learned: those that are read, and those that cannot be.

`loss` is that of ms-swift and ours, `weight` of OpenAI, `train` and `training` of axolotl,
`loss_weight` of LLaMA-Factory, `loss_scale` of ms-swift, `masked` of torchtune. A key that would
change what is learned and cannot be honoured is an error, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from qwen_bench.chat.json_objects import Fault

TRAINS = ("loss", "loss_scale", "loss_weight", "train", "training", "weight")
"""Keys whose 1 or true means learned."""
MASKS = ("mask", "masked")
"""Keys whose 1 or true means not learned."""
SWITCHES = frozenset({*TRAINS, *MASKS})
_OLD = "this is the old form of tools"
_MEDIA = "only text is read"
_PREFERENCE = "this is data of preferences, from which this recipe cannot learn"
_TOKENS = "labels of tokens are not read; mask whole messages"
_PARTS = "parts of an answer cannot be masked; mask whole messages"
_RECORD_REFUSED: Mapping[str, str] = {
    "functions": _OLD,
    "images": _MEDIA,
    "videos": _MEDIA,
    "audios": _MEDIA,
    "objects": _MEDIA,
    "chosen": _PREFERENCE,
    "rejected": _PREFERENCE,
    "rejected_response": _PREFERENCE,
    "rejected_messages": _PREFERENCE,
    "labels": _TOKENS,
    "assistant_masks": _TOKENS,
    "completion_mask": _TOKENS,
}
_MESSAGE_REFUSED: Mapping[str, str] = {
    "function_call": _OLD,
    "train_detail": _PARTS,
    "training_detail": _PARTS,
    "reasoning_training_detail": _PARTS,
}
# What these keys ask for where they do not say false.
_ASKING: Mapping[str, str] = {
    "mask_history": "the last answer alone is learned only where the others are masked",
    "train_on_inputs": "only answers are learned",
    "train_on_prompt": "only answers are learned",
}

SETTINGS = frozenset(_ASKING)
"""Keys of a conversation that may only say false."""


def check_record_keys(content: Mapping[str, object], fault: Fault) -> None:
    """Refuse keys of a conversation that cannot be honoured.

    Args:
        content: keys that hold something.
        fault: makes the error.

    Raises:
        DataError: there is one.
    """
    _refuse(content, _RECORD_REFUSED, "", fault)
    for key, why in _ASKING.items():
        if key in content and content[key] is not False:
            what = f"{key}: cannot be honoured, {why}"
            raise fault(what, fix=f"remove {key}", kind="unsupported")
    if content.get("label") is False:
        raise fault(
            f"label: false, {_PREFERENCE}",
            fix="remove the conversation, or the key label",
            kind="unsupported",
        )


def check_message_keys(place: str, message: Mapping[str, object], fault: Fault) -> None:
    """Refuse keys of a message that cannot be honoured; as `check_record_keys`."""
    _refuse(message, _MESSAGE_REFUSED, f"{place}.", fault)


def is_learned(place: str, keys: Mapping[str, object], fault: Fault) -> bool | None:
    """What the masks of a message, a part of one, or a conversation say; None where none is.

    Args:
        place: of the keys in the line, for messages; empty for the conversation itself.
        keys: those that hold something.
        fault: makes the error.

    Raises:
        DataError: a mask is neither 0 nor 1, or two of them disagree.
    """
    if SWITCHES.isdisjoint(keys):
        return None
    said: dict[str, bool] = {}
    inside = f"{place}." if place else ""
    for key in sorted(SWITCHES & keys.keys()):
        value = keys[key]
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            shown = json.dumps(value)
            shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
            raise fault(
                f"{inside}{key}: {shown} cannot be honoured, an answer is learned or it is not",
                fix="1 or true, 0 or false; or remove the key",
                kind="mask",
            )
        said[key] = bool(value) is (key in TRAINS)
    if len(set(said.values())) > 1:
        pairs = ", ".join(f"{key} {json.dumps(keys[key])}" for key in said)
        what = f"{place or 'masks'}: {pairs} contradict each other"
        raise fault(what, fix="keep one of them", kind="mask")
    return next(iter(said.values()), None)


def _refuse(
    content: Mapping[str, object], refused: Mapping[str, str], inside: str, fault: Fault
) -> None:
    if content.keys().isdisjoint(refused):
        return
    for key, why in refused.items():
        if key in content:
            fix = "qwen-bench data convert FILE -o OUT.jsonl" if why == _OLD else f"remove {key}"
            raise fault(f"{inside}{key}: not supported, {why}", fix=fix, kind="unsupported")
