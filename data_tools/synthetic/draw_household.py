"""Drawings of the household things."""

from __future__ import annotations

import math

from data_tools.synthetic.appearance import RGB, Appearance, shade
from data_tools.synthetic.canvas import Canvas

STEEL: RGB = (150, 154, 164)
BLACK: RGB = (30, 30, 34)


def chair(canvas: Canvas, look: Appearance) -> None:
    if look.shape == 1:  # armchair
        canvas.rect(0.16, 0.88, 0.24, 0.99, (84, 56, 36))
        canvas.rect(0.76, 0.88, 0.84, 0.99, (84, 56, 36))
        canvas.rect(0.17, 0.14, 0.83, 0.74, look.main, cut=0.12)
        for x in (0.38, 0.62):
            canvas.line([(x, 0.22), (x, 0.56)], look.dark, 0.02)
        canvas.rect(0.14, 0.6, 0.86, 0.92, look.dark, cut=0.04)
        canvas.rect(0.22, 0.56, 0.78, 0.74, look.light, cut=0.06)
        canvas.rect(0.04, 0.44, 0.24, 0.92, look.main, cut=0.08)
        canvas.rect(0.76, 0.44, 0.96, 0.92, look.main, cut=0.08)
        return
    wood = look.main
    canvas.limb([(0.78, 0.6), (0.8, 0.86)], look.dark, 0.055)
    canvas.limb([(0.36, 0.62), (0.36, 0.86)], look.dark, 0.055)
    canvas.limb([(0.2, 0.06), (0.22, 0.97)], wood, 0.065)
    canvas.limb([(0.4, 0.03), (0.41, 0.5)], look.dark, 0.06)
    for y in (0.1, 0.24, 0.38):
        canvas.poly([(0.2, y), (0.4, y - 0.03), (0.4, y + 0.05), (0.2, y + 0.08)], wood)
    canvas.poly([(0.2, 0.58), (0.4, 0.49), (0.86, 0.49), (0.76, 0.6)], look.accent if look.a > 0.5 else look.light)
    canvas.poly([(0.18, 0.58), (0.76, 0.6), (0.76, 0.67), (0.18, 0.66)], wood)
    canvas.poly([(0.76, 0.6), (0.87, 0.49), (0.87, 0.56), (0.76, 0.67)], look.dark)
    canvas.limb([(0.73, 0.66), (0.73, 0.97)], wood, 0.065)


def cup(canvas: Canvas, look: Appearance) -> None:
    for x in (0.34, 0.52):
        canvas.curve([(x, 0.24), (x - 0.05, 0.17), (x + 0.05, 0.1), (x, 0.02)], (236, 236, 240), 0.03)
    if look.shape == 1:  # tea cup on a saucer
        canvas.oval(0.46, 0.92, 0.45, 0.07, look.light)
        canvas.ring(0.8, 0.5, 0.13, 0.12, shade(look.main, 0.42), 0.085)
        canvas.ring(0.8, 0.5, 0.12, 0.11, look.dark, 0.05)
        canvas.blob(
            [(0.1, 0.36), (0.46, 0.33), (0.82, 0.36), (0.74, 0.68), (0.58, 0.88), (0.34, 0.88), (0.18, 0.68)], look.main
        )
        canvas.curve([(0.13, 0.5), (0.3, 0.56), (0.46, 0.57), (0.62, 0.56), (0.79, 0.5)], look.accent, 0.05)
        canvas.oval(0.46, 0.37, 0.36, 0.075, shade(look.main, 1.25))
        canvas.oval(0.46, 0.385, 0.3, 0.05, (110, 66, 34), edge=False)
    else:  # mug
        canvas.ring(0.78, 0.62, 0.2, 0.2, shade(look.main, 0.42), 0.13)
        canvas.ring(0.78, 0.62, 0.18, 0.18, look.dark, 0.085)
        canvas.poly([(0.12, 0.34), (0.76, 0.34), (0.73, 0.93), (0.62, 0.985), (0.26, 0.985), (0.15, 0.93)], look.main)
        canvas.rect(0.6, 0.42, 0.71, 0.93, look.dark, edge=False)
        canvas.oval(0.44, 0.34, 0.32, 0.075, shade(look.main, 1.25))
        canvas.oval(0.44, 0.35, 0.26, 0.05, (92, 54, 30), edge=False)
        if look.a > 0.6:
            canvas.rect(0.14, 0.58, 0.735, 0.7, look.accent, edge=False)
        elif look.a > 0.25:
            canvas.oval(0.4, 0.66, 0.13, 0.13, look.accent, edge=False)


