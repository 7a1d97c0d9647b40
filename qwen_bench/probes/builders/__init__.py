"""The logic of each family, as small pure functions; task.yaml names the module.

Each module here has a `BUILDER`. A family of a user names its own as ``module:ATTRIBUTE``.
"""

from __future__ import annotations

import importlib
import pkgutil

from qwen_bench.errors import InputError, near
from qwen_bench.probes.instance import Builder


def find_builder(name: str) -> Builder:
    """The builder that task.yaml names.

    Args:
        name: a module of this package, ``update:QUESTIONS`` for another attribute of it, or
            ``package.module:ATTRIBUTE`` of any importable module.

    Raises:
        InputError: there is none, or it is no `Builder`.
    """
    module_name, _, attribute = name.partition(":")
    known = [found.name for found in pkgutil.iter_modules(__path__)]
    path = f"{__name__}.{module_name}" if module_name in known else module_name
    if module_name not in known and not attribute:
        raise InputError(f"no builder '{name}'; {near(name, known)}")
    try:
        builder = getattr(importlib.import_module(path), attribute or "BUILDER")
    except (ImportError, AttributeError) as error:
        raise InputError(f"no builder '{name}': {error}") from error
    if not isinstance(builder, Builder):
        raise InputError(f"'{name}' is no Builder but {type(builder).__name__}")
    return builder
