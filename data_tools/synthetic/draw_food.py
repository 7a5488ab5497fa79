"""Drawings of the food."""

from __future__ import annotations

from data_tools.synthetic.appearance import COLOURS, RGB, Appearance, shade
from data_tools.synthetic.canvas import Canvas

CREAM: RGB = (252, 244, 226)
LEAF: RGB = (86, 160, 60)


def apple(canvas: Canvas, look: Appearance) -> None:
    wide = 0.03 * look.a
    canvas.blob(
        [(0.5, 0.24), (0.7, 0.18), (0.9 + wide, 0.4), (0.84, 0.76), (0.64, 0.98),
         (0.5, 0.94), (0.36, 0.98), (0.16, 0.76), (0.1 - wide, 0.4), (0.3, 0.18)],
        look.main,
    )  # fmt: skip
    canvas.blob([(0.8, 0.36), (0.84, 0.6), (0.72, 0.86), (0.58, 0.92), (0.72, 0.66)], look.dark, edge=False)
    canvas.oval(0.29, 0.42, 0.07, 0.12, look.light, edge=False, angle=0.4)
    canvas.curve([(0.5, 0.28), (0.5, 0.14), (0.56, 0.03)], (96, 62, 36), 0.05)
    if look.c > 0.4:
        canvas.blob([(0.53, 0.15), (0.66, 0.03), (0.84, 0.05), (0.72, 0.17)], LEAF)


def banana(canvas: Canvas, look: Appearance) -> None:
    for k in range(1 + look.shape):
        dy = 0.17 - 0.09 * k
        canvas.blob(
            [(0.06, 0.3 + dy), (0.13, 0.26 + dy), (0.26, 0.5 + dy), (0.5, 0.6 + dy), (0.76, 0.52 + dy), (0.9, 0.3 + dy),
             (0.96, 0.32 + dy), (0.9, 0.6 + dy), (0.68, 0.8 + dy), (0.4, 0.8 + dy), (0.16, 0.62 + dy)],
            look.main if k % 2 == 0 else shade(look.main, 0.9),
        )  # fmt: skip
        canvas.curve([(0.14, 0.42 + dy), (0.36, 0.67 + dy), (0.66, 0.66 + dy), (0.88, 0.48 + dy)], look.dark, 0.025)
        canvas.poly([(0.04, 0.2 + dy), (0.11, 0.19 + dy), (0.14, 0.3 + dy), (0.06, 0.32 + dy)], (108, 76, 36))
        canvas.oval(0.935, 0.3 + dy, 0.04, 0.03, (92, 64, 34))


def cake(canvas: Canvas, look: Appearance) -> None:
    sponge = (226, 178, 110) if look.a > 0.4 else (120, 74, 46)
    if look.shape == 1:  # a slice
        canvas.poly([(0.04, 0.5), (0.62, 0.3), (0.96, 0.46), (0.96, 0.5)], look.main)
        canvas.poly([(0.04, 0.5), (0.96, 0.46), (0.96, 0.94), (0.04, 0.98)], sponge)
        canvas.poly([(0.04, 0.5), (0.96, 0.46), (0.96, 0.56), (0.04, 0.6)], look.main)
        canvas.poly([(0.04, 0.73), (0.96, 0.69), (0.96, 0.77), (0.04, 0.81)], CREAM, edge=False)
        canvas.oval(0.6, 0.3, 0.11, 0.1, (206, 34, 50))
        canvas.oval(0.57, 0.27, 0.03, 0.025, (250, 190, 190), edge=False)
        return
    canvas.oval(0.5, 0.93, 0.48, 0.065, (224, 228, 234))
    canvas.rect(0.12, 0.5, 0.88, 0.92, sponge, cut=0.03)
    canvas.rect(0.12, 0.68, 0.88, 0.75, CREAM, edge=False)
    canvas.rect(0.12, 0.44, 0.88, 0.56, look.main, edge=False)
    for k, drop in enumerate((0.62, 0.66, 0.6, 0.67, 0.61)):
        x = 0.2 + 0.15 * k
        canvas.oval(x, drop - 0.06, 0.07, 0.075, look.main, edge=False)
    canvas.oval(0.5, 0.45, 0.38, 0.085, look.light)
    candles = 2 + int(look.b * 3)
    for k in range(candles):
        x = 0.5 + (k - (candles - 1) / 2) * 0.17
        canvas.rect(x - 0.022, 0.22, x + 0.022, 0.44, look.accent)
        canvas.oval(x, 0.15, 0.035, 0.07, (255, 196, 60))


