"""The OCR models: where they lie, and sessions of onnxruntime for them.

The wheel `rapidocr-onnxruntime` (Apache-2.0) carries the networks of PP-OCRv4 (Apache-2.0). Its own code is not imported: it asks
for OpenCV with a window system, which a plain container lacks, and which overwrites an `opencv-python-headless`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semfid.errors import UserError

Floats = NDArray[np.float32]

PACKAGE = "rapidocr_onnxruntime"
DETECTION = "ch_PP-OCRv4_det_infer.onnx"
RECOGNITION = "ch_PP-OCRv4_rec_infer.onnx"
FIX = "pip install 'semfid[text]'"
BLANK = ""  # class 0 of the recognition network: no character


def missing() -> str:
    """Why text cannot be read here, with the fix; empty where it can."""
    if sys.version_info >= (3, 13):
        return (
            f"reading text needs Python < 3.13, and this is {sys.version_info.major}.{sys.version_info.minor}: "
            f"rapidocr-onnxruntime, which carries the OCR models, has no newer one; use Python 3.11 or 3.12 and {FIX}"
        )
    for module in ("onnxruntime", PACKAGE, "scipy"):
        if importlib.util.find_spec(module) is None:
            return f"reading text needs {module.replace('_', '-')}, which is not installed; {FIX}"
    return ""


def model_path(name: str, folder: Path | None = None) -> Path:
    """Path of a model file, in a folder or inside the installed package.

    Raises:
        UserError: not there, not installed, or another version of the package that has no such file.
    """
    if folder is not None:
        if not (folder / name).is_file():
            raise UserError(f"no file {folder / name}; give a folder with {DETECTION} and {RECOGNITION}")
        return folder / name
    why = missing()
    if why:
        raise UserError(why)
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations if found is not None else None) or ():
        path = Path(place) / "models" / name
        if path.is_file():
            return path
    raise UserError(f"the installed rapidocr-onnxruntime has no {name}; pip install 'rapidocr-onnxruntime>=1.4,<1.5'")


class OnnxNetwork:
    """One ONNX network on the CPU, on as many threads as torch computes with.

    Args:
        path: of the file.

    Raises:
        UserError: onnxruntime cannot load it.
    """

    def __init__(self, path: Path) -> None:
        raised: Any = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        onnxruntime: Any = importlib.import_module("onnxruntime")  # of the extra

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = path.read_bytes()
        self.digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except (
            raised.Fail,
            raised.InvalidArgument,
            raised.InvalidGraph,
            raised.InvalidProtobuf,
            raised.NotImplemented,
        ) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise UserError(
                f"{path} cannot be loaded ({reason}); pip install --force-reinstall rapidocr-onnxruntime"
            ) from error
        self.input: str = self.session.get_inputs()[0].name

    def __call__(self, planes: Floats) -> Floats:
        """The first output for (B, 3, H, W)."""
        result: Any = self.session.run(None, {self.input: planes})[0]
        return np.asarray(result, dtype=np.float32)

    def characters(self) -> list[str]:
        """What the classes of the recognition network stand for; the first is `BLANK`."""
        listed = self.session.get_modelmeta().custom_metadata_map["character"].splitlines()
        return [BLANK, *listed, " "]
