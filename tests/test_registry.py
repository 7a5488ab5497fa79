"""The plugin registry: names, keywords, rooms loaded on demand, third-party plugins."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

import registry
from registry import REGISTRIES, Registry, RegistryError, load_plugins
from semfid.errors import UserError, did_you_mean
from semfid.keywords import Fixed

ROOT = Path(__file__).resolve().parents[1]
counter = iter(range(10_000))


@pytest.fixture
def make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Registry[Any]]]:
    """A registry whose room is a package in tmp_path; modules find it as ``rooms_registry.REG``."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**modules: str) -> Registry[Any]:
        room = f"room_{next(counter)}"
        made: Registry[Any] = Registry("gadget", room)
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("")
        for name, code in modules.items():
            (tmp_path / room / f"{name}.py").write_text(f"from {room}_registry import REG\n" + textwrap.dedent(code))
        holder = type(sys)(f"{room}_registry")
        holder.REG = made  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"{room}_registry", holder)
        return made

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def gadgets(make_room: Callable[..., Registry[Any]]) -> Registry[Any]:
    """An empty room, to register by hand."""
    return make_room()


def message(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text, "a user's error is one line"
    return text


class TestNames:
    def test_build_returns_what_the_factory_makes(self, gadgets: Registry[Any]) -> None:
        @gadgets.register("pair", summary="two numbers", source="arXiv 1")
        def pair(a: int, b: float = 2.0) -> tuple[int, float]:
            return a, b

        assert gadgets.build("pair", a=1) == (1, 2.0)
        assert pair(3, 4.0) == (3, 4.0)  # the decorator hands the factory back
        entry = gadgets.get("pair")
        assert (entry.name, entry.summary, entry.source, entry.signature()) == (
            "pair",
            "two numbers",
            "arXiv 1",
            "a, b=2.0",
        )
        line = inspect.getsourcelines(pair)[1]
        assert entry.location == f"{__file__}:{line}"

    def test_names_are_sorted_and_filtered(self, gadgets: Registry[Any]) -> None:
        for name in ("b_two", "a_one", "b_one"):
            gadgets.register(name, summary="x")(lambda: name)  # noqa: B023
        assert gadgets.names() == ["a_one", "b_one", "b_two"]
        assert gadgets.names("b_*") == ["b_one", "b_two"]
        assert [entry.name for entry in gadgets.describe()] == gadgets.names()

    def test_a_second_registration_names_both_places(self, gadgets: Registry[Any]) -> None:
        def one() -> int:
            return 1

        def two() -> int:
            return 2

        gadgets.register("x", summary="first")(one)
        with pytest.raises(RegistryError) as error:
            gadgets.register("x", summary="second")(two)
        text = message(error)
        for factory in (one, two):
            assert f"{__file__}:{inspect.getsourcelines(factory)[1]}" in text
        assert gadgets.build("x") == 1, "the first stays"

    def test_unknown_name_lists_near_misses_and_all_names(self, gadgets: Registry[Any]) -> None:
        for name in ("resnet50_clip", "resnet50_imagenet", "unet"):
            gadgets.register(name, summary="x")(lambda: 0)
        with pytest.raises(RegistryError) as error:
            gadgets.build("resnet50_clp")
        text = message(error)
        assert "no gadget 'resnet50_clp'" in text and "did you mean 'resnet50_clip'" in text
        assert "registered: resnet50_clip, resnet50_imagenet, unet" in text

    def test_far_off_name_suggests_nothing(self, gadgets: Registry[Any]) -> None:
        gadgets.register("unet", summary="x")(lambda: 0)
        with pytest.raises(RegistryError) as error:
            gadgets.build("zzzzzz")
        assert "did you mean" not in message(error)

    def test_did_you_mean(self) -> None:
        assert did_you_mean("depht", ["depth", "width"]) == "; did you mean 'depth'?"
        assert did_you_mean("q", ["depth"]) == ""
        assert did_you_mean("stage", {"stage1": 1, "stage2": 2}).count(" or ") == 1


def sized(
    depth: int,
    rate: float = 0.5,
    on: bool = True,
    mode: Literal["unit", "none"] = "none",
    widths: list[int] | None = None,
    names: Sequence[str] = (),
    table: dict[str, float] | None = None,
    label: str | None = None,
    free: Any = None,
) -> int:
    return depth


class TestKeywords:
    @pytest.fixture
    def sized_room(self, gadgets: Registry[Any]) -> Registry[Any]:
        gadgets.register("sized", summary="x")(sized)
        return gadgets

    @pytest.mark.parametrize(
        "keywords",
        [
            {},
            {"rate": 1},
            {"rate": 1e-3, "on": False},
            {"mode": "unit"},
            {"widths": [1, 2]},
            {"widths": []},
            {"widths": None},
            {"names": ["a"]},
            {"names": ("a", "b")},
            {"table": {"a": 1}},
            {"label": None},
            {"label": "x"},
            {"free": object()},
        ],
    )
    def test_fitting_keywords_pass(self, sized_room: Registry[Any], keywords: dict[str, Any]) -> None:
        sized_room.check("sized", {"depth": 3, **keywords})
        assert sized_room.build("sized", depth=3, **keywords) == 3

    @pytest.mark.parametrize(
        ("keywords", "part"),
        [
            ({"depth": "3"}, "depth='3' should be int"),
            ({"depth": 3.0}, "depth=3.0 should be int"),
            ({"depth": True}, "depth=True should be int"),
            ({"depth": None}, "depth=None should be int"),
            ({"rate": "1e-3"}, "rate='1e-3' should be float"),
            ({"rate": True}, "rate=True should be float"),
            ({"rate": [0.1]}, "should be float"),
            ({"on": 1}, "on=1 should be bool"),
            ({"on": "yes"}, "on='yes' should be bool"),
            ({"mode": "uint"}, "should be one of 'unit', 'none'; did you mean 'unit'?"),
            ({"mode": True}, "should be one of 'unit', 'none'"),
            ({"widths": 3}, "should be list[int] or null"),
            ({"widths": "12"}, "should be list[int] or null"),
            ({"widths": [1, "2"]}, "should be list[int] or null"),
            ({"widths": {"a": 1}}, "should be list[int] or null"),
            ({"names": "abc"}, "names='abc' should be"),
            ({"names": None}, "names=None should be"),
            ({"names": {"a": "b"}}, "should be"),
            ({"table": [1.0]}, "should be dict[str, float] or null"),
            ({"table": {"a": "b"}}, "should be dict[str, float] or null"),
            ({"label": 5}, "should be str or null"),
        ],
    )
    def test_wrong_types_are_refused(self, sized_room: Registry[Any], keywords: dict[str, Any], part: str) -> None:
        with pytest.raises(RegistryError) as error:
            sized_room.check("sized", {"depth": 3, **keywords})
        assert part in message(error) and "gadget 'sized'" in message(error)

    @pytest.mark.parametrize(("value", "fits"), [(1, True), (3, True), (True, False), (1.0, False), ("1", False)])
    def test_choices_are_of_their_type(self, gadgets: Registry[Any], value: Any, fits: bool) -> None:
        def stage(which: Literal[1, 3] = 1) -> int:
            return which

        gadgets.register("stage", summary="x")(stage)
        if fits:
            assert gadgets.build("stage", which=value) == value
        else:
            with pytest.raises(RegistryError, match="should be one of 1, 3"):
                gadgets.check("stage", {"which": value})

    def test_unknown_keyword_is_refused_before_anything_is_built(self, gadgets: Registry[Any]) -> None:
        built = []
        gadgets.register("x", summary="x")(lambda depth=1, width=2: built.append(1))
        with pytest.raises(RegistryError) as error:
            gadgets.build("x", depht=2)
        assert "has no keyword 'depht'; did you mean 'depth'? (it takes: depth, width)" in message(error)
        assert not built

    def test_missing_keyword(self, sized_room: Registry[Any]) -> None:
        with pytest.raises(RegistryError, match="gadget 'sized' needs the keyword 'depth'"):
            sized_room.build("sized", rate=0.1)

    def test_annotations_as_text_are_resolved(self, gadgets: Registry[Any]) -> None:
        """This file has `from __future__ import annotations`: types must be checked all the same."""
        assert isinstance(inspect.signature(sized).parameters["depth"].annotation, str)
        gadgets.register("s", summary="x")(sized)
        assert gadgets.get("s").keywords["depth"].annotation is int

    def test_unresolvable_annotation_leaves_names_checked(self, gadgets: Registry[Any]) -> None:
        def odd(a: OnlyForTypeCheckers, b: int = 1) -> int:  # type: ignore[name-defined]  # noqa: F821
            return b

        gadgets.register("odd", summary="x")(odd)
        gadgets.check("odd", {"a": 1})
        with pytest.raises(RegistryError, match="no keyword 'c'"):
            gadgets.check("odd", {"a": 1, "c": 2})

    def test_checking_builds_nothing(self, gadgets: Registry[Any]) -> None:
        gadgets.register("x", summary="x")(lambda a=1: pytest.fail("built"))
        gadgets.check("x", {"a": 2})

    @pytest.mark.parametrize("kind", ["*args", "**kwargs"])
    def test_open_signatures_are_refused(self, gadgets: Registry[Any], kind: str) -> None:
        def starred(*args: int) -> None: ...

        def kwargs_taker(**kwargs: int) -> None: ...

        with pytest.raises(UserError, match="a mistyped keyword would pass unseen"):
            gadgets.register("x", summary="x")(starred if kind == "*args" else kwargs_taker)
        assert gadgets.names() == []

    def test_classes_register_by_their_constructor(self, gadgets: Registry[Any]) -> None:
        class Thing:
            def __init__(self, size: int = 3) -> None:
                self.size = size

        class Open:
            def __init__(self, size: int = 3, **more: Any) -> None: ...

        gadgets.register("thing", summary="x")(Thing)
        assert gadgets.build("thing", size=5).size == 5
        with pytest.raises(RegistryError, match="no keyword 'self'"):
            gadgets.check("thing", {"self": 1})
        with pytest.raises(UserError, match="takes"):
            gadgets.register("open", summary="x")(Open)


@dataclass(frozen=True)
class Loading:
    """Keywords that several test plugins share."""

    size: int = 4
    mode: Literal["unit", "none"] = "none"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"size={self.size} must be at least 1")


