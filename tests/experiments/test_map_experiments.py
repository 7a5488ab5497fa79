"""The experiments on difference maps, a few steps each: on scenes in the source project's folder layouts, and on real photos."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from experiment_support import tables
from PIL import Image, ImageDraw
from run_support import ROOT, run_folders

from data_tools.synthetic import SceneSetConfig, write_pair_set, write_region_set
from engine.config.schema import RunConfig
from engine.runs.sweep import read_sweep
from semfid.cli import main
from semfid.settings import as_mapping

SMALL_BACKBONE = "model.backbone={name: timm, model: test_resnet, pretrained: none, lora_rank: 2}"
SIDE = 64


def _photos_with_objects(test_data: Callable[[str], Path], count: int) -> list[tuple[Path, list[float], list[float]]]:
    """Photos of coco_mini with a box and a polygon each."""
    root = test_data("coco_mini")
    listed = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    names = {image["id"]: image["file_name"] for image in listed["images"]}
    found: dict[int, tuple[Path, list[float], list[float]]] = {}
    for annotation in listed["annotations"]:
        image = annotation["image_id"]
        if not annotation["iscrowd"] and annotation["area"] > 4000 and image not in found:
            found[image] = (root / "train2017" / names[image], annotation["bbox"], annotation["segmentation"][0])
    return list(found.values())[:count]


def _inpainting_folder(root: Path, objects: list[tuple[Path, list[float], list[float]]]) -> Path:
    """The source project's layout, an inpainter that rounds sizes down to 16, and a flat colour in place of the object."""
    for name in ("impainted_proposals", "positive_pairs", "discarded_proposals", "maps"):
        (root / name).mkdir(parents=True)
    instances, maps = [], []
    for number, (photo, box, polygon) in enumerate(objects):
        image = Image.open(photo).convert("RGB")
        size = tuple(side // 16 * 16 for side in image.size)
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).polygon(list(polygon), fill=255)
        changed = image.copy()
        changed.paste((200, 30 * number % 255, 90), (0, 0), mask)
        changed.resize(size).save(root / "impainted_proposals" / f"{number}_0.png")
        image.resize(size).save(root / "positive_pairs" / f"{1000 + number}_0.png")
        mask.convert("RGB").save(root / "maps" / f"{number}.png")
        instances.append({"id": 1000 + number, "bbox": str([int(v) for v in box]), "gt_image_path": str(photo)})
        maps.append(
            {
                "gt_image_path": str(photo),
                "impainted_pth": f"{root.name}/impainted_proposals/{number}_0.png",
                "segmentation_map_path": f"{root.name}/maps/{number}.png",
            }
        )
    pd.DataFrame(instances).to_csv(root / "instances.csv")
    pd.DataFrame(maps).to_csv(root / "maps.csv", index=False)
    return root


def test_inpainting_in_the_author_s_layout(
    shrink: Callable[[Path], list[str]], test_data: Callable[[str], Path], tmp_path: Path
) -> None:
    root = _inpainting_folder(tmp_path / "Impaint", _photos_with_objects(test_data, 8))
    path = ROOT / "experiments" / "clu_inpainting.yaml"
    words = [
        *shrink(path),
        f"data.root={root}",
        f"data.maps_csv={root / 'maps.csv'}",
        "data.workers=0",
        "data.batch_size=6",
        "data.split={val: 0.2, test: 0.4}",
        SMALL_BACKBONE,
        "model.head={name: unet, max_width: 8, score: learned}",
        "sweep={}",
        "sweep.model.backbone.tuning=[frozen, lora]",
    ]
    assert main(["ablate", str(path), *words]) == 0
    table = tables(tmp_path / "runs", path.stem)
    assert len(table) == 2 + 2 and (table["n"] == 6).all()  # three photos: an exchange and a copy of each
    maps = pd.read_csv(tmp_path / "runs" / path.stem / "results_maps.csv")
    assert len(maps) == 4 and (maps["average_precision"] > 0).all()
    for run in run_folders(tmp_path / "runs"):
        by_origin = pd.read_csv(run / "maps.csv").groupby("origin")["changed"]
        assert (by_origin.sum() > 0).to_dict() == {"other_class": True, "same_class": False}


