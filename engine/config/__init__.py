"""Experiment files: schema, expansion of sweeps, checks."""
