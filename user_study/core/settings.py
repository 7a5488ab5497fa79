"""The settings of a study: one model for files, the form and validation; stored as JSON with a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from semfid.errors import UserError, did_you_mean
from semfid.io.yaml_file import read_mapping
from semfid.settings import Settings, validate
from user_study.core.settings_sections import GameSettings, ProlificSettings, RuleSettings, Text, TrainingSettings

QUESTION = "Do images A and B show something different in meaning?"
DEFINITION = (
    "Answer Yes when an object, a face, a text, a number or a scene reads differently in the two images. "
    "Blur, noise, colour and sharpness alone are not a difference in meaning."
)
CONSENT = (
    "You will see two images at a time and say whether their meaning differs. Taking part is voluntary, you may stop at any "
    "time, and you must be at least 18 years old. We store your answers, how long they took, and how the images were shown "
    "on your screen, under a random code. We ask for no name, no e-mail address, and store no network address."
)
RETENTION = (
    "Answers are kept for research and may be published without your nickname. "
    "Until then you can download or delete everything stored about you under “My data”."
)


class StudySettings(Settings):
    """Everything about a study that a researcher may set. Times end in _s (seconds) or _ms (milliseconds)."""

    title: Text = Field(default="What changed?", max_length=200, title="Title")
    """At the top of every page."""
    contact: Text = Field(default="", max_length=500, title="Contact")
    """Who runs the study, and how to reach them: name, institution, e-mail address."""
    consent_text: Text = Field(default=CONSENT, max_length=40_000, title="Consent")
    """People agree to this text before they begin; its fingerprint is stored with their consent."""
    retention_text: Text = Field(default=RETENTION, max_length=40_000, title="How long data are kept")
    """Part of the consent page and of the privacy page."""
    question: Text = Field(default=QUESTION, max_length=500, title="Question")
    """Shown above every pair. People answer with Yes when the meaning differs."""
    definition: Text = Field(default=DEFINITION, max_length=4_000, title="Definition")
    """What counts as a difference and what does not; in the instructions and available later."""
    answers: Literal["binary", "unsure"] = Field(
        default="binary",
        title="Answers",
        json_schema_extra={"options": {"binary": "No, Yes", "unsure": "No, Yes, Not sure"}},
    )
    """“Not sure” counts as half a Yes in the scores; the reference study had Yes and No alone."""
    quota: int = Field(default=30, ge=1, le=100_000, title="Answers per pair")
    """30 answers place a score within about 0.17; 15 within 0.23. It may grow later, not shrink."""
    lease_s: int = Field(default=240, ge=10, le=86_400, title="Seconds to answer")
    """How long a pair is reserved for the person who sees it. Renewed while the page is visible."""
    per_person_cap: int = Field(default=120, ge=1, le=100_000, title="Most pairs per person")
    """After these a person has finished. 60 to 120 keep people attentive, and no person dominates."""
    break_every: int = Field(default=50, ge=0, le=100_000, title="Break after every … trials")
    """A pause is offered; 0: never."""
    follow_up_category: bool = Field(default=False, title="Ask what changed after a Yes")
    """A detail, a local structure, or the meaning of the whole. Takes people longer."""
    follow_up_where: bool = Field(default=False, title="Ask where after a Yes")
    """One click on the image; exported as a position. Takes people longer."""
    trap_rate: float = Field(default=0.1, ge=0, le=0.5, title="Share of traps")
    """0.1: about one trial in ten has a known answer."""
    repeat_rate: float = Field(default=0.05, ge=0, le=0.5, title="Share of repeats")
    """Pairs that the person has seen before, sides exchanged: does the answer stay?"""
    repeat_gap: int = Field(default=20, ge=1, le=10_000, title="Trials before a repeat")
    """At least this many other trials are between."""
    training: TrainingSettings = TrainingSettings()
    rules: RuleSettings = RuleSettings()
    game: GameSettings = GameSettings()
    leaderboard: bool = Field(default=True, title="Show a leaderboard")
    """People may leave it. Excluded people and testers are not on it."""
    prizes: tuple[Text, ...] = Field(default=(), title="Prizes")
    """One a line, from the first place on; shown beside the leaderboard."""
    phones: bool = Field(default=True, title="Let phones take part")
    """Small screens hide small changes; answers record how large the images were shown."""
    key_swap: bool = Field(default=False, title="Exchange the keys for half of the people")
    """So that a preferred hand does not favour an answer."""
    open_registration: bool = Field(default=True, title="Open registration")
    """Everybody who knows the address may join with a nickname. Off: only by invitation or Prolific."""
    prolific: ProlificSettings = ProlificSettings()
    keep_answers_on_delete: bool = Field(default=False, title="Keep answers of people who delete themselves")
    """Without any link to the person. Say so in the texts above. Off: their answers are deleted."""

    @model_validator(mode="after")
    def _check(self) -> StudySettings:
        for key in ("title", "question"):
            if not getattr(self, key).strip():
                raise ValueError(f"{key} is empty; write one")
        if self.training.passing > self.training.items:
            raise ValueError(f"training.pass {self.training.passing} is more than training.items {self.training.items}")
        if self.game.enabled and not 2 <= len(self.game.wheel) <= 24:
            raise ValueError(f"game.wheel has {len(self.game.wheel)} segments; use 2 to 24")
        if any(abs(points) > 1_000 for points in self.game.wheel):
            raise ValueError("game.wheel holds more than 1000 points; use smaller ones")
        return self

    @property
    def choices(self) -> tuple[str, ...]:
        """The answers that this study takes, in the order of its buttons."""
        return ("no", "yes", "unsure") if self.answers == "unsure" else ("no", "yes")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back."""
        return self.model_dump(mode="json", by_alias=True)

    def to_json(self) -> str:
        """Canonical JSON: equal settings give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)

    @property
    def hash(self) -> str:
        """16 hex digits of the content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {},  # binary, 30 a pair: the defaults
    "unsure": {"answers": "unsure"},
    "quick": {"quota": 5, "per_person_cap": 60, "break_every": 30},
}
# what may not change once answers come in, or answers before and after would not be of one kind
LOCKED_WHEN_LIVE = ("question", "answers", "quota")


def from_dict(values: Mapping[str, Any], place: str = "settings") -> StudySettings:
    """Settings from plain values; what is left out keeps its default. `preset` names a set of PRESETS to start from.

    Raises:
        UserError: an unknown key (with near misses), a value of the wrong type or outside its range.
    """
    values = dict(values)
    preset = values.pop("preset", "thesis")
    if preset not in PRESETS:
        raise UserError(
            f"{place}: no preset {preset!r}{did_you_mean(str(preset), PRESETS)} (there are: {', '.join(PRESETS)})"
        )
    return validate(StudySettings, {**PRESETS[preset], **values}, place)


def read_settings(path: str | Path) -> StudySettings:
    """Settings from a YAML file (JSON is YAML).

    Raises:
        UserError: no such file, no YAML, no mapping, a key that occurs twice; see `from_dict`.
    """
    return from_dict(read_mapping(path), str(path))


def from_json(body: str, place: str = "settings") -> StudySettings:
    """Settings as they are stored."""
    return from_dict(json.loads(body), place)


def locked_changes(old: StudySettings, new: StudySettings) -> list[str]:
    """Names of locked fields that differ. The quota may grow."""
    changed = [name for name in LOCKED_WHEN_LIVE if getattr(old, name) != getattr(new, name)]
    return [name for name in changed if name != "quota" or new.quota < old.quota]
