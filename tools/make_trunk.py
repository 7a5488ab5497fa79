"""Writes assets/trunks/scenes_resnet.safetensors from a finished run of experiments/scenes_trunk.yaml.

semfid run experiments/scenes_trunk.yaml        # about 20 minutes on two cores
python tools/make_trunk.py runs/scenes_trunk/<run folder>
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

RUN = Path(sys.argv[1])
OUT = Path(__file__).parents[1] / "assets" / "trunks" / "scenes_resnet.safetensors"

state = torch.load(RUN / "part-0.ckpt", weights_only=True)["state_dict"]
prefix = "backbone.net."
backbone = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
half = {key: (v.half() if v.is_floating_point() else v).contiguous() for key, v in backbone.items()}
figures = json.loads((RUN / "metrics.json").read_text())["pooled"]
facts = {
    "arch": "timm test_resnet",
    "trained_by": "experiments/scenes_trunk.yaml",
    "test_srcc": f"{figures['srcc']:.4f}",
    "test_pairs": str(figures["n"]),
    "input": "96x96, RGB in [0, 1], mean and std 0.5",
    "dtype": "float16",
}
OUT.parent.mkdir(exist_ok=True)
save_file(half, OUT, metadata=facts)
print(OUT, OUT.stat().st_size, facts)
