"""`semfid study init`."""

from __future__ import annotations

import argparse

from user_study.core.folder import create_study
from user_study.core.settings import StudySettings, read_settings


def run(arguments: argparse.Namespace) -> int:
    """Make a study, with the demo pairs unless it is to be empty."""
    settings = StudySettings() if arguments.settings is None else read_settings(arguments.settings)
    with create_study(arguments.folder, settings, arguments.database) as folder:
        if not arguments.empty:
            from user_study.demo import load_demo

            load_demo(folder.database, folder.images)
    print(f"{folder.path}: a study with {'no pairs' if arguments.empty else 'the demo pairs'}, as a draft")
    print(f"  pairs:  semfid study import {folder.path} pairs.csv")
    print(f"  admin:  semfid study admin add {folder.path} NAME")
    print(f"  server: semfid study serve {folder.path}")
    return 0
