"""Engines turn requests into replies; they know no probes. Importing this loads no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping

PLUGINS = "qwen_bench.engines"
"""Entry points of engines of other packages, ``NAME = "package.module:open_engine"``."""
ENGINES: Mapping[str, str] = {}
"""The same for modules of this package: NAME of SPECs ``NAME:REST`` and what opens the engine."""

# peft imports bitsandbytes where it is installed, which then warns of an optional kernel.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
