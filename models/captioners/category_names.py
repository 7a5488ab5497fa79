"""A region's category as its caption: no model, and no noise of captions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PIL import Image

from models.captioners.contract import Captioner, RegionView
from models.captioners.errors import LabelError
from models.captioners.overlay import Contour
from registry import CAPTIONERS
from semfid.errors import UserError

_PLACE = "{}"
_MARKS = re.compile(r"-(merged|other|stuff)\b")  # COCO's, of categories that hold several


@CAPTIONERS.register("category_names", summary="the name of a region's category, as its segmenter gives it; no model")
class CategoryNames(Captioner):
    """Of regions alone: a whole image has no category. The prompt is not asked.

    Args:
        template: what is said, with ``{}`` where the name goes, such as ``a photo of a {}``.
        plain: names as people say them: the first of several (``door, double door``), without hyphens and COCO's marks
            (``floor-other-merged`` is ``floor``).
    """

    batch_size = 256

    def __init__(self, template: str = "{}", plain: bool = True) -> None:
        if template.count(_PLACE) != 1:
            raise UserError(f"captioner: category_names: template '{template}' needs {{}} once, where the name goes")
        self._template, self._plain = template, plain
        self.identity = f"category_names-1-{template}-{'plain' if plain else 'as given'}"

    def caption_regions(self, regions: Sequence[RegionView], prompt: str, contour: Contour = 3) -> list[str]:
        return [self._of(one) for one in regions]

    def _of(self, region: RegionView) -> str:
        name = plain_name(region.label) if self._plain else region.label.strip()
        if not name:
            raise LabelError(
                f"region {region.segment} has no category: its segmenter names none; use one that does "
                "(`semfid list segmenters`), or another captioner"
            )
        return self._template.replace(_PLACE, name)

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        raise UserError(
            "captioner: category_names says what regions are; for whole images use another (`semfid list captioners`)"
        )


def plain_name(name: str) -> str:
    """``wall-other-merged`` is ``wall``; ``door, double door`` is ``door``; ``dining-table`` is ``dining table``."""
    first = re.split(r"[;,]", name, maxsplit=1)[0]
    return " ".join(_MARKS.sub("", first).replace("-", " ").replace("_", " ").split())
