"""Where a result comes from."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from engine.runs.run_files import Environment

PACKAGES = (
    "torch", "torchvision", "lightning", "torchmetrics", "timm", "open_clip_torch", "transformers", "peft", "omegaconf",
    "numpy", "scipy", "pandas", "pillow",
)  # fmt: skip


@functools.cache
def provenance() -> Environment:
    """Versions, commit and machine; the run adds table hash, weights hash, seed and wall time."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"cpu, {torch.get_num_threads()} threads",
        "versions": versions,
    }


def _commit() -> str:
    """Commit of the clone, with ``+changes`` where tracked files differ from it."""
    root = Path(__file__).resolve().parents[2]
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=root, capture_output=True).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}+changes" if changed else commit
