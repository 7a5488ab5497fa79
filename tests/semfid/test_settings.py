"""The one reader of settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from semfid.errors import UserError
from semfid.settings import PluginSpec, Settings, as_mapping, read_settings, validate
from semfid.typing_checks import fits


class Inner(Settings):
    steps: Annotated[int, Field(ge=1)] = 5
    rate: float = 0.5


class Named(Settings):
    side: int


class Outer(Settings):
    renamed: ClassVar[dict[str, str]] = {"colour": "kind"}
    out: str
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner(rate=0.25)
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None
    model: PluginSpec = PluginSpec(name="first")
    parts: dict[str, Named] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Outer:
        if self.kind == "b" and self.limit is None:
            raise ValueError("kind=b needs a limit; give limit=N")
        return self


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def test_layers(tmp_path: Path) -> None:
    path = write(tmp_path, "out: x\ninner: {steps: 7}\nsizes: [3]\nmodel: {name: m, a: 1}\nparts: {p: {side: 3}}\n")
    settings = read_settings(Outer, path, ["inner.steps=9", "model.b=2", "limit=4"])
    assert settings.inner == Inner(steps=9, rate=0.25)  # the field's own default stays beside what is given
    assert settings.sizes == (3,) and settings.limit == 4 and settings.parts["p"].side == 3
    assert settings.model.name == "m" and settings.model.keywords == {"a": 1, "b": 2}
    other = read_settings(Outer, path, ["model={name: n, c: 1}"])
    assert other.model.keywords == {"c": 1}  # another plugin: not the keywords of the first
    assert read_settings(Outer, path, ["model=n"]).model == PluginSpec(name="n")
    assert as_mapping(settings, ["inner.rate"])["inner"] == {"steps": 9}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["inner.step=1"], "unknown key 'inner.step'; did you mean 'steps'? (there are: steps, rate)"),
        (["kindd=a"], "unknown key 'kindd'; did you mean 'kind'?"),
        (["kind=c"], "file.yaml: kind='c' should be one of 'a', 'b'"),
        (["inner.steps=0"], "file.yaml: inner.steps=0 must be 1 or more"),
        (["inner.steps=1.5"], "file.yaml: inner.steps=1.5 should be int"),
        (["inner.steps=true"], "file.yaml: inner.steps=True should be int"),
        (["out=1"], "file.yaml: out=1 should be str"),
        (["limit=x"], "file.yaml: limit='x' should be int or null"),
        (["sizes=[a]"], "file.yaml: sizes="),
        (["parts={p: {}}"], "file.yaml: parts.p.side is missing"),
        (["parts={p: {sid: 1}}"], "unknown key 'parts.p.sid'; did you mean 'side'?"),
        (["parts=1"], "parts must hold a mapping of labels; it is 1"),
        (["inner=1"], "inner must hold a mapping of keys; it is 1"),
        (["kind=b"], "file.yaml: kind=b needs a limit; give limit=N"),
        (["model={a: 1}"], "file.yaml: model"),
        (["inner.steps"], "'inner.steps' is not key=value, such as seed=1"),
        (["out=${nowhere}"], "file.yaml: out: "),
    ],
)
def test_a_mistake_is_one_line_with_the_fix(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(Outer, write(tmp_path, "out: x\n"), overrides)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_renamed_key_is_taken_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "semfid"):
        settings = validate(Outer, {"out": "x", "colour": "b", "limit": 1}, str(tmp_path))
    assert settings.kind == "b" and "the key 'colour' is now 'kind'" in caplog.text


@pytest.mark.parametrize(
    ("value", "annotation", "answer"),
    [
        (1, float, True),
        (True, float, False),
        (True, int, False),
        (1, bool, False),
        ("1", int, False),
        (1, str, False),
        ([1, 2], tuple[int, ...], True),
        ([1, "a"], tuple[int, ...], False),
        ((1, 2), list[int], True),
        ([1], list[float], True),
        (None, int | None, True),
        ("a", Literal["a", "b"], True),
        (1, Literal["1"], False),
        (True, Literal[1], False),
        ({"a": 1}, dict[str, int], True),
        ({"a": "x"}, dict[str, int], False),
        ("text", list[str], False),
        ("anything", Any, True),
        (object(), Path, True),
    ],
)
def test_fits(value: Any, annotation: Any, answer: bool) -> None:
    assert fits(value, annotation) is answer
