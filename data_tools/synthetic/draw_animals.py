"""Drawings of the animals, facing right (sitting cats and dogs face the viewer)."""

from __future__ import annotations

import math

from data_tools.synthetic.appearance import RGB, Appearance, shade
from data_tools.synthetic.canvas import Canvas

BLACK: RGB = (26, 24, 28)
WHITE: RGB = (250, 250, 248)
PINK: RGB = (240, 160, 164)


def _eye(canvas: Canvas, x: float, y: float, r: float, iris: RGB = WHITE) -> None:
    canvas.oval(x, y, r, r * 1.1, iris)
    canvas.oval(x, y, r * 0.5, r * 0.75, BLACK, edge=False)


def cat(canvas: Canvas, look: Appearance) -> None:
    iris = (176, 214, 70) if look.b > 0.4 else (240, 200, 60)
    ink = shade(look.main, 0.4) if look.colour != "black" else (20, 20, 24)
    if look.shape == 0:  # sitting, seen from the front
        canvas.limb([(0.66, 0.94), (0.9, 0.9), (0.93, 0.68), (0.84, 0.52)], look.main, 0.1)
        canvas.blob(
            [(0.5, 0.4), (0.66, 0.52), (0.76, 0.82), (0.7, 0.985), (0.3, 0.985), (0.24, 0.82), (0.34, 0.52)], look.main
        )
        canvas.oval(0.5, 0.7, 0.11, 0.16, look.light, edge=False)
        canvas.oval(0.4, 0.95, 0.1, 0.05, look.light)
        canvas.oval(0.6, 0.95, 0.1, 0.05, look.light)
        for side in (-1, 1):
            canvas.poly([(0.5 + side * 0.25, 0.3), (0.5 + side * 0.25, 0.01), (0.5 + side * 0.05, 0.13)], look.main)
            canvas.poly(
                [(0.5 + side * 0.21, 0.2), (0.5 + side * 0.215, 0.07), (0.5 + side * 0.11, 0.13)], PINK, edge=False
            )
        canvas.oval(0.5, 0.3, 0.27, 0.215, look.main)
        _cat_face(canvas, 0.5, 0.3, 1.0, iris)
        if look.a > 0.35:
            for x in (0.43, 0.5, 0.57):
                canvas.line([(x, 0.1), (x, 0.17)], ink, 0.025)
            for y in (0.6, 0.72, 0.84):
                canvas.line([(0.29, y), (0.37, y + 0.02)], ink, 0.025)
                canvas.line([(0.71, y), (0.63, y + 0.02)], ink, 0.025)
    else:  # walking, tail up
        canvas.limb([(0.16, 0.6), (0.05, 0.46), (0.04, 0.24), (0.14, 0.1)], look.main, 0.085)
        for x in (0.26, 0.62):
            canvas.limb([(x, 0.66), (x + 0.02, 0.95)], look.dark, 0.08)
        canvas.blob(
            [(0.12, 0.62), (0.24, 0.48), (0.5, 0.5), (0.7, 0.46), (0.74, 0.68), (0.5, 0.78), (0.22, 0.78)], look.main
        )
        for x in (0.17, 0.7):
            canvas.limb([(x, 0.68), (x, 0.95)], look.main, 0.09)
        if look.a > 0.35:
            for x in (0.28, 0.38, 0.48, 0.58):
                canvas.line([(x, 0.5), (x + 0.02, 0.63)], ink, 0.03)
        for side in (-1, 1):
            canvas.poly([(0.76 + side * 0.19, 0.36), (0.76 + side * 0.19, 0.09), (0.76 + side * 0.03, 0.2)], look.main)
            canvas.poly(
                [(0.76 + side * 0.15, 0.25), (0.76 + side * 0.16, 0.15), (0.76 + side * 0.08, 0.2)], PINK, edge=False
            )
        canvas.oval(0.76, 0.36, 0.21, 0.175, look.main)
        _cat_face(canvas, 0.76, 0.36, 0.8, iris)


def _cat_face(canvas: Canvas, x: float, y: float, k: float, iris: RGB) -> None:
    for side in (-1, 1):
        _eye(canvas, x + side * 0.11 * k, y - 0.02 * k, 0.06 * k, iris)
        for dy in (0.06, 0.11):
            canvas.line([(x + side * 0.08 * k, y + 0.09 * k), (x + side * 0.33 * k, y + dy * k)], WHITE, 0.008)
    canvas.poly([(x - 0.035 * k, y + 0.05 * k), (x + 0.035 * k, y + 0.05 * k), (x, y + 0.09 * k)], PINK)


