"""Aggregators over feature differences. A file dropped into this folder that registers a `Head` is available by name."""

from __future__ import annotations

from typing import Any

from heads.contract import BackboneShape, Head, LinearForm, MapHead
from registry import HEADS

__all__ = ["Head", "LinearForm", "MapHead", "build_head"]


def build_head(name: str, backbone: BackboneShape, keywords: dict[str, Any]) -> Head:
    """Build a registered head for a backbone and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
    """
    return HEADS.build_as(Head, name, keywords, backbone)
