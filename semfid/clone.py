"""Whether the rest of the repository is there: the wheel carries this package alone."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def in_clone() -> bool:
    """Names such as `registry` and `heads` beside this package may be a stranger's: the project file tells."""
    try:
        return 'name = "semfid"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return False
