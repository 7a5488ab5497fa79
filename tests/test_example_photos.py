"""The photos in examples/: pairs by name, each with its terms."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "photos"


def test_every_photo_has_its_output_and_its_terms() -> None:
    rows = re.findall(
        r"^\| (\d{12}) \|.*\[Flickr \d+\]\(http\S+\) \| (.+) \|$", (FOLDER / "README.md").read_text(), re.M
    )
    names = [name for name, _ in rows]
    assert {terms for _, terms in rows} <= {"CC BY 2.0", "no known copyright restrictions"}
    for folder in ("reference", "realesrgan"):
        assert [path.stem for path in sorted((FOLDER / folder).iterdir())] == sorted(names)
