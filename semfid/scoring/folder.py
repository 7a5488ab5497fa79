"""Scoring of many files: every reference is described once, images of one size share a pass, what fails is collected.

Pairs come sorted by reference. A window is a run of references with their candidates, at most `PASS_PIXELS` of them (at least
one reference with all its candidates). Its images are decoded while the window before is scored (`parcels`). On a CPU, windows of
a scorer that allows it are scored by as many threads as torch has, each computing by itself: a small network gains little from
sharing one image out. A GPU is given a window before the results of the one before are fetched.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semfid.errors import UserError
from semfid.io.file_pairs import FilePair
from semfid.io.fitting import common_part, crop_of
from semfid.io.on_host import OnHost
from semfid.io.profiles import profiles_differ
from semfid.scoring.arithmetic import exact_products, float32_products
from semfid.scoring.parcels import Parcel, Picture, Plan, decoded_ahead, of_one_size, stacked
from semfid.scoring.score_settings import ScoreSettings
from semfid.scoring.scorer import Description, Scorer, expanded, upsampled

# pixels of one pass through the backbone: enough to keep the cores busy, small enough for photos of any size
PASS_PIXELS = {"cpu": 6 * 224 * 224, "cuda": 64 * 224 * 224}


@dataclass(frozen=True)
class Scored:
    """One pair's outcome: a difference, or why there is none.

    Attributes:
        difference: None where the pair failed.
        width, height: of the images that were scored.
        map: (H, W) differences at that size, and the candidate as it was scored, (H, W, 3); where asked for.
        cropped: whether one of the images was cut to the other's size.
        note: what makes the difference doubtful; empty: nothing.
    """

    pair: FilePair
    difference: float | None = None
    error: str = ""
    width: int = 0
    height: int = 0
    map: NDArray[np.floating] | None = None
    picture: NDArray[np.uint8] | None = None
    cropped: bool = False
    note: str = ""


def score_files(scorer: Scorer, pairs: Sequence[FilePair], settings: ScoreSettings) -> Iterator[Scored]:
    """Score pairs that are sorted by reference; outcomes come window by window, in the order of `pairs`."""
    scorer = scorer.to(settings.device).eval()
    plans = _plans(pairs, settings)
    threads = torch.get_num_threads() if scorer.concurrent and settings.device == "cpu" and len(plans) > 1 else 1
    with contextlib.closing(decoded_ahead(_parcels(plans, settings), settings)) as parcels:
        windows = _windows(parcels, settings)
        if threads > 1:
            yield from _score_side_by_side(scorer, windows, settings, threads)
        else:
            yield from _score_in_turn(scorer, windows, settings)


def _score_in_turn(scorer: Scorer, windows: Iterator[list[_Group]], settings: ScoreSettings) -> Iterator[Scored]:
    """Windows in their order. A device that computes by itself has the next one before the last one's results are taken."""
    ahead = 0 if settings.device == "cpu" else 1
    coming: deque[_Window] = deque()
    for window in windows:
        coming.append(_start(scorer, window, settings))
        if len(coming) > ahead:
            yield from coming.popleft().outcomes()
    while coming:
        yield from coming.popleft().outcomes()


def _score_side_by_side(
    scorer: Scorer, windows: Iterator[list[_Group]], settings: ScoreSettings, threads: int
) -> Iterator[Scored]:
    """Windows in their order, scored by several threads that each compute by themselves."""
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        coming: deque[Future[_Window]] = deque()
        for window in windows:
            coming.append(pool.submit(_start, scorer, window, settings))
            if len(coming) > threads:
                yield from coming.popleft().result().outcomes()
        while coming:
            yield from coming.popleft().result().outcomes()


@dataclass
class _Group:
    pairs: list[FilePair]
    pictures: list[Picture]  # the reference first
    cropped: bool

    def note(self, number: int) -> str:
        """What to say of the colours of a pair."""
        pair, profile = self.pairs[number], self.pictures[number + 1].profile
        return profiles_differ(pair.reference.name, self.pictures[0].profile, pair.candidate.name, profile)


_Bucket = list[tuple[_Group, list[int]]]
"""Groups of one image size, each with the numbers of its pairs that can be scored."""


def _plans(pairs: Sequence[FilePair], settings: ScoreSettings) -> list[Plan]:
    plans: list[Plan] = []
    for pair in pairs:
        crop = crop_of(pair.reference, pair.candidate, settings.fit)
        if plans and plans[-1].pairs[0].reference == pair.reference and plans[-1].crop == crop:
            plans[-1].pairs.append(pair)
        else:
            plans.append(Plan([pair], crop))
    return plans


