"""`semfid scenes`: the synthetic data set as files."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from data_tools.synthetic import SceneSetConfig, write_coco_set, write_image_folder, write_pair_set, write_region_set
from engine.rank_zero import progress
from semfid.errors import UserError, did_you_mean

WRITERS = {
    "pairs": write_pair_set,
    "coco": write_coco_set,
    "images": write_image_folder,
    "regions": write_region_set,
}


def scenes(out: str | Path, settings: SceneSetConfig, form: str = "pairs") -> Path:
    """Write a pair table, a COCO-style set, an image folder, or a pair table with its regions.

    Args:
        form: one of `WRITERS`.

    Returns:
        what was written.
    """
    with progress("scenes") as advance:
        return WRITERS[form](Path(out), settings, advance)


def read_settings(words: Sequence[str]) -> tuple[SceneSetConfig, str]:
    """Settings and form out of ``key=value``.

    Raises:
        UserError: an unknown key, or a value that is no whole number.
    """
    settings: dict[str, int] = {}
    form = "pairs"
    known = [field.name for field in dataclasses.fields(SceneSetConfig)]
    for word in words:
        key, equals, value = word.partition("=")
        if key == "format" and value in WRITERS:
            form = value
        elif key not in known or not equals:
            near = did_you_mean(key, [*known, "format"])
            raise UserError(f"scenes: '{word}'{near} (format={'|'.join(WRITERS)}, {', '.join(known)}, each =number)")
        else:
            try:
                settings[key] = int(value)
            except ValueError as error:
                raise UserError(f"scenes: {key}={value} must be a whole number") from error
    return SceneSetConfig(**settings), form


def command(arguments: argparse.Namespace) -> int:
    """Write, and print the path."""
    print(scenes(arguments.out, *read_settings(arguments.settings)))
    return 0
