"""What the browser sends with an answer, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings
from user_study.trial.trials import TrialState

_AS_SENT = (
    "answer", "rt_ms", "load_ms", "input", "view", "toggles", "zoom_max", "blurs", "blur_ms", "pixel_ratio", "shown_width",
    "browser",
)  # fmt: skip


class Refused(StudyError):
    """An answer that cannot be stored; `code` is for scripts, `status` the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Submitted:
    """What the browser sends with an answer. Times in ms, lengths in CSS pixels, `where` as shares of the candidate."""

    trial: str
    answer: str
    rt_ms: float | None = None
    load_ms: float | None = None
    input: str | None = None
    held: bool = False
    view: str | None = None
    toggles: int | None = None
    zoom_max: float | None = None
    blurs: int | None = None
    blur_ms: float | None = None
    viewport: tuple[int, int] | None = None
    pixel_ratio: float | None = None
    shown_width: float | None = None
    category: str | None = None
    where: tuple[float, float] | None = None
    browser: str | None = None

    def columns(self, settings: StudySettings) -> dict[str, Any]:
        """As columns of `response`; a follow-up is kept where the study asks for it."""
        width, height = self.viewport or (None, None)
        yes = self.answer == "yes"
        x, y = (self.where if yes and settings.follow_up_where else None) or (None, None)
        return {
            **{name: getattr(self, name) for name in _AS_SENT},
            "viewport_width": width,
            "viewport_height": height,
            "category": self.category if yes and settings.follow_up_category else None,
            "where_x": x,
            "where_y": y,
        }


@dataclass(frozen=True)
class Feedback:
    """Of a training item."""

    correct: bool
    text: str


@dataclass(frozen=True)
class Stored:
    """What became of an answer."""

    duplicate: bool
    late: bool
    counted: bool
    notice: str | None
    feedback: Feedback | None
    state: TrialState
