"""Which candidate belongs to which reference: every rule, every refusal."""

from __future__ import annotations

import random
import string
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from semfid.errors import UserError
from semfid.io.file_pairs import FilePair, Pairing, pair_files, read_pair_table


def touch(root: Path, *names: str) -> Path:
    """Pairing looks at names alone: empty files do."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(pairing: Pairing) -> dict[str, tuple[str, str]]:
    """pair_id -> (name of the reference, origin)."""
    return {pair.pair_id: (pair.reference.name, pair.origin) for pair in pairing.pairs}


@pytest.mark.parametrize(
    ("references", "candidates", "expected"),
    [
        (["kitchen.png"], ["kitchen.jpg"], {"kitchen": ("kitchen.png", "")}),
        (["kitchen.png"], ["SwinIR_kitchen.png"], {"SwinIR_kitchen": ("kitchen.png", "SwinIR")}),
        (["kitchen.png"], ["SwinIR/kitchen.png"], {"SwinIR/kitchen": ("kitchen.png", "SwinIR")}),
        (["kitchen.png"], ["4x/SwinIR/kitchen.png"], {"4x/SwinIR/kitchen": ("kitchen.png", "4x/SwinIR")}),
        (["a/k.png", "b/k.png"], ["b/k.png"], {"b/k": ("k.png", "")}),
        (["a/k.png", "b/k.png"], ["M/b/k.png"], {"M/b/k": ("k.png", "M")}),
        (["deep/k.png"], ["k.png"], {"k": ("k.png", "")}),
        # references with a _ of their own: the longest name that fits
        (["a_b.png", "b.png"], ["M_a_b.png", "M_b.png"], {"M_a_b": ("a_b.png", "M"), "M_b": ("b.png", "M")}),
        (["0001_x4.png"], ["Real_ESRGAN_0001_x4.png"], {"Real_ESRGAN_0001_x4": ("0001_x4.png", "Real_ESRGAN")}),
        # an equal name goes before <model>_<name>
        (["k.png", "M_k.png"], ["M_k.png"], {"M_k": ("M_k.png", "")}),
        (["my photo 1.png"], ["Model A_my photo 1.png"], {"Model A_my photo 1": ("my photo 1.png", "Model A")}),
        (
            ["кухня.png", "台所.png"],
            ["М_кухня.png", "台所.jpg"],
            {"М_кухня": ("кухня.png", "М"), "台所": ("台所.png", "")},
        ),
        (["photo.v2.png"], ["M_photo.v2.png"], {"M_photo.v2": ("photo.v2.png", "M")}),
        (["K.PNG"], ["M_K.Jpeg"], {"M_K": ("K.PNG", "M")}),
        (["k.png"], ["k.png", ".k.png", ".cache/k.png", "k.txt"], {"k": ("k.png", "")}),
        (["a[1].png"], ["M_a[1].png"], {"M_a[1]": ("a[1].png", "M")}),
    ],
)
def test_rules(
    tmp_path: Path, references: list[str], candidates: list[str], expected: dict[str, tuple[str, str]]
) -> None:
    pairing = pair_files(touch(tmp_path / "HQ", *references), touch(tmp_path / "SR", *candidates))
    assert found(pairing) == expected and pairing.extra == []
    for pair in pairing.pairs:
        assert pair.reference.is_relative_to(tmp_path / "HQ") and pair.reference.is_file()
        assert pair.candidate.is_relative_to(tmp_path / "SR") and pair.candidate.is_file()
    if references[0].startswith("a/"):
        assert pairing.pairs[0].reference == tmp_path / "HQ" / "b" / "k.png"


def test_missing_and_extra_names_and_the_order(tmp_path: Path) -> None:
    references = touch(tmp_path / "HQ", "b.png", "a.png", "sub/lonely.png")
    candidates = touch(tmp_path / "SR", "N_b.png", "M_b.png", "M_a.png", "stranger.png", "x/other.png")
    pairing = pair_files(references, candidates)
    assert [pair.pair_id for pair in pairing.pairs] == ["M_a", "M_b", "N_b"]
    assert pairing.missing == ["sub/lonely.png"]
    assert pairing.extra == [str(candidates / "stranger.png"), str(candidates / "x" / "other.png")]


def test_a_thousand_names_of_two_models_find_their_own(tmp_path: Path) -> None:
    """Names of letters and _ drawn at random; the generator knows the answer."""
    draw = random.Random(4)
    names: set[str] = set()
    while len(names) < 200:
        names.add("r" + "".join(draw.choice(string.ascii_lowercase[:3] + "_") for _ in range(6)) + "q")
    references = touch(tmp_path / "HQ", *(f"{name}.png" for name in names))
    answers = {}
    for name in names:
        for model in ("A", "B_2"):
            answers[f"{model}_{name}"] = (f"{name}.png", model)
    candidates = touch(tmp_path / "SR", *(f"{pair_id}.jpg" for pair_id in answers))
    got = found(pair_files(references, candidates))
    ambiguous = {
        pair_id
        for pair_id, (reference, _) in answers.items()
        if any(f"{other}.png" != reference and pair_id.endswith(f"_{other}") for other in names)
    }
    assert {k: v for k, v in got.items() if k not in ambiguous} == {
        k: v for k, v in answers.items() if k not in ambiguous
    }
    assert len(ambiguous) < 40


@pytest.mark.parametrize("inner", ["candidate", "reference"])
def test_one_folder_inside_the_other(tmp_path: Path, inner: str) -> None:
    outer = touch(tmp_path / "set", "k.png", "l.png", "in/k.png", "in/M_l.png")
    if inner == "candidate":
        pairing = pair_files(outer, outer / "in")
        assert found(pairing) == {"k": ("k.png", ""), "M_l": ("l.png", "M")}
        assert pairing.pairs[0].reference == outer / "k.png" and not pairing.missing
    else:
        touch(outer, "in/l.png")
        (outer / "in" / "M_l.png").unlink()
        pairing = pair_files(outer / "in", outer)
        assert found(pairing) == {"k": ("k.png", ""), "l": ("l.png", "")}
        assert pairing.pairs[0].candidate == outer / "k.png" and not pairing.extra


def test_a_folder_with_itself(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.png", "b.png")
    assert [(p.reference, p.candidate) for p in pair_files(folder, folder).pairs] == [
        (folder / name, folder / name) for name in ("a.png", "b.png")
    ]


def test_two_files(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.x.weird")
    assert pair_files(tmp_path / "a.png", tmp_path / "b.x.weird") == Pairing(
        [FilePair("b.x", tmp_path / "a.png", tmp_path / "b.x.weird")], [], []
    )


@pytest.mark.parametrize(
    ("references", "candidates", "says"),
    [
        (["a.png"], ["b.png"], r"no name in .*SR \(such as b\.png\) fits one in .*HQ \(such as a\.png\)"),
        (["a.txt"], ["a.png"], "no images in .*HQ"),
        (["a.png"], [".a.png"], "no images in .*SR"),
        (["a.png"], ["a.png", "a.jpg"], r"a\.jpg and .*a\.png have one name; rename"),
        (["x/k.png", "y/k.png"], ["M_k.png"], r"M_k\.png fits .*x/k\.png and .*y/k\.png; give a pair table by --pairs"),
        (["k.png", "k.jpg"], ["k.png"], r"k\.png fits .*k\.jpg and .*k\.png"),
        (["k.png", "k.jpg"], ["M/k.png"], r"k\.png fits .*k\.jpg and .*k\.png"),
    ],
)
def test_folders_that_cannot_be_paired(tmp_path: Path, references: list[str], candidates: list[str], says: str) -> None:
    touch(tmp_path / "HQ", *references)
    touch(tmp_path / "SR", *candidates)
    with pytest.raises(UserError, match=says):
        pair_files(tmp_path / "HQ", tmp_path / "SR")


def test_paths_that_are_not_there_or_of_two_kinds(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "d/a.png")
    with pytest.raises(UserError, match=r"no file or folder .*gone"):
        pair_files(tmp_path / "gone", tmp_path / "d")
    with pytest.raises(UserError, match=r"no file or folder .*gone"):
        pair_files(tmp_path / "d", tmp_path / "gone")
    with pytest.raises(UserError, match="give two files or two folders"):
        pair_files(tmp_path / "a.png", tmp_path / "d")


def test_a_pair_table(tmp_path: Path) -> None:
    away = tmp_path / "away" / "y.png"
    (tmp_path / "t.csv").write_text(
        "\ufeffpair_id,reference,candidate,origin,votes\n"
        f'two,HQ/b.png,"SR/b, 2.png",M,3\none,HQ/a.png,{away},,\n\nthree,HQ/b.png,SR/ключ.png,N,1\n',
        encoding="utf-8",
    )
    pairing = read_pair_table(tmp_path / "t.csv")
    assert pairing.pairs == [
        FilePair("one", tmp_path / "HQ/a.png", away, ""),
        FilePair("three", tmp_path / "HQ/b.png", tmp_path / "SR/ключ.png", "N"),
        FilePair("two", tmp_path / "HQ/b.png", tmp_path / "SR/b, 2.png", "M"),
    ]
    (tmp_path / "plain.csv").write_text("pair_id,reference,candidate\np,a.png,b.png\n")
    assert read_pair_table(tmp_path / "plain.csv").pairs[0].origin == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as a table: it is empty"),
        (b"pair_id,reference\np,a\n", "lacks the column candidate; it has pair_id, reference"),
        (b"pair_id,reference,candidate\n", "has no rows"),
        (b"pair_id,reference,candidate\np,a,b\n,a,b\n", "row 3: pair_id, reference and candidate must be given"),
        (b"pair_id,reference,candidate\np,a\n", "row 2 has 2 values and the head 3 names"),
        (b"pair_id,reference,candidate\np,a,b\np,a,c\n", "have one name; rename one of them"),
        (b"pair_id,reference,candidate\np,\xff,b\n", "cannot be read as a table"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        read_pair_table(tmp_path / "t.csv")
    if "one name" not in says:
        assert "t.csv" in str(caught.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(UserError, match="cannot be read as a table"):
            read_pair_table(path)


@pytest.mark.parametrize(
    ("references", "candidates", "expected"),
    [
        (["k.png"], ["k_out.png"], {"k_out": ("k.png", "out")}),
        (["k.png"], ["k_SwinIR.png"], {"k_SwinIR": ("k.png", "SwinIR")}),
        (["k.png"], ["k_out.jpg", "k.png"], {"k_out": ("k.png", "out"), "k": ("k.png", "")}),
        (["k.png"], ["RealESRGAN/k_out.png"], {"RealESRGAN/k_out": ("k.png", "RealESRGAN")}),
        (["a/k.png", "b/k.png"], ["a/k_out.png", "M/b/k_out.png"], {"a/k_out": ("k.png", "out"), "M/b/k_out": ("k.png", "M")}),
        (["k.png"], ["HAT_k_out.png"], {"HAT_k_out": ("k.png", "HAT")}),
        (["k.png", "k_out.png"], ["k_out.png", "k.png"], {"k_out": ("k_out.png", ""), "k": ("k.png", "")}),
        (["my_out_photo.png"], ["my_out_photo_out.png"], {"my_out_photo_out": ("my_out_photo.png", "out")}),
    ],
)  # fmt: skip
def test_names_with_a_networks_suffix(
    tmp_path: Path, references: list[str], candidates: list[str], expected: dict[str, tuple[str, str]]
) -> None:
    pairing = pair_files(touch(tmp_path / "HQ", *references), touch(tmp_path / "SR", *candidates))
    assert found(pairing) == expected and pairing.extra == []


@pytest.mark.parametrize("name", ["k_2.png", "k_Out.png", "kout.png", "_out.png", "k_out_x.png"])
def test_other_endings_of_a_name_are_no_suffix(tmp_path: Path, name: str) -> None:
    """``k_2`` may be the output of a photo ``k_2`` that is not there."""
    pairing = pair_files(touch(tmp_path / "HQ", "k.png", "l.png"), touch(tmp_path / "SR", "l.png", name))
    assert list(found(pairing)) == ["l"] and pairing.missing == ["k.png"] and len(pairing.extra) == 1


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_compared_composed(
    tmp_path: Path, forms: tuple[Literal["NFC", "NFD"], Literal["NFC", "NFD"]]
) -> None:
    names = ("Café Zürich.png", "gr/über_out.png")
    sides = [
        touch(tmp_path / side, *(unicodedata.normalize(form, name) for name in names))
        for side, form in zip(("HQ", "SR"), forms, strict=True)
    ]
    touch(sides[1], *(unicodedata.normalize(forms[1], f"Ä/{name}") for name in names))
    pairing = pair_files(*sides)
    assert found(pairing).keys() == {"Café Zürich", "gr/über_out", "Ä/Café Zürich", "Ä/gr/über_out"}
    assert not pairing.missing and not pairing.extra and {pair.origin for pair in pairing.pairs} == {"", "Ä"}
    assert all(pair.reference.is_file() and pair.candidate.is_file() for pair in pairing.pairs)
    (tmp_path / "t.csv").write_text(
        "pair_id,reference,candidate\np,HQ/Café Zürich.png,SR/Café Zürich.png\n", encoding="utf-8"
    )
    (pair,) = read_pair_table(tmp_path / "t.csv").pairs
    assert pair.reference.is_file() and pair.candidate.is_file()


def test_thumbnails_are_no_pairs_and_are_said(tmp_path: Path) -> None:
    for side in ("HQ", "SR"):
        touch(
            tmp_path / side,
            "k.png",
            "l.png",
            "@eaDir/k.png/SYNOPHOTO_THUMB_M.jpg",
            "@eaDir/l.png/SYNOPHOTO_THUMB_XL.jpg",
        )
    pairing = pair_files(tmp_path / "HQ", tmp_path / "SR")
    assert found(pairing) == {"k": ("k.png", ""), "l": ("l.png", "")}
    assert pairing.left_out == tuple(f"{tmp_path / side}: left out 2 images in @eaDir" for side in ("HQ", "SR"))


def test_models_behind_links_are_paired(tmp_path: Path) -> None:
    touch(tmp_path, "HQ/k.png", "SR/ModelA/k.png", "store/modelb/k.png")
    (tmp_path / "SR/ModelB").symlink_to("../store/modelb")
    assert found(pair_files(tmp_path / "HQ", tmp_path / "SR")) == {
        "ModelA/k": ("k.png", "ModelA"),
        "ModelB/k": ("k.png", "ModelB"),
    }
