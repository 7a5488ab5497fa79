"""The one plugin registry.

A *kind* of plugin (backbone, head, datamodule, ...) has one `Registry`. A module of the kind's room registers
factories with `@BACKBONES.register("name", summary=...)`; nobody lists modules by hand, because a room is imported on
the first look-up. This file imports nothing heavy.

Third parties come in by the entry-point group ``semfid.plugins`` or by ``plugins:`` in an experiment YAML
(`load_plugins`). A factory's keywords are checked against its signature before anything is built, so a mistyped
keyword of an ablation fails instead of quietly equalling the baseline.

Keywords that several factories take are written once, as a frozen dataclass (`Registry.register`, `shared=`). A factory
with other defaults, or with some keywords fixed, is data and no class (`Registry.preset`).
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from semfid.errors import UserError, did_you_mean
from semfid.keywords import Entry, keywords_of, location_of, misfit, named

__all__ = [
    "BACKBONES",
    "CAPTIONERS",
    "DATAMODULES",
    "DEGRADATIONS",
    "DUAL_ENCODERS",
    "HEADS",
    "INPAINTERS",
    "LIGHTNING_MODULES",
    "LOSSES",
    "METRICS",
    "QUALITY_METRICS",
    "REGISTRIES",
    "SEGMENTERS",
    "TEXT_ENCODERS",
    "UPSCALERS",
    "Registry",
    "RegistryError",
    "load_entry_points",
    "load_plugins",
    "named",
]

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")
C = TypeVar("C")

ENTRY_POINT_GROUP = "semfid.plugins"


class RegistryError(UserError):
    """An unknown name, a bad keyword or a second registration."""


class Registry(Generic[T]):
    """Names to factories of one kind.

    Args:
        kind: the word used in messages, in the singular.
        room: the package whose modules register this kind; imported on the first look-up.
        given: names of the leading parameters that the framework passes itself (a head gets `backbone`); every factory
            must declare them in this order, and no YAML can set them.
    """

    def __init__(self, kind: str, room: str, given: Sequence[str] = ()) -> None:
        self.kind = kind
        self.room = room
        self.given = tuple(given)
        self._entries: dict[str, Entry[T]] = {}
        self._room_loaded = False
        self.failures: dict[str, str] = {}

    def register(
        self, name: str, *, summary: str, source: str = "", shared: type | None = None
    ) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Register a class or function under `name`.

        Args:
            summary: one line for `semfid list`.
            source: the paper or code that the plugin follows.
            shared: a frozen dataclass of keywords that several factories take. The factory gets an instance of it as the
                parameter that is annotated with it; a YAML writes its fields among the other keywords.

        Raises:
            RegistryError: the name is taken.
            UserError: as `semfid.keywords.keywords_of`.
        """

        def decorate(factory: Callable[..., T]) -> Callable[..., T]:
            location = location_of(factory)
            keywords, group = keywords_of(f"{self.kind} '{name}' in {location}", factory, self.given, shared)
            self._add(Entry(name, factory, summary, source, location, keywords, group))
            return factory

        return decorate

    def preset(
        self,
        name: str,
        /,
        *,
        of: str,
        summary: str,
        source: str = "",
        defaults: Mapping[str, Any] | None = None,
        **fixed: Any,
    ) -> None:
        """Register `name` as another plugin with values of its own.

        Args:
            of: the other plugin, registered above.
            summary: as of `register`.
            source: as of `register`.
            defaults: values of keywords that a YAML may still set.
            fixed: values that no YAML may set, also of parameters of the type `Fixed`.

        Raises:
            RegistryError: the name is taken, `of` is not registered yet, or it does not take one of the keywords.
        """
        caller = sys._getframe(1)
        location = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        if of not in self._entries:
            raise RegistryError(
                f"{self.kind} '{name}' in {location} is a preset of '{of}', which is not registered yet; register it first"
            )
        base, values = self._entries[of], {**(defaults or {}), **fixed}
        known = [*base.keywords, *inspect.signature(base.factory).parameters]
        for key in values:
            if key not in known:
                raise RegistryError(
                    f"{self.kind} '{name}' in {location} sets '{key}'{did_you_mean(key, known)}, which '{of}' does not take"
                )
        keywords = {
            key: parameter.replace(default=values.get(key, parameter.default))
            for key, parameter in base.keywords.items()
            if key not in fixed
        }
        self._add(Entry(name, base.factory, summary, source, location, keywords, base.group, {**base.preset, **values}))

    def _add(self, entry: Entry[T]) -> None:
        if entry.name in self._entries:
            raise RegistryError(
                f"{self.kind} '{entry.name}' is registered twice: in {self._entries[entry.name].location} and in "
                f"{entry.location}; give one of them another name"
            )
        self._entries[entry.name] = entry

    def build(self, name: str, /, *given: Any, **keywords: Any) -> T:
        """Build the plugin `name`; `given` are the parameters that the framework passes.

        Raises:
            RegistryError: as `check`.
        """
        self.check(name, keywords)
        return self._entries[name].build(*given, **keywords)

    def build_as(self, contract: type[C], name: str, keywords: Mapping[str, Any], *given: Any) -> C:
        """`build`, held to a contract: the class that every plugin of the kind must give.

        Raises:
            RegistryError: as `check`, or a factory that returns something else.
        """
        built = self.build(name, *given, **keywords)
        if not isinstance(built, contract):
            raise RegistryError(
                f"{self.kind} '{name}' builds a {type(built).__name__}; it must be a {self.room}.{contract.__name__}"
            )
        return built

    def check(self, name: str, keywords: Mapping[str, Any], beside: Sequence[str] = ()) -> None:
        """Check a name and its keywords without building anything.

        Args:
            beside: what else a YAML may write there, which others check.

        Raises:
            RegistryError: unknown name or keyword (with near misses), a missing required keyword, a wrong type.
        """
        entry = self.get(name)
        for key, value in keywords.items():
            if key in beside:
                continue
            if key not in entry.keywords:
                known = [*beside, *entry.keywords]
                raise RegistryError(
                    f"{self.kind} '{name}' has no keyword '{key}'{did_you_mean(key, known)} (it takes: "
                    f"{', '.join(known) or 'none'})"
                )
            fault = misfit(value, entry.keywords[key].annotation)
            if fault:
                raise RegistryError(f"{self.kind} '{name}': {key}={value!r} {fault}")
        for key, parameter in entry.keywords.items():
            if parameter.default is inspect.Parameter.empty and key not in keywords:
                raise RegistryError(f"{self.kind} '{name}' needs the keyword '{key}'")

    def check_named(self, value: Mapping[str, Any] | str, where: str, beside: Sequence[str] = ()) -> None:
        """`check` of a name, or of a mapping with a name and keywords, as a YAML has it; errors begin with `where`.

        Raises:
            UserError: as `check`; neither a name nor a mapping with one.
        """
        name, keywords = named(value, where)
        try:
            self.check(name, keywords, beside)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    def get(self, name: str) -> Entry[T]:
        """The entry `name`; an unknown one raises a RegistryError that lists the near misses."""
        self._load_room()
        if name not in self._entries:
            message = (
                f"no {self.kind} '{name}'{did_you_mean(name, self._entries)}; registered: {', '.join(self.names())}"
            )
            if self.failures:
                message += "; could not import " + ", ".join(f"{m} ({why})" for m, why in self.failures.items())
            raise RegistryError(message)
        return self._entries[name]

    def registered(self) -> list[Entry[T]]:
        """What is registered up to now, without importing anything."""
        return [self._entries[name] for name in sorted(self._entries)]

    def names(self, pattern: str = "*") -> list[str]:
        """Registered names that match a shell pattern, sorted."""
        self._load_room()
        return sorted(fnmatch.filter(self._entries, pattern))

    def describe(self) -> list[Entry[T]]:
        """All entries, sorted by name."""
        return [self.get(name) for name in self.names()]

    def _load_room(self) -> None:
        if self._room_loaded:
            return
        self._room_loaded = True  # before the imports: modules of the room may look each other up
        package = importlib.import_module(self.room)
        self._load_modules(package.__path__, self.room)
        load_entry_points()

    def _load_modules(self, folders: Iterable[str], package: str) -> None:
        for module in pkgutil.iter_modules(folders, f"{package}."):
            try:
                loaded = importlib.import_module(module.name)
            except ImportError as error:  # an optional library is absent: the rest of the room still works
                self.failures[module.name] = str(error)
                continue
            if module.ispkg:
                self._load_modules(loaded.__path__, module.name)


