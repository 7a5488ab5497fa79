"""Small photos, tiny networks and a stand-in for an external model."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from data_tools.builders.core.build_context import Call
from semfid.io.sharding import Shard
from semfid.progress import silent

PROGRAM = """
import pathlib, sys
from PIL import Image
fault, source, target = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
print("loading weights")
for number, path in enumerate(sorted(source.iterdir())):
    image = Image.open(path).convert("RGB")
    large = image.resize((4 * image.width, 4 * image.height), Image.BICUBIC)
    last = number == 1
    if fault == "nothing":
        sys.exit(0)
    if fault == "skips" and last:
        print("CUDA out of memory, skipping")
        continue
    if fault == "crashes" and last:
        raise RuntimeError("the second image is too much")
    if fault == "size" and last:
        large = image.resize((2 * image.width, 2 * image.height))
    if fault == "padded":
        large = Image.new("RGB", (large.width + 16, large.height + 24))
        large.paste(image.resize((4 * image.width, 4 * image.height), Image.BICUBIC))
    name = f"{path.stem}_out.png" if fault == "names" else f"{path.stem}.png"
    (target / "sample00").mkdir(exist_ok=True)
    large.save(target / "sample00" / name)
    if fault == "cut" and last:
        content = (target / "sample00" / name).read_bytes()
        (target / "sample00" / name).write_bytes(content[: len(content) // 2])
"""


def command(folder: Path, fault: str) -> dict[str, object]:
    """Keywords of `external_command` for a program with a fault; ``none``: without."""
    (folder / "model.py").write_text(PROGRAM)
    words = ["{python}", "model.py", fault, "{input}", "{output}"]
    return {"command": words, "folder": str(folder), "python": sys.executable, "output": "sample00/{stem}.png"}


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth fields and edges, (H, W, 3) uint8."""
    draw = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(draw.standard_normal((height, width, 3)), (7, 7, 0))
    edges = ndimage.gaussian_filter(draw.standard_normal((height, width, 3)), (3, 3, 0)) > 0.02
    mixed = 0.5 + 0.15 * smooth / smooth.std() + 0.3 * (edges - 0.5)
    return np.uint8(np.clip(mixed, 0, 1) * 255)


def photos(folder: Path, count: int = 3) -> Path:
    """Folder with photos ``p0.png`` .. of 64x48, the second of 66x49, and scores.csv like KonIQ's."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        shape = (49, 66) if number == 1 else (48, 64)
        Image.fromarray(picture(number, *shape)).save(folder / f"p{number}.png")
    sets = ("training", "validation", "test")
    lines = [f"p{number}.png,{60 + number},{sets[number % 3]}" for number in range(count)]
    (folder / "scores.csv").write_text("\n".join(["image_name,MOS,set", *lines]) + "\n")
    return folder


def esrgan(path: Path) -> Path:
    """A tiny random x4 ESRGAN checkpoint."""
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    torch.save(ESRGAN(num_filters=8, num_blocks=1, scale=4).state_dict(), path)
    return path


def swinir(path: Path) -> Path:
    """A tiny random x4 SwinIR checkpoint, its state dict wrapped as the authors' is."""
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    net = SwinIR(
        img_size=16, window_size=8, depths=[2, 2], embed_dim=12, num_heads=[2, 2], mlp_ratio=2, upscale=4, img_range=1.0,
        upsampler="nearest+conv", resi_connection="1conv",
    )  # fmt: skip
    torch.save({"params_ema": net.state_dict()}, path)
    return path


def call(shard: str = "0/1", said: list[str] | None = None, **keywords: object) -> Call:
    index, count = (int(part) for part in shard.split("/"))
    lines = said if said is not None else []
    return Call(lines.append, silent, Shard(index, count), **keywords)  # type: ignore[arg-type]


def content(out: Path) -> dict[str, str]:
    """Every file's hash, but for journals and the work folder, which tell of when and by whom."""
    return {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest()
        for name in sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        if name.split("/")[0] not in ("journals", ".work")
    }
