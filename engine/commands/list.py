"""`semfid list`: what is registered, with its keywords; and the JSON schemas of the files that people write."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from engine.commands.listing import Row, listing
from registry import REGISTRIES, load_entry_points, load_plugins
from semfid.errors import UserError, deprecated, did_you_mean

RENAMED = {"towers": "dual_encoders", "text_embedders": "text_encoders"}


def list_registered(kind: str | None = None, plugins: Sequence[str] = ()) -> dict[str, list[Row]]:
    """The plugins of each kind.

    Args:
        kind: such as ``heads``; None: all.
        plugins: modules or files to import first.

    Raises:
        UserError: no such kind, or a plugin that cannot be imported.
    """
    load_plugins(plugins, Path.cwd())
    if kind in RENAMED:
        deprecated(f"the kind '{kind}' is now '{RENAMED[kind]}'")
        kind = RENAMED[kind]
    if kind is not None and kind not in REGISTRIES:
        raise UserError(f"no kind '{kind}'{did_you_mean(kind, REGISTRIES)} (there are: {', '.join(REGISTRIES)})")
    load_entry_points()
    return {name: listing(name) for name in REGISTRIES if kind in (None, name)}


def command(arguments: argparse.Namespace) -> int:
    """Print the registries, or write the schemas."""
    if arguments.schema is not None:
        from engine.commands.schemas import write_schemas

        for file in write_schemas(Path(arguments.schema), arguments.plugins):
            print(file)
        return 0
    for kind, rows in list_registered(arguments.kind, arguments.plugins).items():
        print(f"{kind}:")
        for row in rows:
            print(f"  {row.name}: {row.summary}")
            print(f"      {row.keywords or 'no keywords'}")
            print(f"      {f'after {row.source}; ' if row.source else ''}{row.location}")
    return 0
