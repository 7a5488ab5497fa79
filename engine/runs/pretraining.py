"""Pretraining as an axis: ``model.backbone.pretrained`` names an entry of the section ``pretraining``.

The entry is trained first, once, with the variant's own architecture, and the variant then starts from its backbone file.
"""

from __future__ import annotations

from dataclasses import replace

from engine.config.expansion import Variant
from engine.config.pretraining_section import pretraining_config, pretraining_name
from engine.config.schema import RunConfig
from engine.runs.context import RunContext
from engine.runs.lifecycle import run_guarded
from engine.runs.run_folder import RunFolder, run_hash
from engine.training.images import train_task
from lightning_modules.backbone_file import TRUNK_FILE
from semfid.errors import UserError


def pretraining_run(config: RunConfig, name: str, context: RunContext) -> tuple[Variant, RunFolder]:
    """A pretraining as a run, and its folder: ``runs/<experiment>/pretraining/<name>-<hash>``."""
    own = pretraining_config(config, name)
    variant = Variant(own, {}, (f"pretraining {name}",))
    digest = run_hash(own, context.data_hash(own))
    root = own.folder / "pretraining"
    for found in sorted(root.glob(f"*-{digest}")):  # made under another name
        return variant, RunFolder(found)
    return variant, RunFolder(root / f"{name}-{digest}")


def pretrained(variant: Variant, context: RunContext) -> Variant:
    """The variant with its backbone file, which is trained first unless it is done; other variants as they are.

    The label keeps the name; the run's hash takes the file's content.

    Raises:
        UserError: whatever is wrong with the pretraining.
    """
    name = pretraining_name(variant.config)
    if name is None:
        return variant
    run, folder = pretraining_run(variant.config, name, context)
    title = f"pretraining {name}"
    run_guarded(run, context, folder, title, lambda: train_task(run, context, folder, title))
    return with_backbone(variant, name, folder)


def with_backbone(variant: Variant, name: str, folder: RunFolder) -> Variant:
    """The variant with the backbone file of a finished pretraining.

    Raises:
        UserError: a pretraining that left no backbone.
    """
    path = folder.path / TRUNK_FILE
    if not path.is_file():
        raise UserError(
            f"pretraining.{name}: {folder.path} has no {TRUNK_FILE}; its model must write one (supervised, contrastive)"
        )
    model = variant.config.needed_model.with_backbone(pretrained=str(path))
    return replace(variant, config=variant.config.model_copy(update={"model": model, "pretrained_by": name}))