def ice_cream(canvas: Canvas, look: Appearance) -> None:
    wafer = (226, 166, 92)
    scoops = 1 + look.shape
    canvas.poly([(0.27, 0.52), (0.73, 0.52), (0.5, 1.0)], wafer)
    for k in range(1, 4):
        t = k / 4
        canvas.line(
            [(0.27 + 0.46 * t, 0.52), (0.27 + 0.46 * t - 0.115 * (1 - t) - 0.06, 0.52 + 0.3 * t)],
            shade(wafer, 0.68),
            0.012,
        )
        canvas.line(
            [(0.73 - 0.46 * t, 0.52), (0.73 - 0.46 * t + 0.115 * (1 - t) + 0.06, 0.52 + 0.3 * t)],
            shade(wafer, 0.68),
            0.012,
        )
    if scoops == 1:
        balls = [(0.5, 0.34, 0.28, look.main)]
    elif scoops == 2:
        balls = [(0.5, 0.42, 0.24, look.main), (0.5, 0.17, 0.165, look.accent)]
    else:
        balls = [(0.36, 0.42, 0.2, look.main), (0.65, 0.42, 0.2, look.accent), (0.5, 0.18, 0.175, look.light)]
    for x, y, r, colour in balls:
        canvas.oval(x, y, r, r, colour)
        canvas.oval(x - r * 0.35, y - r * 0.35, r * 0.25, r * 0.22, shade(colour, 1.6), edge=False)
    for k in range(5):
        x = 0.3 + 0.1 * k
        canvas.oval(x, 0.52, 0.06, 0.05, look.main, edge=False)
    if look.c > 0.5:
        canvas.oval(0.5, 0.03, 0.06, 0.055, COLOURS["red"])


def hamburger(canvas: Canvas, look: Appearance) -> None:
    bun = look.main
    canvas.rect(0.1, 0.8, 0.9, 0.98, bun, cut=0.07)
    canvas.rect(0.06, 0.66, 0.94, 0.82, (94, 52, 34), cut=0.06)
    canvas.poly(
        [(0.08, 0.62), (0.92, 0.62), (0.84, 0.72), (0.72, 0.66), (0.6, 0.76), (0.46, 0.67), (0.3, 0.75), (0.18, 0.67)],
        (252, 200, 50),
    )
    canvas.rect(0.1, 0.56, 0.9, 0.64, (214, 58, 44), cut=0.03)
    for k in range(7):
        canvas.oval(0.1 + 0.133 * k, 0.555, 0.085, 0.05, (110, 184, 70))
    canvas.blob([(0.06, 0.52), (0.12, 0.3), (0.34, 0.14), (0.66, 0.14), (0.88, 0.3), (0.94, 0.52), (0.5, 0.55)], bun)
    canvas.blob([(0.16, 0.36), (0.3, 0.22), (0.44, 0.2), (0.28, 0.34)], look.light, edge=False)
    if look.c > 0.4:
        for x, y in ((0.36, 0.32), (0.52, 0.24), (0.66, 0.33), (0.78, 0.4), (0.5, 0.4)):
            canvas.oval(x, y, 0.028, 0.018, CREAM, edge=False)


DRAWINGS = {"apple": apple, "banana": banana, "cake": cake, "ice cream": ice_cream, "hamburger": hamburger}
