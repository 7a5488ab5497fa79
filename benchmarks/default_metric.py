"""What the metric of the package costs: a first answer, a folder, a large photo, the download.

    python benchmarks/default_metric.py [cold] [throughput] [memory] [size]      (default: all)

cold        `semfid score` of one 512x512 pair in a fresh process, without the extra `text` (< 4 s on 2 cores)
throughput  100 pairs of 512x512 JPEG files, each with a reference of its own, at --size 224: pairs/s (>= 20 on 2 cores)
memory      a pair of 4000x3000 files with its map and pictures, native: peak above the loaded metric (< 1.5 GB)
size        the wheel (< 15 MB)

`cold` and `throughput` say the processor time too, which other work on the machine changes less than the wall clock.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `semfid score` does, before torch is there
ROOT = Path(__file__).resolve().parent.parent
COLD = "import sys; sys.modules['semfid.scoring.text'] = type(sys)('none'); \
sys.modules['semfid.scoring.text'].__dict__.update(available=lambda: False, compare_text=None, describe=None); \
from semfid.cli import main; sys.exit(main(['score', *sys.argv[1:]]))"


def write_photo(path: Path, seed: int, width: int, height: int, noise: int = 0) -> Path:
    """Structure at many scales, so that its JPEG has a photo's size; `noise` repaints a part of it."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3))
    for scale in (128, 32, 8, 2):
        small = rng.integers(0, 256, (height // scale + 1, width // scale + 1, 3), dtype=np.uint8)
        layer = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        pixels += np.asarray(layer, dtype=np.float64) * scale**0.5
    pixels *= 255 / pixels.max()
    if noise:
        pixels[: height // 3, : width // 3] = pixels[-(height // 3) :, -(width // 3) :]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.round().astype(np.uint8)).save(path, quality=92)
    return path


def processor_time(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def cold(folder: Path) -> None:
    pair = [write_photo(folder / "x.jpg", 0, 512, 512), write_photo(folder / "y.jpg", 0, 512, 512, noise=1)]
    for title, code, arguments in (
        ("import torch", "import torch", []),
        ("semfid score, 512x512, cold", COLD, list(map(str, pair))),
    ):
        times, spent = [], []
        for _ in range(5):
            start, before = time.perf_counter(), processor_time(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, check=True)
            times.append(time.perf_counter() - start)
            spent.append(processor_time(resource.RUSAGE_CHILDREN) - before)
        print(f"{title}: best {min(times):.2f} s, median {sorted(times)[2]:.2f} s, processor time {min(spent):.2f} s")


def throughput(folder: Path) -> None:
    from semfid.io.file_pairs import pair_files
    from semfid.scoring.default_metric import load_default_metric
    from semfid.scoring.folder import score_files
    from semfid.scoring.score_settings import settings_for

    for number in range(100):
        write_photo(folder / "HQ" / f"{number:03d}.jpg", number, 512, 512)
        write_photo(folder / "SR" / f"{number:03d}.jpg", number, 512, 512, noise=1)
    scorer, pairs = load_default_metric(), pair_files(folder / "HQ", folder / "SR").pairs
    for size in ("224", "native"):
        settings = settings_for(scorer, size, "32", "cpu", False)
        few = pairs if size == "224" else pairs[:20]
        list(score_files(scorer, few[:6], settings))  # warm
        rates, spent = [], []
        for _ in range(3):
            start, before = time.perf_counter(), processor_time(resource.RUSAGE_SELF)
            assert all(outcome.difference is not None for outcome in score_files(scorer, few, settings))
            rates.append(len(few) / (time.perf_counter() - start))
            spent.append((processor_time(resource.RUSAGE_SELF) - before) / len(few))
        print(f"folder at {size}: best {max(rates):.1f} pairs/s, processor time {min(spent) * 1e3:.0f} ms a pair")


def memory(folder: Path) -> None:
    write_photo(folder / "x.jpg", 0, 4000, 3000)
    write_photo(folder / "y.jpg", 0, 4000, 3000, noise=1)
    for title, more in (("score alone", []), ("with map and pictures", ["maps"])):
        code = f"from benchmarks.default_metric import large; large({str(folder)!r}, {more!r})"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        print(f"4000x3000, {title}: {done.stdout.strip()}")


def large(folder: str, maps: list[str]) -> None:
    """In a process of its own: the peak does not come down again."""
    from semfid.io.file_pairs import FilePair
    from semfid.scoring.default_metric import load_default_metric
    from semfid.scoring.folder import score_files
    from semfid.scoring.map_files import MapFolder
    from semfid.scoring.results import Method
    from semfid.scoring.score_settings import settings_for

    scorer, place = load_default_metric(), Path(folder)
    settings = settings_for(scorer, "native", "32", "cpu", bool(maps))
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    start = time.perf_counter()
    for outcome in score_files(scorer, [FilePair("pair", place / "x.jpg", place / "y.jpg")], settings):
        if maps:
            MapFolder(place / "maps", 1.0, Method.of(scorer.facts, settings)).add(outcome)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    spent = f"{time.perf_counter() - start:.0f} s, processor time {processor_time(resource.RUSAGE_SELF):.0f} s"
    print(f"peak {(peak - before) / 1e9:.2f} GB above the loaded metric ({before / 1e9:.2f} GB), {spent}")


def size(folder: Path) -> None:
    from hatchling.build import build_wheel

    os.chdir(ROOT)  # the build hook's rule
    wheel = folder / build_wheel(str(folder))
    weights = ROOT / "semfid" / "scoring" / "weights" / "default_metric.pt"
    print(f"wheel: {wheel.stat().st_size / 1e6:.2f} MB, of it weights {weights.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    PARTS = {"cold": cold, "throughput": throughput, "memory": memory, "size": size}
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            PARTS[name](Path(scratch))
