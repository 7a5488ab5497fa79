"""How much SpLiCE's difference, and the concepts themselves, move under changes that mean nothing.

    python benchmarks/splice_stability.py [--scenes 60] [--tower scenes_tower --vocabulary scenes --image-mean scenes]
    python benchmarks/splice_stability.py --pairs TABLE.csv --tower open_clip --vocabulary english --image-mean PHOTOS

Of each pair the candidate is saved as JPEG of quality 95, or loses one pixel on each side, or the vocabulary is halved (both of
two random halves). For each strategy and sparsity, and for the plain cosine of the same embeddings:

* moved: mean change of a score, as a share of the scores' standard deviation over the pairs;
* order: Spearman's correlation of the scores before and after;
* same words: size of the intersection of a candidate's concepts before and after, by that of their union.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_tools.synthetic import SceneSetConfig, write_pair_set
from models.concepts import ConceptSettings, Decomposer, Sparsity, Vocabulary, build_dictionary, read_vocabulary
from models.concepts.compare import differences, pair_weights
from models.concepts.modality_gap import image_mean
from models.dual_encoders import DualEncoder, build_dual_encoder
from models.dual_encoders.cache import embed_images
from semfid.cosine import cosine_difference
from semfid.io.images import read_image
from semfid.io.pair_table import read_pairs
from semfid.io.vector_cache import EMBEDDINGS, VectorCache

STRATEGIES = ("nonsymmetric", "nouns", "symmetric")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--tower", default="scenes_tower")
    parser.add_argument("--vocabulary", default="scenes")
    parser.add_argument("--image-mean", default="scenes")
    parser.add_argument("--l1", type=float, nargs="*", default=[0.25])
    parser.add_argument("--concepts", type=int, nargs="*", default=[8])
    arguments = parser.parse_args()
    tower = build_dual_encoder(arguments.tower, {})
    with tempfile.TemporaryDirectory() as folder:
        table = read_pairs(arguments.pairs or scene_pairs(Path(folder), arguments.scenes))
        references = [read_image(path) for path in table.paths("reference")]
        candidates = [read_image(path) for path in table.paths("candidate")]
    x, y = rows(tower, references), rows(tower, candidates)
    changed = {name: rows(tower, [change(image) for image in candidates]) for name, change in CHANGES.items()}
    print(f"{len(table)} pairs, {tower.identity}, vocabulary {arguments.vocabulary}\n")
    print("| measure | change | moved | order | same words |\n|---|---|---|---|---|")
    before = cosine_difference(x, y).numpy()
    for name, other in changed.items():
        print(f"| plain cosine | {name} | {moved(before, cosine_difference(x, other).numpy())} | |")
    sparsities = [Sparsity(l1=value) for value in arguments.l1] + [
        Sparsity(concepts=value) for value in arguments.concepts
    ]
    for strategy in STRATEGIES:
        for sparsity in sparsities:
            settings = ConceptSettings(arguments.vocabulary, arguments.image_mean, sparsity, nouns=strategy == "nouns")
            report(tower, settings, strategy, x, y, changed)


def report(
    tower: DualEncoder,
    settings: ConceptSettings,
    strategy: str,
    x: torch.Tensor,
    y: torch.Tensor,
    changed: dict[str, torch.Tensor],
) -> None:
    whole = settings.decomposer(tower)
    weights = pair_weights(whole, x, y, strategy)  # type: ignore[arg-type]
    after = {name: (whole, pair_weights(whole, x, other, strategy)) for name, other in changed.items()}  # type: ignore[arg-type]
    for number, half in enumerate(halves(settings, tower)):
        after[f"half of the words, {number + 1}"] = (half, pair_weights(half, x, y, strategy))  # type: ignore[arg-type]
    for compare in ("weights", "recomposed"):
        before = differences(whole, *weights, compare).numpy()  # type: ignore[arg-type]
        for name, (decomposer, pair) in after.items():
            scores = differences(decomposer, *pair, compare).numpy()  # type: ignore[arg-type]
            words = same_words(whole, weights[1], decomposer, pair[1]) if compare == "weights" else ""
            print(f"| {strategy}, {settings.sparsity}, {compare} | {name} | {moved(before, scores)} | {words} |")


def halves(settings: ConceptSettings, tower: DualEncoder) -> list[Decomposer]:
    words = read_vocabulary(settings.vocabulary)
    words = words.only_nouns() if settings.nouns else words
    mean = image_mean(tower, settings.image_mean)
    order = np.random.default_rng(0).permutation(len(words.words))
    found = []
    for part in (order[::2], order[1::2]):
        kept = tuple(words.words[place] for place in np.sort(part))
        found.append(Decomposer(build_dictionary(tower, Vocabulary("half", kept)), mean, settings.sparsity))
    return found


def moved(before: np.ndarray, after: np.ndarray) -> str:
    spread = float(before.std())
    share = f"{float(np.abs(after - before).mean()) / spread:.2f}" if spread > 0 else "constant"
    order = float(spearmanr(before, after).statistic) if spread > 0 and after.std() > 0 else float("nan")
    return f"{share} | {order:.3f}" if order == order else f"{share} | -"


def same_words(one: Decomposer, x: torch.Tensor, other: Decomposer, y: torch.Tensor) -> str:
    shares = []
    for a, b in zip(x > 0, y > 0, strict=True):
        before = {one.words[at] for at in a.nonzero().squeeze(1).tolist()}
        after = {other.words[at] for at in b.nonzero().squeeze(1).tolist()}
        if before | after:
            shares.append(len(before & after) / len(before | after))
    return f"{np.mean(shares):.2f}" if shares else "none active"


def rows(tower: DualEncoder, images: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(embed_images(tower, images, VectorCache(EMBEDDINGS)))


def scene_pairs(folder: Path, scenes: int) -> Path:
    return write_pair_set(
        folder, SceneSetConfig(scenes=scenes, candidates_per_scene=4, seed=71), lambda done, total: None
    )


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return Image.open(buffer).convert("RGB")


def one_pixel_less(image: Image.Image) -> Image.Image:
    return image.crop((1, 1, image.width - 1, image.height - 1))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {"JPEG 95": as_jpeg, "1 pixel cropped": one_pixel_less}

if __name__ == "__main__":
    main()
