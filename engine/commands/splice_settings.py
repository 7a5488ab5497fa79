"""Settings of `semfid splice`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from engine.commands.label_settings import DualEncoderSpec
from models.concepts import ConceptSettings, Solver, Sparsity, Strategy
from models.concepts.modality_gap import FIX
from registry import DUAL_ENCODERS, load_plugins
from semfid.errors import UserError
from semfid.settings import PluginSpec, Settings
from semfid.settings import read_settings as read

SCENES = "scenes"  # vocabulary and image mean that fit scenes_tower, unless others are given


class SpliceSettings(Settings):
    """What the command takes as ``key=value``.

    Attributes:
        top: bars of each kind in the chart.
    """

    tower: DualEncoderSpec = PluginSpec(name="open_clip")
    vocabulary: str = "english"
    size: int | None = None
    encoding: str | None = None
    image_mean: str | None = None
    strategy: Strategy = "nonsymmetric"
    l1: float | None = None
    concepts: int | None = None
    solver: Solver = "lasso"
    top: int = Field(default=12, ge=1)
    plugins: list[str] = Field(default=[])

    def concept_settings(self) -> ConceptSettings:
        """Raises a UserError where there is no image mean, or both l1 and concepts."""
        if self.image_mean is None:
            raise UserError(f"splice: no image_mean: embeddings must be centred before they are decomposed; {FIX}")
        sparsity = Sparsity(self.l1, self.concepts, self.solver)
        nouns = self.strategy == "nouns"
        return ConceptSettings(self.vocabulary, self.image_mean, sparsity, self.size, nouns, self.encoding)


def read_settings(overrides: Sequence[str]) -> SpliceSettings:
    """Defaults under ``key=value``, with the plugins loaded.

    Raises:
        UserError: an unknown key or tower, or a value that cannot be.
    """
    settings = read(SpliceSettings, None, overrides, "tower=scenes_tower or l1=0.2")
    load_plugins(settings.plugins, Path.cwd())
    DUAL_ENCODERS.check(settings.tower.name, settings.tower.keywords)
    if settings.tower.name == "scenes_tower":
        fitting = {key: SCENES for key in ("vocabulary", "image_mean") if key not in settings.model_fields_set}
        settings = settings.model_copy(update=fitting)
    return settings
