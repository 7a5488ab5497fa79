"""Inpainters of the diffusers library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_tools.builders.core.errors import UnitError
from data_tools.builders.inpainters.contract import Inpainter, Painted, Request, check_setting
from models.catalogue.ids import FLUX_FILL, STABLE_DIFFUSION
from models.catalogue.lock import pinned_revision
from models.hub import Precision, device_of, hub_identity, libraries, obtaining, resolve_precision
from registry import INPAINTERS

Offload = Literal["none", "model", "sequential"]
MOST_PROMPTS = 512  # that are kept encoded: 4 MB each for Flux


@dataclass(frozen=True)
class SamplerOptions:
    """Keywords of every inpainter of the library.

    Attributes:
        revision: branch, tag or commit on the hub.
        steps, guidance: of the sampler.
        precision: ``auto`` is bfloat16 on a GPU, float32 elsewhere.
        offload: which parts of the model wait in main memory: ``none``, ``model`` (all that do not compute at the moment), or
            ``sequential`` (every layer; slow). FLUX.1 Fill takes 35 GB, 24 GB or a few GB of the GPU's memory.
    """

    revision: str | None = None
    steps: int = 50
    guidance: float = 30.0
    precision: Precision = "auto"
    offload: Offload = "none"


@dataclass(frozen=True)
class StableDiffusionOptions(SamplerOptions):
    """As `SamplerOptions`, with the usual guidance of these models."""

    guidance: float = 7.5


class DiffusionInpainter(Inpainter):
    """What the pipelines share: sizes, seeds, memory, the call.

    A subclass sets `name`, `multiple` and implements `_load` and `_arguments`.
    """

    name: str
    multiple: int  # pixels that both sides must be a multiple of

    def __init__(self, model: str, options: SamplerOptions) -> None:
        steps, guidance, revision = options.steps, options.guidance, options.revision
        check_setting(steps >= 1, "steps", steps, "must be 1 or more")
        if revision is None and not Path(model).is_dir():
            revision = pinned_revision(model)
        self.model, self.revision, self.options = model, revision, options
        weights = hub_identity(f"inpainter {self.name}", model, revision)
        self.identity = f"{self.name} {weights} steps={steps} guidance={guidance:g} precision={options.precision}"
        versions = libraries("torch", "diffusers", "transformers")
        self.facts: Mapping[str, Any] = {"model": weights, "steps": steps, "guidance": guidance, "libraries": versions}
        self.device = "cpu"
        self._pipe: Any = None

    def prepare(self, prompts: Sequence[str], device: str) -> None:
        self.device = device_of("build", device)
        self._prompts = sorted(set(prompts))

    def _paint(self, request: Request) -> Painted:
        import torch

        if self._pipe is None:
            with obtaining(f"inpainter {self.name}", self.model, instead=None):
                self._pipe = self._load()
        picture, (height, width) = padded(request.picture, self.multiple), request.object.shape
        mask = padded(request.repaint.astype(np.uint8) * 255, self.multiple)
        seed = int(request.rng.integers(2**31))
        with torch.inference_mode():
            result = self._run(
                request.prompt,
                Image.fromarray(picture),
                Image.fromarray(mask),
                torch.Generator("cpu").manual_seed(seed),  # the same draws on every device
            )
        if result.shape[:2] != picture.shape[:2]:
            raise ValueError(
                f"{self.name} gave {result.shape[1]}x{result.shape[0]} for {picture.shape[1]}x{picture.shape[0]}"
            )
        return Painted(np.ascontiguousarray(result[:height, :width]), facts={"generator_seed": seed})

    def _run(self, prompt: str, picture: Image.Image, mask: Image.Image, rng: Any) -> NDArray[np.uint8]:
        """(H, W, 3) of a picture whose sides are multiples."""
        result = self._pipe(
            image=picture,
            mask_image=mask,
            height=picture.height,
            width=picture.width,  # without them Flux makes 1024x1024
            num_inference_steps=self.options.steps,
            guidance_scale=self.options.guidance,
            generator=rng,
            output_type="np",
            **self._arguments(prompt),
        )
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            raise UnitError("the model's safety checker blacked the picture out")
        return to_uint8(result.images[0])

    def _from_pretrained(self, pipeline: Any, without: Sequence[str] = ()) -> Any:
        """The model's files as a pipeline of this class, without these of its components."""
        import torch

        dtype = getattr(torch, resolve_precision(self.options.precision, self.device))
        return pipeline.from_pretrained(self.model, revision=self.revision, torch_dtype=dtype, **dict.fromkeys(without))

    def _settled(self, pipe: Any) -> Any:
        """The pipeline on its device, silent and without dropout."""
        pipe.set_progress_bar_config(disable=True)
        for part in pipe.components.values():
            if hasattr(part, "eval"):
                part.eval()
        if self.device.startswith("cuda") and self.options.offload == "model":
            pipe.enable_model_cpu_offload(device=self.device)
        elif self.device.startswith("cuda") and self.options.offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=self.device)
        else:
            pipe.to(self.device)
        return pipe

    def _load(self) -> Any:
        raise NotImplementedError

    def _arguments(self, prompt: str) -> Mapping[str, Any]:
        """What one pipeline takes and others do not: the prompt in its form, and settings of its own."""
        raise NotImplementedError