def lamp(canvas: Canvas, look: Appearance) -> None:
    glow = (255, 238, 160)
    if look.shape == 1:  # desk lamp with a jointed arm
        canvas.oval(0.36, 0.94, 0.26, 0.055, look.dark)
        canvas.line([(0.36, 0.92), (0.2, 0.54), (0.54, 0.24)], shade(look.main, 0.42), 0.075)
        canvas.line([(0.36, 0.92), (0.2, 0.54), (0.54, 0.24)], STEEL, 0.05)
        canvas.oval(0.2, 0.54, 0.055, 0.055, look.dark)
        canvas.oval(0.76, 0.46, 0.13, 0.12, glow)
        canvas.poly([(0.46, 0.22), (0.62, 0.08), (0.98, 0.32), (0.62, 0.6)], look.main)
        canvas.oval(0.53, 0.17, 0.09, 0.09, look.main)
        return
    canvas.oval(0.5, 0.95, 0.24, 0.05, (110, 78, 50))
    if look.a > 0.5:  # bellied foot
        canvas.blob([(0.5, 0.5), (0.64, 0.66), (0.6, 0.86), (0.5, 0.95), (0.4, 0.86), (0.36, 0.66)], look.accent)
    else:
        canvas.limb([(0.5, 0.46), (0.5, 0.93)], (134, 98, 62), 0.06)
    canvas.line([(0.62, 0.46), (0.62, 0.62)], BLACK, 0.01)
    canvas.poly([(0.3, 0.06), (0.7, 0.06), (0.92, 0.5), (0.08, 0.5)], look.main)
    canvas.poly([(0.38, 0.08), (0.58, 0.08), (0.66, 0.48), (0.3, 0.48)], glow, edge=False)
    canvas.poly([(0.12, 0.43), (0.88, 0.43), (0.92, 0.5), (0.08, 0.5)], look.dark, edge=False)


def clock(canvas: Canvas, look: Appearance) -> None:
    cx, cy = 0.5, 0.54
    if look.shape == 1:  # on a wooden stand
        canvas.rect(0.1, 0.1, 0.9, 0.92, look.main, cut=0.14)
        canvas.rect(0.06, 0.9, 0.94, 0.99, look.dark)
        cy = 0.5
        r = 0.33
    else:  # alarm clock with two bells
        for side in (-1, 1):
            canvas.limb([(0.5 + side * 0.2, 0.82), (0.5 + side * 0.3, 0.96)], look.dark, 0.07)
            canvas.oval(0.5 + side * 0.24, 0.16, 0.17, 0.13, STEEL, angle=side * 0.6)
        canvas.line([(0.5, 0.04), (0.5, 0.2)], BLACK, 0.04)
        canvas.oval(0.5, 0.05, 0.09, 0.035, look.dark)
        canvas.oval(cx, cy, 0.4, 0.4, look.main)
        r = 0.31
    canvas.oval(cx, cy, r, r, (252, 250, 242))
    for k in range(12):
        angle = math.pi * k / 6
        inner = 0.7 if k % 3 == 0 else 0.8
        dx, dy = math.sin(angle) * r, -math.cos(angle) * r
        canvas.line([(cx + dx * inner, cy + dy * inner), (cx + dx * 0.9, cy + dy * 0.9)], BLACK, 0.02)
    for turn, length, width in ((look.a, 0.5, 0.045), (look.b, 0.74, 0.03)):
        angle = 2 * math.pi * turn
        canvas.line([(cx, cy), (cx + math.sin(angle) * r * length, cy - math.cos(angle) * r * length)], BLACK, width)
    canvas.oval(cx, cy, 0.03, 0.03, (200, 40, 40), edge=False)


DRAWINGS = {"chair": chair, "cup": cup, "lamp": lamp, "clock": clock}
