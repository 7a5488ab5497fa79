"""Fixtures of runs, shared with tests/engine."""

from experiment_support import in_the_clone, shrink
from run_support import plugin_files, scene_folder, write_experiment

__all__ = ["in_the_clone", "plugin_files", "scene_folder", "shrink", "write_experiment"]
