"""The study is installed without torch (the extra `study`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_no_module_of_the_study_imports_torch() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "user_study").rglob("*.py"))
        if "migrations" not in path.parts
    ]
    assert "user_study.web.app" in modules and "user_study.commands.simulate" in modules
    program = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
