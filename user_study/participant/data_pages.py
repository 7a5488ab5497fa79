"""My data: see, download, leave the leaderboard, delete; and the privacy page."""

from __future__ import annotations

import json

from starlette.responses import Response
from starlette.routing import Route

from user_study.participant import joining
from user_study.participant.deps import NEXT, ParticipantRequest, change, goto, see
from user_study.participant.deps import sign_out as end_session


def mine(request: ParticipantRequest) -> Response:
    """The page of what is stored about a person."""
    return _page(request)


def _page(request: ParticipantRequest, fault: str | None = None) -> Response:
    person = request.signed_in
    return request.show("me.html", "My data", 400 if fault else 200, here="me", fault=fault, next=NEXT[person.step])


def download(request: ParticipantRequest) -> Response:
    """Everything stored about a person, as a file."""
    request.limit("data")
    person = request.signed_in
    with request.read() as c:
        content = joining.my_data(c, person.id)
    return Response(
        json.dumps(content, indent=2, ensure_ascii=False),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="my-data-{person.code}.json"'},
    )


def leaderboard(request: ParticipantRequest) -> Response:
    """Onto the leaderboard, or off it."""
    with request.database.write() as c:
        joining.show_on_leaderboard(c, request.signed_in.id, request.text("show") == "yes")
    return goto("/me")


def delete(request: ParticipantRequest) -> Response:
    """Erase the person, after a tick that says so."""
    if request.text("sure") != "yes":
        return _page(request, "Nothing was deleted. Tick the box to say that you are sure.")
    with request.database.write() as c:
        joining.erase(c, request.signed_in.id, request.settings, request.now)
    return gone(request, "Your data is deleted")


def gone(request: ParticipantRequest, heading: str) -> Response:
    """The page after somebody was erased, without a session."""
    kept = request.settings.keep_answers_on_delete and heading.startswith("Your data")
    lines = [
        "Nothing about you is stored any more." if not kept else "Nothing says any more which answers were yours.",
        "Thank you for your interest.",
    ]
    response = request.show("message.html", heading, person=None, lines=lines, link="/", link_name="To the start page")
    return end_session(request, response)


def privacy(request: ParticipantRequest) -> Response:
    """What is stored, how long, and what people may ask for."""
    return request.show("privacy.html", "Privacy", here="privacy")


ROUTES: list[Route] = [
    see("/me", mine, needs_person=True),
    see("/me/data.json", download, needs_person=True),
    change("/me/leaderboard", leaderboard, needs_person=True),
    change("/me/delete", delete, needs_person=True),
    see("/privacy", privacy),
]
