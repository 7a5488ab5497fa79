"""`semfid list` reads source; it must say what the registries say."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.commands.listing import listing
from registry import REGISTRIES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("kind", sorted(REGISTRIES))
def test_listing_equals_registry(kind: str) -> None:
    read = {row.name: row for row in listing(kind)}
    entries = {entry.name: entry for entry in REGISTRIES[kind].describe()}
    assert set(read) == set(entries)
    for name, entry in entries.items():
        row = read[name]
        assert (row.summary, row.source, row.keywords) == (entry.summary, entry.source, entry.signature())
        assert str(ROOT / row.location) == entry.location


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from semfid.cli import main; main(['list']); "
        "print([m for m in ('torch', 'lightning', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "lpips_linear" in done.stdout and "resnet50_clip" in done.stdout
