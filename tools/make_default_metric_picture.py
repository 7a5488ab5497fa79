"""Writes docs/pictures/default_metric.jpg: a photo, what a network made of it, the default metric's map over it.

python tools/make_default_metric_picture.py REFERENCE CANDIDATE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from semfid.io.images import read_image
from semfid.scoring.default_metric import load_default_metric
from semfid.scoring.heatmap import overlay, with_colour_bar

OUT = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "default_metric.jpg"
GAP = 8

pictures = [np.asarray(read_image(Path(path))) for path in sys.argv[1:3]]
reference, candidate = (torch.from_numpy(one.copy()).permute(2, 0, 1)[None].float() / 255 for one in pictures)
with torch.inference_mode():
    score, found = load_default_metric().score_and_map(reference, candidate)  # (1,), (1, 1, H, W)
if found is None:
    raise SystemExit("the default metric gives no map")
drawn = with_colour_bar(overlay(pictures[1], found[0, 0].numpy()))
gap = np.full((len(drawn), GAP, 3), 255, dtype=np.uint8)
Image.fromarray(np.hstack([pictures[0], gap, pictures[1], gap, drawn])).save(OUT, quality=85)
print(f"{OUT}: difference {float(score):.3f}")
