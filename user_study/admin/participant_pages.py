"""Participants: the list, one person, exclude and restore, testers."""

from __future__ import annotations

from sqlalchemy import Connection, select
from starlette.responses import RedirectResponse, Response

from user_study.admin import charts
from user_study.admin.deps import AdminRequest, asked, change, done, linker, see
from user_study.analysis import participant_list
from user_study.core import audit, study_state
from user_study.database.schema import participant
from user_study.participant import joining, roles
from user_study.trial import exclusion, screening
from user_study.web import sessions
from user_study.web.errors import Problem


def show_participants(request: AdminRequest) -> Response:
    """GET /admin/participants."""
    query = request.http.query_params
    wanted = asked(participant_list.Filter, query, down=query.get("order", "joined") == "joined")
    defaults = participant_list.Filter(down=wanted.order == "joined")
    with request.database.read() as c:
        return request.show(
            c,
            "participants.html",
            "/admin/participants",
            "Participants",
            wanted=wanted,
            listing=participant_list.list_participants(c, wanted),
            who=participant_list.WHO,
            link=linker("/admin/participants", vars(wanted), vars(defaults)),
        )


def show_participant(request: AdminRequest) -> Response:
    """GET /admin/participants/<code>."""
    with request.database.read() as c:
        found = participant_list.view(c, request.http.path_params["code"])
        if found is None:
            raise _nobody()
        slowest = participant_list.BIN_MS * (participant_list.BINS - 1) / 1000
        names = [f"{k * participant_list.BIN_MS / 1000:.1f} s" for k in range(participant_list.BINS)]
        histogram = charts.bars(
            "Histogram of response times in half seconds", found.histogram, ("0 s", f"{slowest:.1f} s and more"), names
        )
        return request.show(
            c,
            "participant.html",
            "/admin/participants",
            found.row.nickname,
            view=found,
            row=found.row,
            histogram=histogram,
        )


def _nobody() -> Problem:
    return Problem(404, "not_found", "There is no such participant; go back to the list of participants.")


def _id(c: Connection, code: str) -> int:
    key = c.execute(select(participant.c.id).where(participant.c.code == code)).scalar_one_or_none()
    if key is None:
        raise _nobody()
    return int(key)


def _rules(c: Connection) -> str:
    """Name of the rules in force, stored with the decision."""
    return screening.rules_hash(study_state.facts(c).settings.rules)


def exclude(request: AdminRequest) -> Response:
    """POST /admin/participants/<code>/exclude, with a reason."""
    code, reason = request.http.path_params["code"], request.required("reason")
    request.database.transact(
        lambda c: exclusion.exclude(c, _id(c, code), reason, request.admin, request.now, _rules(c))
    )
    return done(f"/admin/participants/{code}", "excluded")


def restore(request: AdminRequest) -> Response:
    """POST /admin/participants/<code>/restore, with a reason."""
    code, reason = request.http.path_params["code"], request.required("reason")
    request.database.transact(
        lambda c: exclusion.restore(c, _id(c, code), reason, request.admin, request.now, _rules(c))
    )
    return done(f"/admin/participants/{code}", "restored")


def mark_tester(request: AdminRequest) -> Response:
    """POST /admin/participants/<code>/tester."""
    return _set_role(request, "tester")


def unmark_tester(request: AdminRequest) -> Response:
    """POST /admin/participants/<code>/participant."""
    return _set_role(request, "participant")


def _set_role(request: AdminRequest, role: str) -> Response:
    code = request.http.path_params["code"]
    request.database.transact(lambda c: roles.set_role(c, _id(c, code), role, request.admin, request.now))
    return done(f"/admin/participants/{code}", role)


def try_it(request: AdminRequest) -> Response:
    """POST /admin/try: the study as a participant sees it, in any state, with answers that never count."""
    value = None
    with request.database.write() as c:
        mine = select(participant.c.role).where(participant.c.id == request.http.state.participant_id)
        if c.execute(mine).scalar_one_or_none() != "tester":
            joined = joining.join(c, study_state.facts(c).settings, None, "nickname", request.now, role="tester")
            value = sessions.begin(c, request.http, "participant", joined.id, request.now)
            audit.note(c, request.admin, "tester joined", joined.code, now=request.now)
    response = RedirectResponse("/study", status_code=303)
    if value is not None:
        sessions.set_cookie(request.http, response, "participant", value)
    return response


ROUTES = [
    change("/admin/try", try_it),
    see("/admin/participants", show_participants),
    see("/admin/participants/{code}", show_participant),
    change("/admin/participants/{code}/exclude", exclude),
    change("/admin/participants/{code}/restore", restore),
    change("/admin/participants/{code}/tester", mark_tester),
    change("/admin/participants/{code}/participant", unmark_tester),
]
