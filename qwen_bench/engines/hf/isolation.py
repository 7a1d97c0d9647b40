"""Whether weights that several models share stay as they were, and what each of them computes.

A model that leaks into its neighbours moves their figures without a word, so nothing is assumed of
what PEFT, or an adapter, does to the base: fixed prompts must give the same logits, bit for bit,
before any adapter is attached, beside it, and after it answered; and when all are attached no
weight of the base may have changed, which a prompt that does not touch it would not show.

Knows a loaded model and its adapters by name; nothing of files or requests.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qwen_bench.engines.loading import LoadedBase
from qwen_bench.errors import EngineError

PROMPTS, LENGTH = 1, 6
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def check_prompts(vocabulary: int, also: Sequence[int] = ()) -> torch.Tensor:
    """Token ids spread over the vocabulary, the same for every model of its size.

    Args:
        vocabulary: number of tokens.
        also: tokens that must occur.

    Returns:
        (`PROMPTS`, `LENGTH`) ids; longer where `also` asks for it.
    """
    spread = torch.linspace(0, vocabulary - 1, PROMPTS * LENGTH).long()
    rows = spread.reshape(LENGTH, PROMPTS).T
    extra = torch.tensor(list(also), dtype=torch.long).repeat(PROMPTS, 1)
    return torch.cat([extra, rows], dim=1)


def logits_of(base: LoadedBase, adapter: str | None, prompts: torch.Tensor) -> torch.Tensor:
    """Logits after fixed prompts, computed as transformers does.

    Args:
        base: the model.
        adapter: PEFT name; None is the base alone.
        prompts: (rows, time) ids.

    Returns:
        (rows, vocabulary) on the CPU.
    """
    with torch.inference_mode(), base.weights(adapter):
        return last_logits(base.model, prompts.to(base.device))


def last_logits(model: torch.nn.Module, prompts: torch.Tensor) -> torch.Tensor:
    """Logits of a model, or of PEFT's wrapper around it, after prompts on its device."""
    output = model(
        input_ids=prompts,
        attention_mask=torch.ones_like(prompts),
        use_cache=False,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits.cpu()


class Isolation:
    """The watch over one base.

    Args:
        base: before any adapter is attached.
    """

    def __init__(self, base: LoadedBase) -> None:
        self._base = base
        self._prompts = check_prompts(int(base.config.vocab_size))
        first = self._logits(None)
        # Zero, unless the device adds up in another order each time.
        self._noise = float((self._logits(None) - first).abs().max())
        self._expected: dict[str | None, torch.Tensor] = {None: first}
        # Taken afterwards, because quantised layers may pack their weights anew at first use.
        self._weights = [*base.model.parameters(), *base.model.buffers()]
        self._sums = list(map(bits_sum, self._weights))

    def includes(self, name: str) -> bool:
        """Take in an adapter that was just attached; whether the base is as it was.

        It computes first, so that what it writes then is seen too.
        """
        self._expected[name] = self._logits(name)
        return self.unchanged(None)

    def leaves_weights(self) -> bool:
        """Whether every weight and every adapter is as it was when it came."""
        return self._sums == list(map(bits_sum, self._weights)) and all(
            map(self.unchanged, self._expected)
        )

    def unchanged(self, name: str | None) -> bool:
        """Whether an adapter, or the base for None, computes what it did, bit for bit."""
        found, expected = self._logits(name), self._expected[name]
        if not self._noise > 0:
            return same_bits(found, expected)
        return float((found - expected).abs().max()) <= 4 * self._noise

    def check(self, name: str | None) -> None:
        """Refuse to go on when a model is not as it was.

        Args:
            name: of the adapter; None is the base.

        Raises:
            EngineError: it computes something else than at first.
        """
        if self.unchanged(name):
            return
        base = self._base
        who = {item.name: f"the adapter {item.shown}" for item in base.adapters.values()}
        raise EngineError(
            f"{who.get(str(name), base.source.resolved)} no longer computes what it did at first, "
            "so answers from then on mean nothing",
            why=(
                "an adapter wrote into weights that it shares while it answered; beside it were "
                + ", ".join(item.shown for item in base.adapters.values())
            ),
            fix=(
                "ask each adapter in a run of its own, and remove the run folders of this command",
                "or merge it (merge_and_unload) and give the result as a model",
            ),
        )

    def _logits(self, name: str | None) -> torch.Tensor:
        return logits_of(self._base, name, self._prompts)


def same_bits(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two tensors of one type hold the same bits; NaN equals itself."""
    whole = _INTEGERS[one.element_size()]
    return torch.equal(one.contiguous().view(whole), two.contiguous().view(whole))


def bits_sum(tensor: torch.Tensor) -> int:
    """Sum of a tensor's bits, read as integers: cheap, and changed by almost any write."""
    if tensor.is_meta or not tensor.numel():
        return 0
    flat = tensor.detach().contiguous().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    return int(flat.view(_INTEGERS[flat.element_size()]).sum(dtype=torch.int64))
