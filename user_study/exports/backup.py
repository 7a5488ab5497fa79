"""A whole copy of a study while it runs: the database as of one moment, and every picture that it names."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import func, select

from semfid.io.system_faults import remedy, said
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.folder import IMAGES, SQLITE_FILE
from user_study.core.version import version
from user_study.database.engine import Database
from user_study.database.schema import image, participant, response
from user_study.exports.options import iso, pack

FACTS = "backup.json"
DUMP = "study.dump"  # pg_dump's custom format
RESTORE = {
    "sqlite": "this folder is a study: copy it to its place and run `semfid study serve` there",
    "postgresql": "createdb NAME; pg_restore --no-owner -d NAME study.dump; write the address postgresql+psycopg://.../NAME into "
    "a file database.url (mode 600) here; then this folder is a study",
}


def backup(database: Database, images: Path, out: str | Path) -> Path:
    """Write a backup that never exists half.

    Pictures are never changed or removed, so copying them after the database gives every picture that the copy names.

    Args:
        out: a new folder, or a new ``.zip``.

    Returns:
        `out`.

    Raises:
        StudyError: `out` exists, a picture is missing, the disk is full, or PostgreSQL's pg_dump is not installed.
    """
    out = Path(out)
    if out.exists():
        raise StudyError(f"{out}: exists already; name a new folder or .zip for each backup")
    work = out.parent / f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    packed = work.with_name(f"{work.name}.zip")
    try:
        (work / IMAGES).mkdir(parents=True)
        work.chmod(0o700)  # it holds everything about everybody
        if database.dialect == "sqlite":
            _copy_sqlite(database, work / SQLITE_FILE)
        else:
            _dump_postgresql(database, work / DUMP)
        with database.read() as c:
            files = sorted(c.execute(select(image.c.file)).scalars())
            counts = {
                "pictures": len(files),
                "participants": c.execute(select(func.count()).select_from(participant)).scalar_one(),
                "answers": c.execute(select(func.count()).select_from(response)).scalar_one(),
            }
        for file in files:
            if not (images / file).is_file():
                raise StudyError(
                    f"{images / file} is missing, so the backup would not be whole; see `semfid study check`"
                )
            shutil.copyfile(images / file, work / IMAGES / file)
        facts = {
            "made_at": iso(now_ms()),
            "program": version(),
            "database": database.dialect,
            "about": counts,
            "restore": RESTORE[database.dialect],
        }
        (work / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        if out.suffix.lower() == ".zip":
            pack(work, packed)
            packed.chmod(0o600)
            packed.replace(out)
        else:
            work.rename(out)
        return out
    except OSError as error:
        raise StudyError(f"{out}: cannot be written ({said(error)}); {remedy(error, 'name another place')}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        packed.unlink(missing_ok=True)


def _copy_sqlite(database: Database, target: Path) -> None:
    """VACUUM INTO: one moment of the database, whatever is written meanwhile, without its free pages."""
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        if raw is None:
            raise StudyError("the database cannot be reached")
        raw.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)


def _dump_postgresql(database: Database, target: Path) -> None:
    program = shutil.which("pg_dump") or _installed_pg_dump()
    if program is None:
        raise StudyError(
            "PostgreSQL's pg_dump is not installed here (apt-get install postgresql-client); install it, or run it on the "
            "database's machine"
        )
    url = database.url
    address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    environment = {**os.environ, **({"PGPASSWORD": url.password} if url.password else {})}
    done = subprocess.run(
        [program, "--format=custom", "--no-owner", f"--file={target}", f"--dbname={address}"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        why = reason[-1] if reason else "no reason given"
        raise StudyError(f"pg_dump failed: {why}; pg_dump must not be older than the server")
    target.chmod(0o600)


def _installed_pg_dump() -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
    return str(found[-1]) if found else None
