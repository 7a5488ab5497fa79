"""Pictures to sentences. A file dropped into this folder that registers a `Captioner` is available by name everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.captioners.cache import CaptionCache, caption_images
from models.captioners.contract import Captioner, RegionView
from models.captioners.errors import LabelError
from models.captioners.overlay import outline_region
from registry import CAPTIONERS

__all__ = [
    "CaptionCache",
    "Captioner",
    "LabelError",
    "RegionView",
    "build_captioner",
    "caption_images",
    "outline_region",
]


def build_captioner(name: str, keywords: Mapping[str, Any]) -> Captioner:
    """Build a registered captioner and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    return CAPTIONERS.build_as(Captioner, name, keywords)
