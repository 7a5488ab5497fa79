"""Drawing in an object's own box: the unit square, x to the right, y down, feet on y = 1.

The canvas has four bands: red, green, blue and the instance id. One drawing call writes the colour and the id
together, so the mask is exactly what was drawn and costs nothing. (CMYK is Pillow's four-band mode without alpha
arithmetic; its bands are used as plain numbers here.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from data_tools.synthetic.appearance import RGB, shade

Point = tuple[float, float]
Stops = list[tuple[float, RGB]]

_CIRCLE = [(math.cos(2 * math.pi * k / 20), math.sin(2 * math.pi * k / 20)) for k in range(20)]
_T = np.linspace(0, 1, 6, endpoint=False)[:, None]
_BASIS = np.hstack(  # Catmull-Rom: weights of the points before, at, after and after next
    [
        -0.5 * _T + _T**2 - 0.5 * _T**3,
        1 - 2.5 * _T**2 + 1.5 * _T**3,
        0.5 * _T + 2 * _T**2 - 1.5 * _T**3,
        -0.5 * _T**2 + 0.5 * _T**3,
    ]
)


class Canvas:
    """A canvas that draws for one object.

    Args:
        draw: of a four-band canvas.
        ident: instance id, 0 for the background.
        left, top, scale: the box on the canvas, in its pixels.
        side: of the whole canvas in pixels; outlines are as wide for small objects as for large ones.
        mirror: flip left and right.
        tilt: lean to the right around the feet, in radians.
    """

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        ident: int,
        left: float,
        top: float,
        scale: float,
        side: int,
        mirror: bool = False,
        tilt: float = 0.0,
    ) -> None:
        self._draw = draw
        self._ident = ident
        self._scale = scale
        self.edge_width = max(2, round(side / 120))
        cos, sin = math.cos(tilt) * scale, math.sin(tilt) * scale
        sign = -1.0 if mirror else 1.0
        # canvas = (x - 1/2, y - 1) rotated, mirrored, scaled, moved to the middle of the box's lower side
        self._xx, self._xy, self._x0 = sign * cos, -sign * sin, left + scale / 2
        self._yx, self._yy, self._y0 = sin, cos, top + scale
        self._tilted = tilt != 0.0

    def poly(self, points: Sequence[Point], fill: RGB, edge: bool = True) -> None:
        """A filled polygon."""
        self._area(self._placed(points), fill, edge)

    def blob(self, points: Sequence[Point], fill: RGB, edge: bool = True) -> None:
        """A filled smooth closed curve through the points."""
        p = np.asarray(points, dtype=np.float64)
        quads = np.stack([np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)], axis=1)  # (n, 4, 2)
        smooth: list[Point] = [(x, y) for x, y in (_BASIS @ quads).reshape(-1, 2).tolist()]
        self._area(self._placed(smooth), fill, edge)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: RGB, edge: bool = True, cut: float = 0.0) -> None:
        """A rectangle; `cut` trims its corners."""
        if cut:
            k = cut * 0.3
            points = [
                (x0 + cut, y0), (x1 - cut, y0), (x1 - k, y0 + k), (x1, y0 + cut), (x1, y1 - cut), (x1 - k, y1 - k),
                (x1 - cut, y1), (x0 + cut, y1), (x0 + k, y1 - k), (x0, y1 - cut), (x0, y0 + cut), (x0 + k, y0 + k),
            ]  # fmt: skip
        else:
            points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        self._area(self._placed(points), fill, edge)

    def oval(
        self, cx: float, cy: float, rx: float, ry: float, fill: RGB, edge: bool = True, angle: float = 0.0
    ) -> None:
        """A filled ellipse, turned by `angle` radians."""
        if angle or self._tilted:
            cos, sin = math.cos(angle), math.sin(angle)
            around = [(cx + x * rx * cos - y * ry * sin, cy + x * rx * sin + y * ry * cos) for x, y in _CIRCLE]
            self._area(self._placed(around), fill, edge)
        else:
            self._draw.ellipse(
                self._box(cx, cy, rx, ry),
                fill=(*fill, self._ident),
                outline=(*shade(fill, 0.42), self._ident) if edge else None,
                width=self.edge_width,
            )

    def ring(self, cx: float, cy: float, rx: float, ry: float, colour: RGB, width: float) -> None:
        """An ellipse without a filling; what is behind shows through."""
        self._draw.ellipse(
            self._box(cx, cy, rx, ry), outline=(*colour, self._ident), width=max(2, round(width * self._scale))
        )

    def line(self, points: Sequence[Point], colour: RGB, width: float) -> None:
        """A polyline; `width` as a share of the box, at least the outline's."""
        pixels = max(self.edge_width, round(width * self._scale))
        self._draw.line(
            self._placed(points), fill=(*colour, self._ident), width=pixels, joint="curve" if pixels > 4 else None
        )

    def curve(self, points: Sequence[Point], colour: RGB, width: float) -> None:
        """A smooth open line through the points."""
        self.line(_smooth(points), colour, width)

    def limb(self, points: Sequence[Point], colour: RGB, width: float) -> None:
        """A smooth thick line with an outline and round ends: tails, backbones, legs."""
        path = _smooth(points) if len(points) > 2 else list(points)
        rim = 2 * self.edge_width / self._scale
        dark = shade(colour, 0.42)
        for ink, thick in ((dark, width + rim), (colour, width)):
            self.line(path, ink, thick)
            for x, y in (path[0], path[-1]):
                self.oval(x, y, thick / 2, thick / 2, ink, edge=False)

    def _area(self, placed: list[Point], fill: RGB, edge: bool) -> None:
        self._draw.polygon(placed, fill=(*fill, self._ident))
        if edge:
            self._draw.line([*placed, placed[0]], fill=(*shade(fill, 0.42), self._ident), width=self.edge_width)

    def _placed(self, points: Sequence[Point]) -> list[Point]:
        xx, xy, x0, yx, yy, y0 = self._xx, self._xy, self._x0, self._yx, self._yy, self._y0
        return [(x0 + xx * (x - 0.5) + xy * (y - 1), y0 + yx * (x - 0.5) + yy * (y - 1)) for x, y in points]

    def _box(self, cx: float, cy: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        ((x, y),) = self._placed([(cx, cy)])
        rx, ry = rx * self._scale, ry * self._scale
        return x - rx, y - ry, x + rx, y + ry


def _smooth(points: Sequence[Point]) -> list[Point]:
    p = np.asarray([points[0], *points, points[-1]], dtype=np.float64)
    quads = np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]], axis=1)
    smooth: list[Point] = [(x, y) for x, y in (_BASIS @ quads).reshape(-1, 2).tolist()]
    return [*smooth, points[-1]]


class Stage:
    """The four-band canvas of a scene before anything is drawn on it.

    Args:
        side: pixels of the square canvas.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self._take(Image.new("CMYK", (side, side)))

    def fill(self, stops: Stops) -> None:
        """Paint the whole canvas: colours by height, linear between the stops (y, colour)."""
        rows = np.linspace(0, 1, self.side)
        ys = [y for y, _ in stops]
        column = np.zeros((self.side, 1, 4), dtype=np.uint8)
        for band in range(3):
            column[:, 0, band] = np.interp(rows, ys, [colour[band] for _, colour in stops])
        words = column.view(np.uint32)[:, :, 0]  # whole pixels: repeating bytes is ten times slower
        pixels = np.ascontiguousarray(np.broadcast_to(words, (self.side, self.side)))
        self._take(Image.frombytes("CMYK", (self.side, self.side), pixels.tobytes()))

    def _take(self, image: Image.Image) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image)
        self.canvas = Canvas(self.draw, 0, 0.0, 0.0, float(self.side), self.side)
