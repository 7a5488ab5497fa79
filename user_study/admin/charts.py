"""Small charts drawn on the server as inline SVG: no script, colours from the stylesheet's classes.

Every chart carries its message as text (`role="img"` with a label); the numbers are beside it or in a table.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 320, 120
NOTHING = Markup('<p class="quiet">Drawn once there are answers.</p>')
LEFT, BOTTOM, TOP = 4, 18, 14  # room for the labels


def _svg(label: str, body: list[Markup], width: int = WIDTH, height: int = HEIGHT) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("").join(body)
    )


def _text(x: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def bars(label: str, values: Sequence[int], ends: tuple[str, str], names: Sequence[str] | None = None) -> Markup:
    """Columns from left to right.

    Args:
        values: heights, 0 or more; where all are 0, a sentence replaces the chart.
        ends: labels under the first and under the last column.
        names: of the columns, for the tip under the pointer; default their number.
    """
    most = max(values, default=0)
    if not most:
        return NOTHING
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    step = (WIDTH - 2 * LEFT) / max(len(values), 1)
    body = []
    for k, value in enumerate(values):
        height = room * value / most
        height = max(height, 1.5) if value else 0
        body.append(
            Markup(
                '<rect class="bar" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{}: {}</title></rect>'
            ).format(
                LEFT + k * step + step * 0.06,
                floor - height,
                step * 0.88,
                height,
                names[k] if names else k,
                f"{value:,}",
            )
        )
    body.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, floor + 0.5, WIDTH - LEFT))
    body.append(_text(LEFT, HEIGHT - 4, "start", ends[0]))
    body.append(_text(WIDTH - LEFT, HEIGHT - 4, "end", ends[1]))
    body.append(_text(WIDTH - LEFT, 10, "end", f"most: {most:,}"))
    return _svg(label, body)


def line(label: str, points: Sequence[tuple[float, float]], ends: tuple[str, str], note: str = "") -> Markup:
    """A rising curve.

    Args:
        points: (x, share in [0, 1]) with x growing; two or more.
        ends: labels under the first and under the last x.
        note: top left.
    """
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    first, last = points[0][0], points[-1][0]
    span = (last - first) or 1.0
    at = [(LEFT + (WIDTH - 2 * LEFT) * (x - first) / span, floor - room * min(max(y, 0.0), 1.0)) for x, y in points]
    path = " ".join(f"{'ML'[k > 0]}{x:.1f} {y:.1f}" for k, (x, y) in enumerate(at))
    body = [
        Markup('<path class="area" d="{} L{:.1f} {} L{:.1f} {} Z"/>').format(path, at[-1][0], floor, at[0][0], floor),
        Markup('<path class="line" d="{}"/>').format(path),
        Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, floor + 0.5, WIDTH - LEFT),
        _text(LEFT, HEIGHT - 4, "start", ends[0]),
        _text(WIDTH - LEFT, HEIGHT - 4, "end", ends[1]),
        _text(LEFT, 10, "start", note),
    ]
    return _svg(label, body)


def interval(value: float | None, low: float | None, high: float | None, mark: float | None = None) -> Markup:
    """A rate in [0, 1] with its interval, for a cell of a table; a tick at `mark`. Empty where there is no value."""
    if value is None or low is None or high is None:
        return Markup("")
    width, middle = 100, 7
    body = [Markup('<path class="axis" d="M0 {}H{}"/>').format(middle, width)]
    if mark is not None:
        body.append(Markup('<path class="mark" d="M{:.1f} 1V13"/>').format(mark * width))
    body.append(
        Markup('<rect class="range" x="{:.1f}" y="{}" width="{:.1f}" height="6" rx="2"/>').format(
            low * width, middle - 3, max((high - low) * width, 1)
        )
    )
    body.append(Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="3.2"/>').format(value * width, middle))
    label = f"{value:.2f}, 95 % interval {low:.2f} to {high:.2f}"
    return Markup('<svg class="interval" viewBox="-4 0 108 14" role="img" aria-label="{}">{}</svg>').format(
        label, Markup("").join(body)
    )
