"""Fixtures of runs, shared with tests/engine."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "engine"))

from run_support import plugin_files, scene_folder, write_experiment

__all__ = ["plugin_files", "scene_folder", "write_experiment"]
