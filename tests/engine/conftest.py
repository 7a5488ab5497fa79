"""Fixtures of runs."""

from run_support import plugin_files, scene_folder, write_experiment

__all__ = ["plugin_files", "scene_folder", "write_experiment"]
