"""Fixtures of runs, shared with tests/engine."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "engine"))
sys.path.append(str(Path(__file__).resolve().parent))

from experiment_support import in_the_clone, shrink
from run_support import plugin_files, scene_folder, write_experiment

__all__ = ["in_the_clone", "plugin_files", "scene_folder", "shrink", "write_experiment"]
