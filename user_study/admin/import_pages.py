"""Import of a zip: sent, looked at in a dry run, and only then taken in."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Row, delete, insert, select
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse, Response

from user_study.admin.deps import Desk, change, done, see
from user_study.core import audit
from user_study.core.errors import StudyError
from user_study.database.schema import upload
from user_study.imports import import_pairs
from user_study.web.errors import Problem

KEPT_MS = 24 * 3_600_000  # an upload that nobody confirms
KINDS = {
    "main": "pairs of the study",
    "trap": "traps",
    "training": "practice pairs",
    "example": "examples of the instructions",
}
FITS = {"refuse": "refuse the import", "crop": "cut both to the common part (at most a tenth)"}
REMARKS_SHOWN = 200


def _file(desk: Desk, token: str) -> Path:
    """Where an upload waits; `token` comes from the table, never from an address."""
    folder: Path = desk.request.state.folder
    return folder / "uploads" / f"{token}.zip"


def show(desk: Desk) -> Response:
    """GET /admin/import: the form, and an upload of this researcher that waits."""
    with desk.database.read() as c:
        waiting = c.execute(
            select(upload.c.token, upload.c.name, upload.c.created_at)
            .where(upload.c.admin_id == desk.admin_id, upload.c.created_at > desk.now - KEPT_MS)
            .order_by(upload.c.created_at.desc())
        ).all()
        return desk.show(c, "import.html", "/admin/import", "Import pairs", kinds=KINDS, fits=FITS, waiting=waiting)


def send(desk: Desk) -> Response:
    """POST /admin/import: store the zip, look into it, and show what would happen."""
    sent = desk.form.get("file")
    kind, fit = desk.text("kind"), desk.text("fit")
    if not isinstance(sent, UploadFile) or not sent.filename:
        raise Problem(400, "bad_request", "No file was chosen; go back and choose a zip.")
    if kind not in KINDS or fit not in FITS:
        raise Problem(400, "bad_request", "Choose what the pairs are, from the list.")
    _forget_old(desk)
    token = secrets.token_urlsafe(18)
    file = _file(desk, token)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    name = Path(sent.filename.replace("\\", "/")).name[:200]
    try:
        _store(sent.file, file)
        report = _inspect(desk, file, name, kind, fit)
        with desk.database.write() as c:
            c.execute(
                insert(upload).values(
                    token=token,
                    admin_id=desk.admin_id,
                    created_at=desk.now,
                    name=name,
                    report=json.dumps({"kind": kind, "fit": fit, "report": report}),
                )
            )
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return RedirectResponse(f"/admin/import/{token}", status_code=303)


def _store(source: IO[bytes], target: Path) -> None:
    with open(target, "xb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def _inspect(desk: Desk, file: Path, name: str, kind: str, fit: str) -> dict[str, Any]:
    try:
        return import_pairs.inspect(desk.database, [file], kind=kind, fit=fit, confined=True).to_dict()
    except StudyError as error:
        raise StudyError(_known_name(str(error), file, name)) from error


def _known_name(message: str, file: Path, name: str) -> str:
    """A message that speaks of the file by the name that the researcher knows, not by where it lies here."""
    unpacked = re.escape(tempfile.gettempdir()) + r"/semfid-import-[^/:\s]*"
    return re.sub(unpacked, lambda _: name, message.replace(str(file), name))


def _forget_old(desk: Desk) -> None:
    """Throw away what waited for more than a day, and older uploads of the same researcher."""
    old = (upload.c.created_at <= desk.now - KEPT_MS) | (upload.c.admin_id == desk.admin_id)
    with desk.database.write() as c:
        tokens = list(c.execute(select(upload.c.token).where(old)).scalars())
        c.execute(delete(upload).where(upload.c.token.in_(tokens)))
    for token in tokens:
        _file(desk, token).unlink(missing_ok=True)


def _waiting(desk: Desk) -> Row[Any]:
    with desk.database.read() as c:
        row = c.execute(
            select(upload).where(
                upload.c.token == desk.request.path_params["token"], upload.c.admin_id == desk.admin_id
            )
        ).one_or_none()
    if row is None or not _file(desk, row.token).is_file():
        raise Problem(404, "not_found", "This upload is gone; send the file again.")
    return row


def show_report(desk: Desk) -> Response:
    """GET /admin/import/<token>: the report of the dry run, and the question whether to go on."""
    row = _waiting(desk)
    kept = json.loads(row.report)
    with desk.database.read() as c:
        return desk.show(
            c,
            "import_report.html",
            "/admin/import",
            f"Import of {row.name}",
            upload=row,
            report=kept["report"],
            kind=KINDS[kept["kind"]],
            kinds=KINDS,
            remarks=kept["report"]["remarks"][:REMARKS_SHOWN],
            remarks_total=len(kept["report"]["remarks"]),
        )


def apply(desk: Desk) -> Response:
    """POST /admin/import/<token>/apply: take the pairs in, all or none."""
    row = _waiting(desk)
    kept = json.loads(row.report)
    images: Path = desk.request.state.folder / "images"
    try:
        import_pairs.import_pairs(
            desk.database,
            images,
            [_file(desk, row.token)],
            kind=kept["kind"],
            fit=kept["fit"],
            confined=True,
            actor=desk.admin,
        )
    except StudyError as error:
        raise StudyError(_known_name(str(error), _file(desk, row.token), row.name)) from error
    _drop(desk, row.token)
    return done("/admin/pairs" if kept["kind"] == "main" else "/admin/traps", "imported")


def discard(desk: Desk) -> Response:
    """POST /admin/import/<token>/discard."""
    row = _waiting(desk)
    _drop(desk, row.token)
    with desk.database.write() as c:
        audit.note(c, desk.admin, "upload discarded", row.name, now=desk.now)
    return done("/admin/import", "discarded")


def _drop(desk: Desk, token: str) -> None:
    with desk.database.write() as c:
        c.execute(delete(upload).where(upload.c.token == token))
    _file(desk, token).unlink(missing_ok=True)


ROUTES = [
    see("/admin/import", show),
    change("/admin/import", send),
    see("/admin/import/{token}", show_report),
    change("/admin/import/{token}/apply", apply),
    change("/admin/import/{token}/discard", discard),
]
