"""Drawings of the vehicles, facing right."""

from __future__ import annotations

from data_tools.synthetic.appearance import RGB, Appearance, shade
from data_tools.synthetic.canvas import Canvas

GLASS: RGB = (176, 218, 238)
TYRE: RGB = (44, 44, 50)
METAL: RGB = (188, 192, 200)


def _wheel(canvas: Canvas, x: float, y: float, r: float) -> None:
    canvas.oval(x, y, r, r, TYRE)
    canvas.oval(x, y, r * 0.52, r * 0.52, METAL, edge=False)
    canvas.oval(x, y, r * 0.16, r * 0.16, TYRE, edge=False)


def car(canvas: Canvas, look: Appearance) -> None:
    top = 0.36 + 0.06 * look.a
    if look.shape == 0:  # saloon
        cabin = [(0.2, 0.62), (0.32, top), (0.64, top), (0.82, 0.62)]
    elif look.shape == 1:  # estate: the roof runs to the rear
        cabin = [(0.04, 0.62), (0.08, top), (0.64, top), (0.8, 0.62)]
    else:  # beetle
        cabin = [(0.16, 0.62), (0.22, top + 0.08), (0.36, top), (0.58, top), (0.72, top + 0.08), (0.8, 0.62)]
    canvas.poly(cabin, look.main)
    glass_left, glass_right = (0.1, 0.12) if look.shape == 1 else (0.27, 0.36)
    canvas.poly([(glass_left, 0.6), (glass_right, top + 0.05), (0.47, top + 0.05), (0.47, 0.6)], GLASS)
    canvas.poly([(0.52, 0.6), (0.52, top + 0.05), (0.61, top + 0.05), (0.74, 0.6)], GLASS)
    canvas.rect(0.02, 0.6, 0.98, 0.88, look.main, cut=0.08)
    canvas.rect(0.03, 0.77, 0.97, 0.85, look.dark, edge=False)
    canvas.line([(0.5, 0.63), (0.5, 0.84)], look.dark, 0.012)
    canvas.line([(0.53, 0.67), (0.6, 0.67)], shade(look.main, 0.4), 0.02)
    canvas.oval(0.93, 0.69, 0.04, 0.045, (255, 240, 170))
    canvas.rect(0.02, 0.66, 0.07, 0.73, (200, 40, 40))
    _wheel(canvas, 0.24, 0.87, 0.125)
    _wheel(canvas, 0.76, 0.87, 0.125)


def bus(canvas: Canvas, look: Appearance) -> None:
    decks = 2 if look.shape == 1 else 1
    top = 0.1 if decks == 2 else 0.3
    canvas.rect(0.02, top, 0.98, 0.9, look.main, cut=0.05)
    canvas.rect(0.03, 0.72, 0.97, 0.78, look.accent, edge=False)
    canvas.rect(0.03, 0.8, 0.97, 0.88, look.dark, edge=False)
    rows = [top + 0.08] if decks == 1 else [top + 0.07, top + 0.34]
    height = 0.26 if decks == 1 else 0.17
    panes = 4 + int(look.a * 2)
    for row in rows:
        pitch = 0.74 / panes
        for k in range(panes):
            left = 0.07 + k * pitch
            canvas.rect(left, row, left + pitch - 0.03, row + height, GLASS)
    canvas.rect(0.83, rows[-1], 0.95, 0.86, (210, 232, 242))
    canvas.line([(0.89, rows[-1]), (0.89, 0.86)], shade(look.main, 0.45), 0.012)
    if decks == 2:
        canvas.rect(0.83, top + 0.07, 0.95, top + 0.24, GLASS)
    canvas.oval(0.955, 0.82, 0.025, 0.03, (255, 240, 170))
    _wheel(canvas, 0.22, 0.89, 0.105)
    _wheel(canvas, 0.7, 0.89, 0.105)


def bicycle(canvas: Canvas, look: Appearance) -> None:
    r = 0.23
    y = 0.99 - r
    rear, front, crank = (0.24, y), (0.77, y), (0.46, y + 0.02)
    for x, _ in (rear, front):
        canvas.ring(x, y, r, r, TYRE, 0.045)
        for dx, dy in ((1.0, 0.0), (0.5, 0.87), (0.5, -0.87)):
            canvas.line([(x - dx * r, y - dy * r), (x + dx * r, y + dy * r)], METAL, 0.006)
    seat, head = (0.38, 0.42), (0.68, 0.4)
    width = 0.05 + 0.015 * look.a
    if look.c > 0.5:  # step-through frame
        bars = [(rear, crank), (rear, seat), (seat, crank), ((0.41, 0.6), head), (crank, head)]
    else:
        bars = [(rear, crank), (rear, seat), (seat, crank), (seat, head), (crank, head)]
    for a, b in bars:
        canvas.line([a, b], look.main, width)
    canvas.line([(0.66, 0.3), front], look.main, width)
    canvas.line([(0.365, 0.33), seat], METAL, 0.03)
    canvas.oval(0.36, 0.32, 0.1, 0.04, TYRE)
    canvas.line([(0.66, 0.3), (0.72, 0.24), (0.82, 0.27)], TYRE, 0.045)
    canvas.oval(crank[0], crank[1], 0.055, 0.055, METAL)
    canvas.line([(0.46, y + 0.02), (0.53, y + 0.13)], TYRE, 0.03)
    if look.b > 0.5:
        canvas.poly([(0.74, 0.34), (0.94, 0.34), (0.91, 0.5), (0.77, 0.5)], (190, 140, 80))


def boat(canvas: Canvas, look: Appearance) -> None:
    if look.shape == 0:  # sailing boat
        lean = 0.06 * look.a
        canvas.line([(0.46, 0.76), (0.46, 0.03)], (110, 78, 50), 0.03)
        canvas.poly([(0.5, 0.06), (0.92 - lean, 0.66), (0.5, 0.68)], (246, 244, 236))
        canvas.poly([(0.5, 0.36), (0.71 - lean / 2, 0.36), (0.92 - lean, 0.66), (0.5, 0.68)], look.accent)
        canvas.poly([(0.42, 0.14), (0.42, 0.68), (0.1 + lean, 0.66)], (250, 250, 246))
        canvas.poly([(0.46, 0.0), (0.6, 0.03), (0.46, 0.07)], look.main, edge=False)
    else:  # steamer
        canvas.rect(0.24, 0.52, 0.74, 0.74, (244, 244, 240))
        canvas.rect(0.34, 0.38, 0.62, 0.53, (232, 232, 228))
        canvas.poly([(0.4, 0.38), (0.42, 0.12), (0.55, 0.12), (0.55, 0.38)], look.accent)
        canvas.rect(0.415, 0.12, 0.555, 0.19, (50, 50, 56))
        canvas.oval(0.38, 0.06, 0.07, 0.05, (212, 212, 216), edge=False)
        canvas.oval(0.24, 0.05, 0.09, 0.05, (224, 224, 228), edge=False)
        for x in (0.33, 0.49, 0.65):
            canvas.oval(x, 0.62, 0.045, 0.045, GLASS)
    canvas.poly([(0.02, 0.72), (0.98, 0.68), (0.82, 0.97), (0.16, 0.97)], look.main)
    canvas.poly([(0.1, 0.86), (0.885, 0.86), (0.83, 0.95), (0.155, 0.95)], look.dark, edge=False)
    canvas.line([(0.05, 0.765), (0.94, 0.74)], (250, 250, 250), 0.025)


DRAWINGS = {"car": car, "bus": bus, "bicycle": bicycle, "boat": boat}