def _parcels(plans: Sequence[Plan], settings: ScoreSettings) -> list[list[Plan]]:
    """What is decoded at once: windows where the size of the images is known, else plan by plan."""
    if not of_one_size(settings):
        return [[plan] for plan in plans]
    most = _pass_pixels(settings) // (settings.image_size or 1) ** 2
    parcels: list[list[Plan]] = []
    held = 0
    for plan in plans:
        if parcels and held + len(plan.paths) <= most:
            parcels[-1].append(plan)
            held += len(plan.paths)
        else:
            parcels.append([plan])
            held = len(plan.paths)
    return parcels


def _windows(parcels: Iterator[Parcel], settings: ScoreSettings) -> Iterator[list[_Group]]:
    """Decoded groups, together at most one pass's pixels (or one group)."""
    if of_one_size(settings):
        yield from ([_group(*one) for one in parcel] for parcel in parcels)
        return
    budget = _pass_pixels(settings)
    window: list[_Group] = []
    held = 0
    for parcel in parcels:
        for plan, pictures in parcel:
            pixels = sum(picture.pixels[0].numel() for picture in pictures if picture.pixels is not None)
            if window and held + pixels > budget:
                yield window
                window, held = [], 0
            window.append(_group(plan, pictures))
            held += pixels
    if window:
        yield window


def _group(plan: Plan, pictures: list[Picture]) -> _Group:
    return _Group(plan.pairs, pictures, plan.crop is not None)


def _pass_pixels(settings: ScoreSettings) -> int:
    return PASS_PIXELS["cuda" if settings.device.startswith("cuda") else "cpu"]


@dataclass
class _Computed:
    """Pairs of one image size, whose scores a device may still be computing.

    Attributes:
        pairs: (group, number in it) of each.
        scores: (b,)
        maps: (b, H, W), where asked for.
    """

    pairs: list[tuple[_Group, int]]
    scores: OnHost
    maps: OnHost | None

    def outcomes(self) -> Iterator[Scored]:
        maps = None if self.maps is None else self.maps.get().float().numpy()
        differences = self.scores.get().double().tolist()
        for place, ((group, number), difference) in enumerate(zip(self.pairs, differences, strict=True)):
            pixels = group.pictures[number + 1].pixels
            assert pixels is not None  # only what was decoded is computed
            finite = math.isfinite(difference)
            yield Scored(
                group.pairs[number],
                difference if finite else None,
                "" if finite else "its score is not finite; use --precision 32",
                width=int(pixels.shape[-1]),
                height=int(pixels.shape[-2]),
                map=None if maps is None else maps[place],
                picture=None if maps is None else pixels.numpy().transpose(1, 2, 0),
                cropped=group.cropped,
                note=group.note(number),
            )


@dataclass
class _Window:
    """A window whose computation was started."""

    groups: list[_Group]
    failed: list[Scored]
    computed: list[_Computed]

    def outcomes(self) -> Iterator[Scored]:
        """Outcomes in the order of the pairs; waits for the device."""
        found = [*self.failed, *(scored for part in self.computed for scored in part.outcomes())]
        by_pair = {scored.pair.pair_id: scored for scored in found}
        return (by_pair[pair.pair_id] for group in self.groups for pair in group.pairs)


def _start(scorer: Scorer, window: list[_Group], settings: ScoreSettings) -> _Window:
    failed: list[Scored] = []
    tasks: dict[tuple[int, ...], _Bucket] = {}
    for group in window:
        reference = group.pictures[0]
        good: list[int] = []
        for number, pair in enumerate(group.pairs):
            candidate = group.pictures[number + 1]
            why = reference.error or candidate.error or _misfit(pair, reference.size, candidate.size)
            if why:
                failed.append(Scored(pair, error=why))
            else:
                good.append(number)
        if good and reference.pixels is not None:
            tasks.setdefault(tuple(reference.pixels.shape), []).append((group, good))
    computed = [one for bucket in tasks.values() for one in _compute_bucket(scorer, bucket, settings)]
    return _Window(window, failed, computed)


def _misfit(pair: FilePair, reference: tuple[int, int], candidate: tuple[int, int]) -> str:
    """Files of different sizes are refused at any --size: squashed alike they would be compared askew."""
    if reference == candidate:
        return ""
    common = common_part(reference, candidate)
    crop = f", or use --fit crop, which cuts both to {common[0]}x{common[1]} from the top left" if common else ""
    return (
        f"{pair.candidate} has {candidate[0]}x{candidate[1]} pixels, its reference {pair.reference.name} "
        f"{reference[0]}x{reference[1]}; scale one of them to the other's size{crop}"
    )


