"""Input of networks and builders: decoding, worker processes, augmentation, the CPU stages of `semfid build sr-outputs`.

    python benchmarks/input_speed.py [decoders] [workers] [augment] [builder]      (default: all)

decoders  ms of processor per JPEG file by Pillow, torchvision and OpenCV, whether their pixels are equal, and what the whole
          way from a file to (3, 224, 224) takes
workers   ms from the start of N decoding processes to their end, above the images' own decoding
augment   images/s of rendered scenes of 96 px under crop, flip and degrade, kept in memory, with 0, 1 and 2 workers: by the
          clock, and per second of processor of all processes
builder   units/s of the stages degrade and score of `semfid build sr-outputs` on 512 px photos, with 0, 1 and 2 processes, the
          same way; what a machine of idle cores would reach is the second figure times its cores
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader

from data_tools.builders.core.build_context import Call, open_build
from data_tools.builders.core.photo_folder import list_photos
from data_tools.builders.sr_outputs.build import Enlarger, Scorer, _Build
from data_tools.builders.sr_outputs.config import SrSettings
from semfid.io.images import load_pixels, read_image, to_planes
from semfid.progress import silent


def write_photos(folder: Path, count: int, side: int) -> list[Path]:
    """Smooth noise with grain, JPEG of quality 95."""
    folder.mkdir(parents=True, exist_ok=True)
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


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measured(work: Callable[[], int]) -> tuple[float, float]:
    """Items by the clock and by processor seconds."""
    clock, processor = time.perf_counter(), processor_seconds()
    count = work()
    return count / (time.perf_counter() - clock), count / (processor_seconds() - processor)


def in_turn(sides: dict[str, Callable[[], int]], what: str, rounds: int = 3) -> None:
    """Medians over rounds in which the sides take turns, after a warm one."""
    for side in sides.values():
        side()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(measured(side))
    for name, values in found.items():
        clock, processor = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{what}, {name}: {clock:.1f}/s by the clock, {processor:.1f} per second of processor")


def augment() -> None:
    from datamodules.sources.scene_images import SceneImageData, SceneImageLoader

    with tempfile.TemporaryDirectory() as folder:

        def images(workers: int) -> Callable[[], int]:
            loader = SceneImageLoader(in_memory=True, augment=["crop", "flip", "degrade"], workers=workers)
            data = SceneImageData(folder, scenes=300, loader=loader)
            data.prepare()
            data.dataset.keep(data.rows["train"])

            def epochs() -> int:
                loader, count = data.train_dataloader(), 0
                for epoch in range(5):  # the workers of the first serve the others too
                    loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
                    count += sum(len(batch.row) for batch in loader)
                return count

            return epochs

        in_turn({f"{workers} workers": images(workers) for workers in (0, 1, 2)}, "augment")


def builder(photos: int = 10) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder) / "photos", photos, 512)
        for stage in ("degrade", "score"):
            sides = {
                f"{workers} processes": partial(run_stage, stage, sr_settings(folder, workers)) for workers in (0, 1, 2)
            }
            in_turn(sides, f"builder {stage}")


def sr_settings(folder: str, workers: int) -> SrSettings:
    photos = {"folder": f"{folder}/photos", "min_side": 64}
    own = {"out": f"{folder}/out{workers}", "workers": workers, "device": "cpu"}
    return SrSettings.model_validate({**own, "photos": photos, "upscalers": {"bicubic": "bicubic"}})


def run_stage(stage: str, settings: SrSettings) -> int:
    """Run one stage anew; the number of its units."""
    degradation, call = settings.build_degradation(), Call(print, silent)
    photos = list_photos(settings.photos, settings.seed)
    with open_build(Path(settings.out), "sr-outputs", settings.stamp(degradation), call) as worker:
        build = _Build(settings, degradation, settings.build_upscalers(), Scorer.of(settings), worker, call)
        units = build._degrade_units(photos) if stage == "degrade" else build._score_units(photos)
        if not units:  # outputs to score are made first
            bicubic = build.upscalers["bicubic"]
            maker = Enlarger(worker.folder.path, bicubic)
            build._stage("upscale", build._upscale_units(photos, "bicubic", bicubic), maker)
            units = build._score_units(photos)
        for one in units:
            worker.entries.pop(one.slot, None)
        if stage == "degrade":
            build._stage(stage, units, build._degrade, 1, settings.workers)
        else:
            build._stage(stage, units, build.scorer, len(settings.strengths), settings.workers)
        return len(units)


PARTS: dict[str, Callable[[], None]] = {
    "decoders": decoders,
    "workers": workers,
    "augment": augment,
    "builder": builder,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
