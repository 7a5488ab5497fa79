"""Drawings of the plants."""

from __future__ import annotations

import math

from data_tools.synthetic.appearance import RGB, Appearance, shade
from data_tools.synthetic.canvas import Canvas

BARK: RGB = (122, 84, 52)
LEAF: RGB = (78, 150, 62)
CLAY: RGB = (196, 104, 64)


def _pot(canvas: Canvas, top: float, half: float, colour: RGB) -> None:
    canvas.poly([(0.5 - half, top), (0.5 + half, top), (0.5 + half * 0.7, 0.985), (0.5 - half * 0.7, 0.985)], colour)
    canvas.rect(0.5 - half * 1.15, top - 0.03, 0.5 + half * 1.15, top + 0.05, colour)


def tree(canvas: Canvas, look: Appearance) -> None:
    if look.shape == 1:  # fir
        green = shade(look.main, 0.8)
        canvas.rect(0.44, 0.82, 0.56, 0.99, BARK)
        for y, half in ((0.86, 0.36), (0.62, 0.3), (0.38, 0.22)):
            canvas.poly([(0.5 - half, y), (0.5, y - 0.38), (0.5 + half, y)], green)
            canvas.poly([(0.5, y - 0.02), (0.5, y - 0.34), (0.5 + half * 0.8, y - 0.02)], shade(green, 0.8), edge=False)
        return
    if look.shape == 2:  # palm
        canvas.limb([(0.42, 0.97), (0.46, 0.7), (0.52, 0.46), (0.5, 0.28)], (168, 124, 76), 0.085)
        for y in (0.84, 0.7, 0.56, 0.42):
            canvas.line([(0.43, y), (0.53, y - 0.01)], (110, 76, 46), 0.02)
        for tip_x, tip_y in ((0.04, 0.42), (0.98, 0.42), (0.1, 0.12), (0.9, 0.12), (0.28, 0.58), (0.74, 0.58)):
            mid_x, mid_y = (0.5 + tip_x) / 2, min(0.26, tip_y) - 0.1
            canvas.blob([(0.5, 0.24), (mid_x, mid_y), (tip_x, tip_y), (mid_x, mid_y + 0.14)], (64, 148, 66))
        canvas.oval(0.46, 0.31, 0.045, 0.045, (104, 66, 38))
        canvas.oval(0.55, 0.32, 0.045, 0.045, (104, 66, 38))
        return
    canvas.poly([(0.44, 0.5), (0.56, 0.5), (0.6, 0.985), (0.4, 0.985)], BARK)
    canvas.line([(0.5, 0.62), (0.66, 0.46)], BARK, 0.05)
    puffs = (
        (0.26, 0.44, 0.2),
        (0.74, 0.44, 0.2),
        (0.34, 0.24, 0.2),
        (0.66, 0.24, 0.2),
        (0.5, 0.17, 0.17),
        (0.5, 0.42, 0.24),
    )
    for edge in (True, False):
        for x, y, r in puffs:
            canvas.oval(x, y, r, r * 0.95, look.main, edge=edge)
    for x, y, r in ((0.7, 0.48, 0.12), (0.46, 0.52, 0.1), (0.28, 0.5, 0.09)):
        canvas.oval(x, y, r, r * 0.7, look.dark, edge=False)
    canvas.oval(0.36, 0.2, 0.1, 0.08, look.light, edge=False)
    if look.a > 0.5:  # fruit
        for x, y in ((0.3, 0.36), (0.55, 0.3), (0.7, 0.36), (0.46, 0.5)):
            canvas.oval(x, y, 0.04, 0.04, look.accent)