@dataclass(frozen=True)
class WideLoading(Loading):
    size: int = 9


class Loads:
    def __init__(self, path: str, *, loading: Loading, last: int = 0, kind: Fixed[str] = "any") -> None:
        self.path, self.loading, self.last, self.kind = path, loading, last, kind


class TestSharedKeywords:
    @pytest.fixture
    def loaders(self, gadgets: Registry[Any]) -> Registry[Any]:
        gadgets.register("loads", summary="x", shared=Loading)(Loads)
        return gadgets

    def test_a_yaml_writes_them_flat_in_place_of_their_parameter(self, loaders: Registry[Any]) -> None:
        assert loaders.get("loads").signature() == "path, size=4, mode='none', last=0"
        assert loaders.get("loads").factory is Loads
        made = loaders.build("loads", path="p", size=2, last=1)
        assert (made.path, made.loading, made.last) == ("p", Loading(size=2), 1)
        assert loaders.build("loads", path="p").loading == Loading()

    @pytest.mark.parametrize(
        ("keywords", "part"),
        [
            ({"sizes": 3}, "has no keyword 'sizes'; did you mean 'size'? (it takes: path, size, mode, last)"),
            ({"size": "3"}, "size='3' should be int"),
            ({"mode": "uint"}, "mode='uint' should be one of 'unit', 'none'; did you mean 'unit'?"),
            ({"loading": {}}, "has no keyword 'loading'"),
            ({"kind": "x"}, "has no keyword 'kind'"),
        ],
    )
    def test_they_are_checked_like_others(self, loaders: Registry[Any], keywords: dict[str, Any], part: str) -> None:
        with pytest.raises(RegistryError) as error:
            loaders.check("loads", {"path": "p", **keywords})
        assert part in message(error)

    def test_the_groups_own_check_is_a_users_error(self, loaders: Registry[Any]) -> None:
        with pytest.raises(UserError, match="size=0 must be at least 1"):
            loaders.build("loads", path="p", size=0)

    def test_a_subclass_of_a_group_has_other_defaults(self, gadgets: Registry[Any]) -> None:
        def wide(depth: int = 1, *, loading: WideLoading) -> WideLoading:
            return loading

        gadgets.register("wide", summary="x", shared=WideLoading)(wide)
        assert gadgets.get("wide").signature() == "depth=1, size=9, mode='none'"
        assert gadgets.get("wide").keywords["mode"].annotation == Literal["unit", "none"]
        assert gadgets.build("wide", mode="unit") == WideLoading(9, "unit")

    def test_a_factory_without_a_parameter_for_them_is_refused(self, gadgets: Registry[Any]) -> None:
        with pytest.raises(UserError, match="has no parameter of the type Loading"):
            gadgets.register("none", summary="x", shared=Loading)(lambda depth=1: depth)

    def test_given_parameters_come_first(self) -> None:
        heads: Registry[Any] = Registry("head", "heads", given=("backbone",))
        heads._room_loaded = True

        def head(backbone: str, *, loading: Loading) -> tuple[str, Loading]:
            return backbone, loading

        heads.register("h", summary="x", shared=Loading)(head)
        assert heads.build("h", "T", size=2) == ("T", Loading(2))


