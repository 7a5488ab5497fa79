"""Models that live in an environment and a repository of their own, run as a command over a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools.builders.core.errors import UnitError
from data_tools.builders.upscalers.contract import FACTOR, Bytes, Upscaler, of_right_size
from registry import UPSCALERS
from semfid.errors import ImageError, UserError
from semfid.io.images import read_image

_TAIL = 300  # characters of a program's last words


class ExternalCommand(Upscaler):
    """Runs a command on a folder of PNG files and checks what it left.

    A batch is one run. Exit codes are not believed: an image counts when its output is there under its name, whole and 4 times as
    large; every other image is an error with the reason and the program's last words. A program that seeds itself once a
    run, as SeeSR does, makes an image depend on those before it in the batch.

    Args:
        command: words with ``{python}``, ``{input}`` and ``{output}``.
        output: where an image's output lies under the output folder, with ``{stem}``.
        folder: where it runs: the model's repository.
        timeout: seconds of a whole run; then all its processes are ended.
        fixed: what of the command decides what comes out, for the identity.
        cut_padding: correct StableSR's one known fault, see `without_padding`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        output: str,
        folder: str,
        python: str,
        timeout: float,
        batch_size: int,
        licence: str,
        fixed: str,
        device: str = "auto",
        cut_padding: bool = False,
    ) -> None:
        if not Path(folder).is_dir():
            raise UserError(f"upscaler '{name}': no folder {folder}; clone the model's repository and give its path")
        if not any("{input}" in word for word in command) or not any("{output}" in word for word in command):
            raise UserError(
                f"upscaler '{name}': the command needs {{input}} and {{output}}; it is {shlex.join(command)}"
            )
        if "{stem}" not in output:
            raise UserError(f"upscaler '{name}': output='{output}' needs {{stem}}, such as 'sample00/{{stem}}.png'")
        if batch_size < 1 or not timeout > 0:
            raise UserError(f"upscaler '{name}': batch_size={batch_size} and timeout={timeout:g} must be above 0")
        self.name, self.command, self.output, self.folder = name, list(command), output, os.path.abspath(folder)
        # a path is from here, not from the model's folder; a link into an environment stays one
        self.python = os.path.abspath(python) if "/" in python else python
        self.timeout, self.batch_size, self.licence, self.cut_padding = timeout, batch_size, licence, cut_padding
        self.fixed, self.device = fixed, device

    @property
    def identity(self) -> str:
        return f"{self.name} {hashlib.blake2b(self.fixed.encode(), digest_size=8).hexdigest()}"

    def upscale(self, images: Sequence[Bytes]) -> list[Bytes | UnitError]:
        with tempfile.TemporaryDirectory(prefix="semfid-upscale-") as temporary:
            inputs, outputs = Path(temporary) / "input", Path(temporary) / "output"
            inputs.mkdir()
            outputs.mkdir()
            stems = [f"{number:05d}" for number in range(len(images))]
            for stem, image in zip(stems, images, strict=True):
                Image.fromarray(image).save(inputs / f"{stem}.png", compress_level=1)
            said = self._run(inputs, outputs)
            return [self._taken(outputs, stem, image, said) for stem, image in zip(stems, images, strict=True)]

    def _run(self, inputs: Path, outputs: Path) -> str:
        """How the program ended and its last words."""
        places = {"python": self.python, "input": str(inputs), "output": str(outputs)}
        words = [_filled(word, places) for word in self.command]
        log = outputs.parent / "log"
        with log.open("wb") as file:
            try:
                process = subprocess.Popen(
                    words, cwd=self.folder, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True,
                    env=self._environment(),
                )  # fmt: skip
            except OSError as error:
                raise UserError(
                    f"upscaler '{self.name}': cannot start {words[0]} ({error.strerror}); check python and the folder"
                ) from error
            ended = ""
            try:
                ended = f"exit code {process.wait(self.timeout)}"
            except subprocess.TimeoutExpired:
                ended = f"ended after timeout={self.timeout:g} s"
            finally:  # also what it started, and also when we are interrupted
                if not ended.startswith("exit"):
                    _end_group(process)
        last = " ".join(log.read_bytes().decode(errors="replace").split())[-_TAIL:]
        return f"{ended}; last words: {last}" if last else ended

    def _taken(self, outputs: Path, stem: str, image: Bytes, said: str) -> Bytes | UnitError:
        path = outputs / self.output.replace("{stem}", stem)
        if not path.is_file():
            left = sorted(one.relative_to(outputs).as_posix() for one in outputs.rglob("*") if one.is_file())
            instead = f"; it left {len(left)} files, such as {left[0]}" if left else "; it left no files"
            return UnitError(f"{self.name} made no {path.relative_to(outputs)}{instead} ({said})")
        try:
            made = np.asarray(read_image(path))
            return of_right_size(without_padding(made, image) if self.cut_padding else made, image)
        except ImageError as error:
            return UnitError(f"{self.name}: {str(error).replace(str(outputs), '')} ({said})")
        except UnitError as error:
            return UnitError(f"{self.name}: {error} ({said})")

    def _environment(self) -> Mapping[str, str]:
        """Without this project's paths; one GPU by number."""
        env = {
            key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        }
        for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):  # it is no member of our group
            env.pop(key, None)
        kind, _, number = self.device.partition(":")
        if kind == "cuda" and number:
            seen = [one for one in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
            env["CUDA_VISIBLE_DEVICES"] = seen[int(number)] if int(number) < len(seen) else number
        return env


@UPSCALERS.register(
    "external_command", summary="any program that reads a folder of PNG and writes a folder of x4 images"
)
def external_command(
    command: list[str],
    folder: str = ".",
    python: str = "python",
    output: str = "{stem}.png",
    timeout: float = 36000.0,
    batch_size: int = 64,
    licence: str = "",
    revision: str = "",
    device: str = "auto",
) -> Upscaler:
    """A command of your own; keywords as `ExternalCommand`.

    Args:
        revision: of the program and its weights; part of what tells old outputs from new ones.
    """
    fixed = shlex.join([*command, output, revision])
    return ExternalCommand(
        "external_command", command, output, folder, python, timeout, batch_size, licence, fixed, device
    )


def without_padding(made: Bytes, image: Bytes) -> Bytes:
    """The output without what StableSR adds to inputs whose short side is below 128.

    It enlarges them to a short side of 512, pads to multiples of 32 at the right and below, and scales down with the padding:
    128x96 comes back as 528x408 instead of 512x384. Outputs that cannot come from that are left as they are.
    """
    height, width = FACTOR * image.shape[0], FACTOR * image.shape[1]
    more = (made.shape[0] - height, made.shape[1] - width)
    most = min(image.shape[:2]) / 4  # 32 pixels of padding, scaled by 4 * short / 512
    if min(image.shape[:2]) >= 128 or not all(0 <= one <= most for one in more):
        return made
    return np.ascontiguousarray(made[:height, :width])


def _filled(word: str, places: Mapping[str, str]) -> str:
    for name, value in places.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
