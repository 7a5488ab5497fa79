"""Feature extractors. A file dropped into this folder that registers a `Backbone` is available by name everywhere."""

from __future__ import annotations

from typing import Any

from backbones.contract import Backbone, Taps, Tuning
from registry import BACKBONES

__all__ = ["Backbone", "Taps", "Tuning", "build_backbone"]


def build_backbone(name: str, keywords: dict[str, Any]) -> Backbone:
    """Build a registered backbone and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
    """
    return BACKBONES.build_as(Backbone, name, keywords)
