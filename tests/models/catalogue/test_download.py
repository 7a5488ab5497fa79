"""Getting models: whole or not there, resumed, checked, recorded. No network: a hub in memory, files behind file: addresses."""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path
from typing import BinaryIO

import pytest
from local_hub import MemoryHub

from models.catalogue.contract import FileSource, HubSource, KnownModel, PackageSource
from models.catalogue.download import Downloader
from models.catalogue.lock import read_lock
from models.catalogue.places import Places
from models.catalogue.remote import RemoteFault, Urls
from models.catalogue.state import State, facts_of, wrong_files
from semfid.errors import UserError

ID = "owner/model"
FILES = {
    "config.json": b'{"model_type": "clip"}',
    "model.safetensors": bytes(range(256)) * 40,
    "sub/words.txt": b"a\nb\n",
}
MODEL = KnownModel("tiny", (HubSource(ID),), ())


def yes(model: KnownModel, licence: str) -> bool:
    return True


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "hub", tmp_path / "checkpoints")


def hub(**settings: object) -> MemoryHub:
    return MemoryHub({ID: [dict(FILES)]}, **settings)  # type: ignore[arg-type]


def fault(model: KnownModel, loader: Downloader) -> str:
    with pytest.raises(UserError) as caught:
        loader.get(model, yes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_is_whole_and_recorded(places: Places) -> None:
    source = hub()
    assert facts_of(MODEL, places).state is State.ABSENT
    Downloader(places, source, Urls()).get(MODEL, yes)
    commit = source.commit(ID, 0)
    snapshot = places.snapshot(MODEL.sources[0], commit)
    assert {str(p.relative_to(snapshot)): p.read_bytes() for p in snapshot.rglob("*") if p.is_file()} == FILES
    locked = read_lock(places.lock)[ID]
    assert locked.revision == commit and locked.licence == "mit"
    assert {n: (f.size, f.sha256) for n, f in locked.files.items()} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()
    }
    facts = facts_of(MODEL, places)
    assert facts.state is State.PRESENT and facts.revision == commit and facts.licence == "mit"
    assert facts.bytes == sum(map(len, FILES.values())) and wrong_files(MODEL, places) == []
    sent = len(source.sent)
    Downloader(places, hub(offline=True), Urls()).get(MODEL, yes)  # nothing is asked for
    assert len(source.sent) == sent


def test_an_interrupted_download_goes_on_where_it_was(places: Places) -> None:
    broken = hub(breaks_after=5000)
    assert "no connection" in fault(MODEL, Downloader(places, broken, Urls()))
    assert facts_of(MODEL, places).state is State.PARTIAL
    assert not list(places.snapshot(MODEL.sources[0], broken.commit(ID, 0)).glob("model*")), "half a file has no name"
    source = hub()
    Downloader(places, source, Urls()).get(MODEL, yes)
    whole = len(FILES["model.safetensors"])
    assert ("model.safetensors", 5000, whole - 5000) in source.sent
    assert not [one for one in source.sent if one[0] == "config.json"], "what was complete is not fetched again"
    assert facts_of(MODEL, places).state is State.PRESENT and wrong_files(MODEL, places) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_hash_is_refused_and_leaves_nothing(name: str, places: Places) -> None:
    said = fault(MODEL, Downloader(places, hub(damaged=(name,)), Urls()))
    assert f"tiny: {name} arrived with another hash" in said and "`semfid models get tiny`" in said
    assert ID not in read_lock(places.lock)
    Downloader(places, hub(), Urls()).get(MODEL, yes)
    assert wrong_files(MODEL, places) == []