def _cosine_maps(root: Path, table: Path) -> Path:
    """The source project's table and pickles of cosine similarity, of scene pairs."""
    frame = pd.read_csv(table)
    rows = []
    for number, row in frame.iterrows():
        photo = Path(str(row["reference"])).stem
        hq, sr = root / "HQ" / f"{photo}.png", root / "LQ_x4_bsrgan_out" / f"{photo}.png"
        sr = sr.with_name(f"{photo}.png") if int(str(row["pair_id"])[-1]) == 0 else None
        if sr is None:
            continue
        for target, column in ((hq, "reference"), (sr, "candidate")):
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.open(table.parent / str(row[column])).save(target)
        mask = np.asarray(Image.open(table.parent / str(row["map"]))) > 0
        out = root / "cosine_maps" / f"{number}.pkl"
        out.parent.mkdir(exist_ok=True)
        out.write_bytes(pickle.dumps(np.where(mask, 0.2, 0.95).astype(np.float32)))
        rows.append({"img_a_pth": str(hq), "img_b_pth": str(sr), "out_paths": str(out), "ima_ncaps": 3 + number % 2})
    path = root / "cosine_maps" / "filt_refs.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_sr_maps_in_the_author_s_layout(shrink: Callable[[Path], list[str]], tmp_path: Path) -> None:
    scenes = write_pair_set(tmp_path / "scenes", SceneSetConfig(scenes=12, candidates_per_scene=2, size=SIDE))
    table = _cosine_maps(tmp_path / "koniq-10k_sr", scenes)
    path = ROOT / "experiments" / "clu_sr_maps.yaml"
    words = [
        *shrink(path),
        f"data.table={table}",
        "data.workers=0",
        "data.batch_size=6",
        "data.split={val: 0.2, test: 0.4}",
        SMALL_BACKBONE,
        "model.head={name: unet, max_width: 8}",
        "baselines=[pixel_difference]",
        "sweep={}",
        "sweep.model.backbone.tuning=[frozen, full]",
        "sweep.data.threshold=[null, 0.9]",
    ]
    assert main(["ablate", str(path), *words]) == 0
    runs = [run for run in run_folders(tmp_path / "runs") if "pixel" not in run.name]
    assert len(runs) == 4
    for run in runs:
        config = yaml.safe_load((run / "config.yaml").read_text())
        state = (run / "part-0.ckpt").stat().st_size
        assert (run / "maps.csv").is_file() and state > 0
        assert config["data"]["threshold"] in (None, 0.9)


