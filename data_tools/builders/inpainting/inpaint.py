"""One object of one photo painted over: the unit's files and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.masks import dilate, feathered, pasted, shaped
from data_tools.builders.core.quality import QualityChecker
from data_tools.builders.core.work_items import Unit
from data_tools.builders.inpainters.contract import Painted, Request
from data_tools.builders.inpainting.config import SAME_CLASS
from data_tools.builders.inpainting.plan import Plan, Substitution


@dataclass
class Painter:
    """Makes the units of the stage `inpainting_plan.PAINT`."""

    plan: Plan
    checker: QualityChecker

    def make(self, batch: Sequence[Unit]) -> list[Made | UnitError]:
        """Candidate, masks and map of each unit."""
        return [self._make(unit) for unit in batch]

    def _make(self, unit: Unit) -> Made:
        work: Substitution = unit.work
        plan, config = self.plan, self.plan.config
        photo, instance = plan.photos.photos[work.instance.photo], work.instance
        source, mask = plan.photos.picture(photo.id), plan.photos.mask(instance)
        wide = dilate(mask, config.masks.dilate)
        asked = shaped(mask, config.masks.shape_of(work.level), config.masks.dilate)
        prompt = plan.prompt(photo.id, work.after)
        request = Request(
            source, mask, asked, photo.id, instance.id, instance.category, work.after, prompt, plan.rng(unit)
        )
        painted = plan.inpainter.paint(request)
        repaint = asked if painted.repaint is None else painted.repaint
        alpha = feathered(repaint, config.masks.feather)
        result = pasted(source, painted.picture, alpha)
        texts = tuple(plan.prompt(photo.id, name) for name in (instance.category, work.after))
        figures, rejected = self.checker.check(source, result, repaint, alpha, (texts[0], texts[1]))
        changed = self._changed(work.level, mask, repaint, painted)
        stem = f"{Path(photo.file).stem}_{instance.id}"
        names = {
            "candidate": f"candidates/{work.level}/{stem}.png",
            "map": f"maps/{work.level}/{stem}.png",
            "mask_original": f"masks/{work.level}/{stem}_original.png",
            "mask_dilated": f"masks/{work.level}/{stem}_dilated.png",
            "mask_repaint": f"masks/{work.level}/{stem}_repaint.png",
            "mask_paste": f"masks/{work.level}/{stem}_paste.png",
        }
        pictures = [result, *(one.astype(np.uint8) * 255 for one in (changed, mask, wide, repaint)), alpha]
        facts = {
            "pair_id": f"{stem}_{work.level}",
            "source_id": str(photo.id),
            **names,
            "origin": work.level,
            "level": work.level,
            "category_before": instance.category,
            "category_after": work.after,
            "annotation_id": instance.id,
            "bbox": " ".join(f"{value:g}" for value in instance.box),
            "area": round(instance.area / (photo.width * photo.height), 6),
            "repainted": round(float(repaint.mean()), 6),
            "changed": round(float(changed.mean()), 6),
            "width": photo.width,
            "height": photo.height,
            "inpainter": plan.inpainter.identity,
            "prompt": prompt,
            **plan.inpainter.facts,
            **painted.facts,
            **figures,
            "seed": config.seed,
            "source_sha256": work.source_sha256,
            "licence": photo.licence,
            "licence_url": photo.licence_url,
            "source_url": photo.url,
            "unit": unit.id,
        }
        files = {name: png(picture) for name, picture in zip(names.values(), pictures, strict=True)}
        return Made(files, facts, rejected)

    def _changed(
        self, level: str, mask: NDArray[np.bool_], repaint: NDArray[np.bool_], painted: Painted
    ) -> NDArray[np.bool_]:
        """(H, W) of what a map calls changed; nothing for the same class."""
        if level == SAME_CLASS:
            return np.zeros_like(mask)
        if self.plan.config.masks.label == "repaint":
            return repaint
        return mask if painted.covered is None else mask | painted.covered


def png(picture: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) RGB or (H, W) as PNG."""
    done, content = cv2.imencode(".png", picture if picture.ndim == 2 else picture[..., ::-1])
    if not done:
        raise UnitError("the picture cannot be written as PNG")
    return content.tobytes()
