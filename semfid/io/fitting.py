"""Two images of which one was cut to a multiple of a network's scale."""

from __future__ import annotations

from typing import Literal

Fit = Literal["refuse", "crop"]
Size = tuple[int, int]  # width, height
MOST_CUT = 0.1  # share of a side that may be cut away; more is another scale or another picture


def common_part(one: Size, other: Size) -> Size | None:
    """The size of what both show from the top left, where super-resolution cuts nothing; None where too much would go."""
    common = min(one[0], other[0]), min(one[1], other[1])
    cut = max(1 - kept / side for whole in (one, other) for kept, side in zip(common, whole, strict=True))
    return common if cut <= MOST_CUT else None