def load_plugins(plugins: Sequence[str], base: Path | None = None) -> None:
    """Import third-party modules, which register what they bring.

    A file is imported under its stem with its folder on ``sys.path``, so that spawned worker processes find its classes
    by the same name. Loading twice is harmless.

    Args:
        plugins: dotted module names, or paths to ``.py`` files.
        base: what relative paths are relative to (the folder of the YAML).

    Raises:
        RegistryError: a missing module or file, a stem that another module has already, an error inside the plugin.
    """
    for plugin in plugins:
        name = plugin
        if plugin.endswith(".py"):
            path = ((base or Path()) / plugin).resolve()
            if not path.is_file():
                raise RegistryError(f"plugins: no file {path}; paths are relative to the YAML")
            name = path.stem
            if "." in name:
                raise RegistryError(
                    f"plugins: {path} has a dot in its name, so Python cannot import it; rename the file"
                )
            spec = importlib.util.find_spec(name)
            if spec is not None and Path(spec.origin or "").resolve() != path:
                raise RegistryError(f"plugins: {path} has the name of another module ({spec.origin}); rename the file")
            if str(path.parent) not in sys.path:
                sys.path.append(str(path.parent))
        try:
            importlib.import_module(name)
        except UserError:
            raise
        except Exception as error:
            raise RegistryError(f"plugins: {plugin} fails to import: {type(error).__name__}: {error}") from error


