"""Prompt lengths in tokens, in bins that double: a logarithmic axis for accuracy over tokens.

A bin is named by the most tokens in it, a power of two, so that edges are the sizes of context
windows. Tokens are those of the model's own tokenizer; two models may have one question in
different bins.
"""

from __future__ import annotations

SHORTEST = 256
"""Shorter prompts share a bin: below it a doubling is a turn or two."""

_K = 1024


def token_bin(tokens: int) -> int:
    """Most tokens of the bin of a prompt.

    >>> token_bin(90), token_bin(1024), token_bin(1025), token_bin(129_000)
    (256, 1024, 2048, 131072)
    """
    return max(SHORTEST, 1 << (tokens - 1).bit_length())


def token_bin_name(most: int) -> str:
    """A bin in words; k is 1,024, as in the sizes of context windows.

    >>> token_bin_name(256), token_bin_name(1024), token_bin_name(131072)
    ('up to 256', '512 to 1k', '64k to 128k')
    """
    return f"up to {most}" if most == SHORTEST else f"{_size(most // 2)} to {_size(most)}"


def _size(tokens: int) -> str:
    return f"{tokens // _K}k" if tokens >= _K else str(tokens)
