"""What the builders cost beside the work: planning and resuming 100,000 units, and the time of a unit that is not its own.

    python benchmarks/builders.py [--units 100000] [--folder DIR]

Prints a line per measurement. Each runs in a process of its own, so that its memory is its own; the folder (default: a
temporary one) takes about 1.5 GB of small files at 100,000 units.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FILES = 3  # of a unit
CONTENT = b"0123456789abcdef" * 4
PHOTO_UNITS = 3  # units of a photo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        MEASURES[arguments.measure](arguments.folder, arguments.units)
        print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        write_finished(Path(folder) / "core", arguments.units)
        write_coco_set(Path(folder) / "coco", arguments.units // PHOTO_UNITS)
        for measure in ("core", "merge", "inpainting", "overhead"):
            print(f"{measure}:", flush=True)
            command = [sys.executable, __file__, "--measure", measure, "--folder", folder]
            subprocess.run([*command, "--units", str(arguments.units)], check=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"  {what} {time.perf_counter() - start:.2f} s", flush=True)


def units_of(count: int) -> list:
    from data_tools.builders.core.work_items import make_unit, recipe_of

    recipe = recipe_of({"seed": 0})
    digest = hashlib.sha256(b"photo").hexdigest()
    return [
        make_unit("paint", f"{number // PHOTO_UNITS:012}", f"level{number % PHOTO_UNITS}", recipe, [digest])
        for number in range(count)
    ]


def facts_of(number: int) -> dict:
    """As many figures and words as a row of the inpainting table has."""
    return {f"column{index}": f"value {number % 97} {index}" for index in range(24)} | {
        **{f"figure{index}": number * 0.001 for index in range(8)},
        **{"pair_id": f"p{number:08}", "source_id": str(number // PHOTO_UNITS), "candidate": f"c/{number}.png"},
    }


def write_finished(out: Path, count: int) -> None:
    """The folder of a build that is finished: files, and the journal of one shard."""
    (out / "journals").mkdir(parents=True)
    digest = hashlib.sha256(CONTENT).hexdigest()
    with (out / "journals" / "0-of-1.jsonl").open("w", encoding="utf-8") as journal:
        for number, unit in enumerate(units_of(count)):
            names = [f"files{index}/{number:08}.png" for index in range(FILES)]
            if number == 0:
                for name in names:
                    (out / name).parent.mkdir()
            for name in names:
                (out / name).write_bytes(CONTENT)
            line = {
                **{
                    "id": unit.id,
                    "stage": unit.stage,
                    "sample": unit.sample,
                    "variant": unit.variant,
                    "status": "done",
                },
                **{"reason": "", "tries": 1, "at": 1.0, "seconds": 1.0, "files": [[one, digest, 64] for one in names]},
                "facts": facts_of(number),
            }
            journal.write(json.dumps(line) + "\n")


def measure_core(folder: Path, count: int) -> None:
    start = time.perf_counter()
    with timed("import"):
        from data_tools.builders.core.executor import Worker
        from data_tools.builders.core.folder import BuildFolder
        from data_tools.builders.core.journal import Journal, latest_entries
        from semfid.io.sharding import Shard
    with timed("plan"):
        units = units_of(count)
    build = BuildFolder(folder / "core", Shard())
    with timed("read journals"):
        entries = latest_entries(build.journals)
    with timed("look for files"):
        pending = Worker(build, Journal(build.journals / "0-of-1.jsonl"), entries).pending(units)
    assert len(entries) == count and not pending
    print(f"  plan and resume of {count} units, {FILES} files each: {time.perf_counter() - start:.2f} s")


def measure_merge(folder: Path, count: int) -> None:
    from data_tools.builders.core.folder import BuildFolder
    from data_tools.builders.core.journal import latest_entries
    from data_tools.builders.core.tables import build_frame, put_frame
    from semfid.io.sharding import Shard

    build = BuildFolder(folder / "core", Shard())
    with timed(f"merge of {count} rows of {len(facts_of(0))} columns into a CSV"):
        entries = latest_entries(build.journals)
        columns = {name: "number" if isinstance(value, float) else "text" for name, value in facts_of(0).items()}
        put_frame(build, "pairs.csv", build_frame((one.facts() for one in entries.values()), columns, ["pair_id"]))


def write_coco_set(root: Path, photos: int) -> None:
    """JSON of so many photos with three objects each; empty files for photos."""
    (root / "images").mkdir(parents=True)
    names = ["dog", "cat", "car", "bus", "chair", "couch"]
    content = {
        "licenses": [],
        "categories": [{"id": i + 1, "name": name, "supercategory": f"s{i // 2}"} for i, name in enumerate(names)],
        "images": [{"id": i + 1, "file_name": f"{i:012}.jpg", "width": 640, "height": 480} for i in range(photos)],
        "annotations": [
            {
                **{
                    "id": 3 * i + k + 1,
                    "image_id": i + 1,
                    "category_id": (i + k) % 6 + 1,
                    "iscrowd": 0,
                    "area": 20000.0,
                },
                **{"bbox": [50, 60, 200, 150], "segmentation": [[50.0, 60.0, 250.0, 60.0, 250.0, 210.0, 50.0, 210.0]]},
            }
            for i in range(photos)
            for k in range(3)
        ],
    }
    for i in range(photos):
        (root / "images" / f"{i:012}.jpg").touch()
    (root / "instances.json").write_text(json.dumps(content))


def measure_inpainting(folder: Path, count: int) -> None:
    """The plan of the inpainting builder, all photos inspected and nothing painted."""
    from data_tools.builders.core.coco import CocoSet
    from data_tools.builders.inpainters.contract import build_inpainter
    from data_tools.builders.inpainters.object_bank import ObjectBank
    from data_tools.builders.inpainting.config import InpaintingConfig, Photos
    from data_tools.builders.inpainting.plan import Plan

    root = folder / "coco"
    config = InpaintingConfig(
        str(folder), Photos(str(root / "images"), str(root / "instances.json")), {"name": "patch_donor"}
    )
    start = time.perf_counter()
    with timed("read the JSON"):
        photos = CocoSet(config.photos.images, config.photos.instances)
    inpainter = build_inpainter("patch_donor", {})
    with timed("donors and filters of annotations"):
        inpainter.meet(ObjectBank(photos, config.donors))
        plan = Plan(photos, config, inpainter)
    with timed("inspections"):
        inspections = [plan.inspection(photo) for photo in plan.worth]
    with timed("substitutions"):
        units = [
            unit
            for one in inspections
            for unit in plan.substitutions(
                one.work, {"sha256": "0" * 64, "passed": [instance.id for instance in plan.worth[one.work]]}
            )
        ]
    print(f"  {len(inspections)} photos, {len(units)} units: {time.perf_counter() - start:.2f} s")


def measure_overhead(folder: Path, count: int) -> None:
    """Seconds that journal and files take of a unit: of 7 files of the sizes of an inpainting."""
    from data_tools.builders.core.attempt import Made
    from data_tools.builders.core.executor import Worker
    from data_tools.builders.core.folder import BuildFolder
    from data_tools.builders.core.journal import Journal
    from semfid.io.sharding import Shard

    build = BuildFolder(folder / "overhead", Shard())
    sizes = (500_000, 2000, 2000, 2000, 2000, 4000)
    contents = [os.urandom(size) for size in sizes]

    def make(batch: Sequence) -> list[Made]:
        unit = batch[0]
        files = {f"{index}/{unit.sample}{unit.variant}": content for index, content in enumerate(contents)}
        return [Made(files, facts_of(1))]

    units = units_of(200)
    worker = Worker(build, Journal(build.journals / "0-of-1.jsonl"), {})
    start = time.perf_counter()
    worker.run(units, make, lambda done, total: None)
    each = (time.perf_counter() - start) / len(units)
    print(
        f"  {each * 1000:.1f} ms a unit of {len(sizes)} files, {sum(sizes) / 1e6:.2f} MB: hashed, written, waited for, noted"
    )


MEASURES: dict[str, Callable[[Path, int], None]] = {
    "core": measure_core,
    "merge": measure_merge,
    "inpainting": measure_inpainting,
    "overhead": measure_overhead,
}

if __name__ == "__main__":
    main()