@functools.cache
def load_entry_points() -> None:
    """Import what installed packages announce, once.

    Raises:
        RegistryError: an installed plugin that fails to import.
    """
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except UserError:
            raise
        except Exception as error:
            raise RegistryError(
                f"the installed plugin '{point.name}' ({point.value}) fails to import: {type(error).__name__}: {error}; "
                "repair or uninstall it"
            ) from error


BACKBONES: Registry[nn.Module] = Registry("backbone", "backbones")
HEADS: Registry[nn.Module] = Registry("head", "heads", given=("backbone",))
LOSSES: Registry[nn.Module] = Registry("loss", "lightning_modules")
LIGHTNING_MODULES: Registry[nn.Module] = Registry("lightning module", "lightning_modules", given=("backbone",))
DATAMODULES: Registry[Any] = Registry("datamodule", "datamodules")
METRICS: Registry[nn.Module] = Registry("training-free metric", "metrics")
QUALITY_METRICS: Registry[nn.Module] = Registry("no-reference quality", "metrics")
TEXT_ENCODERS: Registry[Any] = Registry("text encoder", "models.text_encoders")
DUAL_ENCODERS: Registry[Any] = Registry("dual encoder", "models.dual_encoders")
SEGMENTERS: Registry[Any] = Registry("segmenter", "models.segmenters")
CAPTIONERS: Registry[Any] = Registry("captioner", "models.captioners")
DEGRADATIONS: Registry[Any] = Registry("degradation", "data_tools.degradations")
UPSCALERS: Registry[Any] = Registry("upscaler", "data_tools.builders.upscalers")
INPAINTERS: Registry[Any] = Registry("inpainter", "data_tools.builders.inpainters")

# a YAML and `semfid list` name a kind by its registry in lower case
REGISTRIES: dict[str, Registry[Any]] = {
    name.lower(): kind for name, kind in list(globals().items()) if isinstance(kind, Registry)
}