def test_a_damaged_file_is_found_and_replaced(places: Places) -> None:
    Downloader(places, hub(), Urls()).get(MODEL, yes)
    snapshot = places.snapshot(MODEL.sources[0], MemoryHub.commit(ID, 0))
    content = bytearray((snapshot / "model.safetensors").read_bytes())
    content[100] ^= 1
    (snapshot / "model.safetensors").resolve().write_bytes(content)
    assert wrong_files(MODEL, places) == [snapshot / "model.safetensors"]
    (snapshot / "model.safetensors").unlink()  # what the message says
    Downloader(places, hub(), Urls()).get(MODEL, yes)
    assert (
        wrong_files(MODEL, places) == [] and (snapshot / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    )


def test_the_recorded_commit_is_kept_when_the_repository_moves_on(places: Places) -> None:
    Downloader(places, hub(), Urls()).get(MODEL, yes)
    newer = MemoryHub({ID: [dict(FILES), {"config.json": b"{}", "model.safetensors": b"new"}]})
    snapshot = places.snapshot(MODEL.sources[0], newer.commit(ID, 0))
    shutil.rmtree(snapshot)
    Downloader(places, newer, Urls()).get(MODEL, yes)
    assert (snapshot / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    pinned = KnownModel("tiny", (HubSource(ID, revision=newer.commit(ID, 1)),), ())
    Downloader(places, newer, Urls()).get(pinned, yes)
    assert read_lock(places.lock)[ID].revision == newer.commit(ID, 1)


def test_gated_models_need_consent_and_a_token(places: Places) -> None:
    gated = KnownModel("tiny", (HubSource(ID),), (), licence="Some Licence", gated=True)
    asked: list[str] = []

    def no(model: KnownModel, licence: str) -> bool:
        asked.append(licence)
        return False

    with pytest.raises(UserError, match=r"Some Licence, must be accepted.*--accept tiny"):
        Downloader(places, hub(gated=True), Urls()).get(gated, no)
    assert asked == [f"Some Licence (https://huggingface.co/{ID})"]
    with pytest.raises(UserError, match=r"--accept tiny"):  # the hub says so, the catalogue does not
        Downloader(places, hub(gated=True), Urls()).get(MODEL, no)
    assert "hf auth login" in fault(gated, Downloader(places, hub(gated=True), Urls()))
    Downloader(places, hub(gated=True, token=True), Urls()).get(gated, yes)
    assert facts_of(gated, places).state is State.PRESENT


def test_without_a_connection_the_message_says_what_to_copy(places: Places) -> None:
    said = fault(MODEL, Downloader(places, hub(offline=True), Urls()))
    assert "on a machine with a connection run `semfid models get tiny`" in said
    assert f"copy models--owner--model/ and semfid-models.lock.json of its cache into {places.hub}" in said


def test_a_repository_that_is_not_there(places: Places) -> None:
    said = fault(
        KnownModel("openai/clip-vit-large-patch1", (HubSource("openai/clip-vit-large-patch1"),), ()),
        Downloader(places, hub(), Urls()),
    )
    assert "did you mean 'openai/clip-vit-large-patch14'" in said


def test_a_full_disk(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(MemoryHub):
        def fill(self, source: HubSource, commit: str, file: object, target: BinaryIO, start: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    said = fault(MODEL, Downloader(places, Full({ID: [dict(FILES)]}), Urls()))
    assert "No space left" in said and "HF_HUB_CACHE" in said
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    assert "0.0 GB left; free some space" in fault(MODEL, Downloader(places, hub(), Urls()))


def test_several_sources_and_patterns(places: Places) -> None:
    source = MemoryHub({ID: [dict(FILES)], "owner/names": [{"a.json": b"{}", "photo.png": b"1", "notes.md": b"1"}]})
    both = KnownModel("tiny", (HubSource(ID), HubSource("owner/names", kind="dataset", patterns=("*.json",))), ())
    Downloader(places, source, Urls()).get(MODEL, yes)
    assert facts_of(both, places).state is State.PARTIAL
    Downloader(places, source, Urls()).get(both, yes)
    assert facts_of(both, places).state is State.PRESENT
    folder = places.hub / "datasets--owner--names" / "snapshots" / source.commit("owner/names", 0)
    assert [path.name for path in folder.iterdir()] == ["a.json"]


class TestFiles:
    """One file behind an address."""

    CONTENT = b"weights" * 1000

    def model(self, path: Path, digest: str | None = None) -> KnownModel:
        path.write_bytes(self.CONTENT)
        return KnownModel(
            "alex", (FileSource(path.as_uri(), digest or hashlib.sha256(self.CONTENT).hexdigest()[:8]),), ()
        )

    def test_it_arrives_and_its_whole_hash_is_recorded(self, places: Places, tmp_path: Path) -> None:
        model = self.model(tmp_path / "net-12345678.pth")
        Downloader(places, hub(), Urls()).get(model, yes)
        path = places.checkpoints / "net-12345678.pth"
        assert path.read_bytes() == self.CONTENT and facts_of(model, places).state is State.PRESENT
        assert facts_of(model, places).revision == f"sha256 {hashlib.sha256(self.CONTENT).hexdigest()}"
        path.write_bytes(b"other")
        assert wrong_files(model, places) == [path]
        assert "remove it" in fault(model, Downloader(places, hub(), Urls()))

    def test_it_resumes(self, places: Places, tmp_path: Path) -> None:
        model = self.model(tmp_path / "net.pth")

        class Broken(Urls):
            def fill(self, url: str, target: BinaryIO, start: int) -> None:
                target.write(TestFiles.CONTENT[:3001])
                raise RemoteFault("connection", "reset")

        said = fault(model, Downloader(places, hub(), Broken()))
        assert f"copy net.pth of its cache into {places.checkpoints}" in said
        assert facts_of(model, places).state is State.PARTIAL
        Downloader(places, hub(), Urls()).get(model, yes)  # a file: address knows no ranges: what is there is skipped
        assert (places.checkpoints / "net.pth").read_bytes() == self.CONTENT

    def test_another_hash(self, places: Places, tmp_path: Path) -> None:
        assert "another hash" in fault(self.model(tmp_path / "net.pth", "00000000"), Downloader(places, hub(), Urls()))
        assert facts_of(self.model(tmp_path / "net.pth"), places).state is State.ABSENT

    def test_no_such_file(self, places: Places, tmp_path: Path) -> None:
        gone = KnownModel("alex", (FileSource((tmp_path / "gone.pth").as_uri(), "12345678"),), ())
        assert "no connection" in fault(gone, Downloader(places, hub(), Urls()))


def test_packages_are_named_not_installed(places: Places) -> None:
    package = KnownModel("extra", (PackageSource("no-such-package-here", "'semfid[extra]'", ("*.onnx",)),), ())
    assert fault(package, Downloader(places, hub(), Urls())).endswith("pip install 'semfid[extra]'")
    assert facts_of(package, places).state is State.ABSENT
    installed = KnownModel("extra", (PackageSource("Pillow", "pillow", ("PIL/*.py",)),), ())
    Downloader(places, hub(), Urls()).get(installed, yes)
    facts = facts_of(installed, places)
    assert facts.state is State.PRESENT and facts.bytes and wrong_files(installed, places) == []


def test_a_lock_file_of_something_else_is_named(places: Places) -> None:
    places.hub.mkdir(parents=True)
    for content in ("[]", "{", '{"format": 99, "models": {}}'):
        places.lock.write_text(content)
        with pytest.raises(UserError, match="not what semfid wrote"):
            facts_of(MODEL, places)


def test_what_another_program_downloaded_is_seen_and_checked(places: Places) -> None:
    Downloader(places, hub(), Urls()).get(MODEL, yes)
    places.lock.unlink()
    assert facts_of(MODEL, places).state is State.UNRECORDED and wrong_files(MODEL, places) == []
    snapshot = places.snapshot(MODEL.sources[0], MemoryHub.commit(ID, 0))
    (snapshot / "model.safetensors").resolve().write_bytes(b"other")
    assert wrong_files(MODEL, places) == [snapshot / "model.safetensors"]
