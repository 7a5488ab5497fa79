"""The sections of a study's settings: practice, rules, points, Prolific; and the texts that settings may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from semfid.settings import Settings


def _printable(text: str) -> str:
    if any(ord(char) < 32 and char not in "\n\t\r" for char in text):
        raise ValueError("it holds a control character; take it out")
    return text


def _code(text: str) -> str:
    if len(text) > 40 or not all(char.isalnum() or char in "-_" for char in text):
        raise ValueError("a code of prolific is letters and digits, 40 at most")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Code = Annotated[str, AfterValidator(_code)]


class TrainingSettings(Settings):
    """Practice with feedback. In files `passing` is `pass`."""

    model_config = ConfigDict(populate_by_name=True)

    items: int = Field(default=6, ge=0, le=100, title="Practice pairs")
    """With feedback, before the main part; 0: none."""
    passing: int = Field(default=5, alias="pass", ge=0, le=100, title="Right answers to pass")
    """At most the number of practice pairs."""
    attempts: int = Field(default=2, ge=1, le=20, title="Attempts")
    """After the last one the person cannot continue."""


class RuleSettings(Settings):
    """When answers do not count and when a person is excluded; judged in `user_study.trial.screening`.

    Shares are in [0, 1]. One flag asks for a review, two exclude.
    """

    min_traps: int = Field(default=8, ge=1, le=10_000, title="Traps before judging")
    """Of 8 traps with 6 needed: 14 % of people who guess pass, 1 % of attentive people fail."""
    trap_pass: float = Field(default=0.75, ge=0, le=1, title="Share of traps to get right")
    """Below it a person is excluded."""
    warn_after_misses: int = Field(default=2, ge=1, le=10_000, title="Warn after … missed traps")
    """Once, in friendly words."""
    floor_ms: int = Field(default=400, ge=0, le=60_000, title="Fastest answer that counts (ms)")
    """Answers faster than this are stored but do not count."""
    fast_median_ms: int = Field(default=700, ge=0, le=60_000, title="Flag: median time below (ms)")
    """One flag asks for your review; two exclude."""
    fast_share: float = Field(default=0.2, ge=0, le=1, title="Flag: share of answers below the floor")
    """More than this share raises a flag."""
    timing_min: int = Field(default=20, ge=1, le=100_000, title="Trials before times are judged")
    """Also for leaving the window."""
    same_share: float = Field(default=0.95, ge=0.5, le=1, title="Flag: share of the same answer")
    """For people who press one key only."""
    same_min: int = Field(default=40, ge=1, le=100_000, title="Trials before sameness is judged")
    """Traps are half Yes and half No, so honest people vary."""
    repeat_agreement: float = Field(default=0.7, ge=0, le=1, title="Flag: repeats answered the same, below")
    """Share of repeats with the same answer as before."""
    repeat_min: int = Field(default=4, ge=1, le=10_000, title="Repeats before they are judged")
    """Fewer are not enough to judge."""
    blur_share: float = Field(default=0.3, ge=0, le=1, title="Flag: share of trials with the window left")
    """The person used another window during the trial."""


class GameSettings(Settings):
    """Points and the roulette.

    `points` for every valid answer; `streak` more at every `spin_every`-th one if all traps since the last were right (given
    later, so that no trap is revealed); one spin for every `spin_every` valid answers.
    """

    enabled: bool = Field(default=True, title="Points and the roulette")
    """Off: only progress is shown."""
    points: int = Field(default=1, ge=0, le=1_000, title="Points per valid answer")
    """Traps pay the same, so that points reveal nothing."""
    streak: int = Field(default=3, ge=0, le=1_000, title="Points for traps in a row")
    """Given with the next spin if no trap was missed since the last."""
    spin_every: int = Field(default=10, ge=1, le=10_000, title="A spin after every … valid answers")
    """Drawn on the server."""
    wheel: tuple[int, ...] = Field(default=(10, -10, 3, -3), title="Wheel")
    """Points of its segments, with commas. Their mean should be near 0."""
    max_spins: int = Field(default=30, ge=0, le=10_000, title="Most spins per person")
    """0: no roulette."""
    floor: int = Field(default=0, ge=-1_000_000, le=1_000_000, title="Lowest score")
    """A spin never takes a score below this."""


class ProlificSettings(Settings):
    """Codes that Prolific expects at the end; empty: participants from Prolific get a code of their own."""

    completion_code: Code = Field(default="", title="Prolific: completion code")
    """People return to Prolific with it. Empty: everybody gets a code of their own."""
    screened_out_code: Code = Field(default="", title="Prolific: screened-out code")
    """For people who do not pass the practice."""
