"""Scoring images with a finished metric. Imports torch, numpy, pillow, scipy and torchmetrics, and nothing of the clone.

| file | idea |
|---|---|
| score, command | files in, a table out; the command that prints it |
| score_settings, folder | how files are scored; passes of one size, references once, failures collected |
| results, map_files, heatmap | CSV, JSON, Parquet, and what is done already; difference maps as files and pictures |
| scorer, load | the contract of a metric that is ready to score; a scorer by its path |
| exported | a scorer out of a file that `semfid export` wrote |
| default_metric | the metric that ships inside the package, and others of its kind |
| efficientnet_lite, tiles | its backbone; layers over a large image, tile by tile |
| statistics, local_evidence | what is made of two images' features, shared with the clone's heads |
| predictors | from these to a score and a map |
| regions | the places of a map that contribute most |
| metric, loss | the same as a metric of torchmetrics, and as a loss |
| text/ | the words of two images; needs the extra `text` |
"""

from __future__ import annotations

__all__ = ["default_metric", "exported", "load", "loss", "metric", "results", "score", "scorer", "text"]
