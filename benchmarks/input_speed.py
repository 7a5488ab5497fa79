"""Input of networks: decoding, worker processes.

    python benchmarks/input_speed.py [decoders] [workers]      (default: all)

decoders  ms of processor per JPEG file by Pillow, torchvision and OpenCV, whether their pixels are equal, and what the whole
          way from a file to (3, 224, 224) takes
workers   ms from the start of N decoding processes to their end, above the images' own decoding
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader

from semfid.io.images import load_pixels, read_image, to_planes


def write_photos(folder: Path, count: int, side: int) -> list[Path]:
    """Smooth noise with grain, JPEG of quality 95."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        small = rng.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8)
        large = np.asarray(Image.fromarray(small).resize((side, side)), dtype=int)
        grain = rng.integers(-8, 8, large.shape)
        paths.append(folder / f"{side}_{index:04d}.jpg")
        Image.fromarray((large + grain).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=95)
    return paths


def processor_ms(work: Callable[[Path], object], paths: Sequence[Path], rounds: int = 5) -> float:
    """Least processor time over the rounds, per file."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for path in paths:
            work(path)
        times.append((time.process_time() - start) * 1e3 / len(paths))
    return min(times)


def decoders() -> None:
    import cv2
    from torchvision.io import decode_jpeg, read_file

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        for side in (224, 512):
            paths = write_photos(Path(folder), 50, side)
            ways: dict[str, Callable[[Path], np.ndarray]] = {
                "Pillow": lambda path: to_planes(Image.open(path)),
                "torchvision": lambda path: decode_jpeg(read_file(str(path))).numpy(),
                "OpenCV": lambda path: np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1].transpose(2, 0, 1)),
            }
            for name, way in ways.items():
                equal = all(np.array_equal(way(path), to_planes(read_image(path))) for path in paths)
                print(f"{side} px, {name}: {processor_ms(way, paths):.2f} ms, pixels equal to read_image's: {equal}")
            whole = processor_ms(lambda path: load_pixels(path, 224, "squash"), paths)
            print(f"{side} px, load_pixels to 224: {whole:.2f} ms")


def workers() -> None:
    for count in (0, 1, 2):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            list(DataLoader([0] * 4, num_workers=count))  # type: ignore[arg-type]
            times.append((time.perf_counter() - start) * 1e3)
        print(f"{count} workers: {min(times):.0f} ms to start and end (least of 5)")


PARTS: dict[str, Callable[[], None]] = {"decoders": decoders, "workers": workers}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
