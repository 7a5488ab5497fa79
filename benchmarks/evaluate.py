"""All figures of 100,000 pairs with 1,000 bootstraps over 20,000 sources; time and peak memory.

python benchmarks/evaluate.py [--pairs 100000]
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd

from engine.config.sections import Evaluation
from engine.results.pairs import compute_metrics


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=100_000)
    n = parser.parse_args().pairs
    draw = np.random.default_rng(0)
    label = draw.binomial(30, draw.beta(0.7, 0.9, n)) / 30
    table = pd.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "source_id": [f"s{i // 5}" for i in range(n)],
            "origin": np.array(["bsrgan", "swinir", "seesr", "pasd", "stablesr"])[np.arange(n) % 5],
            "fold": draw.integers(0, 5, n),
            "difference": label,
            "predicted": label + draw.normal(0, 0.2, n),
        }
    )
    start = time.perf_counter()
    found = compute_metrics(table, Evaluation())
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{n} pairs: {seconds:.1f} s, peak memory {peak:.2f} GB, SRCC {found['pooled']['srcc']:.4f} {found['interval']['srcc']}"
    )


if __name__ == "__main__":
    main()