def test_maps_from_captions_are_a_target(
    shrink: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chain: regions and captions of scenes, difference maps, a decoder that learns them."""
    table = write_region_set(tmp_path / "set", SceneSetConfig(scenes=10, candidates_per_scene=2, size=SIDE))
    labelled = tmp_path / "set" / "labelled.csv"
    stored = [f"{kind}.name=stored" for kind in ("segmenter", "captioner")]
    assert main(["label", "maps", str(table), "--out", str(labelled), *stored, "embedder.name=hashed_words"]) == 0
    frame = pd.read_csv(labelled)
    assert frame["map_error"].isna().all() and (frame["reference_captions"] >= 2).all()
    path = ROOT / "experiments" / "clu_sr_maps.yaml"
    words = [
        *shrink(path),
        f"data.table={labelled}",
        "data.workers=0",
        "data.batch_size=6",
        "data.augment=[flip, crop]",
        "data.only_hq=false",
        SMALL_BACKBONE,
        "model.head={name: unet_pixel, max_width: 8}",
    ]
    capsys.readouterr()
    assert main(["run", str(path), *words]) == 0
    assert "map_average_precision" in capsys.readouterr().out
    (run,) = run_folders(tmp_path / "runs")
    figures = json.loads((run / "metrics.json").read_text())
    assert figures["maps"]["pooled"]["n"] == figures["pooled"]["n"] > 0


def test_built_sets_train_decoders_and_regressors(
    shrink: Callable[[Path], list[str]],
    test_data: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real photos through both builders without a model, and their tables through a few steps of training."""
    monkeypatch.setenv("SEMFID_TEST_DATA", str(test_data("coco_mini").parent))
    configs = ROOT / "data_tools" / "builders" / "configs"
    painted, restored = tmp_path / "inpainting", tmp_path / "sr"
    assert (
        main(["build", "inpainting", str(configs / "inpainting_mini.yaml"), f"out={painted}", "instances_per_image=1"])
        == 0
    )
    path = ROOT / "experiments" / "clu_inpainting_mini.yaml"
    words = [*shrink(path), f"data.table={painted / 'pairs.csv'}", "data.split={folds: 2, val: 0}", "baselines=[]"]
    unet = "sweep.model.head=[{name: unet_pixel, max_width: 8, score: learned}]"
    assert main(["ablate", str(path), *words, SMALL_BACKBONE, unet]) == 0
    (run,) = run_folders(tmp_path / "runs")
    found = json.loads((run / "metrics.json").read_text())["maps"]
    assert set(found["origin"]) == {"same_class", "same_supercategory", "other_supercategory"}

    few = ["photos.min_score=3.8", "strengths=[0.3]", "selection.target=24"]
    assert main(["build", "sr-outputs", str(configs / "sr_outputs_mini.yaml"), f"out={restored}", *few]) == 0
    table = restored / "selected_pairs.csv"
    frame = pd.read_csv(table)
    assert len(frame) == 24 and set(frame["split"]) == {"train", "val", "test"}
    path = ROOT / "experiments" / "regressor_user_study.yaml"
    words = [word for word in shrink(path) if not word.startswith(("data.", "output"))]
    data = (
        f"{{name: pairs, table: {table}, columns: {{difference: ssim}}, invert: true, image_size: 64, batch_size: 16}}"
    )
    output = f"output={tmp_path / 'regressors'}"
    assert main(["run", str(path), *words, output, f"data={data}", SMALL_BACKBONE, "model.backbone.tuning=frozen"]) == 0


def test_the_source_project_s_sweep_is_whole() -> None:
    path = ROOT / "experiments" / "clu_sr_maps.yaml"
    sweep = read_sweep(path, [])

    def cell(config: RunConfig) -> tuple[Any, ...]:
        model, data = config.needed_model, config.data.keywords
        return config.backbone.name, data["min_caps"], data["only_hq"], model.tuning, data["threshold"]

    expected = itertools.product(
        ("resnet50_clip", "resnet50_imagenet"),
        (2, 4, 8, 16),
        (True, False),
        ("frozen", "lora", "full"),
        (None, 0.4, 0.9),
    )
    assert {cell(variant.config) for variant in sweep.variants} == set(expected) and len(sweep.variants) == 144
    config = as_mapping(sweep.config)
    assert config["trainer"]["max_epochs"] == 60 and config["data"]["batch_size"] == 80
    assert config["model"]["optimizer"] == {"name": "adam", "lr": 1e-4}
    assert sweep.variants[0].config.backbone.keywords["lora_rank"] == 32


@pytest.mark.parametrize("name", ["clu_inpainting", "clu_inpainting_mini", "clu_real", "clu_sr_maps", "clu_scenes"])
def test_they_learn_maps_and_stand_beside_the_pixels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMFID_TEST_DATA", "/data")
    config = as_mapping(read_sweep(ROOT / "experiments" / f"{name}.yaml", []).config)
    assert config["model"]["name"] == "local_map" and config["selection"]["monitor"] in ("val_mse", "last")
    assert "pixel_difference" in config["baselines"]
