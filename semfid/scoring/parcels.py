"""Image files as uint8 tensors for scoring, decoded ahead: in threads, or in processes that hand over whole batches.

A parcel is what one of them decodes at once. Where all images have one size, it is a window of `folder`; else the images of one
reference. What comes is the same whoever decodes, and comes in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from semfid.errors import ImageError, UserError
from semfid.io.cores import can_fork
from semfid.io.file_pairs import FilePair
from semfid.io.fitting import Size, cut
from semfid.io.images import read_photo, resize_image, to_planes
from semfid.io.profiles import profile_name
from semfid.io.shared_memory import AHEAD, Shared, check_room
from semfid.io.workers import auto_workers
from semfid.scoring.score_settings import ScoreSettings
from semfid.scoring.scorer import SMALLEST

DECODERS = 4
"""Threads that decode where no processes do."""
KEY = "--workers "


@dataclass(frozen=True)
class Plan:
    """Pairs of one reference that are cut alike."""

    pairs: list[FilePair]
    crop: Size | None

    @property
    def paths(self) -> list[Path]:
        """The reference, then the candidates."""
        return [self.pairs[0].reference, *(pair.candidate for pair in self.pairs)]


@dataclass(frozen=True)
class Picture:
    """A decoded image, or why there is none.

    Attributes:
        stack: (b, 3, H, W) uint8 that holds it; None where there is none.
        place: in the stack.
        size: its (width, height) before it was resized.
        profile: name of its colour profile.
    """

    stack: Tensor | None
    place: int = 0
    size: Size = (0, 0)
    error: str = ""
    profile: str = ""

    @property
    def pixels(self) -> Tensor | None:
        """(3, H, W) uint8."""
        return None if self.stack is None else self.stack[self.place]


Parcel = list[tuple[Plan, list[Picture]]]
"""Each plan with its pictures, the reference first."""


def stacked(pictures: Sequence[Picture]) -> Tensor:
    """(b, 3, H, W) uint8 of pictures of one size: the stack itself where they lie in it one after another."""
    whole, start = pictures[0].stack, pictures[0].place
    if whole is not None and all(
        picture.stack is whole and picture.place == start + at for at, picture in enumerate(pictures)
    ):
        return whole[start : start + len(pictures)]
    return torch.stack([picture.pixels for picture in pictures])  # type: ignore[misc]


def decoded_ahead(parcels: Sequence[Sequence[Plan]], settings: ScoreSettings) -> Generator[Parcel, None, None]:
    """The parcels in their order; the next ones are being decoded meanwhile.

    Raises:
        UserError: no room in shared memory for what processes hand over, or one of them was ended.
    """
    workers = _workers(parcels, settings)
    return _by_processes(parcels, settings, workers) if workers else _by_threads(parcels, settings)


def of_one_size(settings: ScoreSettings) -> bool:
    """Whether all images are scored at one size, whatever size they have."""
    return settings.image_size is not None and settings.resize in ("squash", "letterbox", "center_crop")


def _workers(parcels: Sequence[Sequence[Plan]], settings: ScoreSettings) -> int:
    side = settings.image_size if of_one_size(settings) else None
    counts = [sum(len(plan.paths) for plan in parcel) for parcel in parcels]
    largest = max(counts, default=0) * 3 * (side or 0) ** 2  # bytes
    if settings.workers == "auto":
        # on a CPU the backbone is slower than threads that decode; images of any size could fill the memory
        wanted = settings.device.startswith("cuda") and side is not None
        return auto_workers(sum(counts), len(parcels), largest) if wanted else 0
    workers = min(settings.workers, len(parcels))
    check_room(workers, len(parcels), largest, KEY)
    return workers


def _by_threads(parcels: Sequence[Sequence[Plan]], settings: ScoreSettings) -> Generator[Parcel, None, None]:
    coming: deque[list[tuple[Plan, list[Future[Picture]]]]] = deque()
    rest = iter(parcels)

    def ahead(pool: ThreadPoolExecutor) -> None:
        """So many images that no thread waits."""
        while sum(len(own) for parcel in coming for _, own in parcel) < 4 * DECODERS:
            parcel = next(rest, None)
            if parcel is None:
                return
            coming.append(
                [(plan, [pool.submit(_decode, path, settings, plan.crop) for path in plan.paths]) for plan in parcel]
            )

    with ThreadPoolExecutor(DECODERS) as pool:
        try:
            ahead(pool)
            while coming:
                parcel = [(plan, [future.result() for future in futures]) for plan, futures in coming.popleft()]
                ahead(pool)
                yield parcel
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Parcel(NamedTuple):
    """What a process hands over: all images of one size in one tensor, and what is known of each without its tensor."""

    stacks: tuple[Tensor, ...]  # (b, 3, H, W) uint8, one a size
    pictures: tuple[tuple[int, Picture], ...]  # with the number of its stack


class _Parcels(Dataset[_Parcel]):
    def __init__(self, parcels: Sequence[Sequence[Plan]], settings: ScoreSettings) -> None:
        self.parcels, self.settings = parcels, settings

    def __len__(self) -> int:
        return len(self.parcels)

    def __getitem__(self, index: int) -> _Parcel:
        found = [_decode(path, self.settings, plan.crop) for plan in self.parcels[index] for path in plan.paths]
        sizes: dict[torch.Size, list[Tensor]] = {}
        numbers: dict[torch.Size, int] = {}
        told: list[tuple[int, Picture]] = []
        for picture in found:
            if picture.pixels is None:
                told.append((-1, picture))
                continue
            shape = picture.pixels.shape
            own = sizes.setdefault(shape, [])
            number = numbers.setdefault(shape, len(numbers))
            told.append((number, Picture(None, len(own), picture.size, picture.error, picture.profile)))
            own.append(picture.pixels)
        return _Parcel(tuple(torch.stack(own) for own in sizes.values()), tuple(told))


def _by_processes(
    parcels: Sequence[Sequence[Plan]], settings: ScoreSettings, workers: int
) -> Generator[Parcel, None, None]:
    loader = DataLoader(
        _Parcels(parcels, settings),
        batch_size=None,
        num_workers=workers,
        collate_fn=Shared(_as_it_is, KEY),
        prefetch_factor=AHEAD,
        generator=torch.Generator(),  # not the caller's, of which a loader would take a draw
        pin_memory=settings.device.startswith("cuda"),
        multiprocessing_context="fork" if can_fork() else None,
    )
    try:
        for plans, (stacks, told) in zip(parcels, loader, strict=True):
            pictures = iter(
                Picture(stacks[number], one.place, one.size, one.error, one.profile) if number >= 0 else one
                for number, one in told
            )
            yield [(plan, [next(pictures) for _ in plan.paths]) for plan in plans]
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise UserError(
            f"a process that decodes images was ended, by the system or for lack of memory; use {KEY}0"
        ) from error


def _as_it_is(parcel: _Parcel) -> _Parcel:
    return parcel


def _decode(path: Path, settings: ScoreSettings, crop: Size | None) -> Picture:
    try:
        photo = read_photo(path)
        image = cut(photo.image, crop)
        if min(image.size) < SMALLEST:
            raise ImageError(f"{path} has {image.width}x{image.height} pixels; at least {SMALLEST}x{SMALLEST}")
        pixels = to_planes(resize_image(image, settings.image_size or 0, settings.resize))
        return Picture(torch.from_numpy(pixels)[None], 0, image.size, profile=profile_name(photo.profile))
    except ImageError as error:
        return Picture(None, error=str(error))
