"""Inpainters of the diffusers library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.settings import require
from data_tools.builders.inpainters.contract import Inpainter, Painted, Request
from models.catalogue.ids import FLUX_FILL, STABLE_DIFFUSION
from models.catalogue.lock import pinned_revision
from models.hub import device_of, hub_identity, libraries, obtaining
from registry import INPAINTERS

Offload = Literal["none", "model", "sequential"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
MOST_PROMPTS = 512  # that are kept encoded: 4 MB each for Flux


class DiffusionInpainter(Inpainter):
    """What the pipelines share: sizes, seeds, memory.

    A subclass sets `name`, `multiple` and implements `_load` and `_run`.
    """

    name: str
    multiple: int  # pixels that both sides must be a multiple of

    def __init__(
        self, model: str, revision: str | None, steps: int, guidance: float, precision: Precision, offload: Offload
    ) -> None:
        require(steps >= 1, "inpainter.steps", steps, "must be 1 or more")
        if revision is None and not Path(model).is_dir():
            revision = pinned_revision(model)
        self.model, self.revision, self.steps, self.guidance = model, revision, steps, guidance
        self.precision, self.offload = precision, offload
        weights = hub_identity(f"inpainter {self.name}", model, revision)
        self.identity = f"{self.name} {weights} steps={steps} guidance={guidance:g} precision={precision}"
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

    def _dtype(self) -> Any:
        import torch

        name = self.precision
        if name == "auto":
            name = "bfloat16" if self.device.startswith("cuda") else "float32"
        return getattr(torch, name)

    def _settled(self, pipe: Any) -> Any:
        """The pipeline on its device, silent and without dropout."""
        pipe.set_progress_bar_config(disable=True)
        for part in pipe.components.values():
            if hasattr(part, "eval"):
                part.eval()
        if self.device.startswith("cuda") and self.offload == "model":
            pipe.enable_model_cpu_offload(device=self.device)
        elif self.device.startswith("cuda") and self.offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=self.device)
        else:
            pipe.to(self.device)
        return pipe

    def _load(self) -> Any:
        raise NotImplementedError

    def _run(self, prompt: str, picture: Image.Image, mask: Image.Image, rng: Any) -> NDArray[np.uint8]:
        raise NotImplementedError


@INPAINTERS.register(
    "flux_fill",
    summary="FLUX.1 Fill through diffusers (12 B parameters; gated, non-commercial weights)",
    source="black-forest-labs/FLUX.1-Fill-dev",
)
class FluxFill(DiffusionInpainter):
    """The distinct prompts are encoded once; then the text encoders (10 GB) leave the memory.

    Args:
        model: id on the hub, or a folder of diffusers' layout.
        revision: branch, tag or commit on the hub.
        steps, guidance: of the sampler; the model has no negative prompt.
        precision: ``auto`` is bfloat16 on a GPU, float32 elsewhere.
        offload: what of the model waits in main memory: ``none`` (35 GB and more of the GPU's), ``model`` (24 GB), or
            ``sequential`` (a few GB, slow).
        max_sequence_length: tokens of the T5 encoder.
    """

    name = "flux_fill"
    multiple = 16

    def __init__(
        self,
        model: str = FLUX_FILL,
        revision: str | None = None,
        steps: int = 50,
        guidance: float = 30.0,
        precision: Precision = "auto",
        offload: Offload = "none",
        max_sequence_length: int = 512,
    ) -> None:
        super().__init__(model, revision, steps, guidance, precision, offload)
        self.max_sequence_length = max_sequence_length
        self.identity += f" max_sequence_length={max_sequence_length}"
        self._encoded: dict[str, tuple[Any, Any]] = {}

    def _load(self) -> Any:
        import torch
        from diffusers import FluxFillPipeline

        if len(self._prompts) > MOST_PROMPTS:  # captions: the encoders stay
            pipe = FluxFillPipeline.from_pretrained(self.model, revision=self.revision, torch_dtype=self._dtype())
            return self._settled(pipe)
        encoders = FluxFillPipeline.from_pretrained(
            self.model, revision=self.revision, torch_dtype=self._dtype(), transformer=None, vae=None
        )
        for encoder in (encoders.text_encoder, encoders.text_encoder_2):
            encoder.eval().to(self.device)
        with torch.inference_mode():
            for prompt in self._prompts:
                self._encoded[prompt] = self._encode(encoders, prompt)
        del encoders
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        nothing: dict[str, Any] = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
        pipe = FluxFillPipeline.from_pretrained(
            self.model, revision=self.revision, torch_dtype=self._dtype(), **nothing
        )
        return self._settled(pipe)

    def _encode(self, pipe: Any, prompt: str) -> tuple[Any, Any]:
        embedded, pooled, _ = pipe.encode_prompt(
            prompt=prompt, prompt_2=None, device=self.device, max_sequence_length=self.max_sequence_length
        )
        return embedded.cpu(), pooled.cpu()

    def _run(self, prompt: str, picture: Image.Image, mask: Image.Image, rng: Any) -> NDArray[np.uint8]:
        texts: dict[str, Any] = {"prompt": prompt}
        if self._encoded:
            embedded, pooled = self._encoded[prompt]
            texts = {"prompt_embeds": embedded.to(self.device), "pooled_prompt_embeds": pooled.to(self.device)}
        result = self._pipe(
            image=picture,
            mask_image=mask,
            height=picture.height,
            width=picture.width,  # without them the pipeline makes 1024x1024
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            max_sequence_length=self.max_sequence_length,
            generator=rng,
            output_type="np",
            **texts,
        )
        return to_uint8(result.images[0])


@INPAINTERS.register(
    "stable_diffusion",
    summary="any inpainting pipeline that diffusers can tell from its files (Stable Diffusion 1.5, 2, XL)",
    source="diffusers AutoPipelineForInpainting",
)
class StableDiffusion(DiffusionInpainter):
    """Stable Diffusion's inpainting models.

    Args:
        model: id on the hub, or a folder of diffusers' layout.
        revision: branch, tag or commit on the hub.
        steps, guidance, strength: of the sampler; strength 1 starts from noise alone.
        negative_prompt: what the picture is not to show.
        precision: ``auto`` is bfloat16 on a GPU, float32 elsewhere.
        offload: what of the model waits in main memory.
    """

    name = "stable_diffusion"
    multiple = 64

    def __init__(
        self,
        model: str = STABLE_DIFFUSION,
        revision: str | None = None,
        steps: int = 50,
        guidance: float = 7.5,
        strength: float = 1.0,
        negative_prompt: str = "",
        precision: Precision = "auto",
        offload: Offload = "none",
    ) -> None:
        super().__init__(model, revision, steps, guidance, precision, offload)
        require(0 < strength <= 1, "inpainter.strength", strength, "must lie in 0 .. 1, above 0")
        self.strength, self.negative_prompt = strength, negative_prompt
        self.identity += f" strength={strength:g} negative_prompt={negative_prompt!r}"

    def _load(self) -> Any:
        from diffusers import AutoPipelineForInpainting

        pipe = AutoPipelineForInpainting.from_pretrained(self.model, revision=self.revision, torch_dtype=self._dtype())
        return self._settled(pipe)

    def _run(self, prompt: str, picture: Image.Image, mask: Image.Image, rng: Any) -> NDArray[np.uint8]:
        result = self._pipe(
            prompt=prompt,
            negative_prompt=self.negative_prompt or None,
            image=picture,
            mask_image=mask,
            height=picture.height,
            width=picture.width,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            strength=self.strength,
            generator=rng,
            output_type="np",
        )
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            raise UnitError("the model's safety checker blacked the picture out")
        return to_uint8(result.images[0])


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
