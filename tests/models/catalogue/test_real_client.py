"""huggingface_hub itself, and the libraries that load from its cache, against a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import open_clip
import pytest
import timm
import tiny_towers
import torch
from huggingface_hub import constants
from local_hub import MemoryHub, served
from safetensors.torch import save

from backbones import build_backbone
from models.catalogue.contract import HubSource, KnownModel
from models.catalogue.download import Downloader
from models.catalogue.lock import LockedModel, pinned_revision, record
from models.catalogue.places import Places
from models.catalogue.remote import HuggingFace, Urls
from models.catalogue.state import State, facts_of, wrong_files
from models.catalogue.transfer import partial
from models.dual_encoders.open_clip_models import create
from models.hub import hub_identity, pin
from semfid.errors import UserError

ID = "owner/model"
FILES = {"config.json": b"{}", "model.safetensors": bytes(5000), "sub/words.txt": b"a\nb\n"}
MODEL = KnownModel("tiny", (HubSource(ID),), ())


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    """A cache of its own, and a client that may connect to this machine."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    huggingface_hub.close_session()
    yield Places(folder, tmp_path / "checkpoints")
    huggingface_hub.close_session()


def get(hub: MemoryHub, places: Places, model: KnownModel = MODEL) -> None:
    with served(hub) as address:
        Downloader(places, HuggingFace(address), Urls()).get(model, lambda model, licence: True)


def test_a_download_is_what_the_library_finds(places: Places) -> None:
    hub = MemoryHub({ID: [dict(FILES)]})
    get(hub, places)
    commit = hub.commit(ID, 0)
    for name, content in FILES.items():
        for revision in (commit, None):
            found = huggingface_hub.hf_hub_download(
                ID, name, revision=revision, cache_dir=places.hub, local_files_only=True
            )
            assert Path(found).read_bytes() == content and commit in found
    facts = facts_of(MODEL, places)
    assert facts.state is State.PRESENT and facts.licence == "mit" and wrong_files(MODEL, places) == []


def test_what_the_library_downloaded_is_what_get_would(places: Places) -> None:
    """The same layout, so the state without a record is known, and `get` only records."""
    hub = MemoryHub({ID: [dict(FILES)]})
    with served(hub) as address:
        for name in FILES:
            huggingface_hub.hf_hub_download(ID, name, cache_dir=places.hub, endpoint=address)
    assert facts_of(MODEL, places).state is State.UNRECORDED and wrong_files(MODEL, places) == []
    hub.sent.clear()
    get(hub, places)
    assert facts_of(MODEL, places).state is State.PRESENT and hub.sent == []


def test_it_resumes_by_a_range(places: Places) -> None:
    hub = MemoryHub({ID: [dict(FILES)]})
    blob = places.repository(HubSource(ID)) / "blobs" / weights_digest(hub)
    blob.parent.mkdir(parents=True)
    partial(blob).write_bytes(FILES["model.safetensors"][:3000])
    get(hub, places)
    assert ("model.safetensors", 3000, 2000) in hub.sent and wrong_files(MODEL, places) == []


def weights_digest(hub: MemoryHub) -> str:
    listed = hub.look_up(HubSource(ID), None).files
    return next(one.digest for one in listed if one.name == "model.safetensors")


def test_gated_missing_and_out_of_reach(places: Places) -> None:
    with pytest.raises(UserError, match="hf auth login"):
        get(MemoryHub({ID: [dict(FILES)]}, gated=True), places)
    with pytest.raises(UserError, match="there is no owner/other"):
        get(MemoryHub({ID: [dict(FILES)]}), places, KnownModel("other", (HubSource("owner/other"),), ()))
    loader = Downloader(places, HuggingFace("http://127.0.0.1:9"), Urls())
    with pytest.raises(UserError, match="on a machine with a connection"):
        loader.get(MODEL, lambda model, licence: True)