def flower(canvas: Canvas, look: Appearance) -> None:
    potted = look.b > 0.5
    foot = 0.8 if potted else 0.98
    if potted:
        _pot(canvas, 0.8, 0.2, CLAY)
    canvas.limb([(0.5, 0.4), (0.52, 0.6), (0.5, foot - 0.03)], LEAF, 0.045)
    leaf_y = foot - 0.14
    canvas.blob([(0.5, leaf_y + 0.06), (0.68, leaf_y - 0.1), (0.86, leaf_y - 0.12), (0.7, leaf_y + 0.06)], LEAF)
    canvas.blob(
        [(0.5, leaf_y + 0.06), (0.32, leaf_y - 0.1), (0.14, leaf_y - 0.12), (0.3, leaf_y + 0.06)], shade(LEAF, 0.85)
    )
    if look.shape == 2:  # tulip
        canvas.blob(
            [
                (0.26, 0.08),
                (0.38, 0.16),
                (0.5, 0.02),
                (0.62, 0.16),
                (0.74, 0.08),
                (0.74, 0.36),
                (0.5, 0.5),
                (0.26, 0.36),
            ],
            look.main,
        )
        canvas.curve([(0.38, 0.16), (0.42, 0.32), (0.5, 0.46)], look.dark, 0.025)
        canvas.curve([(0.62, 0.16), (0.58, 0.32), (0.5, 0.46)], look.dark, 0.025)
        return
    petals = 6 + look.shape * 2
    for k in range(petals):
        angle = 2 * math.pi * (k / petals + look.a / petals)
        x, y = 0.5 + 0.2 * math.cos(angle), 0.28 + 0.2 * math.sin(angle)
        canvas.oval(x, y, 0.13, 0.08 if petals > 6 else 0.11, look.main, angle=angle)
    heart = (250, 206, 60) if look.colour not in ("yellow", "orange") else (116, 70, 34)
    canvas.oval(0.5, 0.28, 0.115, 0.115, heart)


def cactus(canvas: Canvas, look: Appearance) -> None:
    potted = look.b > 0.5
    foot = 0.78 if potted else 0.97
    if look.shape == 1:  # round
        canvas.blob(
            [(0.5, 0.3), (0.78, 0.4), (0.84, 0.62), (0.74, 0.86), (0.26, 0.86), (0.16, 0.62), (0.22, 0.4)], look.main
        )
        for x in (0.3, 0.42, 0.58, 0.7):
            canvas.curve([(0.5 + (x - 0.5) * 0.5, 0.34), (x, 0.58), (0.5 + (x - 0.5) * 0.9, 0.82)], look.dark, 0.025)
        for x, y in ((0.24, 0.5), (0.36, 0.62), (0.5, 0.5), (0.64, 0.62), (0.76, 0.5)):
            canvas.line([(x - 0.03, y - 0.03), (x + 0.03, y + 0.03)], (250, 250, 220), 0.01)
        for x in (0.42, 0.5, 0.58):
            canvas.oval(x, 0.27, 0.06, 0.07, (240, 90, 140))
        _pot(canvas, 0.8, 0.27, look.accent if look.c > 0.5 else CLAY)
        return
    canvas.limb([(0.5, 0.5 + 0.06 * look.a), (0.2, 0.5 + 0.06 * look.a), (0.18, 0.26)], look.main, 0.12)
    canvas.limb([(0.5, 0.6), (0.78, 0.6), (0.82, 0.36 - 0.1 * look.a)], look.main, 0.12)
    canvas.limb([(0.5, 0.14), (0.5, foot - 0.05)], look.main, 0.2)
    for x in (0.455, 0.545):
        canvas.line([(x, 0.12), (x, foot - 0.04)], look.dark, 0.018)
    for k in range(5):
        y = 0.16 + 0.12 * k
        canvas.line([(0.48, y), (0.52, y + 0.02)], (250, 250, 220), 0.01)
        canvas.line([(0.39, y + 0.05), (0.43, y + 0.03)], (250, 250, 220), 0.01)
        canvas.line([(0.57, y + 0.03), (0.61, y + 0.05)], (250, 250, 220), 0.01)
    if look.c > 0.6:
        canvas.oval(0.5, 0.05, 0.08, 0.06, (240, 90, 140))
    if potted:
        _pot(canvas, 0.8, 0.24, CLAY)


DRAWINGS = {"tree": tree, "flower": flower, "cactus": cactus}
