from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sr_support import command, esrgan, picture, swinir

from data_tools.builders.core.errors import UnitError
from data_tools.builders.upscalers.contract import Upscaler, build_upscaler
from data_tools.builders.upscalers.external import without_padding
from registry import UPSCALERS
from semfid.errors import UserError

IMAGES = [picture(1, 24, 32), picture(2, 20, 17), picture(3, 24, 32)]


def keywords(name: str, folder: Path) -> dict[str, object]:
    if name in ("bsrgan", "spandrel"):
        return {"weights": str(esrgan(folder / "esrgan.pth")), "device": "cpu"}
    if name == "swinir":
        return {"weights": str(swinir(folder / "swinir.pth")), "device": "cpu"}
    if name == "external_command":
        return command(folder, "none")
    presets = {
        "seesr": ("test_seesr.py", "sample00", "--image_path", "--output_dir"),
        "pasd": ("test_pasd.py", "", "--image_path", "--output_dir"),
        "stablesr": ("scripts/sr_val_ddpm_text_T_vqganfin_oldcanvas_tile.py", "", "--init-img", "--outdir"),
    }
    if name in presets:
        script, below, source, target = presets[name]
        path = folder / script
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "import pathlib, sys\nfrom PIL import Image\nwords = sys.argv\n"
            f"source, target = (pathlib.Path(words[words.index(flag) + 1]) for flag in ('{source}', '{target}'))\n"
            f"target = target / '{below}'\ntarget.mkdir(exist_ok=True)\n"
            "assert words[words.index('--upscale') + 1] == '4'\n"
            "for path in source.iterdir():\n"
            "    image = Image.open(path)\n"
            "    image.resize((4 * image.width, 4 * image.height)).save(target / path.name)\n"
        )
        return {"folder": str(folder), "python": sys.executable}
    return {}


@pytest.mark.parametrize("name", UPSCALERS.names())
def test_every_upscaler_keeps_the_contract(name: str, tmp_path: Path) -> None:
    upscaler = build_upscaler(name, keywords(name, tmp_path))
    assert upscaler.batch_size >= 1 and upscaler.identity and str(tmp_path) not in upscaler.identity
    before = [image.copy() for image in IMAGES]
    large = upscaler.upscale(IMAGES)
    for image, kept, out in zip(IMAGES, before, large, strict=True):
        assert not isinstance(out, UnitError), out
        assert out.shape == (4 * image.shape[0], 4 * image.shape[1], 3) and out.dtype == np.uint8
        assert (image == kept).all()
    alone = upscaler.upscale(IMAGES[1:2])[0]
    upscaler.release()
    again = build_upscaler(name, keywords(name, tmp_path))
    assert again.identity == upscaler.identity
    assert (alone == large[1]).all() and (again.upscale(IMAGES[:1])[0] == large[0]).all()


def test_classical_upscalers_keep_the_picture_in_place() -> None:
    small = picture(5, 24, 32)
    for name in ("bicubic", "lanczos"):
        large = build_upscaler(name, {}).upscale([small])[0]
        back = np.asarray(Image.fromarray(large).resize((32, 24), Image.Resampling.BOX))
        assert np.abs(back.astype(float) - small).mean() < 6
    with pytest.raises(UserError, match="did you mean 'bicubic'"):
        build_upscaler("bicubik", {})


def test_spandrel_tiles_agree_with_the_whole(tmp_path: Path) -> None:
    weights = str(esrgan(tmp_path / "esrgan.pth"))
    image = picture(6, 40, 52)
    whole = build_upscaler("spandrel", {"weights": weights, "device": "cpu"})
    tiled = build_upscaler("spandrel", {"weights": weights, "device": "cpu", "tile": 16, "overlap": 24})
    seamed = build_upscaler("spandrel", {"weights": weights, "device": "cpu", "tile": 16, "overlap": 0})
    large = [one.upscale([image])[0].astype(int) for one in (whole, tiled, seamed)]
    assert np.abs(large[0] - large[1]).max() <= 1  # the network sees some twenty pixels
    assert np.abs(large[0] - large[2]).max() > 1
    assert len({one.identity for one in (whole, tiled, seamed)}) == 3