class TestPresets:
    @pytest.fixture
    def loaders(self, gadgets: Registry[Any]) -> Registry[Any]:
        gadgets.register("loads", summary="x", shared=Loading)(Loads)
        gadgets.preset("small", of="loads", summary="y", source="z", defaults={"path": "here"}, size=1, kind="small")
        return gadgets

    def test_it_builds_the_other_with_its_values(self, loaders: Registry[Any]) -> None:
        made = loaders.build("small", mode="unit")
        assert isinstance(made, Loads)
        assert (made.path, made.loading, made.kind) == ("here", Loading(1, "unit"), "small")
        assert loaders.build("small", path="there").path == "there"
        assert loaders.build("loads", path="p").kind == "any", "the other one is as it was"

    def test_what_it_says_of_itself(self, loaders: Registry[Any]) -> None:
        entry = loaders.get("small")
        assert (entry.summary, entry.source, entry.factory) == ("y", "z", Loads)
        assert entry.signature() == "path='here', mode='none', last=0"
        assert entry.location.rpartition(":")[0] == __file__

    def test_a_preset_of_a_preset(self, loaders: Registry[Any]) -> None:
        loaders.preset("last", of="small", summary="y", last=7)
        assert loaders.get("last").signature() == "path='here', mode='none'"
        made = loaders.build("last")
        assert (made.last, made.kind, made.loading.size) == (7, "small", 1)

    def test_what_it_fixes_no_yaml_can_set(self, loaders: Registry[Any]) -> None:
        with pytest.raises(RegistryError, match="'small' has no keyword 'size'"):
            loaders.check("small", {"size": 2})

    def test_mistakes(self, loaders: Registry[Any]) -> None:
        with pytest.raises(RegistryError, match="is a preset of 'load', which is not registered yet"):
            loaders.preset("a", of="load", summary="y")
        with pytest.raises(RegistryError, match="sets 'sise'; did you mean 'size'"):
            loaders.preset("a", of="loads", summary="y", sise=1)
        with pytest.raises(RegistryError, match="'small' is registered twice"):
            loaders.preset("small", of="loads", summary="y")


