"""What a user may choose about engines. Values only; no model library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qwen_bench.chat.policy import FULL, Policy
from qwen_bench.chat.rendering import Thinking

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
FingerprintMethod = Literal["full", "fast"]
EngineName = Literal["auto", "hf", "vllm"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options of all engines of one command.

    Attributes:
        device: ``auto`` takes cuda, then mps, then cpu; ``cuda:1`` names one of several.
        dtype: ``auto`` is float32 on a CPU and 16 bit where the device is made for it.
        chat_template: None for the model's own, ``chatml``, or a file.
        system: ``default``, ``none``, or the text itself.
        thinking: passed to the template only when it is not ``auto``.
        policy: which turns of a history are sent; applied before rendering.
        offline: no network; Hub models come from the local cache.
        trust_remote_code: run code from the model folder.
        allow_pickle: load weights stored as ``*.bin``.
        fingerprint: hash all bytes of local weights, or samples of them.
        engine: what computes models that are not behind a server; ``auto`` is hf.
        replicas: engines that answer side by side on Ray; 1 for none of it.
        ray_address: cluster to use; None starts Ray on this machine when replicas need it.
        base_url: address of an OpenAI-compatible server, ``.../v1``.
        concurrency: requests sent to a server at one time.
        batch_size: most sequences computed together by hf; None decides by memory.
        model_args: further settings of one engine, by name; see `engines.arguments`.
    """

    device: str = "auto"
    dtype: Dtype = "auto"
    chat_template: str | None = None
    system: str = "default"
    thinking: Thinking = "auto"
    policy: Policy = FULL
    offline: bool = False
    trust_remote_code: bool = False
    allow_pickle: bool = False
    fingerprint: FingerprintMethod = "full"
    engine: EngineName = "auto"
    replicas: int = 1
    ray_address: str | None = None
    base_url: str | None = None
    concurrency: int = 8
    batch_size: int | None = None
    model_args: Mapping[str, str | int | float | bool] = field(default_factory=dict)
