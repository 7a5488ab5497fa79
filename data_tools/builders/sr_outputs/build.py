"""`semfid build sr-outputs`: photos, degraded at several strengths, and restored by several models.

    HQ/<photo>.png                              photos whose sides are no multiples of 4, cut to such; others stay where they lie
    LQ_x4[_degfac_<strength>]/<photo>.png        inputs of the models (strength 1 has no degfac)
    LQ_x4[_degfac_<strength>]_<model>_out/       their outputs
    pairs.csv                                    a row per output, with scores and provenance
    selected_pairs.csv                           its rows with selected = True
    photos.csv                                   every photo, and why it was left out
    errors.csv                                   units that failed

Three stages: degrade (a unit is a photo), upscale (an output), score (an output). A unit is made again when what it depends on
has changed: the bytes of its input, settings or weights.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.build_context import Call, open_build
from data_tools.builders.core.encoding import encode_png
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.eta import Estimator
from data_tools.builders.core.executor import Worker
from data_tools.builders.core.journal import Entry, latest_entries
from data_tools.builders.core.photo_folder import Photo, SourceFiles, list_photos
from data_tools.builders.core.processes import one_thread
from data_tools.builders.core.work_items import Unit, generator, make_unit, recipe_of
from data_tools.builders.sr_outputs.config import SrSettings
from data_tools.builders.sr_outputs.preview import PREVIEWED, say_estimates, write_preview
from data_tools.builders.sr_outputs.scores import Lpips, Quality, has_network, quality_of, ssim
from data_tools.builders.sr_outputs.tables import merge_tables, planned_slots
from data_tools.builders.upscalers.contract import FACTOR, Upscaler, of_right_size
from data_tools.degradations import Degradation, crop_to_multiple
from data_tools.degradations.operations import from_bytes, to_bytes
from models.hub import device_of
from registry import load_plugins
from semfid.io.images import read_image
from semfid.settings import read_settings

Bytes = NDArray[np.uint8]
ALL = "all"  # the one variant of the stage degrade


def build(config: str, overrides: Sequence[str], call: Call) -> int:
    """Run the builder; the number of units of this shard that failed.

    Raises:
        UserError: a bad setting, folder or model; names the place and the fix.
    """
    settings = read_settings(SrSettings, config, overrides)
    load_plugins(settings.plugins, Path(config).parent)
    degradation, upscalers = settings.build_degradation(), settings.build_upscalers()
    scorer = Scorer.of(settings)
    listed = list_photos(settings.photos, settings.seed)
    kept = [photo for photo in listed if not photo.reason]
    mine = [photo for photo in kept if call.shard.holds(photo.name)]
    limit = call.limit or (PREVIEWED if call.preview else None)
    run_on = mine[:limit]
    with open_build(Path(settings.out), "sr-outputs", settings.stamp(degradation), call) as worker:
        work = _Build(settings, degradation, upscalers, scorer, worker, call)
        work.run(run_on)
        with worker.folder.merging():
            alone = call.shard.count == 1  # nobody else has written since
            entries = worker.entries if alone else latest_entries(worker.folder.journals)
            counts = merge_tables(worker.folder, settings, listed, entries)
        if call.preview:
            labels = list(upscalers)
            call.say(f"look at {write_preview(worker, settings, labels, run_on)}")
            say_estimates(worker, settings, labels, run_on, len(mine) - len(run_on), call.say)
        failed = _failures(worker, settings, run_on)
    call.say(
        f"{settings.out}: {counts.pairs} pairs, {counts.selected} selected, of {counts.photos} photos; "
        f"{len(listed) - len(kept) + counts.rejected} photos left out (photos.csv); {len(failed)} units failed"
    )
    for entry in failed[:3]:
        call.say(f"failed: {' '.join(entry.slot)}: {entry.reason}")
    return len(failed)


def _failures(worker: Worker, settings: SrSettings, photos: Sequence[Photo]) -> list[Entry]:
    slots = [slot for photo in photos for slot in planned_slots(settings, photo.name)]
    found = (worker.entries.get(slot) for slot in slots)
    return [entry for entry in found if entry is not None and entry.status == "error"]


@dataclass(frozen=True)
class _Build:
    settings: SrSettings
    degradation: Degradation
    upscalers: Mapping[str, Upscaler]
    scorer: Scorer
    worker: Worker
    call: Call

    def run(self, photos: Sequence[Photo]) -> None:
        """All stages over these photos."""
        workers = self.settings.workers
        self._stage("degrade", self._degrade_units(photos), self._degrade, workers=workers)
        for label, upscaler in self.upscalers.items():
            maker = Enlarger(self.worker.folder.path, upscaler)
            self._stage(f"upscale {label}", self._upscale_units(photos, label, upscaler), maker, upscaler.batch_size)
            upscaler.release()
        # a photo's outputs together: it is decoded once
        size = len(self.upscalers) * len(self.settings.strengths)
        self._stage("score", self._score_units(photos), self.scorer, size, workers if self.scorer.on_cpu else 0)

    def _stage(
        self, title: str, units: Sequence[Unit], maker: Any, batch_size: int = 1, workers: int | str | None = None
    ) -> None:
        """A stage; with `workers`, of one thread for each process, however many there are."""
        watch = Estimator(self.worker.folder.path, self.call.say, title)
        threads = contextlib.nullcontext() if workers is None else one_thread()
        with self.call.stage(title) as advance, threads:
            self.worker.run(units, maker, advance, batch_size, watch, workers or 0)

    def _degrade_units(self, photos: Sequence[Photo]) -> list[Unit]:
        folder = Path(self.settings.photos.folder)
        shard = self.worker.folder.shard.name
        sources = SourceFiles(folder, self.worker.folder.path / ".work" / "sources" / f"{shard}.jsonl")
        limits = {"min_side": self.settings.photos.min_side, "max_side": self.settings.photos.max_side}
        recipe = recipe_of({**self.settings.stamp(self.degradation), **limits, "version": 1})
        return [
            make_unit("degrade", photo.name, ALL, recipe, [digest], (str(folder / photo.path), digest))
            for photo, digest in zip(photos, sources.hashes([photo.path for photo in photos]), strict=True)
        ]

    def _degrade(self, units: Sequence[Unit]) -> list[Made | UnitError]:
        return [self._degraded(unit) for unit in units]

    def _degraded(self, unit: Unit) -> Made:
        path, digest = unit.work
        whole = np.asarray(read_image(path))
        facts: dict[str, Any] = {"source_sha256": digest, "width": whole.shape[1], "height": whole.shape[0]}
        unfit = self._unfit(whole)
        if unfit:
            return Made({}, facts, unfit)
        photo = crop_to_multiple(whole, FACTOR)
        files, records = {}, {}
        if photo.shape != whole.shape:
            facts |= {"photo": f"HQ/{unit.sample}.png", "width": photo.shape[1], "height": photo.shape[0]}
            files[facts["photo"]] = encode_png(photo)
        strengths = self.settings.strengths
        drawn = self.degradation.records(generator(self.settings.seed, *unit.slot), strengths)
        for strength, record in zip(strengths, drawn, strict=True):
            files[input_name(unit.sample, strength)] = encode_png(
                to_bytes(self.degradation.apply(from_bytes(photo), record))
            )
            records[f"{strength:g}"] = record
        return Made(files, {**facts, "records": records, "versions": versions()})

    def _unfit(self, photo: Bytes) -> str:
        sides, limits = sorted(photo.shape[:2]), self.settings.photos
        if sides[0] < limits.min_side:
            return f"short side {sides[0]} below min_side {limits.min_side}"
        if limits.max_side is not None and sides[1] > limits.max_side:
            return f"long side {sides[1]} above max_side {limits.max_side}"
        return ""

    def _upscale_units(self, photos: Sequence[Photo], label: str, upscaler: Upscaler) -> list[Unit]:
        recipe = recipe_of({"upscaler": upscaler.identity, "version": 1})
        units = []
        for strength in self.settings.strengths:
            for photo in photos:
                entry = self._done("degrade", photo.name, ALL)
                if entry is not None:
                    name = input_name(photo.name, strength)
                    digest = next(digest for file, digest, _ in entry.files if file == name)
                    work = name, output_name(photo.name, strength, label)
                    units.append(make_unit("upscale", photo.name, f"{label} {strength:g}", recipe, [digest], work))
        return units

    def _score_units(self, photos: Sequence[Photo]) -> list[Unit]:
        recipe = recipe_of(self.scorer.recipe)
        units = []
        for photo in photos:
            degraded = self._done("degrade", photo.name, ALL)
            if degraded is None:
                continue
            facts = degraded.facts()
            own = facts.get("photo")
            path = self.worker.folder.path / own if own else Path(self.settings.photos.folder) / photo.path
            for strength in self.settings.strengths:
                for label in self.upscalers:
                    variant = f"{label} {strength:g}"
                    made = self._done("upscale", photo.name, variant)
                    if made is not None:
                        name, digest, _ = made.files[0]
                        work = str(path), str(self.worker.folder.path / name)
                        inputs = [digest, facts["source_sha256"]]
                        units.append(make_unit("score", photo.name, variant, recipe, inputs, work))
        return units

    def _done(self, stage: str, sample: str, variant: str) -> Entry | None:
        entry = self.worker.entries.get((stage, sample, variant))
        return entry if entry is not None and entry.status == "done" else None


@dataclass(frozen=True)
class Enlarger:
    """Makes outputs of one model."""

    folder: Path
    upscaler: Upscaler

    def __call__(self, units: Sequence[Unit]) -> list[Made | UnitError]:
        inputs = [np.asarray(read_image(self.folder / unit.work[0])) for unit in units]
        outputs = self.upscaler.upscale(inputs)
        facts = {
            "upscaler": self.upscaler.identity,
            "weights_sha256": self.upscaler.weights_sha256,
            "model_licence": self.upscaler.licence,
            "versions": versions(),
        }
        return [
            output if isinstance(output, UnitError) else _checked(unit.work[1], output, small, facts)
            for unit, output, small in zip(units, outputs, inputs, strict=True)
        ]


def _checked(name: str, output: Bytes, small: Bytes, facts: Mapping[str, Any]) -> Made | UnitError:
    try:
        return Made({name: encode_png(of_right_size(output, small))}, facts)
    except UnitError as error:
        return error


class Scorer:
    """Measures outputs against their photos.

    Attributes:
        recipe: what the figures depend on.
        on_cpu: whether all is measured there, so that copies of this process can measure.
    """

    def __init__(
        self, lpips: Lpips | None, quality: Quality | None, recipe: Mapping[str, Any], on_cpu: bool = True
    ) -> None:
        self.lpips, self.quality, self.recipe, self.on_cpu = lpips, quality, recipe, on_cpu
        self._photo: tuple[str, Bytes] | None = None  # outputs of one photo come one after another

    @classmethod
    def of(cls, settings: SrSettings) -> Scorer:
        """Raises a UserError for weights or a measure that cannot be had."""
        scores = settings.scores
        heavy = scores.lpips is not None or has_network(scores.quality)
        device = device_of("build", settings.device) if heavy else "cpu"
        lpips = None if scores.lpips is None else Lpips(scores.lpips, scores.lpips_weights, device)
        quality = quality_of(scores.quality, device)
        recipe = {"lpips": scores.lpips, "quality": scores.quality, "version": 2}
        return cls(lpips, quality, recipe, on_cpu=device == "cpu")

    def __call__(self, units: Sequence[Unit]) -> list[Made | UnitError]:
        return [self._scored(*unit.work) for unit in units]

    def _scored(self, reference: str, candidate: str) -> Made:
        if self._photo is None or self._photo[0] != reference:
            self._photo = reference, crop_to_multiple(np.asarray(read_image(reference)), FACTOR)
        photo, output = self._photo[1], np.asarray(read_image(candidate))
        facts = {"ssim": round(ssim(photo, output), 6)}
        if self.lpips is not None:
            facts["lpips"] = round(self.lpips(photo, output), 6)
        if self.quality is not None:
            facts["quality"] = round(float(self.quality(output)), 6)
        return Made({}, facts)


def inputs_folder(strength: float) -> str:
    """Of a strength, as the source project calls it."""
    return "LQ_x4" if strength == 1 else f"LQ_x4_degfac_{strength:g}"


def input_name(photo: str, strength: float) -> str:
    """Place of a degraded photo in the folder."""
    return f"{inputs_folder(strength)}/{photo}.png"


def output_name(photo: str, strength: float, label: str) -> str:
    """Place of a model's output in the folder."""
    return f"{inputs_folder(strength)}_{label}_out/{photo}.png"


@functools.cache
def versions() -> str:
    """Of the libraries that make pixels."""
    torch = importlib.metadata.version("torch")  # without loading it
    return f"numpy {np.__version__}, opencv {cv2.__version__}, pillow {PIL.__version__}, torch {torch}"
