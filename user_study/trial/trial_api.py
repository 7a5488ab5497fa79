"""The JSON interface of the trial page. Every call is one transaction: session, answer, next trial."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from random import Random, SystemRandom
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from user_study.core import study_state
from user_study.core.settings import StudySettings
from user_study.core.study_state import StudyFacts
from user_study.database.engine import TryAgain
from user_study.trial import answering, assignment, game, heartbeat, undoing
from user_study.trial.answering import Refused, Submitted
from user_study.trial.person import Person, lock_of_session
from user_study.trial.trials import Trial, TrialState
from user_study.web import sessions
from user_study.web.errors import Problem

T = TypeVar("T")
Work = Callable[[Connection, StudyFacts, Person, int], T]

LEADERS = 10
_RNG: Random = SystemRandom()
_BROWSERS = re.compile(r"(Edg|OPR|SamsungBrowser|Firefox|FxiOS|CriOS|Chrome|Version)/(\d+)")
_FAMILIES = {"Edg": "Edge", "OPR": "Opera", "FxiOS": "Firefox", "CriOS": "Chrome", "Version": "Safari"}


async def call_next(request: Request) -> Response:
    """POST /api/next."""
    await _body(request, set())

    def work(c: Connection, facts: StudyFacts, person: Person, now: int) -> dict[str, Any]:
        return state_json(facts.settings, assignment.current_of(c, facts, person, now, _RNG), now)

    return JSONResponse(await _run(request, work))


async def call_answer(request: Request) -> Response:
    """POST /api/answer."""
    submitted = _submitted(await _body(request, _FIELDS), request.headers.get("user-agent", ""))
    trust = request.state.options.trust_client_times

    def work(c: Connection, facts: StudyFacts, person: Person, now: int) -> dict[str, Any]:
        stored = answering.answer_of(c, facts, person, submitted, now, _RNG, trust)
        return {
            "stored": True,
            "duplicate": stored.duplicate,
            "late": stored.late,
            "counted": stored.counted,
            "notice": stored.notice,
            "feedback": None
            if stored.feedback is None
            else {"correct": stored.feedback.correct, "text": stored.feedback.text},
            "state": state_json(facts.settings, stored.state, now),
        }

    return JSONResponse(await _run(request, work))


async def call_undo(request: Request) -> Response:
    """POST /api/undo."""
    token = _token(await _body(request, {"trial"}))

    def work(c: Connection, facts: StudyFacts, person: Person, now: int) -> dict[str, Any]:
        return state_json(facts.settings, undoing.undo_of(c, facts, person, token, now, _RNG), now)

    return JSONResponse(await _run(request, work))


async def call_heartbeat(request: Request) -> Response:
    """POST /api/heartbeat."""
    token = _token(await _body(request, {"trial"}))

    def work(c: Connection, facts: StudyFacts, person: Person, now: int) -> int | None:
        return heartbeat.heartbeat(c, facts, person, token, now)

    left = await _run(request, work)
    if left is None:
        raise Problem(409, "expired", "This pair waited too long; here is the next one.")
    return JSONResponse({"expires_in_ms": left})


async def call_release(request: Request) -> Response:
    """POST /api/release."""

    def work(c: Connection, facts: StudyFacts, person: Person, now: int) -> None:
        heartbeat.release(c, person, now)

    await _run(request, work)
    return Response(status_code=204)


async def call_spin(request: Request) -> Response:
    """POST /api/spin."""
    await _body(request, set())

    def work(c: Connection, facts: StudyFacts, person: Person, now: int) -> dict[str, Any]:
        spin = game.spin_of(c, facts.settings, person, now, _RNG)
        person.save(c)
        return {**vars(spin), "wheel": list(spin.wheel)}

    return JSONResponse(await _run(request, work, "spin"))


async def call_leaderboard(request: Request) -> Response:
    """GET /api/leaderboard."""
    now: int = request.state.now

    def read(c: Connection) -> dict[str, Any]:
        found = sessions.who(c, request, now)
        if found.participant_id is None:
            raise Problem(401, "not_signed_in", "Your session is over; come back with your resume code.")
        settings = study_state.facts(c).settings
        if not settings.leaderboard:
            return {"rows": [], "you": None}
        you = game.place(c, found.participant_id, settings.prizes)
        rows = [_place(row, found.participant_id) for row in game.leaderboard(c, LEADERS, settings.prizes)]
        return {"rows": rows, "you": None if you is None else _place(you, found.participant_id)}

    def read_all() -> dict[str, Any]:
        with request.state.database.read() as c:
            return read(c)

    return JSONResponse(await asyncio.to_thread(read_all))


def state_json(settings: StudySettings, state: TrialState, now: int) -> dict[str, Any]:
    """STATE as the page reads it. It tells nothing of traps, repeats, or which side is the photo (but see `follow_up_where`)."""
    return {
        "phase": state.phase,
        "trial": _trial(settings, state.trial, now),
        "upcoming": _trial(settings, state.upcoming, now),
        "break_due": state.break_due,
        "can_undo": state.can_undo,
        "score": state.score,
        "valid": state.valid,
        "cap": state.cap,
        "answered": state.answered,
        "spins": state.spins,
        "server_time": now,
        "training": None if state.training is None else vars(state.training),
        "follow_up": {"category": settings.follow_up_category, "where": settings.follow_up_where},
        "answers": list(settings.choices),
    }


def _trial(settings: StudySettings, trial: Trial | None, now: int) -> dict[str, Any] | None:
    if trial is None:
        return None
    reference = {
        "url": f"/image/{trial.reference_token}",
        "width": trial.reference_width,
        "height": trial.reference_height,
    }
    candidate = {
        "url": f"/image/{trial.candidate_token}",
        "width": trial.candidate_width,
        "height": trial.candidate_height,
    }
    left, right = (reference, candidate) if trial.reference_left else (candidate, reference)
    side = "right" if trial.reference_left else "left"
    return {
        "id": trial.token,
        "kind": "training" if trial.kind == "training" else "trial",
        "left": left,
        "right": right,
        "candidate_side": side if settings.follow_up_where else None,
        "expires_in_ms": max(0, trial.expires_at - now),
        "number": trial.position,
    }


def _place(row: game.Place, you: int) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "nickname": row.nickname,
        "score": row.score,
        "prize": row.prize,
        "you": row.participant_id == you,
    }


async def _run(request: Request, work: Work[T], action: str = "api") -> T:
    session = sessions.cookie_hash(request, "participant")
    signed_out = Problem(401, "not_signed_in", "Your session is over; come back with your resume code.")
    if session is None:
        raise signed_out
    request.state.limits.take(action, session)
    now: int = request.state.now

    def whole(c: Connection) -> T:
        person = lock_of_session(c, session, now)
        if person is None:
            raise signed_out
        return work(c, study_state.facts(c), person, now)

    try:
        return await asyncio.wrap_future(request.state.database.submit(whole))
    except Refused as refused:
        raise Problem(refused.status, refused.code, str(refused)) from refused
    except assignment.NotReady as error:
        raise Problem(403, "not_ready", str(error)) from error
    except game.NoSpin as error:
        raise Problem(409, "no_spin", str(error)) from error
    except TryAgain as error:
        raise Problem(
            503, "busy", "Many people are answering right now; try again in a moment.", retry_after=1
        ) from error


def _bad(what: str) -> Problem:
    return Problem(400, "bad_request", f"{what}; reload the page and try again.")


async def _body(request: Request, known: set[str] | dict[str, Any]) -> dict[str, Any]:
    """The request's JSON object; unknown keys are refused."""
    try:
        values = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise _bad("The request is no JSON") from error
    if not isinstance(values, dict):
        raise _bad("The request is no JSON object")
    unknown = [key for key in values if key not in known]
    if unknown:
        raise _bad(f"The request has an unknown key {unknown[0][:40]!r}")
    return values


