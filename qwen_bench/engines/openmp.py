"""How idle threads of model libraries wait for work.

By default they spin for a while. Where two processes share the cores, or one has more threads than
cores, threads that spin keep those from running that have work.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

POLICY = "OMP_WAIT_POLICY"
# GNU's OpenMP (torch for Linux), LLVM's and Intel's (torch for macOS, MKL) all read the policy; the
# other two set the same more finely, so whoever set one has chosen.
_CHOSEN = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have idle threads sleep unless the user chose how they wait.

    Read when torch is imported, so this comes before; processes started later inherit it.

    Args:
        environment: of the process.
    """
    if not any(name in environment for name in _CHOSEN):
        environment[POLICY] = "PASSIVE"
