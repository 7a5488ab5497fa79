"""`semfid study admin add|password|disable|list`."""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import UTC, datetime

from user_study.core import accounts
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.folder import open_study


def run(arguments: argparse.Namespace) -> int:
    """Change who may see /admin."""
    with open_study(arguments.folder) as folder:
        if arguments.admin_command == "list":
            with folder.database.read() as c:
                for account in accounts.everyone(c):
                    day = datetime.fromtimestamp(account.created_at / 1000, UTC).strftime("%Y-%m-%d")
                    print(f"{account.name}  since {day}{'' if account.disabled_at is None else '  disabled'}")
            return 0
        if arguments.admin_command == "disable":
            with folder.database.write() as c:
                accounts.disable(c, arguments.name, "command line", now_ms())
        else:
            password_hash = accounts.hashed(_password(arguments.password_stdin))
            change = accounts.add if arguments.admin_command == "add" else accounts.set_password
            with folder.database.write() as c:
                change(c, arguments.name, password_hash, "command line", now_ms())
        print(f"{arguments.name}: done")
        return 0


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise StudyError("no terminal to ask for the password at; pipe it in with --password-stdin")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise StudyError("the two passwords differ; try again")
    return first
