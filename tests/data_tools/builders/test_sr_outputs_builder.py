"""`semfid build sr-outputs` from a YAML to its tables, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sr_support import call, command, content, esrgan, photos, picture, swinir

from data_tools.builders.core.executor import Worker
from data_tools.builders.core.verify import verify
from data_tools.builders.sr_outputs import build as sr_outputs
from data_tools.builders.sr_outputs.build import build
from data_tools.builders.sr_outputs.scores import ssim
from data_tools.degradations import Record, build_degradation
from data_tools.degradations.operations import from_bytes, to_bytes
from metrics.sharpness import deblocked_sharpness
from semfid.errors import UserError
from semfid.io.pair_table import read_pairs
from semfid.settings import read_settings


def config(folder: Path, **changes: Any) -> str:
    """A YAML over three photos and two interpolations; the photos are made with it."""
    source = folder / "photos"
    if not source.is_dir():
        photos(source)
    settings: dict[str, Any] = {
        "out": str(folder / "out"),
        "photos": {"folder": str(source), "scores": str(source / "scores.csv"), "min_side": 16, "licence": "CC BY"},
        "upscalers": {"bicubic": {"name": "bicubic"}, "lanczos": {"name": "lanczos"}},
        "device": "cpu",
    }
    for key, value in changes.items():
        settings[key] = {**settings[key], **value} if key == "photos" else value
    path = folder / "build.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def run(path: str, overrides: Sequence[str] = (), **keywords: Any) -> int:
    return build(path, list(overrides), call(**keywords))


def test_a_build_makes_its_files_tables_and_provenance(tmp_path: Path) -> None:
    assert run(config(tmp_path)) == 0
    out = tmp_path / "out"
    table = read_pairs(out / "pairs.csv")
    frame = table.frame
    assert len(frame) == 3 * 3 * 2 and set(frame["origin"]) == {
        f"{model} {strength}" for model in ("bicubic", "lanczos") for strength in ("0.3", "0.7", "1")
    }
    assert dict(zip(frame["source_id"], frame["split"], strict=True)) == {"p0": "train", "p1": "val", "p2": "test"}
    assert frame["photo_score"].groupby(frame["source_id"]).first().tolist() == [60.0, 61.0, 62.0]
    assert set(frame["licence"]) == {"CC BY"}
    degradation = build_degradation("bsrgan", {})
    for row, reference, candidate in zip(
        frame.to_dict("records"), table.paths("reference"), table.paths("candidate"), strict=True
    ):
        photo, output = np.asarray(Image.open(reference)), np.asarray(Image.open(candidate))
        assert photo.shape == output.shape == (row["height"], row["width"], 3) == (48, 64, 3)
        record: Record = json.loads(row["degradation"])
        assert record["strength"] == row["strength"]
        small = to_bytes(degradation.apply(from_bytes(photo), record))  # the table alone says how it was made
        assert (small == np.asarray(Image.open(out / row["low_resolution"]))).all()
        kernel = Image.Resampling.BICUBIC if row["model"] == "bicubic" else Image.Resampling.LANCZOS
        assert (np.asarray(Image.fromarray(small).resize((64, 48), kernel)) == output).all()
        assert row["ssim"] == pytest.approx(ssim(photo, output), abs=1e-6)
        assert row["quality"] == pytest.approx(deblocked_sharpness(output), abs=1e-6)
    # photos stay where they lie, unless their sides are no multiples of 4
    assert [path.resolve().is_relative_to(out) for path in table.paths("reference")] == [
        name == "p1" for name in frame["source_id"]
    ]
    cut = np.asarray(Image.open(out / "HQ" / "p1.png"))
    assert (cut == np.asarray(Image.open(tmp_path / "photos" / "p1.png"))[:48, :64]).all()
    selected = pd.read_csv(out / "selected_pairs.csv")
    assert selected["pair_id"].tolist() == frame["pair_id"][frame["selected"]].tolist() and 0 < len(selected) < 18
    findings = verify(out, lambda done, total: None)
    assert findings.fine and findings.checked > 30


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("after", [0, 1, 7, 20, 30])
def test_killed_and_gone_on_is_the_same_to_the_byte(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, out=str(tmp_path / "whole"))
    run(path)
    record, made = Worker._record, 0

    def dying(self: Worker, *arguments: Any) -> Any:
        nonlocal made
        if made == after:
            raise Killed
        made += 1
        return record(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "_record", dying)
        with pytest.raises(Killed):
            run(path, [f"out={tmp_path / 'broken'}"])
    run(path, [f"out={tmp_path / 'broken'}"])
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_shards_in_any_order_and_a_first_look_change_nothing(tmp_path: Path) -> None:
    path = config(tmp_path, out=str(tmp_path / "whole"))
    run(path)
    for shard in ("2/3", "0/3", "1/3"):
        run(path, [f"out={tmp_path / 'shards'}"], shard=shard)
    assert content(tmp_path / "shards") == content(tmp_path / "whole")
    said: list[str] = []
    run(path, [f"out={tmp_path / 'looked'}"], preview=True, limit=1, said=said)
    assert any("upscale lanczos" in line and "6 left" in line for line in said)
    sheet = Image.open(tmp_path / "looked" / "preview.png")
    assert sheet.width > 4 * 256
    (tmp_path / "looked" / "preview.png").unlink()
    assert run(path, [f"out={tmp_path / 'looked'}"]) == 0
    assert content(tmp_path / "looked") == content(tmp_path / "whole")


def test_finished_work_is_not_done_twice_and_changes_reach_what_they_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path)
    run(path)
    made: list[tuple[str, str, str]] = []
    record = Worker._record

    def noting(self: Worker, unit: Any, *rest: Any) -> Any:
        made.append(unit.slot)
        return record(self, unit, *rest)

    monkeypatch.setattr(Worker, "_record", noting)
    before = content(tmp_path / "out")
    run(path)
    assert made == [] and content(tmp_path / "out") == before
    run(path, ["selection.ssim=[40,60]"])  # a selection costs nothing
    assert made == [] and content(tmp_path / "out")["selected_pairs.csv"] != before["selected_pairs.csv"]
    weights = esrgan(tmp_path / "esrgan.pth")
    run(path, ["upscalers.esrgan.name=bsrgan", f"upscalers.esrgan.weights={weights}"])
    assert {slot[2].split()[0] for slot in made} == {"esrgan"} and len(made) == 2 * 9
    assert len(read_pairs(tmp_path / "out" / "pairs.csv")) == 27
    made.clear()
    swinir(weights)  # other weights under the same name
    run(path, ["upscalers.esrgan.name=swinir", f"upscalers.esrgan.weights={weights}"])
    assert len(made) == 2 * 9
    made.clear()
    run(path, ["scores.quality=null"])
    assert {slot[0] for slot in made} == {"score"} and len(made) == 18
    made.clear()
    Image.fromarray(picture(9, 48, 64)).save(tmp_path / "photos" / "p0.png")  # another photo under the same name
    (tmp_path / "out" / "LQ_x4_lanczos_out" / "p2.png").unlink()
    run(path, ["scores.quality=null"])
    assert {slot[1] for slot in made if slot[0] != "score"} == {"p0", "p2"} and len(made) == 1 + 6 + 6 + 1
    with pytest.raises(UserError, match=r"strengths=\[0.3, 0.7, 1.0\].*choose another `out`"):
        run(path, ["strengths=[0.5]"])


def test_bad_photos_are_rows_and_the_others_are_built(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    grey, wide = Image.fromarray(picture(4, 48, 64)), Image.fromarray(picture(5, 48, 64))
    grey.convert("L").save(source / "grey.png")
    wide.convert("CMYK").save(source / "cmyk.jpg")
    Image.fromarray(np.asarray(grey.convert("L")).astype(np.uint16) * 256).save(source / "deep.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    wide.save(source / "turned.jpg", exif=turned)
    Image.fromarray(picture(6, 12, 64)).save(source / "tiny.png")
    (source / "cut.png").write_bytes((source / "p0.png").read_bytes()[:600])
    (source / "text.jpg").write_text("no photo")
    (source / "empty.jpg").write_bytes(b"")
    said: list[str] = []
    failed = run(config(tmp_path, photos={"scores": None}), said=said)
    out = tmp_path / "out"
    assert failed == 3
    errors = pd.read_csv(out / "errors.csv")
    assert errors["sample"].tolist() == ["cut", "empty", "text"] and set(errors["stage"]) == {"degrade"}
    listed = pd.read_csv(out / "photos.csv").set_index("photo")
    assert listed.loc["tiny", "reason"] == "short side 12 below min_side 16" and not listed.loc["tiny", "kept"]
    frame = read_pairs(out / "pairs.csv").frame
    assert {"p0", "p1", "p2", "grey", "cmyk", "deep", "turned"} == set(frame["source_id"])
    sizes = frame.groupby("source_id")[["width", "height"]].first()
    assert sizes.loc["turned"].tolist() == [48, 64] and sizes.loc["grey"].tolist() == [64, 48]
    assert any("failed: degrade cut all" in line for line in said)
    # mended and tried again
    Image.fromarray(picture(8, 48, 64)).save(source / "cut.png")
    assert run(config(tmp_path, photos={"scores": None}), retry_failed=True) == 2
    assert "cut" in set(read_pairs(out / "pairs.csv").frame["source_id"])


def test_faults_of_an_external_model_are_rows(tmp_path: Path) -> None:
    given = command(tmp_path, "skips")
    path = config(
        tmp_path, upscalers={"bicubic": {"name": "bicubic"}, "outside": {"name": "external_command", **given}}
    )
    assert run(path) == 1
    errors = pd.read_csv(tmp_path / "out" / "errors.csv")
    assert errors[["stage", "sample", "variant"]].values.tolist() == [["upscale", "p1", "outside 0.3"]]
    assert "out of memory" in errors["reason"][0]
    assert len(read_pairs(tmp_path / "out" / "pairs.csv")) == 17
    assert run(path) == 1  # errors wait until they are asked for
    assert run(path, retry_failed=True) == 0  # alone in its batch it is the first
    assert len(read_pairs(tmp_path / "out" / "pairs.csv")) == 18
    whole = config(
        tmp_path,
        out=str(tmp_path / "whole"),
        upscalers={"double": {"name": "external_command", **command(tmp_path, "nothing")}},
    )
    assert run(whole) == 9 and not (tmp_path / "whole" / "pairs.csv").exists()


def test_photos_are_filtered_by_score_and_set(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    with (source / "scores.csv").open("a") as file:
        file.write("gone.png,80,training\n")
    Image.fromarray(picture(7, 48, 64)).save(source / "unknown.png")
    assert run(config(tmp_path, photos={"min_score": 61})) == 0
    listed = pd.read_csv(tmp_path / "out" / "photos.csv", keep_default_na=False).set_index("photo")
    assert listed["reason"].to_dict() == {
        "gone": "in the CSV, but no such file",
        "p0": "score 60 below min_score",
        "p1": "",
        "p2": "",
        "unknown": "not in the CSV",
    }
    assert set(read_pairs(tmp_path / "out" / "pairs.csv").frame["source_id"]) == {"p1", "p2"}


def test_the_table_feeds_the_datamodules(tmp_path: Path) -> None:
    from registry import DATAMODULES

    run(config(tmp_path), ["selection.ssim=null", "selection.quality=null", "table=pairs.parquet"])
    out = tmp_path / "out"
    frame = pd.read_parquet(out / "selected_pairs.parquet")
    assert len(frame) == 18
    np.save(out / "map.npy", np.tile(np.linspace(0, 1, 64, dtype=np.float16), (48, 1)))
    frame.assign(map="map.npy").to_csv(out / "mapped.csv", index=False)
    data = DATAMODULES.build("sr_outputs", table=str(out / "mapped.csv"), image_size=32, batch_size=4)
    table = data.load_table()
    assert len(table) == 18 and table.frame["difference"].between(0.49, 0.51).all()
    assert set(table.frame["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["strengths=[0]"], "strengths"),
        (["strengths=[0.3,0.3]"], "twice"),
        (["upscalers.nope.name=bicubik"], "did you mean 'bicubic'"),
        (["upscalers.nope.keys=1"], "upscalers.nope"),
        (["degradation.name=bsrgam"], "did you mean 'bsrgan'"),
        (["degradation.strength=0.5"], "strengths"),
        (["degradation.factor=2"], "factor=2"),
        (["photos.min_side=8"], "photos=.*min_side=8 must be"),
        (["photos.folder=nope"], "no folder nope"),
        (["photos.scores=nope.csv"], "nope.csv"),
        (["photos.score_column=MAS"], "did you mean 'MOS'"),
        (["photos.min_score=99"], "no photo of .* is left"),
        (["photos.val=0.6", "photos.test=0.5"], "leave something for training"),
        (["selection.ssim=[90,10]"], r"selection.ssim=\[90, 10\]"),
        (["selection.target=0"], "selection.target"),
        (["scores.quality=sharpness"], "module:function"),
        (["scores.quality=nowhere:f"], "nowhere"),
        (["scores.lpips=alex", "scores.lpips_weights=nope.pth"], "nope.pth"),
        (["table=pairs.txt"], "table"),
        (["photo.folder=x"], "did you mean 'photos'"),
        (["device=cuda:77", "scores.lpips=alex"], "no device"),
    ],
)
def test_mistakes_are_named_before_any_work(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as caught:
        run(config(tmp_path), overrides)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_two_photos_of_one_name_are_named(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    Image.fromarray(picture(7, 48, 64)).save(source / "p0.jpg")
    with pytest.raises(UserError, match=r"p0.jpg and p0.png share the name p0"):
        run(config(tmp_path))


def test_the_shipped_yamls_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from data_tools.builders.sr_outputs.config import SrSettings

    monkeypatch.setenv("SEMFID_TEST_DATA", str(tmp_path))
    folder = Path(sr_outputs.__file__).parents[1] / "configs"
    for name in ("sr_outputs_mini.yaml", "sr_outputs_koniq.yaml"):
        settings = read_settings(SrSettings, folder / name)
        assert settings.build_degradation().factor == 4
