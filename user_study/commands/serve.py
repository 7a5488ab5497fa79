"""`semfid study serve`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from user_study.core import accounts, study_state
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder, create_study, is_study, open_study
from user_study.core.settings import StudySettings
from user_study.trial import pairs
from user_study.web.app import ServeOptions
from user_study.web.serving import check_address, serve


def run(arguments: argparse.Namespace) -> int:
    """Serve a study; an empty folder becomes one with the demo pairs, live at once."""
    path = Path(arguments.folder)
    check_address(arguments.host, arguments.port, arguments.plain_http, arguments.proxy)
    if arguments.workers < 1:
        raise StudyError(f"--workers {arguments.workers}: use 1 or more")
    with _open(path, arguments.database) as study:
        if arguments.workers > 1 and study.database.dialect == "sqlite":
            raise StudyError(
                "--workers needs PostgreSQL; SQLite is fastest with one process (it serves some hundred people)"
            )
        _greet(study, arguments)
    options = ServeOptions(plain_http=arguments.plain_http)
    serve(path, arguments.host, arguments.port, options, arguments.proxy, arguments.workers)
    return 0


def _open(path: Path, database: str | None) -> StudyFolder:
    if is_study(path):
        study = open_study(path)
        if database is not None:
            study.database.close()
            raise StudyError(f"{path} is a study already and knows its database; leave --database out")
        return study
    if path.is_dir() and any(entry.name != "images" and not entry.name.startswith(".") for entry in path.iterdir()):
        raise StudyError(f"{path}: neither a study nor an empty folder; name one of them, or use `semfid study init`")
    from user_study.demo import load_demo

    study = create_study(path, StudySettings(), database)
    load_demo(study.database, study.images)
    with study.database.write() as c:
        study_state.set_state(c, "live", "command line", now_ms())
    return study


def _greet(study: StudyFolder, arguments: argparse.Namespace) -> None:
    console = Console(highlight=False)
    with study.database.read() as c:
        facts = study_state.facts(c)
        count = pairs.counts(c)
        admins = [account for account in accounts.everyone(c) if account.disabled_at is None]
    shown = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    shown = {"0.0.0.0": "<this machine>", "[::]": "<this machine>"}.get(shown, shown)
    where = f"{facts.state}, {study.database.dialect}, {study.path.resolve()}"
    console.print(f"[bold]{escape(facts.settings.title)}[/bold]: {where}", soft_wrap=True)
    console.print(f"  {count['main']} pairs, {count['trap']} traps, {count['training']} training and example pairs")
    console.print(f"  participants  http://{shown}:{arguments.port}/")
    console.print(f"  researchers   http://{shown}:{arguments.port}/admin")
    if not admins:
        console.print(
            f"                (nobody may sign in yet: semfid study admin add {arguments.folder} NAME)", soft_wrap=True
        )
    if arguments.plain_http:
        console.print("  [yellow]without HTTPS: who can listen in this network can take over a session[/yellow]")
    if facts.state != "live":
        console.print(f"  the study is {facts.state}: nobody can join until it is set live under /admin")
    console.print("  Ctrl-C stops it; every answer that was accepted is on the disk")
