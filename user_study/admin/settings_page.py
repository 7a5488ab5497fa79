"""The settings page: a form of all settings, their versions, and what is locked."""

from __future__ import annotations

from typing import Any

import yaml
from sqlalchemy import Connection, select
from starlette.responses import Response

from semfid.errors import UserError
from user_study.admin.deps import AdminRequest, change, done, see
from user_study.admin.settings_form import FIELDS, GROUPS, FormFault, differences, fault_key, read, texts
from user_study.core import settings_store, study_state
from user_study.core.settings import LOCKED_WHEN_LIVE, StudySettings, from_json
from user_study.database.schema import participant, settings_version
from user_study.trial import screening

VERSIONS_SHOWN = 30
JUDGED_AT_ONCE = 20
GROWS = ("quota",)  # locked downwards only


def _locked(c: Connection) -> tuple[str, ...]:
    return LOCKED_WHEN_LIVE if study_state.live_since(c) is not None else ()


def _versions(c: Connection) -> list[dict[str, Any]]:
    """Newest first, each with what it changed."""
    rows = c.execute(select(settings_version).order_by(settings_version.c.id.desc()).limit(VERSIONS_SHOWN + 1)).all()
    read_ones: list[StudySettings | None] = [_stored(row.body) for row in rows] + [None]
    found = []
    for k, row in enumerate(rows[:VERSIONS_SHOWN]):
        new = read_ones[k]
        changed = differences(read_ones[k + 1], new) if new is not None else []
        found.append({"id": row.id, "at": row.created_at, "actor": row.actor, "hash": row.hash, "changes": changed})
    return found


def _stored(body: str) -> StudySettings | None:
    """An old version; None where this program no longer reads it."""
    try:
        return from_json(body)
    except UserError:
        return None


def _page(
    request: AdminRequest, c: Connection, typed: dict[str, str], base: int, fault: UserError | None = None
) -> Response:
    settings, number = settings_store.current(c)
    locked = _locked(c)
    return request.show(
        c,
        "settings.html",
        "/admin/settings",
        "Settings",
        status=200 if fault is None else 400,
        groups=GROUPS,
        values=typed,
        current=texts(settings),
        locked=[key for key in locked if key not in GROWS],
        grows=[key for key in locked if key in GROWS],
        base=base,
        number=number,
        hash=settings.hash,
        versions=_versions(c),
        fault=None if fault is None else f"Not saved. {fault}",
        fault_key=fault_key(fault),
    )


def show(request: AdminRequest) -> Response:
    """GET /admin/settings."""
    with request.database.read() as c:
        settings, number = settings_store.current(c)
        return _page(request, c, texts(settings), number)


def save(request: AdminRequest) -> Response:
    """POST /admin/settings: all fields at once; nothing is stored unless all of them can be."""
    typed = {key: str(request.form.get(key, "")) for key in FIELDS}
    base = request.text("base", 20)
    try:
        with request.database.write() as c:
            current, number = settings_store.current(c)
            if base != str(number):
                raise FormFault("", "Somebody else saved settings meanwhile. Compare them below, then save again.")
            new = read(typed, current, tuple(key for key in _locked(c) if key not in GROWS))
            settings_store.save(c, new, request.admin, request.now)
    except UserError as error:
        with request.database.read() as c:
            current, number = settings_store.current(c)
            for key in _locked(c):
                if key not in GROWS:
                    typed[key] = texts(current)[key]
            return _page(request, c, typed, number, error)
    if new.rules != current.rules:
        _judge_again(request, new)
    return done("/admin/settings", "same" if new.hash == current.hash else "saved")


def _judge_again(request: AdminRequest, settings: StudySettings) -> None:
    """Apply changed rules to everybody, a few people per transaction: answers keep coming in meanwhile."""
    with request.database.read() as c:
        people = list(c.execute(select(participant.c.id).order_by(participant.c.id)).scalars())
    for first in range(0, len(people), JUDGED_AT_ONCE):
        some = people[first : first + JUDGED_AT_ONCE]
        request.database.transact(lambda c, some=some: screening.refresh_people(c, settings, some, request.now))  # type: ignore[misc]


def download(request: AdminRequest) -> Response:
    """GET /admin/settings.yaml: for `semfid study init --settings`."""
    with request.database.read() as c:
        settings, number = settings_store.current(c)
    body = f"# settings of the study, version {number}, {settings.hash}\n" + yaml.safe_dump(
        settings.to_dict(), sort_keys=False, allow_unicode=True, width=120
    )
    return Response(
        body,
        media_type="application/yaml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="settings-{settings.hash}.yaml"'},
    )


ROUTES = [see("/admin/settings", show), see("/admin/settings.yaml", download), change("/admin/settings", save)]
