"""The degradation against the published way of the same operations, one thread each.

    python benchmarks/degradation.py [--photos FOLDER] [--images 200] [--timed 40]

Time: the same records carried out both ways, in turn, at 512x512 and 1024x768. Likeness: at strength 1, PSNR and SSIM to
the photo (bicubic back to its size) over crops and flips of the photos, each side with draws of its
own. Order: of the strengths 0.3, 0.7 and 1.0 of one image, by PSNR or by SSIM.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "data_tools" / "degradations"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import published_degradation  # type: ignore[import-not-found]

from data_tools.degradations import build_degradation, generator_of
from data_tools.degradations.operations import enlarge_bicubic, from_bytes
from semfid.io.listing import list_images

STRENGTHS = (0.3, 0.7, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", default=os.environ.get("SEMFID_TEST_DATA", "") + "/koniq_photos")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--timed", type=int, default=40)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    photos = [read(path) for path in list_images(Path(arguments.photos), deep=False).paths]
    for width, height in ((512, 512), (1024, 768)):
        timed([cv2.resize(photo, (width, height)) for photo in photos[: arguments.timed]], arguments.timed)
    views = [view(photos, number) for number in range(arguments.images)]
    likeness(views)
    for reading in ("scaled", "blended"):
        ordered(views, reading)


def read(path: Path) -> np.ndarray:
    return from_bytes(np.asarray(Image.open(path).convert("RGB")))


def view(photos: list[np.ndarray], number: int) -> np.ndarray:
    """Crop and flip `number`: (384, 512, 3)."""
    draw = np.random.default_rng(number)
    photo = photos[number % len(photos)]
    top = int(draw.integers(photo.shape[0] - 384 + 1))
    crop = photo[top : top + 384]
    return np.ascontiguousarray(crop[:, ::-1] if draw.random() < 0.5 else crop)


def timed(photos: list[np.ndarray], count: int) -> None:
    degradation = build_degradation("bsrgan", {})
    ours, theirs = [], []
    for number in range(count):
        photo = photos[number % len(photos)]
        record = degradation.records(generator_of(0, str(number)), [1.0])[0]
        start = time.perf_counter()
        degradation.apply(photo, record)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        published_degradation.degrade(photo, record)
        theirs.append(time.perf_counter() - start)
    size = f"{photos[0].shape[1]}x{photos[0].shape[0]}"
    print(f"{size}: {1 / np.mean(ours):.1f} images/s, published way {1 / np.mean(theirs):.2f} images/s, ", end="")
    print(
        f"{np.mean(theirs) / np.mean(ours):.1f} times; median {1e3 * np.median(ours):.1f} / {1e3 * np.median(theirs):.1f} ms"
    )


def figures(photo: np.ndarray, small: np.ndarray) -> tuple[float, float]:
    """PSNR and SSIM of the enlarged image."""
    large = enlarge_bicubic(np.asarray(small, dtype=np.float32), photo.shape[1], photo.shape[0])
    psnr = -10 * np.log10(np.mean((photo - large) ** 2))
    return float(psnr), float(structural_similarity(photo, large, channel_axis=2, data_range=1.0))


def likeness(views: list[np.ndarray]) -> None:
    degradation = build_degradation("bsrgan", {})
    ours = np.array([figures(v, degradation.degrade(v, generator_of(1, str(n)))[0]) for n, v in enumerate(views)])
    theirs = np.array(
        [
            figures(v, published_degradation.degrade(v, published_degradation.draw(random.Random(str(n)))))
            for n, v in enumerate(views)
        ]
    )
    apart = ours - theirs
    error = apart.std(axis=0, ddof=1) / np.sqrt(len(views))
    for name, column in (("PSNR", 0), ("SSIM", 1)):
        print(
            f"strength 1, {len(views)} images, {name}: {ours[:, column].mean():.3f}, published {theirs[:, column].mean():.3f}, "
            f"apart {apart[:, column].mean():+.3f} (standard error {error[column]:.3f})"
        )


def ordered(views: list[np.ndarray], reading: str) -> None:
    degradation = build_degradation("bsrgan", {"reading": reading})
    table = []
    for number, photo in enumerate(views):
        records = degradation.records(generator_of(2, str(number)), STRENGTHS)
        table.append([figures(photo, degradation.apply(photo, record)) for record in records])
    values = np.array(table)  # (images, strengths, 2)
    falls = np.all(np.diff(values, axis=1) <= 0, axis=1)  # (images, 2)
    means = ", ".join(f"{s:g}: {p:.2f} dB / {q:.3f}" for s, (p, q) in zip(STRENGTHS, values.mean(axis=0), strict=True))
    print(
        f"{reading}: {means}; ordered by PSNR {np.mean(falls, axis=0)[0]:.1%}, by SSIM {np.mean(falls, axis=0)[1]:.1%}, ",
        end="",
    )
    print(f"by one of them {np.mean(np.any(falls, axis=1)):.1%}")


if __name__ == "__main__":
    main()
