"""The documentation site builds without a warning and has a page per registry."""

from __future__ import annotations

from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from registry import REGISTRIES

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config("tools/mkdocs.yml", strict=True, site_dir=str(tmp_path))
    config.plugins.on_startup(command="build", dirty=False)
    try:
        build(config)  # as `mkdocs build --strict`; `--quiet` would hide the warnings from it
    finally:
        config.plugins.on_shutdown()
    for kind in REGISTRIES:
        assert (tmp_path / "registries" / f"{kind}.html").is_file(), f"tools/mkdocs.yml: nav lacks registries/{kind}.md"
    heads = (tmp_path / "registries" / "heads.html").read_text()
    assert "lpips_linear" in heads and "pooling" in heads
    assert "SemanticDifferenceLoss" in (tmp_path / "api" / "scoring.html").read_text()
    pages = [page.read_text() for page in tmp_path.rglob("*.html")]
    assert not any('src="http' in page or 'href="https://fonts' in page for page in pages), (
        "something is loaded from elsewhere"
    )
