"""Configuration, experiment and ablation runner, statistics cache, results."""