def test_spandrel_output_is_the_networks(tmp_path: Path) -> None:
    from spandrel import ModelLoader

    weights = esrgan(tmp_path / "esrgan.pth")
    model = ModelLoader("cpu").load_from_file(weights).eval()
    image = picture(7, 16, 24)
    with torch.inference_mode():
        expected = model(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0]
    found = build_upscaler("bsrgan", {"weights": str(weights), "device": "cpu"}).upscale([image])[0]
    np.testing.assert_allclose(found, expected.clamp(0, 1).permute(1, 2, 0).numpy() * 255, atol=0.501)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def test_bad_checkpoints_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.save(ESRGAN(num_filters=8, num_blocks=1, scale=2).state_dict(), "double.pth")
    torch.save({"model": Evil()}, "evil.pth")
    torch.save({"a": torch.zeros(3)}, "other.pth")
    Path("text.pth").write_text("no weights")
    Path("text.safetensors").write_text("no weights")
    swinir(tmp_path / "swin.pth")
    esrgan(tmp_path / "esrgan.pth")
    for name, given, said in [
        ("spandrel", {"weights": "nope.pth"}, "no weights nope.pth"),
        ("spandrel", {"weights": "double.pth"}, "x2"),
        ("spandrel", {"weights": "evil.pth"}, "no plain state dict"),
        ("spandrel", {"weights": "other.pth"}, "does not know"),
        ("spandrel", {"weights": "text.pth"}, "text.pth"),
        ("spandrel", {"weights": "text.safetensors"}, "text.safetensors"),
        ("bsrgan", {"weights": "swin.pth"}, "holds a SwinIR, not ESRGAN"),
        ("spandrel", {"weights": "swin.pth", "half": True}, "half"),
        ("spandrel", {"weights": "esrgan.pth", "half": True, "device": "cpu"}, "GPU"),
        ("spandrel", {"weights": "esrgan.pth", "tile": 4}, "tile=4"),
    ]:
        with pytest.raises(UserError, match=said) as caught:
            build_upscaler(name, given)
        assert "\n" not in str(caught.value)
    assert not Path("evil").exists()


@pytest.mark.parametrize(
    ("fault", "broken", "said"),
    [
        ("nothing", (0, 1, 2), "left no files .exit code 0"),
        ("skips", (1,), "no sample00/00001.png.*CUDA out of memory, skipping"),
        ("crashes", (1, 2), "exit code 1; last words.*the second image is too much"),
        ("size", (1,), "34x40.*68x80"),
        ("names", (0, 1, 2), "left 3 files, such as sample00/00000_out.png"),
        ("cut", (1,), "corrupt"),
        ("padded", (0, 1, 2), "must be"),
    ],
)
def test_external_faults_are_errors_of_their_images(
    fault: str, broken: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    upscaler = build_upscaler("external_command", command(tmp_path, fault))
    found = upscaler.upscale(IMAGES)
    assert tuple(number for number, one in enumerate(found) if isinstance(one, UnitError)) == broken
    for number in broken:
        error = found[number]
        assert isinstance(error, UnitError) and "\n" not in str(error)
        assert "semfid-upscale-" not in str(error)
    import re

    assert re.search(said, str(found[broken[0]]))


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    words = [
        "sh",
        "-c",
        "sleep 60 & echo $! > child; wait",
        "{input}",
        "{output}",
    ]  # writes at once, however busy the machine is
    upscaler = build_upscaler("external_command", command(tmp_path, "none") | {"command": words, "timeout": 2.0})
    found = upscaler.upscale(IMAGES[:1])
    assert isinstance(found[0], UnitError) and "timeout=2 s" in str(found[0])
    child = int((tmp_path / "child").read_text())
    for _ in range(1200):  # it may take its time to be reaped
        state = Path(f"/proc/{child}/stat")
        if not state.is_file() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("what the program had started still runs")


def test_bad_commands_are_named(tmp_path: Path) -> None:
    good = command(tmp_path, "none")
    for change, said in [
        ({"folder": str(tmp_path / "nope")}, "no folder"),
        ({"command": ["{python}", "model.py"]}, "needs {input} and {output}"),
        ({"output": "x.png"}, "needs {stem}"),
        ({"timeout": 0.0}, "above 0"),
    ]:
        with pytest.raises(UserError, match=said):
            build_upscaler("external_command", good | change)
    missing: Upscaler = build_upscaler("external_command", good | {"python": str(tmp_path / "nope")})
    with pytest.raises(UserError, match="cannot start"):
        missing.upscale(IMAGES[:1])


def test_paths_are_from_where_the_build_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    given = command(tmp_path / "model", "none")
    (tmp_path / "envs").mkdir()
    interpreter = tmp_path / "envs" / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    upscaler = build_upscaler("external_command", given | {"folder": "model", "python": "envs/python"})
    assert not isinstance(upscaler.upscale(IMAGES[:1])[0], UnitError)


def test_identities_follow_settings_not_places(tmp_path: Path) -> None:
    given = keywords("seesr", tmp_path)
    first = build_upscaler("seesr", given).identity
    (tmp_path / "moved").mkdir()
    assert build_upscaler("seesr", given | {"folder": str(tmp_path / "moved"), "base": "else/where"}).identity == first
    for change in ({"steps": 20}, {"seed": 1}, {"revision": "8edecc7"}, {"flags": ["--prompt", "x"]}):
        assert build_upscaler("seesr", given | change).identity != first


@pytest.mark.parametrize(
    ("small", "made", "cut"),
    [
        ((96, 128), (408, 528), True),  # as published: 512x384 comes back as 528x408
        ((96, 128), (384, 512), False),
        ((96, 128), (512, 640), False),  # not what that fault makes
        ((128, 128), (520, 520), False),
    ],
)
def test_only_stablesrs_padding_is_cut(small: tuple[int, int], made: tuple[int, int], cut: bool) -> None:
    image, output = np.zeros((*small, 3), np.uint8), picture(1, *made)
    found = without_padding(output, image)
    if cut:
        assert (found == output[: 4 * small[0], : 4 * small[1]]).all() and found.shape[0] == 4 * small[0]
    else:
        assert found.shape == output.shape
