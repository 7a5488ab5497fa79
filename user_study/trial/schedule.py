"""Positions of traps and repeats among a person's trials: drawn once, from the study's secret and the person.

Traps: one in every block of ``1 / trap_rate`` trials from the first block on, its place uniform in the block, never right after
the trap of the block before; of every two traps one is a "yes" and one a "no", in random order, so that pressing one key is
right half the time. Repeats: one in every block of ``1 / repeat_rate`` trials, not in a trap's place, and only after the first
`repeat_gap` trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Literal

from user_study.core.settings import StudySettings

Truth = Literal["yes", "no"]


def traps(rng: Random, rate: float) -> Iterator[tuple[int, Truth]]:
    """(position from 1, polarity) of all traps, in order and without end; nothing where the rate is 0."""
    if rate <= 0:
        return
    size, start, last = max(1, round(1 / rate)), 0, -1
    while True:
        for truth in _both(rng):
            first = start + 1 if last != start or size == 1 else start + 2
            last = rng.randint(first, start + size)
            yield last, truth
            start += size


def _both(rng: Random) -> tuple[Truth, Truth]:
    return ("yes", "no") if rng.random() < 0.5 else ("no", "yes")


def trap_at(settings: StudySettings, seed: str, position: int) -> Truth | None:
    """The polarity of the trap at a position; None: no trap there."""
    for place, truth in traps(Random(f"{seed} traps"), settings.trap_rate):
        if place >= position:
            return truth if place == position else None
    return None


def repeat_at(settings: StudySettings, seed: str, position: int) -> bool:
    """Whether a repeat is due at a position."""
    if settings.repeat_rate <= 0 or position <= settings.repeat_gap + 1:
        return False
    size = max(2, round(1 / settings.repeat_rate))
    block = (position - 1) // size
    first, last = max(block * size + 1, settings.repeat_gap + 2), (block + 1) * size
    taken = _trap_places(settings, seed, last)
    free = [place for place in range(first, last + 1) if place not in taken]
    return bool(free) and Random(f"{seed} repeats {block}").choice(free) == position


def _trap_places(settings: StudySettings, seed: str, last: int) -> set[int]:
    if settings.trap_rate <= 0:
        return set()
    size = max(1, round(1 / settings.trap_rate))
    return {place for place, _ in islice(traps(Random(f"{seed} traps"), settings.trap_rate), last // size + 1)}
