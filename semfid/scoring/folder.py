"""Scoring of many files: every reference is described once, images of one size share a pass, what fails is collected.

Pairs come sorted by reference. A window is a run of references with their candidates, at most `PASS_PIXELS` of them (at least
one reference with all its candidates). Its images are decoded in threads while the window before is scored. On a CPU, windows of
a scorer that allows it are scored by as many threads as torch has, each computing by itself: a small network gains little from
sharing one image out.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semfid.errors import ImageError, UserError
from semfid.io.file_pairs import FilePair
from semfid.io.fitting import Size, common_part, crop_of, cut
from semfid.io.images import read_photo, resize_image, to_planes
from semfid.io.profiles import profile_name, profiles_differ
from semfid.scoring.arithmetic import exact_products, float32_products
from semfid.scoring.score_settings import ScoreSettings
from semfid.scoring.scorer import SMALLEST, Description, Scorer, expanded, upsampled

DECODERS = 4
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
    groups: list[_Plan] = []
    for pair in pairs:
        crop = crop_of(pair.reference, pair.candidate, settings.fit)
        if groups and groups[-1].pairs[0].reference == pair.reference and groups[-1].crop == crop:
            groups[-1].pairs.append(pair)
        else:
            groups.append(_Plan([pair], crop))
    threads = torch.get_num_threads() if scorer.concurrent and settings.device == "cpu" and len(groups) > 1 else 1
    with ThreadPoolExecutor(DECODERS) as pool:
        windows = _windows(groups, settings, pool)
        if threads == 1:
            for window in windows:
                yield from _score_window(scorer, window, settings)
        else:
            yield from _score_side_by_side(scorer, windows, settings, threads)


def _score_side_by_side(
    scorer: Scorer, windows: Iterator[list[_Group]], settings: ScoreSettings, threads: int
) -> Iterator[Scored]:
    """Windows in their order, scored by several threads that each compute by themselves."""
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        coming: deque[Future[list[Scored]]] = deque()
        for window in windows:
            coming.append(pool.submit(lambda own: list(_score_window(scorer, own, settings)), window))
            if len(coming) > threads:
                yield from coming.popleft().result()
        while coming:
            yield from coming.popleft().result()


@dataclass
class _Image:
    """A decoded image, (3, H, W) uint8, its (width, height) before it was resized, and its colour profile's name; or why there is
    none.
    """

    pixels: Tensor | None
    size: tuple[int, int] = (0, 0)
    error: str = ""
    profile: str = ""


@dataclass
class _Plan:
    """Pairs of one reference that are cut alike."""

    pairs: list[FilePair]
    crop: Size | None


@dataclass
class _Group:
    pairs: list[FilePair]
    images: list[_Image]  # the reference first
    cropped: bool

    def note(self, number: int) -> str:
        """What to say of the colours of a pair."""
        pair, profile = self.pairs[number], self.images[number + 1].profile
        return profiles_differ(pair.reference.name, self.images[0].profile, pair.candidate.name, profile)


def _decode(path: Path, settings: ScoreSettings, crop: Size | None) -> _Image:
    try:
        photo = read_photo(path)
        image = cut(photo.image, crop)
        if min(image.size) < SMALLEST:
            raise ImageError(f"{path} has {image.width}x{image.height} pixels; at least {SMALLEST}x{SMALLEST}")
        pixels = to_planes(resize_image(image, settings.image_size or 0, settings.resize))
        return _Image(torch.from_numpy(pixels), image.size, profile=profile_name(photo.profile))
    except ImageError as error:
        return _Image(None, error=str(error))


def _windows(groups: Sequence[_Plan], settings: ScoreSettings, pool: ThreadPoolExecutor) -> Iterator[list[_Group]]:
    """Decoded groups, together at most one pass's pixels (or one group); the next ones are being decoded meanwhile."""
    budget = _pass_pixels(settings)
    coming: list[tuple[_Plan, list[Future[_Image]]]] = []
    rest = iter(groups)

    def ahead() -> None:
        while sum(len(futures) for _, futures in coming) < 4 * DECODERS:
            group = next(rest, None)
            if group is None:
                return
            paths = [group.pairs[0].reference, *(pair.candidate for pair in group.pairs)]
            coming.append((group, [pool.submit(_decode, path, settings, group.crop) for path in paths]))

    window: list[_Group] = []
    held = 0
    ahead()
    while coming:
        plan, futures = coming.pop(0)
        images = [future.result() for future in futures]
        ahead()
        pixels = sum(image.pixels[0].numel() for image in images if image.pixels is not None)
        if window and held + pixels > budget:
            yield window
            window, held = [], 0
        window.append(_Group(plan.pairs, images, plan.crop is not None))
        held += pixels
    if window:
        yield window


