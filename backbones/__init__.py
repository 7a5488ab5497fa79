"""Feature extractors. A file dropped into this folder that registers a `Backbone` is available by name everywhere."""

from __future__ import annotations

from typing import Any

from backbones.contract import Backbone, Taps, Tuning
from registry import BACKBONES, RegistryError

__all__ = ["Backbone", "Taps", "Tuning", "build_backbone"]


def build_backbone(name: str, keywords: dict[str, Any]) -> Backbone:
    """Build a registered backbone and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
    """
    backbone = BACKBONES.build(name, **keywords)
    if not isinstance(backbone, Backbone):
        raise RegistryError(f"backbone '{name}' builds a {type(backbone).__name__}; it must be a backbones.Backbone")
    return backbone