@INPAINTERS.register(
    "flux_fill",
    summary="FLUX.1 Fill through diffusers (12 B parameters; gated, non-commercial weights)",
    source="black-forest-labs/FLUX.1-Fill-dev",
    shared=SamplerOptions,
)
class FluxFill(DiffusionInpainter):
    """The distinct prompts are encoded once; then the text encoders (10 GB) leave the memory. There is no negative prompt.

    Args:
        model: id on the hub, or a folder of diffusers' layout.
        max_sequence_length: tokens of the T5 encoder.
    """

    name = "flux_fill"
    multiple = 16

    def __init__(
        self,
        model: str = FLUX_FILL,
        max_sequence_length: int = 512,
        *,
        options: SamplerOptions,
    ) -> None:
        super().__init__(model, options)
        self.max_sequence_length = max_sequence_length
        self.identity += f" max_sequence_length={max_sequence_length}"
        self._encoded: dict[str, tuple[Any, Any]] = {}

    def _load(self) -> Any:
        import torch
        from diffusers import FluxFillPipeline

        if len(self._prompts) > MOST_PROMPTS:  # captions: the encoders stay
            return self._settled(self._from_pretrained(FluxFillPipeline))
        encoders = self._from_pretrained(FluxFillPipeline, ("transformer", "vae"))
        for encoder in (encoders.text_encoder, encoders.text_encoder_2):
            encoder.eval().to(self.device)
        with torch.inference_mode():
            for prompt in self._prompts:
                self._encoded[prompt] = self._encode(encoders, prompt)
        del encoders
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        encoding = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
        return self._settled(self._from_pretrained(FluxFillPipeline, encoding))

    def _encode(self, pipe: Any, prompt: str) -> tuple[Any, Any]:
        embedded, pooled, _ = pipe.encode_prompt(
            prompt=prompt, prompt_2=None, device=self.device, max_sequence_length=self.max_sequence_length
        )
        return embedded.cpu(), pooled.cpu()

    def _arguments(self, prompt: str) -> Mapping[str, Any]:
        texts: dict[str, Any] = {"prompt": prompt}
        if self._encoded:
            embedded, pooled = self._encoded[prompt]
            texts = {"prompt_embeds": embedded.to(self.device), "pooled_prompt_embeds": pooled.to(self.device)}
        return {**texts, "max_sequence_length": self.max_sequence_length}


@INPAINTERS.register(
    "stable_diffusion",
    summary="any inpainting pipeline that diffusers can tell from its files (Stable Diffusion 1.5, 2, XL)",
    source="diffusers AutoPipelineForInpainting",
    shared=StableDiffusionOptions,
)
class StableDiffusion(DiffusionInpainter):
    """Stable Diffusion's inpainting models.

    Args:
        model: id on the hub, or a folder of diffusers' layout.
        strength: of the sampler; 1 starts from noise alone.
        negative_prompt: what the picture is not to show.
    """

    name = "stable_diffusion"
    multiple = 64

    def __init__(
        self,
        model: str = STABLE_DIFFUSION,
        strength: float = 1.0,
        negative_prompt: str = "",
        *,
        options: StableDiffusionOptions,
    ) -> None:
        super().__init__(model, options)
        check_setting(0 < strength <= 1, "strength", strength, "must lie in 0 .. 1, above 0")
        self.strength, self.negative_prompt = strength, negative_prompt
        self.identity += f" strength={strength:g} negative_prompt={negative_prompt!r}"

    def _load(self) -> Any:
        from diffusers import AutoPipelineForInpainting

        return self._settled(self._from_pretrained(AutoPipelineForInpainting))

    def _arguments(self, prompt: str) -> Mapping[str, Any]:
        return {"prompt": prompt, "negative_prompt": self.negative_prompt or None, "strength": self.strength}


def padded(picture: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """(H, W, ...) widened to the right and below by reflection until both sides are multiples."""
    height, width = picture.shape[:2]
    rest = [(0, -height % multiple), (0, -width % multiple)] + [(0, 0)] * (picture.ndim - 2)
    mode: Literal["reflect", "symmetric"] = "reflect" if min(height, width) > multiple else "symmetric"
    return np.pad(picture, rest, mode=mode)


def to_uint8(picture: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """[0, 1] to 0 .. 255.

    Raises:
        ValueError: pixels that are not finite, which half precision can give.
    """
    if not np.isfinite(picture).all():
        raise ValueError("the model gave pixels that are not finite; try inpainter.precision: float32")
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