def test_a_token_without_access(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(HuggingFace):
        def has_token(self) -> bool:
            return True  # of an account that has not accepted: the server below refuses it

    hub = MemoryHub({ID: [dict(FILES)]}, gated=True)
    with served(hub) as address, pytest.raises(UserError, match="this account has no access"):
        Downloader(places, Closed(address), Urls()).get(MODEL, lambda model, licence: True)


def test_timm_takes_the_recorded_revision(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two commits in the cache, the recorded one, without a network."""
    name = "test_resnet.r160_in1k"
    repository = timm.get_pretrained_cfg(name).hf_hub_id
    nets = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        nets.append(timm.create_model(name, pretrained=False))
    commits = [{"config.json": b"{}", "model.safetensors": save(net.state_dict())} for net in nets]
    hub = MemoryHub({repository: [commits[0]]})
    model = KnownModel("t", (HubSource(repository),), ())
    get(hub, places, model)
    both = MemoryHub({repository: commits})
    get(both, places, KnownModel("t", (HubSource(repository, revision=hub.commit(repository, 1)),), ()))
    record(places.lock, repository, LockedModel(hub.commit(repository, 0), None))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pinned_revision(repository) == hub.commit(repository, 0)
    loaded = build_backbone("timm", {"model": name}).net.state_dict()
    for key in ("conv1.0.weight", "layer1.0.conv1.weight"):
        if key in loaded:
            assert np.array_equal(loaded[key].numpy(), nets[0].state_dict()[key].numpy())
            assert not np.array_equal(loaded[key].numpy(), nets[1].state_dict()[key].numpy())
            return
    raise AssertionError(sorted(loaded)[:5])


def test_open_clip_takes_the_recorded_revision(places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the tag's mean and std, which the weights' file does not hold."""
    tiny_towers.add_open_clip(tmp_path / "tiny")
    tag = {"hf_hub": "owner/clip/", "mean": (0.25,) * 3, "std": (0.75,) * 3}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, tiny_towers.OPEN_CLIP, {"tag": tag})
    nets = [create("t", tiny_towers.OPEN_CLIP, None, seed, "").state_dict() for seed in (0, 1)]
    commits = [{"open_clip_model.safetensors": save(net)} for net in nets]
    hub = MemoryHub({"owner/clip": commits[:1]})
    get(hub, places, KnownModel("c", (HubSource("owner/clip"),), ()))
    both = MemoryHub({"owner/clip": commits})
    get(both, places, KnownModel("c", (HubSource("owner/clip", revision=both.commit("owner/clip", 1)),), ()))
    record(places.lock, "owner/clip", LockedModel(hub.commit("owner/clip", 0), None))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = create("t", tiny_towers.OPEN_CLIP, "tag", 7, "")
    assert all(torch.equal(value, nets[0][name]) for name, value in model.state_dict().items())
    assert tuple(model.visual.image_mean) == tag["mean"] and tuple(model.visual.image_std) == tag["std"]


def test_transformers_models_are_pinned_to_the_recorded_revision(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [b'{"model_type": "clip", "projection_dim": 8}', b'{"model_type": "clip", "projection_dim": 16}']
    first = MemoryHub({ID: [{"config.json": configs[0], "model.safetensors": b"0"}]})
    get(first, places)
    both = MemoryHub({ID: [{"config.json": one, "model.safetensors": b"0"} for one in configs]})
    get(both, places, KnownModel("tiny", (HubSource(ID, revision=both.commit(ID, 1)),), ()))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pin("test", ID, None).config.projection_dim == 16
    record(places.lock, ID, LockedModel(both.commit(ID, 0), None))
    found = pin("test", ID, None)
    assert found.config.projection_dim == 8 and found.identity == f"{ID}@{both.commit(ID, 0)}"
    assert pin("test", ID, both.commit(ID, 1)).config.projection_dim == 16, "what the user writes goes first"
    assert hub_identity("test", ID, pinned_revision(ID), file="config.json") == found.identity