def dog(canvas: Canvas, look: Appearance) -> None:
    ear = shade(look.main, 0.5) if look.colour not in ("black", "white") else (120, 76, 44)
    if look.shape == 0:  # standing, seen from the side
        canvas.limb([(0.12, 0.5), (0.03, 0.38), (0.03, 0.24)], look.main, 0.075)
        for x in (0.25, 0.58):
            canvas.limb([(x, 0.66), (x, 0.95)], look.dark, 0.1)
        canvas.blob(
            [(0.08, 0.55), (0.16, 0.44), (0.4, 0.46), (0.6, 0.4), (0.7, 0.55), (0.62, 0.74), (0.36, 0.7), (0.14, 0.72)],
            look.main,
        )
        for x in (0.15, 0.64):
            canvas.limb([(x, 0.64), (x, 0.94)], look.main, 0.11)
            canvas.oval(x + 0.02, 0.96, 0.075, 0.04, look.light)
        if look.a > 0.4:
            canvas.oval(0.36, 0.54, 0.11, 0.07, ear, edge=False)
        canvas.blob([(0.56, 0.5), (0.6, 0.24), (0.78, 0.26), (0.74, 0.5), (0.68, 0.6)], look.main)
        canvas.line([(0.575, 0.47), (0.755, 0.46)], look.accent, 0.055)
        canvas.oval(0.73, 0.25, 0.17, 0.15, look.main)
        canvas.blob([(0.78, 0.2), (0.94, 0.24), (0.97, 0.33), (0.84, 0.38), (0.74, 0.34)], look.light)
        canvas.oval(0.95, 0.245, 0.045, 0.04, BLACK, edge=False)
        canvas.oval(0.78, 0.2, 0.03, 0.035, BLACK, edge=False)
        canvas.blob([(0.66, 0.12), (0.7, 0.22), (0.66, 0.46), (0.56, 0.44), (0.56, 0.24)], ear)
    else:  # sitting, seen from the front
        canvas.limb([(0.7, 0.92), (0.88, 0.86), (0.95, 0.7)], look.main, 0.08)
        canvas.blob(
            [(0.5, 0.42), (0.68, 0.54), (0.76, 0.84), (0.7, 0.985), (0.3, 0.985), (0.24, 0.84), (0.32, 0.54)], look.main
        )
        canvas.blob([(0.5, 0.5), (0.6, 0.62), (0.56, 0.82), (0.44, 0.82), (0.4, 0.62)], look.light, edge=False)
        canvas.limb([(0.4, 0.74), (0.39, 0.94)], look.main, 0.11)
        canvas.limb([(0.6, 0.74), (0.61, 0.94)], look.main, 0.11)
        canvas.line([(0.36, 0.55), (0.64, 0.55)], look.accent, 0.06)
        canvas.oval(0.5, 0.3, 0.235, 0.245, look.main)
        for side in (-1, 1):
            canvas.blob(
                [
                    (0.5 + side * x, y)
                    for x, y in ((0.12, 0.08), (0.24, 0.1), (0.33, 0.3), (0.3, 0.5), (0.21, 0.46), (0.2, 0.24))
                ],
                ear,
            )
            _eye(canvas, 0.5 + side * 0.1, 0.23, 0.045)
        canvas.oval(0.5, 0.4, 0.14, 0.115, look.light)
        canvas.blob([(0.46, 0.46), (0.54, 0.46), (0.55, 0.56), (0.5, 0.6), (0.45, 0.56)], (236, 96, 110))
        canvas.oval(0.5, 0.345, 0.07, 0.05, BLACK, edge=False)


def bird(canvas: Canvas, look: Appearance) -> None:
    leg = (236, 140, 30)
    if look.shape == 2:  # wader: long legs and neck
        canvas.line([(0.42, 0.55), (0.42, 0.98), (0.5, 0.98)], leg, 0.03)
        canvas.line([(0.52, 0.55), (0.56, 0.74), (0.52, 0.98), (0.6, 0.98)], leg, 0.03)
        canvas.blob([(0.08, 0.52), (0.26, 0.36), (0.52, 0.34), (0.66, 0.46), (0.5, 0.6), (0.24, 0.6)], look.main)
        canvas.blob([(0.04, 0.54), (0.22, 0.42), (0.48, 0.42), (0.4, 0.54), (0.2, 0.58)], look.dark)
        canvas.limb([(0.6, 0.44), (0.74, 0.34), (0.64, 0.2), (0.72, 0.1)], look.main, 0.085)
        canvas.oval(0.75, 0.1, 0.1, 0.085, look.main)
        canvas.poly([(0.82, 0.07), (1.0, 0.16), (0.98, 0.22), (0.82, 0.15)], leg)
        canvas.oval(0.77, 0.085, 0.02, 0.022, BLACK, edge=False)
        return
    fat = 0.05 * look.a
    canvas.line([(0.42, 0.8), (0.42, 0.975), (0.52, 0.975)], leg, 0.035)
    canvas.line([(0.55, 0.8), (0.55, 0.975), (0.65, 0.975)], leg, 0.035)
    canvas.poly([(0.28, 0.52), (0.0, 0.42), (0.02, 0.62), (0.26, 0.72)], look.dark)
    canvas.blob(
        [(0.18, 0.58), (0.36, 0.4), (0.6, 0.3), (0.8, 0.48), (0.72, 0.76 + fat), (0.46, 0.86 + fat), (0.26, 0.76)],
        look.main,
    )
    canvas.blob([(0.56, 0.6), (0.76, 0.54), (0.72, 0.76), (0.5, 0.84), (0.42, 0.78)], look.light, edge=False)
    canvas.oval(0.68, 0.3, 0.2, 0.185, look.main)
    canvas.poly([(0.85, 0.23), (1.0, 0.31), (0.85, 0.39)], (250, 176, 40))
    _eye(canvas, 0.74, 0.26, 0.045)
    canvas.blob([(0.12, 0.64), (0.34, 0.48), (0.56, 0.52), (0.54, 0.68), (0.34, 0.74)], look.dark)
    for k in range(2):
        canvas.line([(0.22 + 0.06 * k, 0.67 - 0.02 * k), (0.48, 0.6 + 0.06 * k)], shade(look.dark, 0.7), 0.012)
    if look.shape == 1:  # crest
        canvas.poly([(0.56, 0.16), (0.5, 0.0), (0.64, 0.06), (0.68, 0.0), (0.74, 0.13)], look.dark)


