"""Labels that no person gave: captions and difference maps of pictures, from models that were trained for other ends.

A file dropped into this folder that registers a `Segmenter` is available by name everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pseudo_labels.contract import Segmentation as Segmentation
from pseudo_labels.contract import Segmenter as Segmenter
from pseudo_labels.difference_map import difference_map as difference_map
from pseudo_labels.difference_map import overlapping as overlapping
from pseudo_labels.maps import MapSettings as MapSettings
from pseudo_labels.maps import MapTools as MapTools
from pseudo_labels.maps import label_maps as label_maps
from pseudo_labels.regions import Regions as Regions
from pseudo_labels.regions import find_regions as find_regions
from registry import SEGMENTERS, RegistryError


def build_segmenter(name: str, keywords: Mapping[str, Any]) -> Segmenter:
    """Build a registered segmenter and hold it to its contract.

    Raises:
        RegistryError: unknown name or keyword, or a factory that returns something else.
        UserError: a model that cannot be had.
    """
    segmenter = SEGMENTERS.build(name, **keywords)
    if not isinstance(segmenter, Segmenter):
        raise RegistryError(
            f"segmenter '{name}' builds a {type(segmenter).__name__}; it must be a pseudo_labels.Segmenter"
        )
    return segmenter
