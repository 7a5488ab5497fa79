"""The JSON interface of the trial page. Every call is one transaction: session, answer, next trial."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from user_study.core import study_state
from user_study.core.settings import StudySettings
from user_study.database.engine import TryAgain
from user_study.trial import answering, assignment, game, heartbeat, undoing
from user_study.trial.answer_body import EmptyBody, TrialBody, read_answer, read_body
from user_study.trial.answers import Refused
from user_study.trial.person import lock_of_session
from user_study.trial.trials import Trial, TrialState
from user_study.trial.turn import Turn
from user_study.web import sessions
from user_study.web.errors import Problem

T = TypeVar("T")
LEADERS = 10
_RNG: Random = SystemRandom()


async def call_next(request: Request) -> Response:
    """POST /api/next."""
    await read_body(request, EmptyBody)
    return JSONResponse(await _run(request, lambda turn: state_json(turn, assignment.current(turn))))


async def call_answer(request: Request) -> Response:
    """POST /api/answer."""
    submitted = await read_answer(request)
    trust = request.state.options.trust_client_times

    def work(turn: Turn) -> dict[str, Any]:
        stored = answering.answer(turn, submitted, trust)
        return {
            "stored": True,
            "duplicate": stored.duplicate,
            "late": stored.late,
            "counted": stored.counted,
            "notice": stored.notice,
            "feedback": None if stored.feedback is None else vars(stored.feedback),
            "state": state_json(turn, stored.state),
        }

    return JSONResponse(await _run(request, work))


async def call_undo(request: Request) -> Response:
    """POST /api/undo."""
    token = (await read_body(request, TrialBody)).trial
    return JSONResponse(await _run(request, lambda turn: state_json(turn, undoing.undo(turn, token))))


async def call_heartbeat(request: Request) -> Response:
    """POST /api/heartbeat."""
    token = (await read_body(request, TrialBody)).trial
    left = await _run(request, lambda turn: heartbeat.heartbeat(turn, token))
    if left is None:
        raise Problem(409, "expired", "This pair waited too long; here is the next one.")
    return JSONResponse({"expires_in_ms": left})


async def call_release(request: Request) -> Response:
    """POST /api/release."""
    await _run(request, heartbeat.release)
    return Response(status_code=204)


async def call_spin(request: Request) -> Response:
    """POST /api/spin."""
    await read_body(request, EmptyBody)
    spin = await _run(request, game.spin, "spin")
    return JSONResponse({**vars(spin), "wheel": list(spin.wheel)})


async def call_leaderboard(request: Request) -> Response:
    """GET /api/leaderboard."""
    return JSONResponse(await asyncio.to_thread(_leaderboard, request))


def _leaderboard(request: Request) -> dict[str, Any]:
    with request.state.database.read() as c:
        me = sessions.who(c, request, request.state.now).participant_id
        if me is None:
            raise _signed_out()
        settings = study_state.facts(c).settings
        if not settings.leaderboard:
            return {"rows": [], "you": None}
        mine = game.place(c, me, settings.prizes)
        rows = [_place(row, me) for row in game.leaderboard(c, LEADERS, settings.prizes)]
        return {"rows": rows, "you": None if mine is None else _place(mine, me)}


def state_json(turn: Turn, state: TrialState) -> dict[str, Any]:
    """STATE as the page reads it, without traps, repeats, or which side is the photo (but see `follow_up_where`)."""
    settings, now = turn.settings, turn.now
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
    reference, candidate = (
        {
            "url": f"/image/{getattr(trial, f'{role}_token')}",
            "width": getattr(trial, f"{role}_width"),
            "height": getattr(trial, f"{role}_height"),
        }
        for role in ("reference", "candidate")
    )
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
    shown = {name: getattr(row, name) for name in ("rank", "nickname", "score", "prize")}
    return {**shown, "you": row.participant_id == you}


def _signed_out() -> Problem:
    return Problem(401, "not_signed_in", "Your session is over; come back with your resume code.")


async def _run(request: Request, work: Callable[[Turn], T], action: str = "api") -> T:
    """Do `work` for the person of the session, in one transaction."""
    session = sessions.cookie_hash(request, "participant")
    if session is None:
        raise _signed_out()
    request.state.limits.take(action, session)
    now: int = request.state.now

    def whole(c: Connection) -> T:
        person = lock_of_session(c, session, now)
        if person is None:
            raise _signed_out()
        return work(Turn(c, study_state.facts(c), person, now, _RNG))

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


ROUTES = [
    Route("/api/next", call_next, methods=["POST"]),
    Route("/api/answer", call_answer, methods=["POST"]),
    Route("/api/undo", call_undo, methods=["POST"]),
    Route("/api/heartbeat", call_heartbeat, methods=["POST"]),
    Route("/api/release", call_release, methods=["POST"]),
    Route("/api/spin", call_spin, methods=["POST"]),
    Route("/api/leaderboard", call_leaderboard, methods=["GET"]),
]
