"""The settings of a study: a frozen tree with defaults, read from YAML or JSON, stored as JSON with a hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from semfid.errors import UserError, did_you_mean
from user_study.core.errors import StudyError

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


@dataclass(frozen=True)
class TrainingSettings:
    """Practice with feedback: of `items` pairs, `passing` must be right; `attempts` tries. In files `pass` is `passing`."""

    items: int = 6
    passing: int = 5
    attempts: int = 2


@dataclass(frozen=True)
class RuleSettings:
    """When answers do not count and when a person is excluded; judged in `user_study.trial.screening`.

    Shares are in [0, 1]. `floor_ms`: answers faster than this do not count. Flags (one: review; two: exclusion) need
    `timing_min` trials for times and focus, `same_min` for equal answers, `repeat_min` repeats for agreement.
    """

    min_traps: int = 8
    trap_pass: float = 0.75
    warn_after_misses: int = 2
    floor_ms: int = 400
    fast_median_ms: int = 700
    fast_share: float = 0.2
    timing_min: int = 20
    same_share: float = 0.95
    same_min: int = 40
    repeat_agreement: float = 0.7
    repeat_min: int = 4
    blur_share: float = 0.3


@dataclass(frozen=True)
class GameSettings:
    """Points and the roulette.

    `points` for every valid answer; `streak` more at every `spin_every`-th one if all traps since the last were right (given
    later, so that no trap is told); one spin for every `spin_every` valid answers, `max_spins` at most; a score never falls
    below `floor`.
    """

    enabled: bool = True
    points: int = 1
    streak: int = 3
    spin_every: int = 10
    wheel: tuple[int, ...] = (10, -10, 3, -3)
    max_spins: int = 30
    floor: int = 0


@dataclass(frozen=True)
class ProlificSettings:
    """Codes that Prolific expects at the end; empty: participants from Prolific get a code of their own."""

    completion_code: str = ""
    screened_out_code: str = ""


@dataclass(frozen=True)
class StudySettings:
    """Everything about a study that a researcher may set. Times end in _s (seconds) or _ms (milliseconds)."""

    title: str = "What changed?"
    contact: str = ""
    consent_text: str = CONSENT
    retention_text: str = RETENTION
    question: str = QUESTION
    definition: str = DEFINITION
    answers: str = "binary"
    quota: int = 30
    lease_s: int = 240
    per_person_cap: int = 120
    break_every: int = 50
    follow_up_category: bool = False
    follow_up_where: bool = False
    trap_rate: float = 0.1
    repeat_rate: float = 0.05
    repeat_gap: int = 20
    training: TrainingSettings = field(default_factory=TrainingSettings)
    rules: RuleSettings = field(default_factory=RuleSettings)
    game: GameSettings = field(default_factory=GameSettings)
    leaderboard: bool = True
    prizes: tuple[str, ...] = ()
    phones: bool = True
    key_swap: bool = False
    open_registration: bool = True
    prolific: ProlificSettings = field(default_factory=ProlificSettings)
    keep_answers_on_delete: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The answers that this study takes, in the order of its buttons."""
        return ("no", "yes", "unsure") if self.answers == "unsure" else ("no", "yes")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back."""
        return _plain(self)

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
_FILE_NAMES = {"passing": "pass"}
_S = TypeVar("_S")


def from_dict(values: Mapping[str, Any], place: str = "settings") -> StudySettings:
    """Settings from plain values; what is left out keeps its default. `preset` names a set of PRESETS to start from.

    Raises:
        StudyError: an unknown key (with near misses), a value of the wrong type or outside its range.
    """
    values = dict(values)
    preset = values.pop("preset", "thesis")
    if preset not in PRESETS:
        raise StudyError(
            f"{place}: no preset {preset!r}{did_you_mean(str(preset), PRESETS)} (there are: {', '.join(PRESETS)})"
        )
    settings = _build(StudySettings, {**PRESETS[preset], **values}, place, "")
    _check(settings, place)
    return settings


def read_settings(path: str | Path) -> StudySettings:
    """Settings from a YAML file (JSON is YAML).

    Raises:
        StudyError: no such file, no YAML, no mapping, a key that stands twice; see `from_dict`.
    """
    from semfid.io.yaml_file import read_mapping  # with omegaconf, which a running server does not need

    try:
        values = read_mapping(path)
    except UserError as error:
        raise StudyError(str(error)) from error
    return from_dict(values, str(path))


def from_json(body: str, place: str = "settings") -> StudySettings:
    """Settings as they are stored."""
    return from_dict(json.loads(body), place)


def locked_changes(old: StudySettings, new: StudySettings) -> list[str]:
    """Names of locked fields that differ. The quota may grow."""
    changed = [name for name in LOCKED_WHEN_LIVE if getattr(old, name) != getattr(new, name)]
    return [name for name in changed if name != "quota" or new.quota < old.quota]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {_FILE_NAMES.get(f.name, f.name): _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _build(kind: type[_S], values: Mapping[str, Any], place: str, prefix: str) -> _S:
    hints = typing.get_type_hints(kind)
    fields = {_FILE_NAMES.get(f.name, f.name): f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    taken: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise StudyError(
                f"{place}: unknown key {prefix}{key}{did_you_mean(str(key), fields)} (there are: {', '.join(fields)})"
            )
        name = fields[key]
        taken[name] = _typed(hints[name], value, place, f"{prefix}{key}")
    return kind(**taken)


def _typed(hint: Any, value: Any, place: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise StudyError(f"{place}: {key} is a group of keys, such as `{key}: {{...}}`, not {value!r}")
        return _build(typing.cast(type[Any], hint), value, place, f"{key}.")
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise StudyError(f"{place}: {key} is a list, such as `{key}: [...]`, not {value!r}")
        return tuple(_typed(typing.get_args(hint)[0], item, place, key) for item in value)
    if isinstance(hint, types.UnionType):
        raise TypeError(f"{key}: unions are not settings")
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[hint]
    fits = type(value) is hint or (hint is float and type(value) is int)
    if not fits:
        raise StudyError(f"{place}: {key} must be {wanted}, not {value!r}")
    if hint is str and any(ord(char) < 32 and char not in "\n\t\r" for char in value):
        raise StudyError(f"{place}: {key} holds a control character; take it out")
    return hint(value)


_RANGES: dict[str, tuple[float, float]] = {
    "quota": (1, 100_000),
    "lease_s": (10, 86_400),
    "per_person_cap": (1, 100_000),
    "break_every": (0, 100_000),
    "trap_rate": (0, 0.5),
    "repeat_rate": (0, 0.5),
    "repeat_gap": (1, 10_000),
    "training.items": (0, 100),
    "training.pass": (0, 100),
    "training.attempts": (1, 20),
    "rules.min_traps": (1, 10_000),
    "rules.trap_pass": (0, 1),
    "rules.warn_after_misses": (1, 10_000),
    "rules.floor_ms": (0, 60_000),
    "rules.fast_median_ms": (0, 60_000),
    "rules.fast_share": (0, 1),
    "rules.timing_min": (1, 100_000),
    "rules.same_share": (0.5, 1),
    "rules.same_min": (1, 100_000),
    "rules.repeat_agreement": (0, 1),
    "rules.repeat_min": (1, 10_000),
    "rules.blur_share": (0, 1),
    "game.points": (0, 1_000),
    "game.streak": (0, 1_000),
    "game.spin_every": (1, 10_000),
    "game.max_spins": (0, 10_000),
    "game.floor": (-1_000_000, 1_000_000),
}
_LENGTHS = {
    "title": 200,
    "contact": 500,
    "question": 500,
    "definition": 4_000,
    "consent_text": 40_000,
    "retention_text": 40_000,
}


def _check(settings: StudySettings, place: str) -> None:
    values = settings.to_dict()
    for key, (low, high) in _RANGES.items():
        value: Any = values
        for part in key.split("."):
            value = value[part]
        if not low <= value <= high:
            raise StudyError(f"{place}: {key} is {value:g}; it must lie between {low:g} and {high:g}")
    for key, longest in _LENGTHS.items():
        if len(values[key]) > longest:
            raise StudyError(f"{place}: {key} has {len(values[key])} characters; {longest} at most")
    for key in ("title", "question"):
        if not values[key].strip():
            raise StudyError(f"{place}: {key} is empty; write one")
    if settings.answers not in ("binary", "unsure"):
        raise StudyError(
            f"{place}: answers is {settings.answers!r}; use binary (no, yes) or unsure (no, yes, not sure)"
        )
    if settings.training.passing > settings.training.items:
        raise StudyError(
            f"{place}: training.pass {settings.training.passing} is more than training.items {settings.training.items}"
        )
    if settings.game.enabled and not 2 <= len(settings.game.wheel) <= 24:
        raise StudyError(f"{place}: game.wheel has {len(settings.game.wheel)} segments; use 2 to 24")
    if any(abs(points) > 1_000 for points in settings.game.wheel):
        raise StudyError(f"{place}: game.wheel holds more than 1000 points; use smaller ones")
    for code in (settings.prolific.completion_code, settings.prolific.screened_out_code):
        if len(code) > 40 or not all(char.isalnum() or char in "-_" for char in code):
            raise StudyError(f"{place}: a code of prolific is letters and digits, 40 at most, not {code!r}")
