"""Panoptic segmentation of images by pretrained models.

A file dropped into this folder that registers a `Segmenter` is available by name everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.segmenters.contract import Segmentation, Segmenter
from registry import SEGMENTERS, RegistryError

__all__ = ["Segmentation", "Segmenter", "build_segmenter"]


def build_segmenter(name: str, keywords: Mapping[str, Any]) -> Segmenter:
    """Build a registered segmenter and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    segmenter = SEGMENTERS.build(name, **keywords)
    if not isinstance(segmenter, Segmenter):
        raise RegistryError(
            f"segmenter '{name}' builds a {type(segmenter).__name__}; it must be a models.segmenters.Segmenter"
        )
    return segmenter
