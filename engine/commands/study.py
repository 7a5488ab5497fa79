"""`semfid study ...`: arguments of the platform that collects human judgements. The work stands in `user_study.commands`."""

from __future__ import annotations

import argparse
import importlib

Commands = argparse._SubParsersAction


def add_study_parser(commands: Commands) -> None:
    """Add `study` and everything below it."""
    study = commands.add_parser(
        "study", help="collect human judgements in the browser: a server, its admin, its exports"
    )
    below = study.add_subparsers(dest="study_command", required=True, metavar="COMMAND")
    for add in (_add_serve, _add_pairs, _add_admin, _add_answers, _add_simulate, _add_upkeep):
        add(below)


def _add_serve(below: Commands) -> None:
    serve = below.add_parser("serve", help="start the server; an empty folder becomes a demo study")
    serve.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="the study's folder (default: here)")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1, this machine only")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--database", metavar="URL", help="of a new study: postgresql+psycopg://user@host/name")
    serve.add_argument(
        "--plain-http", action="store_true", help="serve other machines without HTTPS (a closed lab network only)"
    )
    serve.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="IP",
        help="address of the HTTPS proxy in front; may be repeated",
    )
    serve.add_argument("--workers", type=int, default=1, metavar="N", help="processes (PostgreSQL only)")


def _add_pairs(below: Commands) -> None:
    init = below.add_parser("init", help="make a study in a new folder")
    _folder(init)
    init.add_argument("--database", metavar="URL", help="postgresql+psycopg://user@host/name (default: a SQLite file)")
    init.add_argument("--settings", metavar="FILE.yaml", help="question, quota, rules, ... (default: preset thesis)")
    init.add_argument("--empty", action="store_true", help="without demo pairs")

    bring = below.add_parser("import", help="add pairs: a pair table, a zip, or two folders HQ SR")
    _folder(bring)
    bring.add_argument("source", nargs="+", metavar="SOURCE")
    bring.add_argument("--kind", choices=["main", "trap", "training", "example"], default="main")
    bring.add_argument(
        "--fit",
        choices=["refuse", "crop"],
        default="refuse",
        help="pairs of two sizes: refuse, or crop to the common part",
    )
    bring.add_argument("--dry-run", action="store_true", help="only report what would be imported")


def _add_admin(below: Commands) -> None:
    admin = below.add_parser("admin", help="the people who may see /admin")
    people = admin.add_subparsers(dest="admin_command", required=True, metavar="COMMAND")
    for name, text in {
        "add": "add an admin; asks for a password",
        "password": "set another password",
        "disable": "take the access away",
        "list": "who may see /admin",
    }.items():
        one = people.add_parser(name, help=text)
        _folder(one)
        if name != "list":
            one.add_argument("name", metavar="NAME")
        if name in ("add", "password"):
            one.add_argument("--password-stdin", action="store_true", help="read the password from the standard input")


def _add_answers(below: Commands) -> None:
    export = below.add_parser("export", help="write the answers: tables, the reference study's CSV, crowd-kit")
    _folder(export)
    export.add_argument("out", metavar="OUT", help="a folder, a .zip, or one .csv")
    export.add_argument(
        "--what", default="all", metavar="NAME", help="all, legacy, pairs, responses, participants, ..."
    )
    export.add_argument("--raw", action="store_true", help="with answers that do not count and excluded people")
    export.add_argument(
        "--names", action="store_true", help="with nicknames and recruiting platforms' ids, not only pseudonyms"
    )
    export.add_argument("--no-images", action="store_true", help="pairs.csv leads to the study's own pictures")
    export.add_argument("--seed", type=int, default=0, metavar="N", help="of the split by photo (default: 0)")


def _add_simulate(below: Commands) -> None:
    simulate = below.add_parser("simulate", help="people who answer by the real interface: demo data, and a test")
    simulate.add_argument("folder", nargs="?", metavar="FOLDER", help="default: a temporary demo study")
    simulate.add_argument("--participants", type=int, default=40, metavar="N")
    simulate.add_argument("--mix", metavar="KIND=SHARE,...", help="honest, coin, one_key, hasty, inconsistent")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--url", metavar="URL", help="of a server that runs already (default: start one)")
    simulate.add_argument("--out", metavar="OUT", help="write the export there afterwards")
    simulate.add_argument("--train", action="store_true", help="train a regressor on that export")
    simulate.add_argument(
        "--quota", type=int, metavar="N", help="answers a pair, of a new study (default: by the participants)"
    )
    simulate.add_argument("--limit", type=float, default=600.0, metavar="SECONDS", help="stop then (default: 600)")
    simulate.add_argument("--name", default="", metavar="TEXT", help="in front of the nicknames, for a second round")


def _add_upkeep(below: Commands) -> None:
    check = below.add_parser("check", help="prove the database against itself and the images")
    _folder(check)
    check.add_argument("--repair", action="store_true", help="set counters to what the answers say")
    backup = below.add_parser("backup", help="a whole copy while the study runs")
    _folder(backup)
    backup.add_argument("out", metavar="OUT", help="a new folder or .zip")


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="the study's folder")


def command(arguments: argparse.Namespace) -> int:
    """Run `user_study.commands.<name>.run`; returns the exit code."""
    name = {"import": "import_pairs"}.get(arguments.study_command, arguments.study_command)
    return int(importlib.import_module(f"user_study.commands.{name}").run(arguments))
