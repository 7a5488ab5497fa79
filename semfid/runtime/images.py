"""Decoding and resizing of photos: float32 RGB in [0, 1] whatever the file holds.

File endings are not believed: Pillow looks at the content. Orientation tags are applied; grey, palette, CMYK, 16-bit
and transparent images all become RGB.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from semfid.runtime.errors import ImageFileError

Resize = Literal["squash", "letterbox", "center_crop", "bounded", "none"]
"""How an image becomes S x S. ``squash``: the whole image, aspect ratio given up (default: nothing at the borders is
lost). ``letterbox``: the whole image, aspect kept, grey bars. ``center_crop``: short side to S, then a crop, which hides
changes at the borders. Two ways leave it another shape. ``bounded``: native size up to S, the longer side of larger images
reduced to S, aspect kept. ``none``: native size."""

DECODER = "rgb8-exif-white-1"
"""Name of the decoding rules below; part of every cache key, to be raised when they change."""


def read_image(path: str | Path) -> Image.Image:
    """Decode a file to an upright 8-bit RGB image.

    Transparency is laid over white, as a browser on a white page shows it; 16-bit values keep their upper 8 bits.

    Raises:
        ImageFileError: missing, empty, truncated, or no image at all; names the path.
    """
    path = Path(path)
    try:
        with Image.open(path) as file:
            if file.width * file.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow itself only warns
                raise ImageFileError(
                    f"{path} is too large to decode safely ({file.width}x{file.height} pixels); scale it down first"
                )
            image = ImageOps.exif_transpose(file)
            image.load()
            return _to_rgb(image)
    except FileNotFoundError as error:
        raise ImageFileError(
            f"no image {path}; check the path (in the pair table, relative to the table's folder)"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path} is not an image that Pillow can read; replace it or drop the pair") from error
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"{path} is too large to decode safely: {error}; scale it down first") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's decoders raise all of these on bad files
        raise ImageFileError(
            f"{path} is corrupt: {str(error) or type(error).__name__}; replace it or drop the pair"
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        wide = np.asarray(image).astype(np.int64)
        # 32-bit files say nothing of their range: small values are 8-bit ones
        shift = 0 if image.mode == "I" and wide.max(initial=0) <= 255 else 8
        image = Image.fromarray(np.clip(wide >> shift, 0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("it has pixels that are not finite")
        image = Image.fromarray(np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def resize_image(image: Image.Image, size: int, how: Resize) -> Image.Image:
    """Bring an RGB image to ``size`` x ``size`` (bicubic with antialiasing), or to the size that `how` leaves it."""
    if how == "none" or (image.size == (size, size)):
        return image
    if how == "bounded":
        inner = bounded_size(image.size, size)
        return image if inner == image.size else image.resize(inner, Image.Resampling.BICUBIC)
    if how == "squash":
        return image.resize((size, size), Image.Resampling.BICUBIC)
    if how == "letterbox":
        return ImageOps.pad(image, (size, size), Image.Resampling.BICUBIC, color=(128, 128, 128))
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def bounded_size(size: tuple[float, float], bound: int) -> tuple[int, int]:
    """Width and height with the longer one reduced to `bound`; of an image that is small enough, its own."""
    longer = max(size)
    factor = min(1.0, bound / longer)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def to_planes(image: Image.Image) -> NDArray[np.uint8]:
    """(3, H, W) uint8, a writable copy."""
    return np.ascontiguousarray(np.array(image).transpose(2, 0, 1))
