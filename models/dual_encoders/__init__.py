"""Image-text towers: pictures and sentences into one space. A file dropped into this folder that registers a `Tower` is available
by name everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.dual_encoders.contract import Tower
from registry import TOWERS

__all__ = ["Tower", "build_tower"]


def build_tower(name: str, keywords: Mapping[str, Any]) -> Tower:
    """Build a registered tower and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    return TOWERS.build_as(Tower, name, keywords)
