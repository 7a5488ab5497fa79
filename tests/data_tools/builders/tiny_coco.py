"""A COCO set of a few drawn photos."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from data_tools.builders.core.build_context import Call
from semfid.io.sharding import Shard

WIDTH, HEIGHT = 100, 75
CATEGORIES = [("person", "person"), ("dog", "animal"), ("cat", "animal"), ("car", "vehicle"), ("bus", "vehicle")]
COLOURS = {1: (230, 180, 150), 2: (140, 90, 40), 3: (60, 60, 60), 4: (200, 20, 20), 5: (240, 200, 20)}
BOXES = [(8, 10, 30, 36), (55, 12, 32, 28), (30, 50, 26, 18)]


def write_coco(root: Path, photos: int = 6, seed: int = 0) -> dict[str, Any]:
    """Photos with three objects each, a person among them in every third; returns the JSON, which `save` writes again."""
    rng = np.random.default_rng(seed)
    content: dict[str, Any] = {
        "licenses": [{"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"}],
        "categories": [
            {"id": index, "name": name, "supercategory": group} for index, (name, group) in enumerate(CATEGORIES, 1)
        ],
        "images": [],
        "annotations": [],
    }
    (root / "images").mkdir(parents=True, exist_ok=True)
    for number in range(1, photos + 1):
        noise = rng.integers(0, 120, (HEIGHT // 5, WIDTH // 5, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
        draw = ImageDraw.Draw(image)
        for place, (x, y, width, height) in enumerate(BOXES):
            category = 1 if place == 0 and number % 3 == 0 else 2 + (number + place) % 4
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            points = [(x + width / 2 * (1 + np.cos(angle)), y + height / 2 * (1 + np.sin(angle))) for angle in angles]
            draw.polygon(points, COLOURS[category])
            content["annotations"].append(
                {
                    "id": 100 * number + place,
                    "image_id": number,
                    "category_id": category,
                    "bbox": [x, y, width, height],
                    "area": float(np.pi * width * height / 4),
                    "iscrowd": 0,
                    "segmentation": [[float(value) for point in points for value in point]],
                }
            )
        image.save(root / "images" / f"{number:03}.png")
        content["images"].append(
            {
                **{"id": number, "file_name": f"{number:03}.png", "width": WIDTH, "height": HEIGHT, "license": 4},
                "flickr_url": f"http://flickr/{number}",
            }
        )
    save(root, content)
    captions = [{"id": number, "image_id": number, "caption": f"Photo {number}."} for number in range(1, photos + 1)]
    (root / "captions.json").write_text(json.dumps({"annotations": captions}))
    return content


def save(root: Path, content: dict[str, Any]) -> None:
    (root / "instances.json").write_text(json.dumps(content))


CONFIG = """
out: {out}
photos: {{images: {root}/images, instances: {root}/instances.json}}
inpainter: {{name: patch_donor}}
filters: {{short_side: 32, area: [0.01, 0.5], box_side: 10, border: 2, sharpness: 1}}
donors: {{area: [0.01, 0.5], box_side: 8, border: 1}}
"""


def write_config(root: Path, out: Path, name: str = "set.yaml") -> str:
    (root / name).write_text(CONFIG.format(root=root, out=out))
    return str(root / name)


def quiet_call(lines: list[str] | None = None, shard: Shard | None = None, **options: Any) -> Call:
    """A call that says nothing, or into a list."""

    @contextlib.contextmanager
    def stage(title: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: None

    say = (lambda text: None) if lines is None else lines.append
    return Call(say, stage, shard or Shard(), **options)
