"""An inpainter without a model: an object of another photo in the place of the one that goes."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.builders.core.coco import Instance
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.masks import box_of, dilate, widen
from data_tools.builders.inpainters.contract import Inpainter, Painted, Request, check_setting
from data_tools.builders.inpainters.filling import filled, patch_filled
from data_tools.builders.inpainters.object_bank import DONOR_FAULTS, ObjectBank
from models.hub import libraries
from registry import INPAINTERS

VERSION = 1
LOOKED_AT = 8  # donors that are drawn (of few, half), of which the best in shape and size is taken


@INPAINTERS.register(
    "patch_donor",
    summary="an object of another photo, cut out by its annotation and blended in; needs no model",
    source="cut and paste (Dwibedi et al. 2017); hole filled by Telea 2004",
)
class PatchDonor(Inpainter):
    """A donor of the wanted category, scaled into the old object's box, over a background that is filled in.

    Args:
        match_colour: how far the donor's colours move from its photo's statistics to the new photo's, 0 (not) to 1.
        background: what the hole shows where the donor leaves it open: ``rim``, its surroundings carried inwards; or ``patch``,
            another part of the photo.
        match_to: ``photo``; or ``object``: from the donor's own statistics to those of the object that goes.
        soften: width in pixels over which the donor's edge fades.
        fill: share of the diagonal by which the old object is widened before the hole is filled.
        stretch: how much a donor may be stretched in one direction to fill the box better; 1 keeps its proportions.
    """

    def __init__(
        self,
        match_colour: float = 0.5,
        soften: int = 2,
        fill: float = 0.02,
        stretch: float = 1.3,
        match_to: Literal["photo", "object"] = "photo",
        background: Literal["rim", "patch"] = "rim",
    ) -> None:
        check_setting(0 <= match_colour <= 1, "match_colour", match_colour, "must lie in 0 .. 1")
        check_setting(soften >= 0, "soften", soften, "must be 0 or more")
        check_setting(stretch >= 1, "stretch", stretch, "must be 1 or more")
        self.match_colour, self.soften, self.fill, self.stretch = match_colour, soften, fill, stretch
        self.identity = (
            f"patch_donor {VERSION} match_colour={match_colour:g} soften={soften} fill={fill:g} stretch={stretch:g}"
        )
        if match_to != "photo":
            self.identity += f" match_to={match_to}"
        if background != "rim":
            self.identity += f" background={background}"
        self.match_to, self.background = match_to, background
        self.facts = {"libraries": libraries("opencv-python-headless", "numpy")}
        self._donors: ObjectBank | None = None

    def meet(self, donors: ObjectBank) -> None:
        self._donors = donors

    def offers(self, category: str, photo: int) -> bool:
        return self._met().has(category, photo)

    def _paint(self, request: Request) -> Painted:
        box = box_of(request.object)
        donor, (patch, mask, scene) = self._donor(request, box[2] - box[0], box[3] - box[1])
        if self.match_colour:
            of, to = scene, request.picture
            if self.match_to == "object":
                of, to = patch[mask][None], request.picture[request.object][None]  # (1, pixels, 3)
            patch = moved_colours(patch, of, to, self.match_colour)
        hole = dilate(request.object, self.fill)
        if self.background == "rim":
            canvas = filled(request.picture, hole)
        else:
            canvas = patch_filled(request.picture, hole, request.object if request.avoid is None else request.avoid)
        alpha = placed(patch, mask, box, canvas, self.soften, self.stretch)
        covered = alpha >= 0.5
        if not covered.any():
            raise UnitError(f"donor {donor.id} vanishes in a box of {box[2] - box[0]}x{box[3] - box[1]} pixels")
        facts = {"donor_image_id": donor.photo, "donor_annotation_id": donor.id}
        return Painted(canvas, covered, hole | widen(alpha > 0, 3), facts)

    def _donor(
        self, request: Request, width: int, height: int
    ) -> tuple[Instance, tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint8]]]:
        donors = self._met()
        candidates = donors.of(request.after, request.photo)
        if not candidates:
            raise UnitError(f"no other photo has a {request.after} to take")
        order = [candidates[index] for index in request.rng.permutation(len(candidates))]
        first = min(LOOKED_AT, (len(order) + 1) // 2)
        looked_at = sorted(order[:first], key=lambda one: _mismatch(one, width, height))  # stable: ties stay as drawn
        for one in [*looked_at, *order[first:]]:
            try:
                return one, donors.cut(one)
            except DONOR_FAULTS:  # the next will do
                continue
        raise UnitError(f"none of {len(candidates)} donors of {request.after} can be read")

    def _met(self) -> ObjectBank:
        if self._donors is None:
            raise TypeError("patch_donor was asked before it met its donors")
        return self._donors


def placed(
    patch: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    box: tuple[int, int, int, int],
    canvas: NDArray[np.uint8],
    soften: int,
    stretch: float,
) -> NDArray[np.float32]:
    """Put a patch (h, w, 3) with its mask (h, w) as large as fits into a box of the canvas, standing on its lower edge.

    Its two directions are scaled by factors that are at most `stretch` apart.

    Returns:
        (H, W) in [0, 1]: how far the canvas is the patch's.
    """
    x0, y0, x1, y1 = box
    scale = min((x1 - x0) / patch.shape[1], (y1 - y0) / patch.shape[0])
    width = min(x1 - x0, max(1, round(patch.shape[1] * scale * stretch)))
    height = min(y1 - y0, max(1, round(patch.shape[0] * scale * stretch)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(patch, (width, height), interpolation=how)
    weight = cv2.resize(
        mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    if soften:
        inside = cv2.copyMakeBorder((weight >= 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        weight = np.clip(depth / (soften + 1), 0.0, 1.0)
    left, top = x0 + (x1 - x0 - width) // 2, y1 - height
    place = canvas[top : top + height, left : left + width]
    mixed = weight[..., None] * scaled + (1 - weight[..., None]) * place
    place[:] = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    alpha = np.zeros(canvas.shape[:2], np.float32)
    alpha[top : top + height, left : left + width] = weight
    return alpha


def moved_colours(
    patch: NDArray[np.uint8], scene: NDArray[np.uint8], target: NDArray[np.uint8], share: float
) -> NDArray[np.uint8]:
    """A patch with mean and spread of its photo's Lab channels moved towards those of another photo (Reinhard et al. 2001).

    Args:
        patch, scene, target: (., ., 3) RGB uint8: a cut-out, the photo it is from, the photo it goes to.
        share: 0 leaves the patch as it is.
    """
    (mean, spread), (wanted, width) = _statistics(scene), _statistics(target)
    lab = cv2.cvtColor(patch.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    gain = np.clip(width / np.maximum(spread, 1e-3), 0.5, 2.0)
    moved = lab + share * ((lab - mean) * gain + wanted - lab)
    return np.rint(np.clip(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1) * 255).astype(np.uint8)


def _statistics(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    step = max(1, max(picture.shape[:2]) // 160)  # statistics need no more pixels
    lab = cv2.cvtColor(np.ascontiguousarray(picture[::step, ::step]).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab.mean((0, 1)), lab.std((0, 1))


def _mismatch(one: Instance, width: int, height: int) -> float:
    """How far a donor's box is from the wanted one in shape, and how much it would have to be enlarged; in octaves."""
    wide, high = np.log2(width / max(1.0, one.box[2])), np.log2(height / max(1.0, one.box[3]))
    return float(abs(wide - high) + max(0.0, min(wide, high)))