def sheep(canvas: Canvas, look: Appearance) -> None:
    skin = (62, 54, 54) if look.colour != "black" else (176, 150, 130)
    for x in (0.25, 0.37, 0.57, 0.68):
        canvas.limb([(x, 0.72), (x, 0.95)], skin, 0.06)
    puffs = 11
    for rim in (True, False):  # first the outlined rim, then the same wool without lines inside
        for k in range(puffs):
            angle = 2 * math.pi * k / puffs + look.a
            canvas.oval(0.46 + 0.3 * math.cos(angle), 0.54 + 0.2 * math.sin(angle), 0.135, 0.125, look.main, edge=rim)
    canvas.oval(0.46, 0.54, 0.32, 0.22, look.main, edge=False)
    for x, y in ((0.3, 0.48), (0.46, 0.44), (0.38, 0.6), (0.55, 0.57)):
        canvas.curve([(x - 0.06, y), (x, y + 0.05), (x + 0.06, y)], look.dark, 0.02)
    canvas.oval(0.69, 0.41, 0.11, 0.05, skin, angle=0.5)
    canvas.blob([(0.74, 0.3), (0.88, 0.34), (0.96, 0.52), (0.88, 0.6), (0.76, 0.52)], skin)
    canvas.oval(0.83, 0.41, 0.03, 0.035, WHITE, edge=False)
    canvas.oval(0.84, 0.415, 0.014, 0.02, BLACK, edge=False)
    for x, y in ((0.72, 0.29), (0.8, 0.26), (0.86, 0.31)):
        canvas.oval(x, y, 0.07, 0.06, look.main)


def elephant(canvas: Canvas, look: Appearance) -> None:
    skin, dark = (look.main, look.dark) if look.colour != "blue" else ((120, 140, 176), (92, 108, 140))
    canvas.limb([(0.08, 0.4), (0.03, 0.5), (0.04, 0.64)], skin, 0.025)
    for x in (0.25, 0.55):
        canvas.rect(x - 0.07, 0.6, x + 0.07, 0.97, dark, cut=0.02)
    canvas.blob(
        [(0.05, 0.5), (0.14, 0.26), (0.4, 0.16), (0.64, 0.22), (0.74, 0.48), (0.6, 0.7), (0.34, 0.72), (0.12, 0.7)],
        skin,
    )
    for x in (0.14, 0.65):
        canvas.rect(x - 0.075, 0.6, x + 0.075, 0.985, skin, cut=0.02)
        for dx in (-0.045, 0.0, 0.045):
            canvas.oval(x + dx, 0.965, 0.018, 0.02, WHITE, edge=False)
    if look.shape == 1:  # backbone raised
        canvas.limb([(0.84, 0.44), (0.95, 0.5), (0.97, 0.3), (0.92, 0.14)], skin, 0.085)
    else:
        canvas.limb([(0.86, 0.42), (0.93, 0.6), (0.9, 0.82), (0.97, 0.88)], skin, 0.09)
    canvas.oval(0.77, 0.36, 0.165, 0.18, skin)
    canvas.poly([(0.82, 0.48), (0.88, 0.48), (0.93, 0.6), (0.9, 0.62)], (250, 244, 224))
    canvas.blob([(0.68, 0.16), (0.76, 0.3), (0.7, 0.52), (0.58, 0.54), (0.5, 0.36), (0.56, 0.18)], dark)
    canvas.oval(0.83, 0.32, 0.025, 0.03, BLACK, edge=False)


DRAWINGS = {"cat": cat, "dog": dog, "bird": bird, "sheep": sheep, "elephant": elephant}