class TestGivenParameters:
    def test_they_come_first_and_no_yaml_can_set_them(self) -> None:
        heads: Registry[Any] = Registry("head", "heads", given=("backbone",))
        heads._room_loaded = True
        heads.register("h", summary="x")(lambda backbone, depth=3: (backbone, depth))
        assert heads.build("h", "T", depth=1) == ("T", 1)
        assert list(heads.get("h").keywords) == ["depth"]
        with pytest.raises(RegistryError, match="has no keyword 'backbone'"):
            heads.check("h", {"backbone": 1})

    @pytest.mark.parametrize("factory", [lambda depth, backbone: 0, lambda: 0, lambda features: 0])
    def test_a_factory_without_them_is_refused(self, factory: Callable[..., int]) -> None:
        heads: Registry[Any] = Registry("head", "heads", given=("backbone",))
        with pytest.raises(UserError, match=r"must take \('backbone',\) first"):
            heads.register("h", summary="x")(factory)

    def test_the_word_of_0_1_is_taken_with_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        heads: Registry[Any] = Registry("head", "heads", given=("backbone",))
        with caplog.at_level("WARNING", "semfid"):
            heads.register("older", summary="x")(lambda trunk, depth=3: (trunk, depth))
        assert "the parameter 'trunk' is now 'backbone'" in caplog.text
        assert heads.build("older", "T") == ("T", 3) and list(heads.get("older").keywords) == ["depth"]


