"""The first page, and the ways in and out: nickname, invitation, Prolific, resume code."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import Route

from user_study.core.errors import StudyError
from user_study.participant import invitations, joining, queries
from user_study.participant.deps import (
    NEXT,
    ParticipantRequest,
    SetCookie,
    change,
    goto,
    see,
    sign_in,
    sign_out,
)
from user_study.participant.joining import External
from user_study.trial import game, person

PROLIFIC = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
TOP = 10
SPENT = "This invitation has been used, or is not valid; ask for another one."
STATES = {
    "paused": "The study is paused just now. What you answered is stored; please come back later.",
    "closed": "This study is over. Thank you to everyone who took part.",
}


def landing(request: ParticipantRequest) -> Response:
    """What the study is, how far it is, and how to start."""
    return _first_page(request)


def invited(request: ParticipantRequest) -> Response:
    """The first page for somebody with an invitation; the link is spent when the form is sent, not by looking."""
    token = request.http.path_params["token"][:100]
    with request.read() as c:
        good = invitations.is_good(c, token)
    return _first_page(request, token, fault=None if good else SPENT)


def _first_page(
    request: ParticipantRequest,
    invitation: str = "",
    prolific: dict[str, str] | None = None,
    fault: str | None = None,
    typed: str = "",
) -> Response:
    if prolific is None:
        asked = {name: request.http.query_params.get(name, "")[:100] for name in PROLIFIC}
        prolific = asked if asked["PROLIFIC_PID"] else {}
    with request.read() as c:
        rows = board(c, request)
        total = queries.total(c)
    return request.show(
        "landing.html",
        status=400 if fault else 200,
        state=request.state,
        notice=STATES.get(request.state),
        notice_tone="mind",
        next=request.next,
        invitation=invitation,
        prolific=prolific,
        fault=fault,
        typed=typed[:40],
        total=total,
        rows=rows,
        minutes=queries.minutes(request.settings.per_person_cap),
    )


def board(c: Connection, request: ParticipantRequest) -> list[dict[str, Any]]:
    """The leaderboard where the study has one, with the visitor's own row below the best."""
    settings = request.settings
    if not (settings.leaderboard and settings.game.enabled):
        return []
    places = game.leaderboard(c, TOP, settings.prizes)
    own = None if request.person is None else game.place(c, request.person.id, settings.prizes)
    if own is not None and own.rank > len(places):
        places.append(own)
    return [{**vars(place), "you": own is not None and place.participant_id == own.participant_id} for place in places]


def join(request: ParticipantRequest) -> Response:
    """A new participant; shows the resume code, which nothing can show again."""
    if request.person is not None:
        return request.go_on()  # the form was sent twice
    request.limit("join")
    nickname, invitation = request.text("nickname"), request.text("invitation")
    prolific = {name: request.text(name) for name in PROLIFIC}
    external = External(*prolific.values()) if prolific["PROLIFIC_PID"] else None
    entry_channel = "prolific" if external else "invitation" if invitation else "nickname"
    chosen = None if external else nickname

    def enter(c: Connection) -> tuple[joining.Joined, person.Person, SetCookie]:
        joined = joining.join(c, request.settings, chosen, entry_channel, request.now, external, invitation or None)
        return joined, person.look(c, joined.id), sign_in(request, c, joined.id)

    try:
        joined, newcomer, with_cookie = request.database.transact(enter)
    except StudyError as error:
        return _first_page(request, invitation, prolific if external else {}, str(error), nickname)
    if joined.returned:
        return with_cookie(goto(NEXT[newcomer.step]))
    return with_cookie(
        request.show("welcome.html", "Your resume code", person=newcomer, resume_code=joined.resume_code)
    )


def ask_for_code(request: ParticipantRequest) -> Response:
    """The form for the resume code."""
    return request.show("resume.html", "Enter your resume code", here="resume", fault=None)


def resume(request: ParticipantRequest) -> Response:
    """Back with a resume code."""
    request.limit("resume")
    with request.database.write() as c:
        number = joining.resume(c, request.text("code"))
        with_cookie = None if number is None else sign_in(request, c, number)
    if with_cookie is None:
        fault = "No participant has this code. Check every character, or start again with a nickname."
        return request.show("resume.html", "Enter your resume code", 400, here="resume", fault=fault)
    return with_cookie(goto("/"))


def leave(request: ParticipantRequest) -> Response:
    """Sign out."""
    return sign_out(request, goto("/"))


ROUTES: list[Route] = [
    see("/", landing),
    see("/invite/{token}", invited),
    change("/join", join),
    see("/resume", ask_for_code),
    change("/resume", resume),
    change("/logout", leave),
]
