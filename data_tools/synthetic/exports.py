"""The synthetic scenes in the layouts of other data sets: COCO 2017 and one folder per class."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_tools.synthetic.captions import caption
from data_tools.synthetic.categories import BY_NAME, CATEGORIES
from data_tools.synthetic.render import Rendered, render
from data_tools.synthetic.sampling import sample_scene
from data_tools.synthetic.scene_spec import SceneSpec
from data_tools.synthetic.store import SceneSetConfig, open_folder, png, put
from semfid.io.files import write_whole
from semfid.progress import Advance

INSTANCES = "annotations/instances_val2017.json"
CAPTIONS = "annotations/captions_val2017.json"
_LIST = "images.json"


def write_coco_set(out: Path, config: SceneSetConfig, progress: Advance | None = None) -> Path:
    """Write `config.scenes` scenes in the layout of COCO 2017's validation set.

    ``val2017/000000000013.jpg`` is scene 12 (COCO's ids start at 1). Masks are uncompressed run lengths (COCO's
    ``{"counts": [...], "size": [h, w]}``, column by column), which pycocotools reads; areas and boxes are in pixels.

    Returns:
        Path of the instance annotations, which are written last.

    Raises:
        UserError: a bad setting, a folder that holds something else, a full disk.
    """
    out = Path(out)
    if open_folder(out, "coco", config, INSTANCES):
        return out / INSTANCES
    images: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for done, index in enumerate(range(config.first, config.first + config.scenes), start=1):
        spec = sample_scene(config.seed, index)
        rendered = render(spec, config.size)
        number = index + 1
        name = f"{number:012d}.jpg"
        images.append({"id": number, "file_name": name, "width": config.size, "height": config.size, "license": 1})
        captions.append({"id": number, "image_id": number, "caption": caption(spec)})
        instances += _annotations(spec, rendered, number)
        path = out / "val2017" / name
        if not path.is_file():
            put(path, _jpeg(rendered.image))
        if progress is not None:
            progress(done, config.scenes)
    head = {
        "info": {"description": f"semfid scenes, seed {config.seed}", "version": "1", "year": 2017},
        "licenses": [{"id": 1, "name": "rendered, free to use", "url": ""}],
        "images": images,
    }
    categories = [{"id": one.id, "name": one.name, "supercategory": one.supercategory} for one in CATEGORIES]
    write_whole(out / CAPTIONS, json.dumps({**head, "annotations": captions}).encode())
    write_whole(out / INSTANCES, json.dumps({**head, "annotations": instances, "categories": categories}).encode())
    return out / INSTANCES


def write_image_folder(out: Path, config: SceneSetConfig, progress: Advance | None = None) -> Path:
    """Write the references alone, one folder per class, as torchvision's ImageFolder reads them.

    A scene lies in the folder of the object that takes most of it: ``food_ice_cream/000012.png``. ``images.json``,
    written last, lists path, class and caption of each.

    Returns:
        `out`.

    Raises:
        UserError: a bad setting, a folder that holds something else, a full disk.
    """
    out = Path(out)
    if open_folder(out, "images", config, _LIST):
        return out
    listed = []
    for done, index in enumerate(range(config.first, config.first + config.scenes), start=1):
        spec = sample_scene(config.seed, index)
        rendered = render(spec, config.size)
        largest = int(np.bincount(rendered.ids.ravel(), minlength=2)[1:].argmax())
        main = BY_NAME[spec.objects[largest].category]
        name = f"{main.supercategory}_{main.name.replace(' ', '_')}/{index:06d}.png"
        if not (out / name).is_file():
            put(out / name, png(rendered.image))
        listed.append({"path": name, "category": main.name, "caption": caption(spec)})
        if progress is not None:
            progress(done, config.scenes)
    write_whole(out / _LIST, json.dumps(listed, indent=1).encode())
    return out


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's run lengths of a (H, W) mask: column by column, zeros first."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts: list[int] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *counts] if flat[0] else counts


def _annotations(spec: SceneSpec, rendered: Rendered, image_id: int) -> list[dict[str, Any]]:
    found = []
    height, width = rendered.ids.shape
    for number, one in enumerate(spec.objects, start=1):
        mask = rendered.ids == number
        if not mask.any():
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        found.append(
            {
                "id": image_id * 10 + number,
                "image_id": image_id,
                "category_id": BY_NAME[one.category].id,
                "segmentation": {"counts": run_lengths(mask), "size": [height, width]},
                "area": int(mask.sum()),
                "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
                "iscrowd": 0,
            }
        )
    return found


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
