"""JSON schemas of the YAML files that people write, by which editors complete and check them.

A file names its schema in a comment: ``# yaml-language-server: $schema=../docs/schemas/experiment.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic.json_schema import JsonSchemaValue

from data_tools.builders.edits.config import EditsConfig
from data_tools.builders.inpainting.config import InpaintingConfig
from data_tools.builders.sr_outputs.config import SrSettings
from engine.commands.label_settings import SCHEMAS
from engine.config.json_schema import experiment_schema
from registry import load_entry_points, load_plugins
from semfid.io.files import write_whole
from semfid.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BUILDS: Mapping[str, type[Settings]] = {"edits": EditsConfig, "inpainting": InpaintingConfig, "sr-outputs": SrSettings}


def schemas() -> dict[str, JsonSchemaValue]:
    """Name to schema: of an experiment with the plugins that are registered now, of each builder and each label."""
    found = {"experiment": experiment_schema()}
    for what, classes in (("build", BUILDS), ("label", SCHEMAS)):
        for name, settings in classes.items():
            found[f"{what}-{name}"] = {"$schema": DIALECT, **settings.model_json_schema()}
    return found


def write_schemas(folder: Path, plugins: Sequence[str] = ()) -> list[Path]:
    """Write ``<name>.json`` for every schema.

    Args:
        plugins: modules or files to import first.

    Returns:
        the files.

    Raises:
        UserError: the folder cannot be written, or a plugin cannot be imported.
    """
    load_plugins(plugins, Path.cwd())
    load_entry_points()
    files = []
    for name, schema in schemas().items():
        files.append(folder / f"{name}.json")
        write_whole(files[-1], (json.dumps(schema, indent=1, sort_keys=True) + "\n").encode())
    return files
