"""Damaged image files and EXIF that is wrong: no traceback in any room, nothing cut short that is decoded without a word.

    python benchmarks/fuzz_images.py --damages 2000 [--kinds png jpeg ...]     # prints a table; exit code 1 at a traceback

Files without checksums (BMP, PPM, JPEG, ...) may be damaged in their pixels alone, which no decoder can see: those are counted as
"other pixels". A file that was cut short and still gives other pixels than the whole one is counted apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from image_damage import BOUND, EXIF_KINDS, damaged, exif_faults, kinds, odd_entries, tiff_with, with_exif  # type: ignore[import-not-found]  # noqa: E402

from semfid.errors import ImageError  # noqa: E402
from semfid.io.decoding import upright_size  # noqa: E402
from semfid.io.images import read_image  # noqa: E402
from semfid.io.maps import MapError, read_map  # noqa: E402
from user_study.core.pictures import PictureError, read_picture  # noqa: E402

CHECKED = ("png", "png metadata", "png palette", "png 16 bit", "png alpha")  # kinds with a checksum over everything


def outcome(path: Path, whole: np.ndarray, size: tuple[int, int]) -> str:
    """What becomes of a file in the rooms: refused, same, other, or a traceback's last line."""
    try:
        upright_size(path)
        try:
            read_map(path)
        except MapError as error:
            assert "\n" not in str(error)
        try:
            read_picture(path, BOUND)
        except PictureError as error:
            assert "\n" not in str(error)
        image = read_image(path)
    except ImageError as error:
        return "refused" if "\n" not in str(error) else "several lines"
    except Exception:  # noqa: BLE001 - whatever comes here is what is looked for
        return traceback.format_exc().splitlines()[-1]
    return "same" if image.size == size and np.array_equal(np.asarray(image), whole) else "other"


def damage(name: str, content: bytes, count: int, folder: Path) -> Counter[str]:
    """Outcomes of `count` damages of a file."""
    path = folder / "image"
    path.write_bytes(content)
    image = read_image(path)
    whole = np.asarray(image)
    counts: Counter[str] = Counter()
    for seed in range(count):
        how, data = damaged(content, seed)
        path.write_bytes(data)
        found = outcome(path, whole, image.size)
        if found == "other" and how == "cut":
            found = "cut, other"
        elif found == "other" and name in CHECKED:
            found = "unseen"
        counts[found] += 1
        if found not in ("refused", "same", "other"):
            print(f"  {name}, seed {seed}, {how}: {found}")
    return counts


def exif(folder: Path) -> int:
    """How many images with a fault in their EXIF are not decoded as they should be."""
    cases = [(kind, name, with_exif(kind, None), with_exif(kind, block), turned)
             for kind in EXIF_KINDS for name, (block, turned) in exif_faults().items()]  # fmt: skip
    cases += [("TIFF", name, tiff_with([]), tiff_with(entries), True) for name, entries in odd_entries().items()]
    path, bad = folder / "image", 0
    for kind, name, sound, odd, turned in cases:
        path.write_bytes(sound)
        plain = np.asarray(read_image(path))
        path.write_bytes(odd)
        wanted = np.rot90(plain, -1) if turned else plain
        found = outcome(path, wanted, wanted.shape[1::-1])
        if found != "same":
            bad += 1
            print(f"  {kind}, {name}: {found}")
    print(f"EXIF: {len(cases)} images, {bad} not as they should be")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--damages", type=int, default=2000)
    parser.add_argument("--kinds", nargs="*", default=[])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow's own, of what it then reads or refuses
    Image.MAX_IMAGE_PIXELS = BOUND
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        for name, content in kinds().items():
            if not arguments.kinds or name in arguments.kinds:
                counts = damage(name, content, arguments.damages, Path(place))
                total += counts
                print(f"{name:18} {dict(sorted(counts.items()))}", flush=True)
        bad = exif(Path(place))
    print(f"all {dict(sorted(total.items()))}")
    return 1 if bad or set(total) - {"refused", "same", "other", "cut, other"} else 0


if __name__ == "__main__":
    raise SystemExit(main())
