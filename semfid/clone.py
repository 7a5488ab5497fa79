"""What the clone of the repository adds to this package.

The wheel holds this package alone. In the clone, the other commands and run folders are there too: their modules are named
here, and nowhere else in this package, and are imported on demand.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Literal

from semfid.errors import UserError

ROOT = Path(__file__).resolve().parent.parent

MODULES = {
    "commands": "engine.commands.dispatch",
    "run folders": "lightning_modules.scorer",
    "plugins": "engine.plugins",
}


def in_clone() -> bool:
    """Whether the repository is around this package: `registry` and `heads` beside it may be another project's."""
    try:
        return 'name = "semfid"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return False


def clone_module(what: Literal["commands", "run folders", "plugins"], subject: str) -> ModuleType:
    """Import a module of the clone.

    Args:
        subject: what needs it, for the message.

    Raises:
        UserError: this is the wheel, or a library of the clone's environment is missing.
    """
    if not in_clone():
        raise UserError(f"{subject} needs the clone of the repository; clone it and run `make quickstart`")
    return environment_module(MODULES[what], subject)


def environment_module(name: str, subject: str) -> ModuleType:
    """Import a module by its name.

    Args:
        subject: what needs it, for the message.

    Raises:
        UserError: a library of the clone's environment is missing.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{subject} needs the clone's environment (no module '{error.name}'); run `make quickstart`"
        ) from error
