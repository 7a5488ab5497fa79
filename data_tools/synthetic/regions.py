"""Regions and captions of scenes, known exactly: the output of a perfect segmenter and a perfect captioner.

    OUT/regions/<image>.png, .json     id maps: 1 = the background, k + 1 = object k where it is not hidden
    OUT/regions/captions.jsonl         "a red car", "the background, on a city street at night"; segment 0: the whole scene

beside the pair set of `write_pair_set`; <image> is the hash of the picture. The plugins named `stored` read the folder.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools.synthetic.appearance import look
from data_tools.synthetic.backgrounds import BACKGROUNDS
from data_tools.synthetic.captions import caption
from data_tools.synthetic.dataset import scene_pairs, write_pair_set
from data_tools.synthetic.render import Bytes, render
from data_tools.synthetic.sampling import sample_scene
from data_tools.synthetic.scene_spec import SceneSpec
from data_tools.synthetic.store import SceneSetConfig, put
from semfid.io.files import write_whole
from semfid.io.images import pixel_hash
from semfid.progress import Advance

FOLDER = "regions"
CAPTIONS = "captions.jsonl"


def write_region_set(out: Path, config: SceneSetConfig, progress: Advance | None = None) -> Path:
    """Write a pair set and the regions and captions of its references and candidates, or what is missing of them.

    Returns:
        Path of the pair table. The captions are written last.

    Raises:
        UserError: as `write_pair_set`.
    """
    out = Path(out)
    table = write_pair_set(out, config)
    folder = out / FOLDER
    if (folder / CAPTIONS).is_file():
        return table
    lines: dict[str, list[str]] = {}
    for done, index in enumerate(range(config.first, config.first + config.scenes), start=1):
        spec = sample_scene(config.seed, index)
        pairs = scene_pairs(config, index)
        pictures = [(pairs[0].reference, spec), *((pair.candidate, pair.changed) for pair in pairs if pair.changed)]
        for image, seen in pictures:
            name, captions = _put_regions(folder, image, seen)
            lines[name] = [
                json.dumps({"image": name, "segment": segment, "caption": text}) for segment, text in captions.items()
            ]
        if progress is not None:
            progress(done, config.scenes)
    write_whole(folder / CAPTIONS, "".join(f"{line}\n" for of in lines.values() for line in of).encode())
    return table


def region_captions(spec: SceneSpec) -> list[str]:
    """What each region shows: the background, then the objects in their order."""
    found = [f"the background, {BACKGROUNDS[spec.background].phrase}"]
    for one in spec.objects:
        words = f"{look(one.category, one.variant).colour} {one.category}"
        found.append(f"{'an' if words[0] in 'aeiou' else 'a'} {words}")
    return found


def _put_regions(folder: Path, image: Bytes, spec: SceneSpec) -> tuple[str, dict[int, str]]:
    """Store an image's id map; returns its name and the captions of what is visible."""
    name = pixel_hash(Image.fromarray(image))
    ids = render(spec, len(image)).ids.astype(np.uint16) + 1  # (H, W)
    areas = np.bincount(ids.ravel())
    captions = {0: caption(spec)}
    regions = []
    for number, text in enumerate(region_captions(spec), start=1):
        if number < len(areas) and areas[number]:  # neither hidden nor beyond the edge
            captions[number] = text
            label = "background" if number == 1 else spec.objects[number - 2].category
            regions.append({"id": number, "area": int(areas[number]), "label": label})
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "PNG")
    put(folder / f"{name}.png", buffer.getvalue())
    info = {"image": name, "width": ids.shape[1], "height": ids.shape[0], "regions": regions}
    put(folder / f"{name}.json", (json.dumps(info, indent=1) + "\n").encode())
    return name, captions
