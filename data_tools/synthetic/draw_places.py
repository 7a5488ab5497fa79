"""What places look like.

A painter gets a `Stage` and an endless list of random draws in [0, 1); everything it paints has the instance id 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from data_tools.synthetic.appearance import RGB, shade
from data_tools.synthetic.canvas import Canvas, Stage


def _cloud(canvas: Canvas, x: float, y: float, k: float, colour: RGB) -> None:
    for dx, dy, rx, ry in ((-0.09, 0.01, 0.07, 0.03), (0.0, -0.015, 0.09, 0.05), (0.1, 0.008, 0.08, 0.035)):
        canvas.oval(x + dx * k, y + dy * k, rx * k, ry * k, colour, edge=False)


def _clouds(canvas: Canvas, draws: Iterator[float], top: float, bottom: float, colour: RGB = (250, 250, 252)) -> None:
    for _ in range(1 + int(next(draws) * 3)):
        _cloud(canvas, next(draws), top + (bottom - top) * next(draws), 0.8 + next(draws), colour)


def _houses(
    canvas: Canvas, draws: Iterator[float], foot: float, walls: list[RGB], lit: RGB, dark: RGB, share: float
) -> None:
    x = -0.1 * next(draws)
    while x < 1.0:
        width, height = 0.14 + 0.14 * next(draws), 0.2 + 0.28 * next(draws)
        wall = walls[int(next(draws) * len(walls))]
        top = foot - height
        canvas.rect(x, top, x + width, foot, wall)
        columns = 2 if width < 0.2 else 3
        pitch = width / columns
        pattern = next(draws)
        for row in range(int((height - 0.06) / 0.09)):
            for column in range(columns):
                pattern = (pattern * 7.31 + 0.137) % 1.0
                left = x + pitch * (column + 0.25)
                canvas.rect(
                    left,
                    top + 0.04 + 0.09 * row,
                    left + pitch * 0.5,
                    top + 0.09 + 0.09 * row,
                    lit if pattern < share else dark,
                    edge=False,
                )
        x += width


def street(stage: Stage, draws: Iterator[float]) -> None:
    sky: RGB = (126, 180, 230) if next(draws) > 0.35 else (186, 198, 208)
    stage.fill(
        [
            (0, sky),
            (0.42, shade(sky, 1.5)),
            (0.45, (176, 172, 166)),
            (0.56, (164, 160, 156)),
            (0.57, (96, 98, 104)),
            (1, (124, 126, 132)),
        ]
    )
    canvas = stage.canvas
    _clouds(canvas, draws, 0.04, 0.16)
    walls: list[RGB] = [
        (206, 150, 116),
        (222, 196, 150),
        (170, 128, 112),
        (196, 190, 178),
        (150, 160, 172),
        (214, 168, 140),
    ]
    _houses(canvas, draws, 0.46, walls, (214, 232, 240), (92, 112, 134), 0.5)
    canvas.line([(0, 0.565), (1, 0.565)], (206, 204, 200), 0.02)
    shift = next(draws) * 0.2
    for k in range(-1, 5):
        left = shift + 0.25 * k
        canvas.poly(
            [(left, 0.78), (left + 0.13, 0.78), (left + 0.12, 0.805), (left - 0.015, 0.805)],
            (238, 234, 214),
            edge=False,
        )


def night(stage: Stage, draws: Iterator[float]) -> None:
    sky: RGB = (24, 28, 66) if next(draws) > 0.5 else (46, 30, 72)
    stage.fill([(0, sky), (0.5, shade(sky, 1.3)), (0.53, (84, 84, 112)), (0.6, (70, 72, 98)), (1, (92, 94, 122))])
    canvas = stage.canvas
    for _ in range(14):
        x, y = next(draws), next(draws) * 0.28
        canvas.oval(x, y, 0.006, 0.006, (240, 240, 220), edge=False)
    moon = 0.12 + 0.76 * next(draws)
    canvas.oval(moon, 0.11, 0.06, 0.06, (250, 244, 206), edge=False)
    canvas.oval(moon + 0.03, 0.095, 0.05, 0.05, sky, edge=False)
    walls: list[RGB] = [(50, 50, 84), (62, 52, 78), (40, 46, 70), (70, 66, 98)]
    _houses(canvas, draws, 0.53, walls, (255, 220, 110), (36, 38, 62), 0.45)
    canvas.line([(0, 0.6), (1, 0.6)], (132, 132, 160), 0.015)
    shift = next(draws) * 0.2
    for k in range(-1, 5):
        left = shift + 0.25 * k
        canvas.poly(
            [(left, 0.79), (left + 0.13, 0.79), (left + 0.12, 0.81), (left - 0.015, 0.81)], (206, 202, 150), edge=False
        )


def meadow(stage: Stage, draws: Iterator[float]) -> None:
    sky: RGB = (106, 176, 238) if next(draws) > 0.3 else (240, 186, 140)
    grass: RGB = (122, 184, 84) if next(draws) > 0.3 else (178, 186, 88)
    stage.fill([(0, sky), (0.42, shade(sky, 1.6)), (0.44, shade(grass, 1.15)), (1, shade(grass, 0.82))])
    canvas = stage.canvas
    if next(draws) > 0.5:
        canvas.oval(0.1 + 0.8 * next(draws), 0.12, 0.07, 0.07, (255, 236, 150), edge=False)
    _clouds(canvas, draws, 0.06, 0.22)
    canvas.oval(0.1 + 0.3 * next(draws), 0.56, 0.5, 0.2, shade(grass, 0.86), edge=False)
    canvas.oval(0.7 + 0.3 * next(draws), 0.58, 0.5, 0.18, shade(grass, 0.94), edge=False)
    canvas.poly([(-0.1, 0.46), (1.1, 0.46), (1.1, 1.1), (-0.1, 1.1)], shade(grass, 1.05), edge=False)
    canvas.poly([(-0.1, 0.62), (1.1, 0.58), (1.1, 1.1), (-0.1, 1.1)], grass, edge=False)
    petal: RGB = (250, 250, 240) if next(draws) > 0.5 else (250, 216, 80)
    for _ in range(26):
        x, y = next(draws), 0.5 + 0.5 * next(draws)
        canvas.oval(x, y, 0.008, 0.007, petal, edge=False)
    for _ in range(18):
        x, y = next(draws), 0.52 + 0.48 * next(draws)
        canvas.line([(x, y), (x + 0.008, y - 0.03)], shade(grass, 0.66), 0.004)


def _waves(canvas: Canvas, draws: Iterator[float], top: float, bottom: float, colour: RGB) -> None:
    for _ in range(11):
        x, y, w = next(draws), top + (bottom - top) * next(draws), 0.05 + 0.08 * next(draws)
        canvas.line([(x - w, y), (x + w, y)], colour, 0.006)


def beach(stage: Stage, draws: Iterator[float]) -> None:
    sky: RGB = (116, 196, 242) if next(draws) > 0.3 else (250, 170, 120)
    sea: RGB = (40, 140, 190) if next(draws) > 0.4 else (50, 168, 172)
    sand: RGB = (240, 216, 160)
    stage.fill(
        [
            (0, sky),
            (0.33, shade(sky, 1.6)),
            (0.335, shade(sea, 0.85)),
            (0.55, shade(sea, 1.25)),
            (0.56, sand),
            (1, shade(sand, 0.88)),
        ]
    )
    canvas = stage.canvas
    canvas.oval(0.1 + 0.8 * next(draws), 0.13, 0.075, 0.075, (255, 240, 170), edge=False)
    _clouds(canvas, draws, 0.05, 0.2)
    _waves(canvas, draws, 0.36, 0.53, shade(sea, 1.6))
    phase = next(draws) * 0.1
    shore = [(-0.1 + 0.12 * k, 0.56 + (0.014 if k % 2 else -0.012) + phase * 0.3) for k in range(11)]
    canvas.poly([*shore, (1.2, 1.1), (-0.1, 1.1)], sand, edge=False)
    canvas.curve(shore, (252, 252, 250), 0.014)
    for _ in range(16):
        x, y = next(draws), 0.62 + 0.38 * next(draws)
        canvas.oval(x, y, 0.01, 0.006, shade(sand, 0.8) if next(draws) > 0.4 else (250, 240, 230), edge=False)


def lake(stage: Stage, draws: Iterator[float]) -> None:
    sky: RGB = (150, 200, 236) if next(draws) > 0.3 else (214, 206, 222)
    water: RGB = (84, 148, 190)
    grass: RGB = (104, 164, 90)
    stage.fill([(0, sky), (0.32, shade(sky, 1.5)), (0.33, shade(water, 1.2)), (0.6, shade(water, 0.9)), (1, grass)])
    canvas = stage.canvas
    x = -0.1
    while x < 1.1:  # mountains
        width, top = 0.3 + 0.25 * next(draws), 0.06 + 0.14 * next(draws)
        canvas.poly([(x, 0.33), (x + width / 2, top), (x + width, 0.33)], (124, 138, 160), edge=False)
        canvas.poly(
            [
                (x + width * 0.38, top + (0.33 - top) * 0.24),
                (x + width / 2, top),
                (x + width * 0.62, top + (0.33 - top) * 0.24),
            ],
            (240, 244, 250),
            edge=False,
        )
        x += width * 0.7
    canvas.rect(-0.1, 0.3, 1.1, 0.335, (66, 116, 84), edge=False)
    _waves(canvas, draws, 0.36, 0.56, shade(water, 1.4))
    canvas.poly([(-0.1, 0.6), (0.3, 0.575), (0.7, 0.61), (1.1, 0.58), (1.1, 1.1), (-0.1, 1.1)], grass, edge=False)
    for _ in range(26):
        x, y = next(draws), 0.62 + 0.38 * next(draws)
        canvas.line([(x, y), (x + 0.01 * (next(draws) - 0.5), y - 0.035)], shade(grass, 0.7), 0.005)


def desert(stage: Stage, draws: Iterator[float]) -> None:
    sky: RGB = (120, 190, 232) if next(draws) > 0.5 else (244, 160, 110)
    sand: RGB = (226, 176, 108)
    stage.fill([(0, sky), (0.45, shade(sky, 1.6)), (0.46, sand), (1, shade(sand, 0.86))])
    canvas = stage.canvas
    canvas.oval(0.1 + 0.8 * next(draws), 0.14, 0.07, 0.07, (255, 244, 190), edge=False)
    if next(draws) > 0.4:
        x = next(draws) * 0.6
        canvas.poly([(x, 0.47), (x + 0.03, 0.27), (x + 0.3, 0.27), (x + 0.34, 0.47)], (184, 108, 76), edge=False)
    canvas.oval(next(draws), 0.55, 0.6, 0.14, shade(sand, 1.2), edge=False)
    canvas.oval(next(draws), 0.6, 0.5, 0.13, shade(sand, 0.9), edge=False)
    canvas.poly([(-0.1, 0.56), (0.35, 0.52), (1.1, 0.6), (1.1, 1.1), (-0.1, 1.1)], sand, edge=False)
    for _ in range(12):
        x, y = next(draws), 0.6 + 0.38 * next(draws)
        canvas.curve([(x - 0.08, y), (x, y - 0.012), (x + 0.08, y)], shade(sand, 0.82), 0.006)


def snow(stage: Stage, draws: Iterator[float]) -> None:
    sky: RGB = (168, 196, 224) if next(draws) > 0.4 else (196, 176, 212)
    white: RGB = (238, 243, 250)
    stage.fill([(0, sky), (0.45, shade(sky, 1.4)), (0.46, white), (1, (214, 224, 240))])
    canvas = stage.canvas
    x = -0.2
    while x < 1.1:
        width, top = 0.34 + 0.3 * next(draws), 0.1 + 0.16 * next(draws)
        canvas.poly([(x, 0.48), (x + width / 2, top), (x + width, 0.48)], (146, 160, 190), edge=False)
        canvas.poly(
            [
                (x + width * 0.3, top + (0.48 - top) * 0.4),
                (x + width / 2, top),
                (x + width * 0.7, top + (0.48 - top) * 0.4),
                (x + width / 2, top + (0.48 - top) * 0.28),
            ],
            (250, 252, 255),
            edge=False,
        )
        x += width * 0.6
    canvas.oval(0.2, 0.58, 0.6, 0.13, shade(white, 1.4), edge=False)
    canvas.poly([(-0.1, 0.53), (0.6, 0.49), (1.1, 0.55), (1.1, 1.1), (-0.1, 1.1)], white, edge=False)
    for _ in range(8):
        x, y = next(draws), 0.58 + 0.4 * next(draws)
        canvas.curve([(x - 0.1, y), (x, y - 0.012), (x + 0.1, y)], (196, 208, 228), 0.007)
    for _ in range(22):
        x, y = next(draws), next(draws)
        canvas.oval(x, y, 0.008, 0.008, (252, 254, 255), edge=False)


def room(stage: Stage, draws: Iterator[float]) -> None:
    walls: list[RGB] = [(222, 206, 176), (170, 198, 196), (206, 174, 180), (178, 190, 216), (196, 206, 160)]
    wall = walls[int(next(draws) * len(walls))]
    floor: RGB = (176, 126, 82) if next(draws) > 0.4 else (138, 98, 70)
    stage.fill([(0, wall), (0.55, shade(wall, 0.9)), (0.555, shade(floor, 0.85)), (1, shade(floor, 1.15))])
    canvas = stage.canvas
    pattern = next(draws)
    if pattern > 0.6:
        for k in range(14):
            canvas.rect(0.08 * k - 0.02, 0, 0.08 * k + 0.015, 0.55, shade(wall, 0.93), edge=False)
    elif pattern > 0.3:
        for row in range(6):
            for k in range(9):
                canvas.oval(0.12 * k + 0.06 * (row % 2), 0.06 + 0.09 * row, 0.013, 0.013, shade(wall, 0.86), edge=False)
    x = 0.06 + 0.5 * next(draws)
    if next(draws) > 0.45:  # window
        canvas.rect(x, 0.07, x + 0.3, 0.38, (250, 250, 246))
        canvas.rect(x + 0.025, 0.095, x + 0.275, 0.355, (164, 210, 240), edge=False)
        canvas.rect(x + 0.14, 0.09, x + 0.16, 0.36, (250, 250, 246), edge=False)
        canvas.rect(x + 0.02, 0.21, x + 0.28, 0.228, (250, 250, 246), edge=False)
    else:  # picture
        canvas.rect(x, 0.1, x + 0.26, 0.32, (120, 84, 50))
        canvas.rect(x + 0.02, 0.12, x + 0.24, 0.3, (188, 216, 222), edge=False)
        canvas.poly(
            [(x + 0.02, 0.3), (x + 0.02, 0.24), (x + 0.1, 0.18), (x + 0.24, 0.27), (x + 0.24, 0.3)],
            (110, 150, 110),
            edge=False,
        )
    canvas.rect(-0.1, 0.53, 1.1, 0.562, (244, 240, 232))
    for k in range(1, 6):
        y = 0.56 + 0.44 * (k / 6) ** 1.4
        canvas.line([(0, y), (1, y)], shade(floor, 0.72), 0.004)
    for k in range(10):
        left, row = next(draws), k % 5
        y0, y1 = 0.56 + 0.44 * (row / 6) ** 1.4, 0.56 + 0.44 * ((row + 1) / 6) ** 1.4
        canvas.line([(left, y0), (left, y1)], shade(floor, 0.72), 0.004)
    if next(draws) > 0.5:
        rugs: list[RGB] = [(150, 60, 66), (70, 96, 140), (96, 130, 96)]
        rug = rugs[int(next(draws) * 3)]
        canvas.oval(0.5, 0.84, 0.44, 0.12, rug)
        canvas.oval(0.5, 0.84, 0.38, 0.09, shade(rug, 1.3), edge=False)
        canvas.oval(0.5, 0.84, 0.34, 0.075, rug, edge=False)


def kitchen(stage: Stage, draws: Iterator[float]) -> None:
    tiles: list[RGB] = [(214, 226, 228), (226, 218, 200), (180, 208, 200), (228, 200, 190)]
    tile = tiles[int(next(draws) * len(tiles))]
    tops: list[RGB] = [(190, 146, 98), (160, 116, 80), (198, 196, 190)]
    top = tops[int(next(draws) * len(tops))]
    stage.fill(
        [(0, tile), (0.5, shade(tile, 0.9)), (0.505, shade(top, 0.88)), (0.9, shade(top, 1.12)), (1, shade(top, 1.12))]
    )
    canvas = stage.canvas
    pitch = 0.1 + 0.05 * next(draws)
    for k in range(int(0.5 / pitch) + 1):
        canvas.line([(0, pitch * k), (1, pitch * k)], shade(tile, 0.8), 0.005)
    for k in range(int(1 / pitch) + 1):
        canvas.line([(pitch * k, 0), (pitch * k, 0.5)], shade(tile, 0.8), 0.005)
    hue: RGB = (90, 140, 160) if next(draws) > 0.5 else (190, 110, 90)
    for _ in range(7):
        column, row = int(next(draws) / pitch), int(next(draws) * 0.4 / pitch)
        canvas.rect(column * pitch, row * pitch, (column + 1) * pitch, (row + 1) * pitch, shade(hue, 1.35), edge=False)
    for _ in range(9):
        x, y = next(draws), 0.54 + 0.36 * next(draws)
        canvas.line([(x - 0.1, y), (x + 0.12, y + 0.004)], shade(top, 0.84), 0.004)
    canvas.rect(-0.1, 0.965, 1.1, 1.1, shade(top, 0.6), edge=False)
