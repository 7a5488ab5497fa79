"""Sparse concepts of 1,000 embeddings of 512 dimensions on 10,000 words, against one scikit-learn Lasso after another.

    python benchmarks/splice.py [--embeddings 1000] [--reference 12] [--admm 128] [--l1 0.25] [--words like|random]

The slow side solves a sample of the embeddings, in the same process between two timings of the fast side, and is scaled by
the number: its time is that of one embedding after another. Words are drawn around a few hundred topics, so that many
are alike, as word embeddings are (``random``: without). Embeddings are sums of a few words and noise.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import Lasso

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.concepts.admm import admm
from models.concepts.lars import lars_by_count
from models.concepts.lasso import lasso

WORDS, DIM, BATCH = 10_000, 512, 256


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--embeddings", type=int, default=1000)
    parser.add_argument("--reference", type=int, default=12)
    parser.add_argument("--admm", type=int, default=128)
    parser.add_argument("--l1", type=float, default=0.25)
    parser.add_argument("--words", choices=["like", "random"], default="like")
    arguments = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    dictionary, targets = drawn(arguments.embeddings, arguments.words)
    fast = [timed(dictionary, targets, arguments.l1)]
    start = time.perf_counter()
    design = np.asfortranarray(dictionary.double().numpy().T)
    reference = [
        Lasso(alpha=arguments.l1 / (2 * DIM), positive=True, fit_intercept=False, max_iter=10_000, tol=1e-6)
        .fit(design, target)
        .coef_
        for target in targets[: arguments.reference].double().numpy()
    ]
    each = (time.perf_counter() - start) / arguments.reference
    fast.append(timed(dictionary, targets, arguments.l1))
    seconds = min(one for one, _ in fast)
    weights = fast[0][1]
    apart = float(np.abs(np.array(reference) - weights[: arguments.reference].numpy()).max())
    print(
        f"lasso: {len(targets)} embeddings in {fast[0][0]:.1f} and {fast[1][0]:.1f} s "
        f"({(weights > 0).sum(dim=1).float().mean():.1f} concepts each); scikit-learn {each * 1e3:.0f} ms each, "
        f"from {arguments.reference} of them; {each * len(targets) / seconds:.1f} times as fast (wanted: 5), "
        f"weights apart {apart:.1e} (wanted: 1e-4)"
    )
    few = targets[: arguments.admm]
    start = time.perf_counter()
    found = lars_by_count(dictionary, few, 12)
    took = time.perf_counter() - start
    print(
        f"path to 12 concepts: {took / len(few) * 1e3:.0f} ms each, counts {sorted(set((found.weights > 0).sum(1).tolist()))}"
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    on_device = dictionary.to(device), few.to(device)
    admm(on_device[0], on_device[1][:8], arguments.l1)  # start of the device
    start = time.perf_counter()
    by_admm = admm(*on_device, arguments.l1).cpu()
    took = time.perf_counter() - start
    wanted = " (wanted: 200)" if device == "cuda" else "; the target of 200 is for a GPU"
    apart = float((by_admm - weights[: len(few)]).abs().max())
    print(f"admm on {device}: {len(few) / took:.1f} embeddings/s{wanted}, apart {apart:.1e}")


def drawn(count: int, words: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A dictionary (K, d) and embeddings (count, d), rows of length 1."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(WORDS, DIM, generator=draw)
    if words == "like":
        topics = torch.randn(300, DIM, generator=draw)
        rows += 1.5 * topics[torch.randint(300, (WORDS,), generator=draw)]
    dictionary = F.normalize(rows - rows.mean(dim=0), dim=1)
    chosen = torch.zeros(count, WORDS)
    for row in chosen:
        row[torch.randperm(WORDS, generator=draw)[:10]] = 0.2 + torch.rand(10, generator=draw)
    noise = torch.randn(count, DIM, generator=draw) / DIM**0.5
    return dictionary, F.normalize(F.normalize(chosen @ dictionary, dim=1) + 0.7 * noise, dim=1)


def timed(dictionary: torch.Tensor, targets: torch.Tensor, l1: float) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    weights = torch.cat([lasso(dictionary, piece, l1) for piece in targets.split(BATCH)])
    return time.perf_counter() - start, weights


if __name__ == "__main__":
    main()
