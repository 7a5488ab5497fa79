"""Numbers and times as the admin pages print them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from markupsafe import Markup

NOTHING = "–"

# what a flag of the screening rules means; the rules themselves are in user_study.trial.screening
FLAG_NAMES = {
    "traps": "fails traps",
    "fast_median": "median time very short",
    "fast_share": "many very fast answers",
    "same_answer": "nearly always the same answer",
    "repeats": "repeats answered differently",
    "blur": "often away from the window",
}
WHY_NOT = {
    "fast": "too fast",
    "held": "key held down",
    "unseen": "before the images were seen",
    "late": "too late, quota full",
    "surplus": "quota full",
    "excluded": "person excluded",
    "tester": "tester",
    "undone": "undone",
    "kind": "kept apart",
}
ENTRY_CHANNELS = {"nickname": "open registration", "invitation": "invitation", "prolific": "Prolific"}
STEPS = {
    "consent": "consent",
    "instructions": "instructions",
    "training": "practice",
    "main": "main",
    "finished": "finished",
}


def percent(share: float | None, digits: int = 0) -> str:
    """0.123 as ``12 %``; a dash for None and nan."""
    return NOTHING if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"


def figure(value: float | None, digits: int = 2) -> str:
    """A decimal number; a dash for None and nan."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def seconds(ms: float | None) -> str:
    """Milliseconds as ``1.2 s``."""
    return NOTHING if ms is None else f"{ms / 1000:.1f} s"


def hours(value: float | None) -> str:
    """A length of time: ``12 min``, ``3.5 h``, ``4 days``."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{max(1, round(value * 60))} min"
    return f"{value:.1f} h" if value < 48 else f"{value / 24:,.0f} days"


def moment(ms: int | None) -> Markup:
    """A time of the database (UTC) as ``<time>``; a dash for None."""
    if ms is None:
        return Markup(NOTHING)
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M")
    )


def day(ms: float) -> str:
    """A time for the end of an axis."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def ago(ms: int, now: int) -> str:
    """How long ago, in words; never negative."""
    past = max(0, now - ms) / 1000
    for length, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if past >= length:
            count = int(past // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "now" if past < 10 else f"{int(past)} seconds ago"
