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

from user_study.admin.deps import AdminRequest, change, done, see
from user_study.core import audit
from user_study.core.errors import StudyError
from user_study.database.schema import upload
from user_study.imports import import_pairs
from user_study.imports.sources import ImportOptions
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


def _file(request: AdminRequest, token: str) -> Path:
    """Where an upload waits; `token` comes from the table, never from an address."""
    folder: Path = request.http.state.folder
    return folder / "uploads" / f"{token}.zip"


def show(request: AdminRequest) -> Response:
    """GET /admin/import: the form, and an upload of this researcher that waits."""
    with request.database.read() as c:
        waiting = c.execute(
            select(upload.c.token, upload.c.name, upload.c.created_at)
            .where(upload.c.admin_id == request.admin_id, upload.c.created_at > request.now - KEPT_MS)
            .order_by(upload.c.created_at.desc())
        ).all()
        return request.show(c, "import.html", "/admin/import", "Import pairs", kinds=KINDS, fits=FITS, waiting=waiting)


def send(request: AdminRequest) -> Response:
    """POST /admin/import: store the zip, look into it, and show what would happen."""
    sent = request.form.get("file")
    kind, fit = request.text("kind"), request.text("fit")
    if not isinstance(sent, UploadFile) or not sent.filename:
        raise Problem(400, "bad_request", "No file was chosen; go back and choose a zip.")
    if kind not in KINDS or fit not in FITS:
        raise Problem(400, "bad_request", "Choose what the pairs are, from the list.")
    _forget_old(request)
    token = secrets.token_urlsafe(18)
    file = _file(request, token)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    name = Path(sent.filename.replace("\\", "/")).name[:200]
    try:
        _store(sent.file, file)
        report = _inspect(request, file, name, kind, fit)
        with request.database.write() as c:
            c.execute(
                insert(upload).values(
                    token=token,
                    admin_id=request.admin_id,
                    created_at=request.now,
                    name=name,
                    report=json.dumps({"kind": kind, "fit": fit, "report": report}),
                )
            )
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return RedirectResponse(f"/admin/import/{token}", status_code=303)


def _store(source: IO[bytes], target: Path) -> None:
    with target.open("xb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def _inspect(request: AdminRequest, file: Path, name: str, kind: str, fit: str) -> dict[str, Any]:
    try:
        return import_pairs.inspect(request.database, [file], ImportOptions(kind, fit, confined=True)).to_dict()
    except StudyError as error:
        raise StudyError(_known_name(str(error), file, name)) from error


def _known_name(message: str, file: Path, name: str) -> str:
    """A message that names the file as the researcher knows it, not by its path here."""
    unpacked = re.escape(tempfile.gettempdir()) + r"/semfid-import-[^/:\s]*"
    return re.sub(unpacked, lambda _: name, message.replace(str(file), name))


def _forget_old(request: AdminRequest) -> None:
    """Throw away what waited for more than a day, and older uploads of the same researcher."""
    old = (upload.c.created_at <= request.now - KEPT_MS) | (upload.c.admin_id == request.admin_id)
    with request.database.write() as c:
        tokens = list(c.execute(select(upload.c.token).where(old)).scalars())
        c.execute(delete(upload).where(upload.c.token.in_(tokens)))
    for token in tokens:
        _file(request, token).unlink(missing_ok=True)


def _waiting(request: AdminRequest) -> Row[Any]:
    with request.database.read() as c:
        row = c.execute(
            select(upload).where(
                upload.c.token == request.http.path_params["token"], upload.c.admin_id == request.admin_id
            )
        ).one_or_none()
    if row is None or not _file(request, row.token).is_file():
        raise Problem(404, "not_found", "This upload is gone; send the file again.")
    return row


def show_report(request: AdminRequest) -> Response:
    """GET /admin/import/<token>: the report of the dry run, and the question whether to go on."""
    row = _waiting(request)
    kept = json.loads(row.report)
    with request.database.read() as c:
        return request.show(
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


def apply(request: AdminRequest) -> Response:
    """POST /admin/import/<token>/apply: take the pairs in, all or none."""
    row = _waiting(request)
    kept = json.loads(row.report)
    images: Path = request.http.state.folder / "images"
    try:
        import_pairs.import_pairs(
            request.database,
            images,
            [_file(request, row.token)],
            ImportOptions(kept["kind"], kept["fit"], confined=True),
            actor=request.admin,
        )
    except StudyError as error:
        raise StudyError(_known_name(str(error), _file(request, row.token), row.name)) from error
    _drop(request, row.token)
    return done("/admin/pairs" if kept["kind"] == "main" else "/admin/traps", "imported")


def discard(request: AdminRequest) -> Response:
    """POST /admin/import/<token>/discard."""
    row = _waiting(request)
    _drop(request, row.token)
    with request.database.write() as c:
        audit.note(c, request.admin, "upload discarded", row.name, now=request.now)
    return done("/admin/import", "discarded")


def _drop(request: AdminRequest, token: str) -> None:
    with request.database.write() as c:
        c.execute(delete(upload).where(upload.c.token == token))
    _file(request, token).unlink(missing_ok=True)


ROUTES = [
    see("/admin/import", show),
    change("/admin/import", send),
    see("/admin/import/{token}", show_report),
    change("/admin/import/{token}/apply", apply),
    change("/admin/import/{token}/discard", discard),
]
