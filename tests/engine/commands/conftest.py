"""Fixtures of runs, shared with tests/engine."""

from run_support import plugin_files, scene_folder, write_experiment

__all__ = ["plugin_files", "scene_folder", "write_experiment"]
