"""Backbones against the libraries that they come from, called directly, and weights from files."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.transforms.functional import normalize

from backbones import Backbone, build_backbone
from backbones.contract import weights_hash
from backbones.weights import without_wrappers
from registry import RegistryError
from semfid.errors import UserError

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photos(count: int, size: int) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5))


def with_lively_norms(backbone: Backbone) -> Backbone:
    """Give BatchNorm statistics that are not 0 and 1, so that a forgotten eval mode shows."""
    generator = torch.Generator().manual_seed(9)
    for module in backbone.net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.copy_(torch.rand(module.num_features, generator=generator) * 0.2)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return backbone


@functools.cache
def lively(name: str, keywords: tuple[tuple[str, Any], ...] = ()) -> Backbone:
    """A frozen backbone with random weights and `with_lively_norms`, made once; tests look at it."""
    return with_lively_norms(build_backbone(name, {**dict(keywords), "pretrained": "none"}))


@pytest.fixture(autouse=True, scope="module")
def no_more_backbones() -> Iterator[None]:
    yield
    lively.cache_clear()


@pytest.mark.parametrize(
    ("name", "keywords", "model", "mean", "std"),
    [
        ("resnet50_imagenet", {}, "resnet50.a1_in1k", IMAGENET_MEAN, IMAGENET_STD),
        ("resnet50_clip", {}, "resnet50_clip.openai", CLIP_MEAN, CLIP_STD),
        ("timm", {"model": "resnet18.a1_in1k"}, "resnet18.a1_in1k", IMAGENET_MEAN, IMAGENET_STD),
        ("timm", {"model": "test_byobnet"}, "test_byobnet", IMAGENET_MEAN, IMAGENET_STD),
        ("timm", {"model": "test_resnet"}, "test_resnet", [0.5] * 3, [0.5] * 3),
    ],
)
class TestAgainstTimm:
    def direct(self, backbone: Backbone, model: str, **keywords: Any) -> nn.Module:
        with torch.device("meta"):  # its weights come from the backbone: none are drawn
            net = timm.create_model(model, pretrained=False, **keywords).eval()
        # features_only flattens names: stages.0.1 becomes stages_0.1
        own = {name.replace("_", "."): value for name, value in backbone.net.state_dict().items()}
        net.load_state_dict({name: own[name.replace("_", ".")] for name in net.state_dict()}, assign=True)
        return net

    def test_stages_are_timms_features_only(
        self, name: str, keywords: dict[str, Any], model: str, mean: list[float], std: list[float]
    ) -> None:
        backbone, images = lively(name, tuple(keywords.items())), photos(2, 64)
        net = self.direct(backbone, model, features_only=True)
        assert backbone.channels == tuple(net.feature_info.channels())
        assert backbone.strides == tuple(net.feature_info.reduction())
        with torch.no_grad():
            expected = net(normalize(images, mean, std))
        backbone.train()
        for own, theirs in zip(backbone.features(images), expected, strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-5)

    def test_the_embedding_is_timms_output(
        self, name: str, keywords: dict[str, Any], model: str, mean: list[float], std: list[float]
    ) -> None:
        size = 224 if name == "resnet50_clip" else 64
        backbone, images = lively(name, tuple(keywords.items())), photos(1, size)
        net = self.direct(backbone, model, **({} if name == "resnet50_clip" else {"num_classes": 0}))
        with torch.no_grad():
            expected = net(normalize(images, mean, std))
        torch.testing.assert_close(backbone.embed(images), expected, rtol=1e-4, atol=1e-5)

    def test_the_last_block_of_a_stage_is_the_stage(
        self, name: str, keywords: dict[str, Any], model: str, mean: list[float], std: list[float]
    ) -> None:
        backbone, images = lively(name, tuple(keywords.items())), photos(1, 64)
        stages, blocks = backbone.features(images), backbone.features(images, "blocks")
        ends = {"resnet50_imagenet": (2, 6, 12, 15), "resnet50_clip": (2, 6, 12, 15), "timm": (1, 3, 5, 7)}[name]
        if model.startswith("test_"):
            ends = (0, 1, 2, 3)
        assert len(blocks) == ends[-1] + 1
        for stage, end in zip(stages[1:], ends, strict=True):
            assert torch.equal(stage, blocks[end])


def test_resnet50_shapes_are_the_published_ones() -> None:
    for name, dim in (("resnet50_imagenet", 2048), ("resnet50_clip", 1024)):
        backbone = lively(name)
        assert backbone.channels == (64, 256, 512, 1024, 2048) and backbone.strides == (2, 4, 8, 16, 32)
        assert backbone.block_channels == (256,) * 3 + (512,) * 4 + (1024,) * 6 + (2048,) * 3
        assert backbone.embed_dim == dim


def test_a_vits_stages_are_its_blocks_tokens() -> None:
    backbone, images = build_backbone("timm", {"model": "test_vit", "pretrained": "none"}), photos(2, 160)
    tokens: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda _m, _i, out: tokens.append(out)) for block in backbone.net.blocks]
    stages = backbone.features(images)
    for hook in hooks:
        hook.remove()
    for stage, token in zip(stages, tokens, strict=True):  # one class token in front
        for row, column in ((0, 0), (3, 7), (9, 9)):
            torch.testing.assert_close(stage[:, :, row, column], token[:, 1 + 10 * row + column])
    with pytest.raises(UserError, match=r"test_vit takes 160x160 images, not 64x64; set data.image_size=160"):
        backbone.features(photos(1, 64))


@pytest.mark.parametrize("model", ["test_mambaout"])
def test_channels_last_blocks_are_refused_not_mixed_up(model: str) -> None:
    """Its blocks hand on (B, H, W, C): pooled as (B, C, H, W) they would give the wrong numbers silently."""
    backbone = build_backbone("timm", {"model": model, "pretrained": "none"})
    try:
        blocks = backbone.features(photos(1, 64), "blocks")
    except UserError as error:
        assert "lpips_linear" in str(error)
    else:
        assert tuple(block.shape[1] for block in blocks) == backbone.block_channels


class TestOpenClip:
    @pytest.fixture(autouse=True, scope="class")
    def towers(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("towers")
        text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
        for name, vision in (
            ("semfid-direct-rn", {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "patch_size": None}),
            ("semfid-direct-vit", {"image_size": 64, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16}),
        ):
            (folder / f"{name}.json").write_text(json.dumps({"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}))
        open_clip.add_model_config(folder)
        return

    @pytest.mark.parametrize("model", ["semfid-direct-rn", "semfid-direct-vit"])
    def test_against_open_clips_own_calls(self, model: str) -> None:
        backbone, images = build_backbone("open_clip", {"model": model, "pretrained": "none"}), photos(2, 64)
        with_lively_norms(backbone)
        clip = open_clip.create_model(model, pretrained=None).eval()
        clip.visual.load_state_dict(backbone.net.state_dict())
        inputs = normalize(images, CLIP_MEAN, CLIP_STD)
        with torch.no_grad():
            torch.testing.assert_close(backbone.embed(images), clip.encode_image(inputs), rtol=1e-4, atol=1e-5)
            theirs = clip.visual.forward_intermediates(inputs, normalize_intermediates=False)["image_intermediates"]
        own = backbone.features(images)
        assert len(own) == len(theirs) == (5 if model.endswith("rn") else 3)
        if model.endswith("rn"):  # open_clip gives the stem behind its pooling
            own[0] = clip.visual.avgpool(own[0])
        for ours, reference in zip(own, theirs, strict=True):
            torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-5)

    def test_mistakes(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"open_clip has no model 'RN5O'; did you mean .*'RN50'"):
            build_backbone("open_clip", {"model": "RN5O", "pretrained": "none"})
        with pytest.raises(
            UserError, match=r"RN50 has no weights 'openia' and there is no such file; did you mean 'openai'"
        ):
            build_backbone("open_clip", {"model": "RN50", "pretrained": "openia"})
        backbone = build_backbone("open_clip", {"model": "semfid-direct-rn", "pretrained": "none"})
        with pytest.raises(UserError, match=r"takes 64x64 images, not 32x32; set data\.image_size=64"):
            backbone.features(photos(1, 32))

    def test_weights_from_a_file(self, tmp_path: Path) -> None:
        source = build_backbone("open_clip", {"model": "semfid-direct-rn", "pretrained": "none", "init_seed": 3})
        save_file(
            {name: value.contiguous() for name, value in source.net.state_dict().items()},
            tmp_path / "tower.safetensors",
        )
        keywords = {"model": "semfid-direct-rn", "pretrained": str(tmp_path / "tower.safetensors")}
        assert build_backbone("open_clip", keywords).identity == source.identity
        with pytest.raises(UserError, match="it is of another architecture"):
            build_backbone("open_clip", {**keywords, "model": "semfid-direct-vit"})


class TestWeightsFiles:
    def net(self, seed: int = 4, **keywords: Any) -> nn.Module:
        torch.manual_seed(seed)
        return timm.create_model("test_resnet", pretrained=False, **keywords)

    def load(self, path: Path, **keywords: Any) -> Backbone:
        return build_backbone("timm", {"model": "test_resnet", "pretrained": str(path), **keywords})

    def assert_same(self, backbone: Backbone, state: dict[str, Tensor]) -> None:
        own = backbone.net.state_dict()
        assert own and all(torch.equal(value, state[name].to(value.dtype)) for name, value in own.items())
        assert all(value.dtype != torch.float16 for value in own.values())

    def test_safetensors_in_half_precision(self, tmp_path: Path) -> None:
        state = {k: v.half() if v.is_floating_point() else v for k, v in self.net(num_classes=0).state_dict().items()}
        save_file(state, tmp_path / "w.safetensors")
        backbone = self.load(tmp_path / "w.safetensors")
        self.assert_same(backbone, state)
        assert backbone.features(photos(1, 64))[0].dtype == torch.float32
        assert backbone.identity == self.load(tmp_path / "w.safetensors").identity
        assert backbone.identity != build_backbone("timm", {"model": "test_resnet", "pretrained": "none"}).identity

    @pytest.mark.parametrize("ending", ["pt", "pth"])
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_torch_files(self, tmp_path: Path, ending: str, wrapped: bool) -> None:
        state = self.net(num_classes=0).state_dict()
        torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / f"w.{ending}")
        self.assert_same(self.load(tmp_path / f"w.{ending}"), state)

    def test_a_classifier_in_the_file_is_dropped(self, tmp_path: Path) -> None:
        state = self.net(num_classes=203).state_dict()
        assert any(key.startswith("fc.") for key in state)
        save_file(state, tmp_path / "w.safetensors")
        backbone = self.load(tmp_path / "w.safetensors")
        self.assert_same(backbone, state)
        assert backbone.embed_dim == 96 and not any(key.startswith("fc.") for key in backbone.net.state_dict())

    @pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
    def test_tuning_starts_from_the_file(self, tmp_path: Path, tuning: str) -> None:
        state = self.net(num_classes=0).state_dict()
        save_file(state, tmp_path / "w.safetensors")
        a, b = self.load(tmp_path / "w.safetensors", tuning=tuning).eval(), self.load(tmp_path / "w.safetensors")
        torch.testing.assert_close(a.embed(photos(2, 64)), b.embed(photos(2, 64)))

    def test_faults_are_named(self, tmp_path: Path) -> None:
        state = self.net(num_classes=0).state_dict()
        first = sorted(state)[0]
        files: dict[str, tuple[dict[str, Tensor], str]] = {
            "lacks": (
                {k: v for k, v in state.items() if k != first},
                f"lacks {first} (1 keys); it is of another architecture",
            ),
            "more": ({**state, "odd.weight": torch.zeros(1)}, "has unknown odd.weight (1 keys)"),
            "shape": ({**state, first: torch.zeros(2, 2)}, f"has another shape for {first}"),
            "other": (timm.create_model("test_vit", num_classes=0).state_dict(), "it is of another architecture"),
        }
        for name, (content, part) in files.items():
            path = tmp_path / f"{name}.safetensors"
            save_file(content, path)
            with pytest.raises(UserError) as error:
                self.load(path)
            assert part in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)

    @pytest.mark.parametrize("ending", ["safetensors", "pt"])
    @pytest.mark.parametrize("damage", ["empty", "text", "cut", "gone"])
    def test_damage(self, tmp_path: Path, ending: str, damage: str) -> None:
        path = tmp_path / f"w.{ending}"
        state = self.net(num_classes=0).state_dict()
        save_file(state, path) if ending == "safetensors" else torch.save(state, path)
        content = {
            "empty": b"",
            "text": b"<html>404 not found</html>" * 20,
            "cut": path.read_bytes()[:5000],
            "gone": b"",
        }[damage]
        path.write_bytes(content)
        if damage == "gone":
            path.unlink()
        with pytest.raises(UserError) as error:
            self.load(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)

    def test_a_pickle_is_not_run(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "ran",)

        (tmp_path / "w.pt").write_bytes(pickle.dumps({"weight": Evil()}))
        torch.save({"weight": Evil()}, tmp_path / "w2.pt")
        for name in ("w.pt", "w2.pt"):
            with pytest.raises(UserError, match="holds more than tensors, or is damaged"):
                self.load(tmp_path / name)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        "prefix",
        [
            "module.",
            "_orig_mod.",
            "module._orig_mod.",
            "_orig_mod.module.",
            "backbone.net.",
            "trunk.trunk.",
            "n_averaged",
        ],
    )
    @pytest.mark.parametrize("entry", ["", "state_dict", "model"])
    def test_wrappers_of_the_whole_network_are_taken_off(self, tmp_path: Path, prefix: str, entry: str) -> None:
        state = self.net(num_classes=0).state_dict()
        if prefix == "n_averaged":
            wrapped = torch.optim.swa_utils.AveragedModel(self.net(num_classes=0)).state_dict()
            assert "n_averaged" in wrapped
        else:
            wrapped = {prefix + key: value for key, value in state.items()}
        torch.save({entry: wrapped, "epoch": 3} if entry else wrapped, tmp_path / "w.pth")
        self.assert_same(self.load(tmp_path / "w.pth"), state)

    def test_a_module_that_was_compiled_inside_the_network(self, tmp_path: Path) -> None:
        state = self.net(num_classes=0).state_dict()
        torch.save({k.replace("layer1.", "layer1._orig_mod."): v for k, v in state.items()}, tmp_path / "w.pt")
        self.assert_same(self.load(tmp_path / "w.pt"), state)

    def test_a_part_of_a_network_called_module_keeps_its_name(self) -> None:
        state = {"module.weight": 1, "head.weight": 2}
        assert without_wrappers(state) == state

    def test_no_state_dict(self, tmp_path: Path) -> None:
        torch.save([1, 2], tmp_path / "list.pt")
        torch.save({"epoch": 3}, tmp_path / "numbers.pt")
        for name in ("list.pt", "numbers.pt"):
            with pytest.raises(UserError, match="is not a state dict"):
                self.load(tmp_path / name)

    def test_no_hub_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(*_: Any, **keywords: Any) -> nn.Module:
            assert keywords["pretrained"]
            raise OSError("We couldn't connect to 'https://huggingface.co'\nmore lines")

        monkeypatch.setattr(timm, "create_model", offline)
        with pytest.raises(UserError) as error:
            build_backbone("resnet50_clip", {})
        text = str(error.value)
        assert "cannot get the weights of 'resnet50_clip.openai' from the hub (We couldn't connect" in text
        assert "\n" not in text and "pretrained: none trains from random weights" in text

    @pytest.mark.parametrize(
        ("model", "size", "right"),
        [("test_maxvit", 224, 160), ("levit_128s", 160, 224)],
    )
    def test_a_size_that_it_cannot_take_is_named_with_its_own(self, model: str, size: int, right: int) -> None:
        backbone = build_backbone("timm", {"model": model, "pretrained": "none"})
        said = rf"^{model} cannot take {size}x{size} images \(.+\); set data\.image_size={right}$"
        for use in (backbone.features, backbone.embed, backbone.features_and_embedding):
            with torch.no_grad(), pytest.raises(UserError, match=said):
                use(photos(1, size))
        with torch.no_grad():
            assert len(backbone.features(photos(1, right))) == len(backbone.channels)

    @pytest.mark.parametrize(("size", "taken"), [(224, True), (100, False)])
    def test_a_windowed_model_for_another_size(self, size: int, taken: bool) -> None:
        keywords = {"model": "test_maxvit", "pretrained": "none", "image_size": size}
        if taken:
            backbone = build_backbone("timm", keywords)
            assert backbone.features(photos(1, size))[-1].shape[-1] == size // backbone.strides[-1]
        else:
            with pytest.raises(UserError, match=r"test_maxvit cannot take image_size=100 \(.+\); its own size is 160"):
                build_backbone("timm", keywords)

    def test_other_faults_are_not_blamed_on_the_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        backbone = build_backbone("timm", {"model": "test_resnet", "pretrained": "none"})

        def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("CUDA error: unspecified launch failure")

        monkeypatch.setattr(backbone.net, "forward_intermediates", broken)
        with pytest.raises(RuntimeError, match="unspecified launch failure"):
            backbone.features(photos(1, 64))

    def test_unknown_model(self) -> None:
        with pytest.raises(UserError, match=r"timm has no model 'resnet51'; did you mean .*'resnet50'"):
            build_backbone("timm", {"model": "resnet51"})
        with pytest.raises(RegistryError, match="backbone 'timm' needs the keyword 'model'"):
            build_backbone("timm", {})

    def test_a_real_backbone(self, test_data: Callable[[str], Path]) -> None:
        path = test_data("trunks") / "resnet18_tiny_imagenet.safetensors"
        backbone = build_backbone("timm", {"model": "resnet18", "pretrained": str(path)})
        net = timm.create_model("resnet18", pretrained=False, num_classes=203).eval()
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
        images = photos(2, 64)
        with torch.no_grad():
            expected = net.forward_intermediates(
                normalize(images, IMAGENET_MEAN, IMAGENET_STD), intermediates_only=True
            )
        backbone.train()
        for own, theirs in zip(backbone.features(images), expected, strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-5)
        assert backbone.identity != build_backbone("timm", {"model": "resnet18", "pretrained": "none"}).identity


class TestWeightsHash:
    def test_sees_every_bit(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        first = weights_hash(net)
        assert first == weights_hash(net) and len(first) == 16
        assert weights_hash(net.to(memory_format=torch.channels_last)) == first, "memory layout is no weight"
        with torch.no_grad():
            net[0].weight[3, 2, 1, 0] = torch.nextafter(net[0].weight[3, 2, 1, 0], torch.tensor(9.0))
        second = weights_hash(net)
        net[1].num_batches_tracked += 1
        third = weights_hash(net)
        assert len({first, second, third}) == 3

    def test_names_and_shapes_count(self) -> None:
        a, b = nn.Module(), nn.Module()
        a.register_buffer("x", torch.zeros(2, 3))
        b.register_buffer("x", torch.zeros(3, 2))
        c = nn.Module()
        c.register_buffer("y", torch.zeros(2, 3))
        assert len({weights_hash(module) for module in (a, b, c)}) == 3


def test_lora_has_nothing_to_do() -> None:
    class Flat(Backbone):
        def __init__(self) -> None:
            super().__init__(nn.ReLU(), name="flat", channels=[3], strides=[1], embed_dim=3, tuning="lora")

    with pytest.raises(UserError, match="finds no linear or convolution layer in this backbone; use 'full'"):
        Flat()


def test_an_unfinished_plugin_says_what_it_lacks() -> None:
    class Unfinished(Backbone):
        def __init__(self) -> None:
            super().__init__(nn.Conv2d(3, 3, 1), name="u", channels=[3], strides=[1], embed_dim=3, block_channels=[3])

    for call, method in (("features", "_stages"), ("embed", "_embed")):
        with pytest.raises(NotImplementedError, match=f"Unfinished must implement {method}"):
            getattr(Unfinished(), call)(photos(1, 8))
    with pytest.raises(NotImplementedError, match="declares block_channels but has no _blocks"):
        Unfinished().features(photos(1, 8), "blocks")
