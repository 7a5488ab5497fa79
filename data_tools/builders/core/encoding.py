"""Images to the bytes of a file, and to the tensors that metrics take."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

PNG_LEVEL = 3  # of deflate: quick, and the same everywhere


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) RGB or (H, W) to PNG."""
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    return encoded.tobytes()


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """(H, W, 3) RGB to JPEG of a quality of 1 to 100; chroma is halved."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    return encoded.tobytes()


def to_tensor(image: NDArray[np.uint8], device: str) -> torch.Tensor:
    """(H, W, 3) RGB to (1, 3, H, W) float32 in [0, 1]."""
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    return planes.to(device, torch.float32) / 255
