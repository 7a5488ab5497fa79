"""Dual encoders: images and sentences into one space. A file in this folder that registers a `DualEncoder` is available by
name everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.dual_encoders.contract import DualEncoder
from registry import DUAL_ENCODERS

__all__ = ["DualEncoder", "build_dual_encoder"]


def build_dual_encoder(name: str, keywords: Mapping[str, Any]) -> DualEncoder:
    """Build a registered tower and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    return DUAL_ENCODERS.build_as(DualEncoder, name, keywords)
