"""The place until 0.1 of what plugin authors import; taken for one version. Today: `engine.plugins`."""

from __future__ import annotations

from typing import Any

from semfid.clone import clone_module
from semfid.errors import deprecated


def __getattr__(name: str) -> Any:
    """Hand on a name of `engine.plugins`."""
    if name.startswith("__"):
        raise AttributeError(name)
    deprecated("the module semfid.plugins is now engine.plugins")
    return getattr(clone_module("plugins", "semfid.plugins"), name)
