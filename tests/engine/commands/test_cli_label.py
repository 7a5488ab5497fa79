"""`semfid label maps` from its arguments to its exit code."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_tools.synthetic import SceneSetConfig, write_region_set
from engine.commands.label import label_table
from engine.commands.label_settings import C2cSettings, C2iSettings, MapSettings, plugin
from semfid.cli import main
from semfid.errors import UserError
from semfid.settings import read_settings

STORED = ["segmenter.name=stored", "captioner=stored", "embedder.name=hashed_words"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("label") / "set"
    return write_region_set(out, SceneSetConfig(scenes=3, candidates_per_scene=4, size=64, seed=4))


class TestCommand:
    def test_truth_of_the_scenes(self, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "out.csv"
        assert main(["label", "maps", str(scenes), "--out", str(out), *STORED, f"folder={tmp_path}/work"]) == 0
        assert f"{out}: 12 of 12 maps; work folder {tmp_path}/work" in capsys.readouterr().out
        rows = pd.read_csv(out, keep_default_na=False)
        changed = 0
        for _, row in rows.iterrows():
            values = np.load(tmp_path / row["map"]).astype(float)
            mask = np.asarray(Image.open(tmp_path / row["map_before"])) > 0
            if row["edit"] != "same_class":
                assert values[~mask].max(initial=0) == 0, "nothing is said to change outside the true mask"
                changed += int(mask.any())
                assert values[mask].mean() > 0.3 if mask.any() else not values.any()
        assert changed >= 3

    def test_a_failed_pair(self, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        frame = pd.read_csv(scenes, keep_default_na=False)
        frame["reference"] = [str(scenes.parent / name) for name in frame["reference"]]
        frame["candidate"] = [str(scenes.parent / name) for name in frame["candidate"]]
        frame.loc[2, "candidate"] = "nowhere.png"
        frame.drop(columns="map").to_csv(tmp_path / "pairs.csv", index=False)
        words = [*STORED, f"segmenter.folder={scenes.parent}/regions", f"captioner.folder={scenes.parent}/regions"]
        assert main(["label", "maps", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "o.csv"), *words]) == 1
        said = capsys.readouterr()
        assert "11 of 12 maps" in said.out
        assert f"semfid: FAILED {frame.loc[2, 'pair_id']}: no image" in said.err
        assert (tmp_path / "o_maps" / "maps").is_dir()

    def test_a_file_of_settings(self, scenes: Path, tmp_path: Path) -> None:
        (tmp_path / "label.yaml").write_text(
            f"segmenter: {{name: stored, regions: raw}}\ncaptioner: stored\nembedder: {{name: hashed_words, dim: 64}}\n"
            f"map_format: npy\nfolder: {tmp_path}/work\n"
        )
        out = tmp_path / "out.csv"
        words = ["--config", str(tmp_path / "label.yaml"), "map_format=png", "segmenter.regions=final"]
        assert main(["label", "maps", str(scenes), "--out", str(out), *words]) == 0
        assert pd.read_csv(out)["map"].str.endswith(".png").all()
        assert [*(tmp_path / "work/embeddings").glob("hashed_words-1-64-pairs-*/*.safetensors")]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["segmentr.name=stored"], "unknown key 'segmentr'; did you mean 'segmenter'"),
            (["prompt.name=x"], "prompt={'name': 'x'} should be str"),
            (["segmenter.name=onefomer"], "no segmenter 'onefomer'; did you mean 'oneformer'"),
            (["captioner.name=qwen"], "no captioner 'qwen'"),
            (["segmenter.treshold=0.4"], "segmenter 'oneformer' has no keyword 'treshold'; did you mean 'threshold'"),
            (["captioner.max_new_tokens=many"], "max_new_tokens='many' should be int"),
            (["map_format=pgn"], "map_format='pgn' should be one of 'npy', 'png'"),
            (["min_area=2"], "min_area=2 must be below 1"),
            (["min_area=1e-3", "contour=wide"], "contour='wide' should be int or one of 'scaled'"),
            (["batch_size=0"], "batch_size=0 must be 1 or more"),
            (["prompt='  '"], "prompt is empty"),
            (["segmenter=[a]"], "segmenter=['a']: must be a name"),
            (["--config", "nowhere.yaml"], "no file nowhere.yaml"),
            (["segmenter.name=stored"], r"segmenter: stored finds no folder"),
            (["segmenter.model=nowhere"], "segmenter: oneformer: cannot get 'nowhere'"),
        ],
    )
    def test_mistakes(
        self, scenes: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        table = tmp_path / "pairs.csv"
        table.write_bytes(scenes.read_bytes())
        assert main(["label", "maps", str(table), "--out", str(tmp_path / "out.csv"), *words]) == 2
        said = capsys.readouterr().err.strip()
        assert message in said and "\n" not in said and "Traceback" not in said

    def test_tables(self, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for table, out, message in (
            (tmp_path / "none.csv", tmp_path / "out.csv", "no pair table"),
            (scenes, scenes, "is the table that is read"),
            (scenes, tmp_path / "out.txt", "ends in .csv or .parquet"),
        ):
            assert main(["label", "maps", str(table), "--out", str(out), *STORED]) == 2
            assert message in capsys.readouterr().err

    def test_a_configuration_that_is_no_mapping(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("- a\n")
        with pytest.raises(UserError, match=r"a\.yaml: the file must hold a mapping"):
            read_settings(MapSettings, tmp_path / "a.yaml")
        (tmp_path / "a.yaml").write_text("a: [\n")
        with pytest.raises(UserError, match=r"a\.yaml is not a YAML file"):
            read_settings(MapSettings, tmp_path / "a.yaml")
        with pytest.raises(UserError, match="'contour=' is not key=value"):
            read_settings(MapSettings, None, ["contour="])


class TestSettings:
    def test_a_prompt_may_hold_anything(self) -> None:
        assert read_settings(MapSettings, None, ["prompt=Say: what is outlined?"]).prompt == "Say: what is outlined?"
        assert read_settings(MapSettings, None, ["contour=scaled", "min_area=1e-3"]).min_area == 0.001

    def test_defaults_are_not_changed(self) -> None:
        read_settings(MapSettings, None, ["segmenter.name=stored", "segmenter.folder=x"])
        assert MapSettings().segmenter.name == "oneformer" and MapSettings().segmenter.keywords == {}

    def test_device_and_batch_size_reach_those_that_take_them(self) -> None:
        settings = read_settings(MapSettings, None, ["device=cpu", "batch_size=3", "captioner.batch_size=5"])
        assert plugin(settings, "segmenter", Path("t.csv")) == ("oneformer", {"device": "cpu", "batch_size": 3})
        assert plugin(settings, "captioner", Path("t.csv"))[1] == {"device": "cpu", "batch_size": 5}
        assert plugin(settings, "embedder", Path("t.csv"))[1] == {}
        stored = read_settings(MapSettings, None, ["segmenter=stored"])
        assert plugin(stored, "segmenter", Path("a/t.csv")) == ("stored", {"folder": "a/regions"})

    def test_naming_another_plugin_in_a_section(self) -> None:
        settings = read_settings(MapSettings, None, ["segmenter={name: stored, folder: x}", "segmenter.regions=raw"])
        assert settings.segmenter.name == "stored" and settings.segmenter.keywords == {"folder": "x", "regions": "raw"}
        settings = read_settings(
            MapSettings, None, ["captioner=stored", "captioner.folder=x", "segmenter.threshold=0.4"]
        )
        assert (settings.captioner.name, settings.captioner.keywords) == ("stored", {"folder": "x"})
        assert (settings.segmenter.name, settings.segmenter.keywords) == ("oneformer", {"threshold": 0.4})


class TestLabelsOfImages:
    """`semfid label captions | c2c | c2i | i2i`; what is computed is tested in tests/pseudo_labels."""

    def test_one_after_the_other(self, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table, words = (
            tmp_path / "pairs.csv",
            [f"captioner.folder={scenes.parent}/regions", f"cache={tmp_path}/cache"],
        )
        frame = pd.read_csv(scenes, keep_default_na=False)
        for side in ("reference", "candidate"):
            frame[side] = [str(scenes.parent / name) for name in frame[side]]
        frame.to_csv(table, index=False)
        one, two = tmp_path / "one.csv", tmp_path / "two.parquet"
        assert main(["label", "captions", str(table), "--out", str(one), "captioner=stored", *words]) == 0
        assert f"{one}: captions of 12 of 12 pairs" in capsys.readouterr().out
        stored = ["captioner.name=stored", "embedder.name=hashed_words", *words]
        for shard in ("0/2", "1/2"):
            assert main(["label", "c2c", str(one), "--out", str(two), "--shard", shard, *stored]) == 0
            said = capsys.readouterr().out
            assert ("1 of 2 shards are still to come" in said) == (shard == "0/2")
        rows = pd.read_parquet(two)
        assert list(rows["caption_reference"]) == list(pd.read_csv(one)["caption_reference"])
        assert rows["c2c"].between(0, 1).all() and rows["c2c"].max() > 0
        (tmp_path / "label.yaml").write_text("captions: table\nembedder: hashed_words\n")
        config = ["--config", str(tmp_path / "label.yaml"), f"cache={tmp_path}/cache"]
        assert main(["label", "c2c", str(two), "--out", str(tmp_path / "three.csv"), *config]) == 0
        assert pd.read_csv(tmp_path / "three.csv")["c2c"].to_list() == rows["c2c"].to_list()

    def test_failed_pairs_and_empty_captions(
        self, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        frame = pd.read_csv(scenes, keep_default_na=False).assign(caption_reference="a dog", caption_candidate="a cat")
        for side in ("reference", "candidate"):
            frame[side] = [str(scenes.parent / name) for name in frame[side]]
        frame.loc[[2, 3, 5, 6, 7, 8], "candidate"] = "nowhere.png"
        frame.loc[4, "caption_candidate"] = ""
        frame.to_csv(tmp_path / "pairs.csv", index=False)
        words = ["captions=table", "embedder=hashed_words", f"cache={tmp_path}/cache"]
        assert main(["label", "c2c", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "o.csv"), *words]) == 1
        said = capsys.readouterr()
        assert "c2c of 5 of 12 pairs" in said.out
        assert "warning: 1 of " in said.err and "images have an empty caption" in said.err
        assert f"FAILED {frame.loc[2, 'pair_id']}: no image" in said.err
        assert "and 1 more; see the column label_error" in said.err

    @pytest.mark.parametrize(
        ("what", "words", "message"),
        [
            ("c2c", ["captioner.name=quen2_vl"], "no captioner 'quen2_vl'; did you mean 'qwen2_vl'"),
            ("c2c", ["tower.name=clip"], "unknown key 'tower' (there are: "),
            ("i2i", ["captioner.name=blip"], "unknown key 'captioner'"),
            ("i2i", ["tower=clipp"], "no dual encoder 'clipp'; did you mean 'clip'"),
            ("c2i", ["tower.pretraind=openai"], "has no keyword 'pretraind'; did you mean 'pretrained'"),
            ("c2i", ["captioner.model=nowhere"], "captioner: qwen2_vl: cannot get 'nowhere'"),
            ("c2c", ["pairs=some"], "pairs='some' should be one of 'reference', 'all'"),
            ("captions", ["captions=table"], "captions=table leaves nothing to do"),
            ("captions", ["prompt=' '"], "prompt is empty"),
            ("captions", ["captioner=stored"], "captioner: stored finds no folder"),
            ("c2c", ["captions=table", "embedder=hashed_words"], "has no column caption_reference"),
            ("i2i", ["--shard", "2/2"], "--shard 2/2: give i/n"),
            ("maps", ["--shard", "0/2"], "--shard is for captions, c2c, c2i and i2i"),
        ],
    )
    def test_mistakes(
        self, scenes: Path, tmp_path: Path, what: str, words: list[str], message: str,
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.chdir(tmp_path)
        shutil.copy(scenes, tmp_path / "pairs.csv")
        assert main(["label", what, "pairs.csv", "--out", "out.csv", *words]) == 2
        said = capsys.readouterr().err.strip()
        assert message in said and "Traceback" not in said and not (tmp_path / "out.csv").exists()

    def test_device_and_batch_size_reach_the_tower(self) -> None:
        settings = read_settings(C2iSettings, None, ["device=cpu", "batch_size=3", "tower.name=siglip"])
        assert plugin(settings, "tower", Path("t.csv")) == ("siglip", {"device": "cpu", "batch_size": 3})
        assert plugin(settings, "captioner", Path("t.csv"))[1] == {"device": "cpu", "batch_size": 3}
        assert settings.prompt == "Describe this image."


def test_from_python(scenes: Path, tmp_path: Path) -> None:
    settings = C2cSettings.model_validate(
        {
            "captioner": {"name": "stored", "folder": f"{scenes.parent}/regions"},
            "embedder": "hashed_words",
            "cache": str(tmp_path),
        }
    )
    done = label_table(scenes, tmp_path / "out.csv", settings=settings)
    assert (done.rows, done.labelled, dict(done.errors), done.waiting) == (12, 12, {}, 0)
    assert pd.read_csv(tmp_path / "out.csv")["c2c"].between(0, 1).all()
    with pytest.raises(UserError, match="label i2i takes I2iSettings, not MapSettings"):
        label_table(scenes, tmp_path / "out.csv", "i2i", MapSettings())