def _pass_pixels(settings: ScoreSettings) -> int:
    return PASS_PIXELS["cuda" if settings.device.startswith("cuda") else "cpu"]


def _score_window(scorer: Scorer, window: list[_Group], settings: ScoreSettings) -> Iterator[Scored]:
    outcomes: dict[str, Scored] = {}
    tasks: dict[tuple[int, ...], list[tuple[_Group, list[int]]]] = {}
    for group in window:
        reference = group.images[0]
        good: list[int] = []
        for number, pair in enumerate(group.pairs):
            candidate = group.images[number + 1]
            why = reference.error or candidate.error
            if not why:
                why = _misfit(pair, reference.size, candidate.size)
            if why:
                outcomes[pair.pair_id] = Scored(pair, error=why)
            else:
                good.append(number)
        if good and reference.pixels is not None:
            tasks.setdefault(tuple(reference.pixels.shape), []).append((group, good))
    for bucket in tasks.values():
        for scored in _score_bucket(scorer, bucket, settings):
            outcomes[scored.pair.pair_id] = scored
    for group in window:
        for pair in group.pairs:
            yield outcomes[pair.pair_id]


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


def _score_bucket(scorer: Scorer, bucket: list[tuple[_Group, list[int]]], settings: ScoreSettings) -> Iterator[Scored]:
    """Groups of one image size: as many images to a pass as `PASS_PIXELS` allows."""
    images: list[Tensor] = []
    for group, good in bucket:
        images += [group.images[0].pixels, *(group.images[number + 1].pixels for number in good)]  # type: ignore[list-item]
    height, width = images[0].shape[-2:]
    per_pass = max(1, _pass_pixels(settings) // (height * width))
    if len(images) <= per_pass:
        described = _describe(scorer, images, settings)
        at = 0
        for group, good in bucket:
            reference = tuple(tensor[at : at + 1] for tensor in described)
            candidates = tuple(tensor[at + 1 : at + 1 + len(good)] for tensor in described)
            at += 1 + len(good)
            yield from _outcomes(scorer, group, good, reference, candidates, settings)
        return
    for group, good in bucket:  # large images: the reference's features are kept while its candidates pass
        reference = _describe(scorer, [group.images[0].pixels], settings)  # type: ignore[list-item]
        for start in range(0, len(good), per_pass):
            chosen = good[start : start + per_pass]
            candidates = _describe(scorer, [group.images[n + 1].pixels for n in chosen], settings)  # type: ignore[misc]
            yield from _outcomes(scorer, group, chosen, reference, candidates, settings)


def _describe(scorer: Scorer, images: list[Tensor], settings: ScoreSettings) -> Description:
    batch = torch.stack(images).to(settings.device).float().div_(255.0)  # (b, 3, H, W)
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


def _outcomes(
    scorer: Scorer,
    group: _Group,
    good: Sequence[int],
    reference: Description,
    candidates: Description,
    settings: ScoreSettings,
) -> Iterator[Scored]:
    with torch.inference_mode(), exact_products(settings.device):
        shared = expanded(tuple(tensor.float() for tensor in reference), len(good))
        candidates = tuple(tensor.float() for tensor in candidates)
        maps = None
        if settings.maps:
            size = group.images[0].pixels.shape[-2:]  # type: ignore[union-attr]
            scores, found = scorer.compare_with_maps(shared, candidates)
            maps = upsampled(found, size)[:, 0].float().cpu().numpy()  # (b, H, W)
        else:
            scores = scorer.compare(shared, candidates)
        differences = scores.double().cpu().tolist()
    for place, number in enumerate(good):
        pixels = group.images[number + 1].pixels
        assert pixels is not None  # `good` holds decoded ones only
        difference = differences[place]
        finite = difference == difference and abs(difference) != float("inf")
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
