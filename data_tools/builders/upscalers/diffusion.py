"""SeeSR, StableSR and PASD, each in its own repository and environment; docs/datasets.md says how to set them up."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from data_tools.builders.upscalers.contract import Upscaler
from data_tools.builders.upscalers.external import ExternalCommand
from registry import UPSCALERS


@dataclass(frozen=True)
class ScriptOptions:
    """Keywords of every script of a model's repository.

    Attributes:
        folder: the repository.
        python: the interpreter of its environment.
        seed: what the script seeds itself with, once a run.
        flags: further words for the script.
        timeout: seconds of a whole run; then all its processes are ended.
        batch_size: images a run.
        revision: of the code and weights; part of what tells old outputs from new ones.
        device: auto, cpu, cuda, cuda:1, ...
    """

    folder: str
    python: str
    seed: int = 0
    flags: list[str] | None = None
    timeout: float = 86400.0
    batch_size: int = 100
    revision: str = ""
    device: str = "auto"


@dataclass(frozen=True)
class StableSrOptions(ScriptOptions):
    """As `ScriptOptions`, with StableSR's own seed."""

    seed: int = 42


@dataclass(frozen=True)
class _Script:
    """A script with paths, which the identity leaves out, and settings, which it holds."""

    name: str
    file: str
    paths: Mapping[str, str]
    settings: Mapping[str, str | float]
    licence: str
    output: str = "{stem}.png"
    cut_padding: bool = False

    def upscaler(self, options: ScriptOptions) -> Upscaler:
        paths = [word for flag, value in self.paths.items() for word in (flag, value)]
        fixed = [word for flag, value in self.settings.items() for word in (flag, _written(value))]
        fixed += options.flags or []
        return ExternalCommand(
            self.name,
            ["{python}", self.file, *paths, *fixed],
            self.output,
            options.folder,
            options.python,
            options.timeout,
            options.batch_size,
            self.licence,
            shlex.join([self.file, *fixed, options.revision]),
            options.device,
            self.cut_padding,
        )


def _written(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@UPSCALERS.register(
    "seesr",
    summary="SeeSR (tags and Stable Diffusion 2), in its own environment",
    source="Wu et al. 2024",
    shared=ScriptOptions,
)
def seesr(
    base: str = "preset/models/stable-diffusion-2-base",
    model: str = "preset/models/seesr",
    dape: str = "preset/models/DAPE.pth",
    steps: int = 50,
    guidance: float = 5.5,
    align: str = "adain",
    start: str = "lr",
    process_size: int = 512,
    *,
    options: ScriptOptions,
) -> Upscaler:
    """SeeSR's test_seesr.py. It must run in its repository, where it looks for preset/models/ram_swin_large_14m.pth.

    It seeds itself once a run: what an image becomes depends on those before it in its batch; batch_size 1 removes that, at the
    price of loading the model for every image.
    """
    script = _Script(
        name="seesr",
        file="test_seesr.py",
        paths={
            "--pretrained_model_path": base,
            "--seesr_model_path": model,
            "--ram_ft_path": dape,
            "--image_path": "{input}",
            "--output_dir": "{output}",
        },
        settings={
            "--start_point": start,
            "--num_inference_steps": steps,
            "--guidance_scale": guidance,
            "--process_size": process_size,
            "--upscale": 4,
            "--align_method": align,
            "--seed": options.seed,
        },
        licence="Apache-2.0, OpenRAIL++-M (SD 2)",
        output="sample00/{stem}.png",
    )
    return script.upscaler(options)


@UPSCALERS.register(
    "pasd",
    summary="PASD (pixel-aware Stable Diffusion), in its own environment",
    source="Yang et al. 2024",
    shared=ScriptOptions,
)
def pasd(
    base: str = "checkpoints/stable-diffusion-v1-5",
    model: str = "runs/pasd/checkpoint-100000",
    high_level_info: str = "caption",
    steps: int = 20,
    guidance: float = 9.0,
    added_noise_level: int = 900,
    process_size: int = 768,
    *,
    options: ScriptOptions,
) -> Upscaler:
    """PASD's test_pasd.py. It prints faults, goes on, and exits with 0; the outputs are counted here. Keywords as `seesr`."""
    script = _Script(
        name="pasd",
        file="test_pasd.py",
        paths={
            "--pretrained_model_path": base,
            "--pasd_model_path": model,
            "--image_path": "{input}",
            "--output_dir": "{output}",
        },
        settings={
            "--control_type": "realisr",
            "--high_level_info": high_level_info,
            "--num_inference_steps": steps,
            "--guidance_scale": guidance,
            "--process_size": process_size,
            "--added_noise_level": added_noise_level,
            "--upscale": 4,
            "--seed": options.seed,
        },
        licence="Apache-2.0, OpenRAIL-M (SD 1.5)",
    )
    return script.upscaler(options)


@UPSCALERS.register(
    "stablesr",
    summary="StableSR (Stable Diffusion 2.1 with a time-aware encoder), in its own environment",
    source="Wang et al. 2024",
    shared=StableSrOptions,
)
def stablesr(
    config: str = "configs/stableSRNew/v2-finetune_text_T_512.yaml",
    model: str = "stablesr_000117.ckpt",
    vqgan: str = "vqgan_cfw_00011.ckpt",
    steps: int = 200,
    dec_w: float = 0.5,
    colorfix: str = "adain",
    vqgantile_size: int = 1280,
    vqgantile_stride: int = 1000,
    *,
    options: StableSrOptions,
) -> Upscaler:
    """StableSR's tiled script. Inputs whose short side is below 128 come out too large, with padding at the right and below;
    that, and only that, is cut off. Its licence allows no commercial use. Keywords as `seesr`.
    """
    script = _Script(
        name="stablesr",
        file="scripts/sr_val_ddpm_text_T_vqganfin_oldcanvas_tile.py",
        paths={
            "--config": config,
            "--ckpt": model,
            "--vqgan_ckpt": vqgan,
            "--init-img": "{input}",
            "--outdir": "{output}",
        },
        settings={
            "--ddpm_steps": steps,
            "--dec_w": dec_w,
            "--colorfix_type": colorfix,
            "--seed": options.seed,
            "--n_samples": 1,
            "--upscale": 4,
            "--vqgantile_size": vqgantile_size,
            "--vqgantile_stride": vqgantile_stride,
        },
        licence="S-Lab 1.0 (non-commercial)",
        cut_padding=True,
    )
    return script.upscaler(options)
