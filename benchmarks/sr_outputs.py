"""What the builder of SR outputs costs beside its work, and how long a finished build of 100,000 units takes to be seen as such.

    python benchmarks/sr_outputs.py [--photos FOLDER] [--work 40] [--resume 5600]

Overhead: a real build with bicubic and Lanczos; time in hashing, files, journal, planning and tables over all of it. Resume: a
build of so many photos (19 units each), made with empty work, is started again in a process of its own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from semfid.progress import silent

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.build_context import Call
from data_tools.builders.core.executor import Worker
from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Journal
from data_tools.builders.core.photo_folder import SourceFiles
from data_tools.builders.sr_outputs import build as sr_outputs

KERNELS = {"bicubic": {"name": "bicubic"}, "lanczos": {"name": "lanczos"}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", default=os.environ.get("SEMFID_TEST_DATA", "") + "/koniq_photos")
    parser.add_argument("--work", type=int, default=40)
    parser.add_argument("--resume", type=int, default=5600)
    parser.add_argument("--again", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.again:
        started = time.perf_counter()
        sr_outputs.build(arguments.again, [], Call(print, silent))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"resume: {time.perf_counter() - started:.1f} s, peak memory {peak:.0f} MB")
        return
    with tempfile.TemporaryDirectory() as folder:
        overhead(Path(folder), Path(arguments.photos), arguments.work)
        config = hollow(Path(folder), arguments.resume)
        subprocess.run([sys.executable, __file__, "--again", config], check=True)


def write_config(folder: Path, photos: Path, models: dict[str, Any]) -> str:
    path = folder / "build.yaml"
    settings = {"out": str(folder / "out"), "photos": {"folder": str(photos)}, "upscalers": models}
    path.write_text(yaml.safe_dump({**settings, "selection": {"target": 10000}}))
    return str(path)


def overhead(folder: Path, photos: Path, count: int) -> None:
    spent: dict[str, float] = {}
    inside = 0

    def clocked(owner: Any, name: str) -> None:
        work = getattr(owner, name)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            nonlocal inside
            start, outermost = time.perf_counter(), inside == 0
            inside += 1
            try:
                return work(*arguments, **keywords)
            finally:
                inside -= 1
                if outermost:
                    spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

        setattr(owner, name, timed)

    for owner, name in (
        *((BuildFolder, one) for one in ("put", "settle", "has")),
        *((Journal, "append"), (Worker, "pending"), (SourceFiles, "hashes")),
        *((sr_outputs, one) for one in ("merge_tables", "list_photos")),
        *((sr_outputs._Build, one) for one in ("_degrade_units", "_upscale_units", "_score_units")),
    ):
        clocked(owner, name)
    (folder / "work").mkdir()
    start = time.perf_counter()
    sr_outputs.build(write_config(folder / "work", photos, KERNELS), [], Call(print, silent, limit=count))
    total = time.perf_counter() - start
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in sorted(spent.items(), key=lambda one: -one[1]))
    own = sum(spent.values())
    print(f"overhead: {own:.2f} s of {total:.2f} s, {own / (total - own):.1%} of the work ({parts})")


def hollow(folder: Path, count: int) -> str:
    """A finished build whose files are a few bytes each."""
    photos = folder / "hollow" / "photos"
    photos.mkdir(parents=True)
    for number in range(count):
        (photos / f"{number:09d}.jpg").write_bytes(str(number).encode())
    record = {"order": "noise1 blur1 shrink fit blur2 jpeg2", "noise1_covariance": [0.123456789] * 9, "more": "x" * 300}

    def degraded(self: Any, unit: Any) -> Made:
        names = [f"{strength:g}" for strength in self.settings.strengths]
        files = {sr_outputs.input_name(unit.sample, float(one)): f"{unit.sample} {one}".encode() for one in names}
        facts = {"source_sha256": unit.work[1], "width": 512, "height": 512, "records": dict.fromkeys(names, record)}
        return Made(files, facts)

    def enlarged(self: Any, units: Any) -> list[Made]:
        return [Made({unit.work[1]: unit.work[1].encode()}, {"upscaler": "none"}) for unit in units]

    sr_outputs._Build._degraded = degraded  # type: ignore[method-assign]
    sr_outputs.Enlarger.__call__ = enlarged  # type: ignore[assignment,method-assign]
    sr_outputs.Scorer.__call__ = (  # type: ignore[method-assign]
        lambda self, units: [Made({}, {"ssim": number / 1e4, "quality": 0.3}) for number, _ in enumerate(units)]
    )
    config = write_config(folder / "hollow", photos, {"a": "bicubic", "b": "bicubic", "c": "lanczos"})
    sr_outputs.build(config, [], Call(lambda text: None, silent))
    return config


if __name__ == "__main__":
    main()