def _compute_bucket(scorer: Scorer, bucket: _Bucket, settings: ScoreSettings) -> Iterator[_Computed]:
    """Groups of one image size: as many images to a pass as `PASS_PIXELS` allows."""
    pictures: list[Picture] = []
    for group, good in bucket:
        pictures += [group.pictures[0], *(group.pictures[number + 1] for number in good)]
    height, width = stacked(pictures[:1]).shape[-2:]
    per_pass = max(1, _pass_pixels(settings) // (height * width))
    if len(pictures) <= per_pass:
        described = _describe(scorer, pictures, settings)
        yield from (_at_once if settings.device != "cpu" else _by_reference)(scorer, bucket, described, settings)
        return
    for group, good in bucket:  # large images: the reference's features are kept while its candidates pass
        reference = _describe(scorer, group.pictures[:1], settings)
        for start in range(0, len(good), per_pass):
            chosen = good[start : start + per_pass]
            candidates = _describe(scorer, [group.pictures[number + 1] for number in chosen], settings)
            shared = expanded(reference, len(chosen))
            yield _compared(scorer, [(group, number) for number in chosen], shared, candidates, settings)


def _by_reference(
    scorer: Scorer, bucket: _Bucket, described: Description, settings: ScoreSettings
) -> Iterator[_Computed]:
    """A reference's features against those of its candidates, without copying them."""
    at = 0
    for group, good in bucket:
        shared = expanded(tuple(tensor[at : at + 1] for tensor in described), len(good))
        candidates = tuple(tensor[at + 1 : at + 1 + len(good)] for tensor in described)
        at += 1 + len(good)
        yield _compared(scorer, [(group, number) for number in good], shared, candidates, settings)


def _at_once(scorer: Scorer, bucket: _Bucket, described: Description, settings: ScoreSettings) -> Iterator[_Computed]:
    """All pairs of a bucket together: a GPU copies features faster than it starts a comparison for each reference."""
    places: list[tuple[int, int]] = []
    at = 0
    for _, good in bucket:
        places += [(at, at + one) for one in range(1, 1 + len(good))]
        at += 1 + len(good)
    x, y = torch.tensor(places).T.to(described[0].device)  # (pairs,) each
    pairs = [(group, number) for group, good in bucket for number in good]
    yield _compared(scorer, pairs, tuple(one[x] for one in described), tuple(one[y] for one in described), settings)


def _describe(scorer: Scorer, pictures: list[Picture], settings: ScoreSettings) -> Description:
    # (b, 3, H, W); processes hand over pinned memory, from which the copy does not wait
    batch = stacked(pictures).to(settings.device, non_blocking=True).float().div_(255.0)
    try:
        with torch.inference_mode(), _products(settings), _autocast(settings):
            return scorer.describe(batch)
    except torch.OutOfMemoryError as error:
        height, width = batch.shape[-2:]
        raise UserError(
            f"{len(batch)} images of {width}x{height} do not fit into the memory of {settings.device}; use --precision bf16, "
            "--size train or --device cpu"
        ) from error


def _products(settings: ScoreSettings) -> AbstractContextManager[None]:
    """Float32 products as the settings say, on a GPU."""
    if settings.precision == "tf32" and torch.device(settings.device).type == "cuda":
        return float32_products(tf32=True)
    return exact_products(settings.device)


def _autocast(settings: ScoreSettings) -> Any:
    if settings.precision in ("32", "tf32"):
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float16
    return torch.autocast(torch.device(settings.device).type, dtype=dtype)


def _compared(
    scorer: Scorer,
    pairs: list[tuple[_Group, int]],
    reference: Description,
    candidate: Description,
    settings: ScoreSettings,
) -> _Computed:
    with torch.inference_mode(), exact_products(settings.device):
        x, y = (tuple(tensor.float() for tensor in side) for side in (reference, candidate))
        if not settings.maps:
            return _Computed(pairs, OnHost(scorer.compare(x, y)), None)
        scores, found = scorer.compare_with_maps(x, y)
        group, _ = pairs[0]
        size = stacked(group.pictures[:1]).shape[-2:]
        return _Computed(pairs, OnHost(scores), OnHost(upsampled(found, size)[:, 0]))
