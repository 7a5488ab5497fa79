"""`semfid study export`."""

from __future__ import annotations

import argparse

from user_study.core.folder import open_study
from user_study.exports.export import export
from user_study.exports.options import Options


def run(arguments: argparse.Namespace) -> int:
    """Write the answers."""
    folder = open_study(arguments.folder)
    options = Options(raw=arguments.raw, names=arguments.names, seed=arguments.seed)
    try:
        files = export(
            folder.database, folder.images, arguments.out, arguments.what, options, with_images=not arguments.no_images
        )
    finally:
        folder.database.close()
    for file in files:
        print(file)
    return 0
