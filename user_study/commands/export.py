"""`semfid study export`."""

from __future__ import annotations

import argparse

from user_study.core.folder import open_study
from user_study.exports.export import export
from user_study.exports.options import Options


def run(arguments: argparse.Namespace) -> int:
    """Write the answers."""
    options = Options(raw=arguments.raw, names=arguments.names, seed=arguments.seed)
    with open_study(arguments.folder) as folder:
        files = export(
            folder.database, folder.images, arguments.out, arguments.what, options, with_images=not arguments.no_images
        )
    for file in files:
        print(file)
    return 0
