"""The operations of BSRGAN's degradation done the published way: loops over the kernel, scipy's convolution."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import linalg, ndimage, stats
from scipy.interpolate import RectBivariateSpline


def anisotropic(size, theta, first, second):
    """Density of a bivariate normal at every place of the kernel, one by one."""
    v = np.array([np.cos(theta), np.sin(theta)])
    axes = np.array([[v[0], v[1]], [v[1], -v[0]]])
    covariance = axes @ np.diag([first, second]) @ np.linalg.inv(axes)
    kernel = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            place = [column - (size - 1) / 2, row - (size - 1) / 2]
            kernel[row, column] = stats.multivariate_normal.pdf(place, mean=[0, 0], cov=covariance)
    return kernel / kernel.sum()


def isotropic(size, sigma):
    along = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(along, along)
    kernel = np.exp(-(x * x + y * y) / (2 * sigma * sigma))
    kernel[kernel < np.finfo(float).eps * kernel.max()] = 0
    return kernel / kernel.sum()


def shifted(kernel, factor):
    """Bilinear interpolation of the kernel (factor - 1) / 2 further on, the last row and column repeated."""
    along = np.arange(len(kernel), dtype=float)
    places = np.clip(along + (factor - 1) / 2, 0, len(kernel) - 1)
    moved = RectBivariateSpline(along, along, kernel, kx=1, ky=1)(places, places)
    return moved / moved.sum()


def convolve(image, kernel):
    return ndimage.convolve(image, kernel[:, :, None], mode="mirror")


def resize(image, width, height, how):
    flag = {"linear": 1, "cubic": 2, "area": 3}[how]
    return np.clip(cv2.resize(image, (max(1, width), max(1, height)), interpolation=flag), 0, 1)


def bicubic_half(image):
    """Bicubic with antialiasing to a half, output by output."""

    def weight(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    def along_rows(values):
        length = len(values)
        out = []
        for i in range(-(-length // 2)):
            centre = (i + 0.5) * 2 - 0.5
            taps = range(int(np.floor(centre)) - 4, int(np.floor(centre)) + 6)
            weights = np.array([weight((centre - tap) / 2) for tap in taps])
            places = [-1 - tap if tap < 0 else 2 * length - 1 - tap if tap >= length else tap for tap in taps]
            out.append(np.tensordot(weights / weights.sum(), values[places], axes=1))
        return np.stack(out)

    rows = along_rows(image)
    return np.clip(along_rows(rows.swapaxes(0, 1)).swapaxes(0, 1), 0, 1)


def jpeg(image, quality):
    as_bytes = np.uint8((image.clip(0, 1) * 255.0).round())
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(as_bytes, cv2.COLOR_RGB2BGR), [int(cv2.IMWRITE_JPEG_QUALITY), quality]
    )
    return cv2.cvtColor(np.float32(cv2.imdecode(encoded, 1) / 255.0), cv2.COLOR_BGR2RGB)


def noise(image, record):
    draw = np.random.default_rng(record["noise1_seed"])
    if record["noise1_kind"] == "correlated":
        _, sizes, axes = np.linalg.svd(np.reshape(record["noise1_covariance"], (3, 3)))
        field = draw.standard_normal(image.shape, dtype=np.float32) @ (np.sqrt(sizes)[:, None] * axes)
    else:
        channels = 1 if record["noise1_kind"] == "grey" else 3
        field = record["noise1_level"] * draw.standard_normal((*image.shape[:2], channels), dtype=np.float32)
    return np.clip(image + field, 0, 1).astype(np.float32)


def degrade(image, record):
    """A record of `bsrgan` (reading ``scaled``) carried out; the order of operations as it stands there."""
    factor = record["fit_to"]
    for name in record["order"].split():
        if name == "pre":
            by = record["pre_by"]
            image = (
                bicubic_half(image).astype(np.float32)
                if by == "bicubic"
                else resize(image, image.shape[1] // 2, image.shape[0] // 2, by)
            )
        elif name in ("blur1", "blur2"):
            if record[f"{name}_kernel"] == "isotropic":
                kernel = isotropic(record[f"{name}_size"], record[f"{name}_sigma"])
            else:
                kernel = anisotropic(*(record[f"{name}_{key}"] for key in ("size", "theta", "first", "second")))
            image = convolve(image, kernel)
        elif name == "shrink":
            a, b = image.shape[1], image.shape[0]
            if record["shrink_by"] == "kernel":
                image = convolve(image, shifted(isotropic(25, record["shrink_sigma"]), factor))[0::factor, 0::factor]
                image = np.clip(image, 0, 1)
            else:
                ratio = record["shrink_ratio"]
                image = resize(image, int(1 / ratio * a), int(1 / ratio * b), record["shrink_by"])
        elif name == "fit":
            image = resize(image, int(1 / factor * a), int(1 / factor * b), record["fit_by"])
        elif name == "noise1":
            image = noise(image, record)
        else:
            image = jpeg(image, record[f"{name}_quality"])
    return image


def draw(random, factor=4):
    """A record at strength 1, drawn by the published code's rules from Python's generator, in the order of its steps."""
    ways = ("linear", "cubic", "area")
    steps, record = [], {"reading": "scaled", "strength": 1.0}
    rest = factor
    if factor == 4 and random.random() < 0.25:
        steps.append("pre")
        record["pre_by"] = random.choice(ways) if random.random() < 0.5 else "bicubic"
        rest = 2
    order = random.sample(range(7), 7)
    i, j = order.index(2), order.index(3)
    if i > j:
        order[i], order[j] = order[j], order[i]
    for step in order:
        if step in (0, 1):
            name = f"blur{step + 1}"
            if random.random() < 0.5:
                first, second = (4 + rest) * random.random(), (4 + rest) * random.random()
                size, theta = 2 * random.randint(2, 11) + 3, random.random() * np.pi
                record |= {f"{name}_kernel": "anisotropic", f"{name}_size": size, f"{name}_theta": theta}
                record |= {f"{name}_first": first, f"{name}_second": second}
            else:
                record |= {f"{name}_kernel": "isotropic", f"{name}_size": 2 * random.randint(2, 11) + 3}
                record[f"{name}_sigma"] = (2 + 0.2 * rest) * random.random()
        elif step == 2:
            name = "shrink"
            if random.random() < 0.75:
                record |= {"shrink_ratio": random.uniform(1, 2 * rest), "shrink_by": random.choice(ways)}
            else:
                record |= {"shrink_by": "kernel", "shrink_sigma": random.uniform(0.1, 0.6 * rest), "shrink_step": rest}
        elif step == 3:
            name = "fit"
            record |= {"fit_by": random.choice(ways), "fit_to": rest}
        elif step == 4:
            name, level, kind = "noise1", random.randint(2, 25), random.random()
            record["noise1_seed"] = random.getrandbits(32)
            if kind > 0.6 or kind < 0.4:
                record |= {"noise1_kind": "color" if kind > 0.6 else "grey", "noise1_level": level / 255}
            else:
                d = np.diag([random.random() for _ in range(3)])
                u = linalg.orth(np.array([[random.random() for _ in range(3)] for _ in range(3)]))
                covariance = np.abs((25 / 255) ** 2 * (u.T @ d @ u))
                record |= {"noise1_kind": "correlated", "noise1_covariance": covariance.ravel().tolist()}
        elif step == 5 and random.random() < 0.9:
            name, record["jpeg1_quality"] = "jpeg1", random.randint(30, 95)
        else:  # the camera model, or no JPEG
            continue
        steps.append(name)
    record["jpeg2_quality"] = random.randint(30, 95)
    return {**record, "order": " ".join([*steps, "jpeg2"])}
