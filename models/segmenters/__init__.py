"""Panoptic segmentation of images by pretrained models.

A file dropped into this folder that registers a `Segmenter` is available by name everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.segmenters.contract import Segmentation, Segmenter
from registry import SEGMENTERS

__all__ = ["Segmentation", "Segmenter", "build_segmenter"]


def build_segmenter(name: str, keywords: Mapping[str, Any]) -> Segmenter:
    """Build a registered segmenter and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    return SEGMENTERS.build_as(Segmenter, name, keywords)