def _token(values: dict[str, Any]) -> str:
    token = values.get("trial")
    if not isinstance(token, str) or not 1 <= len(token) <= 32 or not token.isascii() or not token.isprintable():
        raise _bad("The request names no trial")
    return token


def _number(most: float) -> Callable[[Any], float | None]:
    def read(value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not value >= 0:
            raise ValueError
        return float(min(value, most))

    return read


def _whole(most: int) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError
        return min(value, most)

    return read


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return read


def _pair(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    def both(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError
        return read(value[0]), read(value[1])

    return both


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _rounded(value: Any) -> int:
    return round(_number(100_000)(value) or 0)


def _share(value: Any) -> float:
    number = _number(2)(value)
    if number is None or number > 1:
        raise ValueError
    return number


_HOUR = 3_600_000
_FIELDS: dict[str, Callable[[Any], Any]] = {
    "trial": str,
    "answer": _one_of("yes", "no", "unsure"),
    "rt_ms": _number(24 * _HOUR),
    "load_ms": _number(24 * _HOUR),
    "input": _one_of("key", "mouse", "touch", "pen"),
    "held": _flag,
    "view": _one_of("side", "toggle"),
    "toggles": _whole(1_000_000),
    "zoom_max": _number(1_000),
    "blurs": _whole(1_000_000),
    "blur_ms": _number(24 * _HOUR),
    "viewport": _pair(_rounded),
    "pixel_ratio": _number(100),
    "shown_width": _number(100_000),
    "category": _one_of("detail", "structure", "meaning"),
    "where": _pair(_share),
}


def _submitted(values: dict[str, Any], user_agent: str) -> Submitted:
    token = _token(values)
    if "answer" not in values:
        raise _bad("The request holds no answer")
    taken: dict[str, Any] = {"trial": token, "browser": browser(user_agent[:400])}
    for key, value in values.items():
        if key == "trial" or value is None:
            continue
        try:
            taken[key] = _FIELDS[key](value)
        except (ValueError, OverflowError) as error:
            raise _bad(f"The request's {key} cannot be") from error
    if "answer" not in taken:
        raise _bad("The request holds no answer")
    return Submitted(**taken)


@lru_cache(maxsize=1000)
def browser(user_agent: str) -> str | None:
    """Family and major version, such as ``Firefox 140``; no more is kept."""
    found = dict((name, number) for name, number in _BROWSERS.findall(user_agent))
    for name in ("Edg", "OPR", "SamsungBrowser", "FxiOS", "CriOS", "Firefox", "Chrome", "Version"):
        if name in found:
            return f"{_FAMILIES.get(name, name)} {found[name]}"[:40]
    return None


ROUTES = [
    Route("/api/next", call_next, methods=["POST"]),
    Route("/api/answer", call_answer, methods=["POST"]),
    Route("/api/undo", call_undo, methods=["POST"]),
    Route("/api/heartbeat", call_heartbeat, methods=["POST"]),
    Route("/api/release", call_release, methods=["POST"]),
    Route("/api/spin", call_spin, methods=["POST"]),
    Route("/api/leaderboard", call_leaderboard, methods=["GET"]),
]