class TestRooms:
    def test_a_room_is_imported_on_the_first_look_up_only(self, make_room: Callable[..., Registry[Any]]) -> None:
        reg = make_room(one="REG.register('one', summary='x')(lambda: 1)")
        assert f"{reg.room}.one" not in sys.modules
        assert reg.names() == ["one"]
        assert f"{reg.room}.one" in sys.modules
        (Path(sys.modules[f"{reg.room}.one"].__file__ or "").parent / "late.py").write_text("raise RuntimeError")
        assert reg.names() == ["one"]

    @pytest.mark.parametrize("look", ["names", "get", "check", "build", "describe"])
    def test_every_look_up_loads_the_room(self, make_room: Callable[..., Registry[Any]], look: str) -> None:
        reg = make_room(one="REG.register('one', summary='x')(lambda: 1)")
        arguments: dict[str, tuple[Any, ...]] = {"get": ("one",), "check": ("one", {}), "build": ("one",)}
        getattr(reg, look)(*arguments.get(look, ()))
        assert f"{reg.room}.one" in sys.modules

    def test_a_dropped_file_is_all_it_takes(self, make_room: Callable[..., Registry[Any]]) -> None:
        reg = make_room(
            a="REG.register('a', summary='x')(lambda: 1)",
            b="REG.register('b', summary='x')(lambda: REG.build('a') + 1)",  # modules may look each other up
        )
        assert reg.build("b") == 2

    def test_an_absent_library_leaves_the_rest_and_is_shown(self, make_room: Callable[..., Registry[Any]]) -> None:
        reg = make_room(
            good="REG.register('good', summary='x')(lambda: 1)",
            needy="import a_library_that_is_not_there\nREG.register('needy', summary='x')(lambda: 1)",
        )
        assert reg.names() == ["good"]
        with pytest.raises(RegistryError) as error:
            reg.build("needy")
        assert f"could not import {reg.room}.needy (No module named 'a_library_that_is_not_there')" in message(error)

    def test_two_modules_of_a_room_with_one_name_collide_loudly(self, make_room: Callable[..., Registry[Any]]) -> None:
        reg = make_room(
            a="REG.register('x', summary='x')(lambda: 1)",
            b="REG.register('x', summary='x')(lambda: 2)",
        )
        with pytest.raises(RegistryError, match=r"registered twice: in .*a\.py:2 and in .*b\.py:2"):
            reg.names()

    def test_real_rooms_import_whole(self) -> None:
        """Every library of requirements.txt is here, so that no module of a room may fail."""
        for reg in REGISTRIES.values():
            assert reg.names(), reg.kind
            assert reg.failures == {}
            for entry in reg.describe():
                assert entry.summary and "\n" not in entry.summary, entry.name
                assert ":" in entry.location and Path(entry.location.rsplit(":", 1)[0]).is_file(), entry.name


