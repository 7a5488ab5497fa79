"""Classes that are stuff (sky, road) and not things, for models whose files do not list them; segments of one are fused."""

from __future__ import annotations

# the panoptic setting of ADE20K-150: 50 of the classes
ADE20K = (
    0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61, 63, 68, 77, 79, 84,
    91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141, 145,
)  # fmt: skip
COCO = tuple(range(80, 133))  # of 133 classes, the things come first

BY_CLASSES: dict[int, tuple[int, ...]] = {150: ADE20K, 133: COCO}
