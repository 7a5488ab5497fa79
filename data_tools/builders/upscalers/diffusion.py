"""SeeSR, StableSR and PASD, each in its own repository and environment; docs/datasets.md says how to set them up."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from data_tools.builders.upscalers.contract import Upscaler
from data_tools.builders.upscalers.external import ExternalCommand
from registry import UPSCALERS


def _preset(
    name: str, script: str, where: Mapping[str, str], settings: Mapping[str, str | float], flags: Sequence[str],
    output: str, folder: str, python: str, timeout: float, batch_size: int, licence: str, revision: str, device: str,
    cut_padding: bool = False,
) -> Upscaler:  # fmt: skip
    """A script with paths, which the identity leaves out, and settings, which it holds."""
    paths = [word for flag, value in where.items() for word in (flag, value)]
    fixed = [
        word for flag, value in settings.items() for word in (flag, f"{value:g}" if _is_number(value) else str(value))
    ]
    command = ["{python}", script, *paths, *fixed, *flags]
    identity = shlex.join([script, *fixed, *flags, revision])
    return ExternalCommand(
        name, command, output, folder, python, timeout, batch_size, licence, identity, device, cut_padding
    )


def _is_number(value: str | float) -> bool:
    return isinstance(value, (int, float))


@UPSCALERS.register(
    "seesr", summary="SeeSR (tags and Stable Diffusion 2), in its own environment", source="Wu et al. 2024"
)
def seesr(
    folder: str,
    python: str,
    base: str = "preset/models/stable-diffusion-2-base",
    model: str = "preset/models/seesr",
    dape: str = "preset/models/DAPE.pth",
    steps: int = 50,
    guidance: float = 5.5,
    align: str = "adain",
    start: str = "lr",
    process_size: int = 512,
    seed: int = 0,
    flags: list[str] | None = None,
    timeout: float = 86400.0,
    batch_size: int = 100,
    revision: str = "",
    device: str = "auto",
) -> Upscaler:
    """SeeSR's test_seesr.py. It must run in its repository, where it looks for preset/models/ram_swin_large_14m.pth.

    It seeds itself once a run: what an image becomes depends on those before it in its batch; batch_size 1 removes that, at the
    price of loading the model for every image.

    Args:
        folder: the repository.
        python: the interpreter of its environment.
        flags: further words for the script.
        revision: of the code and weights; part of what tells old outputs from new ones.
    """
    where = {"--pretrained_model_path": base, "--seesr_model_path": model, "--ram_ft_path": dape}
    where |= {"--image_path": "{input}", "--output_dir": "{output}"}
    settings: dict[str, str | float] = {"--start_point": start, "--num_inference_steps": steps}
    settings |= {"--guidance_scale": guidance, "--process_size": process_size, "--upscale": 4, "--align_method": align}
    settings |= {"--seed": seed}
    return _preset(
        "seesr", "test_seesr.py", where, settings, flags or [], "sample00/{stem}.png", folder, python, timeout, batch_size,
        "Apache-2.0, OpenRAIL++-M (SD 2)", revision, device,
    )  # fmt: skip


@UPSCALERS.register(
    "pasd", summary="PASD (pixel-aware Stable Diffusion), in its own environment", source="Yang et al. 2024"
)
def pasd(
    folder: str,
    python: str,
    base: str = "checkpoints/stable-diffusion-v1-5",
    model: str = "runs/pasd/checkpoint-100000",
    high_level_info: str = "caption",
    steps: int = 20,
    guidance: float = 9.0,
    added_noise_level: int = 900,
    process_size: int = 768,
    seed: int = 0,
    flags: list[str] | None = None,
    timeout: float = 86400.0,
    batch_size: int = 100,
    revision: str = "",
    device: str = "auto",
) -> Upscaler:
    """PASD's test_pasd.py. It prints faults, goes on, and exits with 0; the outputs are counted here. Keywords as `seesr`."""
    where = {"--pretrained_model_path": base, "--pasd_model_path": model}
    where |= {"--image_path": "{input}", "--output_dir": "{output}"}
    settings: dict[str, str | float] = {"--control_type": "realisr", "--high_level_info": high_level_info}
    settings |= {"--num_inference_steps": steps, "--guidance_scale": guidance, "--process_size": process_size}
    settings |= {"--added_noise_level": added_noise_level, "--upscale": 4, "--seed": seed}
    return _preset(
        "pasd", "test_pasd.py", where, settings, flags or [], "{stem}.png", folder, python, timeout, batch_size,
        "Apache-2.0, OpenRAIL-M (SD 1.5)", revision, device,
    )  # fmt: skip


@UPSCALERS.register(
    "stablesr", summary="StableSR (Stable Diffusion 2.1 with a time-aware encoder), in its own environment",
    source="Wang et al. 2024",
)  # fmt: skip
def stablesr(
    folder: str,
    python: str,
    config: str = "configs/stableSRNew/v2-finetune_text_T_512.yaml",
    model: str = "stablesr_000117.ckpt",
    vqgan: str = "vqgan_cfw_00011.ckpt",
    steps: int = 200,
    dec_w: float = 0.5,
    colorfix: str = "adain",
    vqgantile_size: int = 1280,
    vqgantile_stride: int = 1000,
    seed: int = 42,
    flags: list[str] | None = None,
    timeout: float = 86400.0,
    batch_size: int = 100,
    revision: str = "",
    device: str = "auto",
) -> Upscaler:
    """StableSR's tiled script. Inputs whose short side is below 128 come out too large, with padding at the right and below;
    that, and only that, is cut off. Its licence allows no commercial use. Keywords as `seesr`."""
    where = {
        "--config": config,
        "--ckpt": model,
        "--vqgan_ckpt": vqgan,
        "--init-img": "{input}",
        "--outdir": "{output}",
    }
    settings: dict[str, str | float] = {"--ddpm_steps": steps, "--dec_w": dec_w, "--colorfix_type": colorfix}
    settings |= {"--seed": seed, "--n_samples": 1, "--upscale": 4}
    settings |= {"--vqgantile_size": vqgantile_size, "--vqgantile_stride": vqgantile_stride}
    return _preset(
        "stablesr", "scripts/sr_val_ddpm_text_T_vqganfin_oldcanvas_tile.py", where, settings, flags or [], "{stem}.png",
        folder, python, timeout, batch_size, "S-Lab 1.0 (non-commercial)", revision, device, cut_padding=True,
    )  # fmt: skip
