"""The documentation site builds without a warning and has a page per registry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from registry import REGISTRIES

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "-f",
        "tools/mkdocs.yml",
        "-d",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in REGISTRIES:
        assert (tmp_path / "registries" / f"{kind}.html").is_file(), f"tools/mkdocs.yml: nav lacks registries/{kind}.md"
    heads = (tmp_path / "registries" / "heads.html").read_text()
    assert "lpips_linear" in heads and "pooling" in heads
    assert "SemanticDifferenceLoss" in (tmp_path / "api" / "scoring.html").read_text()
    pages = [page.read_text() for page in tmp_path.rglob("*.html")]
    assert not any('src="http' in page or 'href="https://fonts' in page for page in pages), (
        "something is loaded from elsewhere"
    )