@pytest.fixture
def plugin_modules(tmp_path: Path) -> Iterator[None]:
    """Forget the modules and paths that a test's plugins brought; a room that it was the first to import stays."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        own = vars(module)
        if str(tmp_path) in f"{own.get('__file__')} {own.get('__path__')}":  # a package that is a folder has no file
            del sys.modules[name]


@pytest.mark.usefixtures("plugin_modules")
class TestPlugins:
    @pytest.fixture
    def target(self, monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
        reg: Registry[Any] = Registry("gadget", "nowhere")
        reg._room_loaded = True
        monkeypatch.setattr(registry, "GADGETS", reg, raising=False)
        return reg

    def write(self, path: Path, name: str = "mine") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"from registry import GADGETS\n\n@GADGETS.register('{name}', summary='x')\nclass Mine:\n"
            "    def __init__(self, size: int = 1) -> None:\n        self.size = size\n"
        )
        return path

    def test_by_file_relative_to_the_yaml(self, target: Registry[Any], tmp_path: Path) -> None:
        self.write(tmp_path / "sub" / "plug_a.py")
        load_plugins(["sub/plug_a.py"], tmp_path)
        assert target.build("mine", size=4).size == 4
        load_plugins(["sub/plug_a.py"], tmp_path)  # harmless
        load_plugins([str(tmp_path / "sub" / "plug_a.py")])
        assert target.names() == ["mine"]

    def test_by_module(self, target: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(tmp_path / "plug_pack" / "deep.py")
        (tmp_path / "plug_pack" / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path))
        load_plugins(["plug_pack.deep"])
        assert target.names() == ["mine"]

    def test_missing_file_and_module(self, target: Registry[Any], tmp_path: Path) -> None:
        with pytest.raises(RegistryError) as error:
            load_plugins(["plug_gone.py"], tmp_path)
        assert f"no file {tmp_path / 'plug_gone.py'}" in message(error) and "relative to the YAML" in message(error)
        with pytest.raises(RegistryError, match="plug_gone fails to import: ModuleNotFoundError"):
            load_plugins(["plug_gone"])

    def test_an_error_inside_is_one_line(self, target: Registry[Any], tmp_path: Path) -> None:
        (tmp_path / "plug_broken.py").write_text("1 / 0\n")
        (tmp_path / "plug_syntax.py").write_text("def (:\n")
        with pytest.raises(
            RegistryError, match=r"plug_broken\.py fails to import: ZeroDivisionError: division by zero"
        ):
            load_plugins(["plug_broken.py"], tmp_path)
        with pytest.raises(RegistryError, match=r"plug_syntax\.py fails to import: SyntaxError"):
            load_plugins(["plug_syntax.py"], tmp_path)

    def test_a_stem_that_another_module_has(self, target: Registry[Any], tmp_path: Path) -> None:
        self.write(tmp_path / "json.py")
        with pytest.raises(RegistryError) as error:
            load_plugins(["json.py"], tmp_path)
        assert "has the name of another module" in message(error) and "rename the file" in message(error)
        assert target.names() == []

    def test_two_files_of_one_stem(self, target: Registry[Any], tmp_path: Path) -> None:
        self.write(tmp_path / "a" / "plug_twin.py", "a")
        self.write(tmp_path / "b" / "plug_twin.py", "b")
        with pytest.raises(RegistryError, match="has the name of another module"):
            load_plugins(["a/plug_twin.py", "b/plug_twin.py"], tmp_path)

    def test_a_dotted_stem_is_a_user_error(self, target: Registry[Any], tmp_path: Path) -> None:
        self.write(tmp_path / "plug.v2.py")
        with pytest.raises(UserError):
            load_plugins(["plug.v2.py"], tmp_path)

    def test_a_name_that_is_taken(self, target: Registry[Any], tmp_path: Path) -> None:
        target.register("mine", summary="x")(lambda: 0)
        self.write(tmp_path / "plug_dup.py")
        with pytest.raises(RegistryError, match="registered twice"):
            load_plugins(["plug_dup.py"], tmp_path)

    def test_a_plugins_class_reaches_a_spawned_process(self, tmp_path: Path) -> None:
        """What DDP and loader workers do: pickle here, unpickle in an interpreter that never saw the YAML."""
        (tmp_path / "plugs").mkdir()
        (tmp_path / "plugs" / "plug_spawn.py").write_text(
            "class Box:\n    def __init__(self, value):\n        self.value = value\n"
        )
        (tmp_path / "drive.py").write_text(
            textwrap.dedent(
                f"""
                import multiprocessing, sys
                sys.path.insert(0, {str(ROOT)!r})

                def double(box, out):
                    out.put((type(box).__module__, box.value * 2))

                if __name__ == "__main__":
                    from registry import load_plugins
                    load_plugins(["plugs/plug_spawn.py"], __import__("pathlib").Path({str(tmp_path)!r}))
                    context = multiprocessing.get_context("spawn")
                    out = context.Queue()
                    child = context.Process(target=double, args=(sys.modules["plug_spawn"].Box(21), out))
                    child.start()
                    print(out.get(timeout=600))
                    child.join(30)
                """
            )
        )
        done = subprocess.run([sys.executable, str(tmp_path / "drive.py")], capture_output=True, text=True, timeout=600)
        assert done.stdout.strip() == "('plug_spawn', 42)", done.stderr

    def test_a_real_backbone_by_file(self, tmp_path: Path) -> None:
        """The whole way of a third party: a file, a name, a contract check."""
        (tmp_path / "plug_backbone.py").write_text(
            textwrap.dedent(
                """
                from torch import nn
                from backbones import Backbone
                from registry import BACKBONES

                @BACKBONES.register("plug_tiny", summary="one convolution")
                class Tiny(Backbone):
                    def __init__(self, width: int = 4) -> None:
                        net = nn.Conv2d(3, width, 2, 2)
                        super().__init__(net, name="tiny", channels=[width], strides=[2], embed_dim=width)
                    def _stages(self, images):
                        return [self.net(images)]
                    def _embed(self, images):
                        return self.net(images).mean((2, 3))
                """
            )
        )
        from backbones import build_backbone

        load_plugins(["plug_backbone.py"], tmp_path)
        assert build_backbone("plug_tiny", {"width": 6}).channels == (6,)
        with pytest.raises(RegistryError, match="no keyword 'widht'; did you mean 'width'"):
            build_backbone("plug_tiny", {"widht": 6})

    def test_a_factory_of_something_else_is_refused(self) -> None:
        from backbones import build_backbone
        from heads import build_head
        from registry import BACKBONES, HEADS

        BACKBONES.register("plug_wrong", summary="x")(lambda: 5)
        HEADS.register("plug_wrong", summary="x")(lambda backbone: 5)
        with pytest.raises(RegistryError, match=r"'plug_wrong' builds a int; it must be a backbones\.Backbone"):
            build_backbone("plug_wrong", {})
        with pytest.raises(RegistryError, match=r"'plug_wrong' builds a int; it must be a heads\.Head"):
            build_head("plug_wrong", None, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("time", [1, 2])
def test_what_a_test_registers_is_gone_after_it(time: int) -> None:
    """The second time would be a second registration otherwise."""
    registry.BACKBONES.register("of_a_test", summary="x")(lambda: time)
    assert registry.BACKBONES.get("of_a_test").factory() == time


@pytest.mark.usefixtures("plugin_modules")
class TestEntryPoints:
    @pytest.fixture
    def install(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], None]]:
        """Pretend that packages with these entry points (name -> code) are installed."""

        def pretend(code: Mapping[str, str]) -> None:
            points = []
            for name, text in code.items():
                (tmp_path / f"ep_{name}.py").write_text(text)
                points.append(importlib.metadata.EntryPoint(name, f"ep_{name}", registry.ENTRY_POINT_GROUP))
            monkeypatch.syspath_prepend(str(tmp_path))
            registry.load_entry_points.cache_clear()
            asked: list[str] = []

            def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
                asked.append(group)
                return points

            monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)

        yield pretend
        registry.load_entry_points.cache_clear()

    def test_loaded_on_the_first_look_up(
        self,
        install: Callable[[Mapping[str, str]], None],
        make_room: Callable[..., Registry[Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        reg = make_room(one="REG.register('one', summary='x')(lambda: 1)")
        install({"good": f"from {reg.room}_registry import REG\nREG.register('third', summary='x')(lambda: 3)\n"})
        assert reg.names() == ["one", "third"] and reg.build("third") == 3

    def test_a_broken_one_is_named(
        self, install: Callable[[Mapping[str, str]], None], make_room: Callable[..., Registry[Any]]
    ) -> None:
        reg = make_room()
        install({"bad": "raise ValueError('no luck')\n"})
        with pytest.raises(RegistryError) as error:
            reg.names()
        text = message(error)
        assert (
            "the installed plugin 'bad' (ep_bad) fails to import: ValueError: no luck" in text and "uninstall" in text
        )
