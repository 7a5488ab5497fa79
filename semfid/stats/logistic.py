"""The 4-parameter logistic that maps predictions onto labels before PLCC and RMSE.

    f(x) = b2 + (b1 - b2) / (1 + exp(-(x - b3) / b4)),   b4 > 0

VQEG, "Final report on the validation of objective models of video quality assessment, phase II" (2003); the form is the
one that LIQE and pyiqa's `fit_curve` use. b1 > b2 rises, b1 < b2 falls: the mapping absorbs the direction of a metric,
so a PLCC after it is never negative. Look at SRCC for the sign.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special  # type: ignore[import-untyped, unused-ignore]

from semfid.stats.arrays import FloatArray, finite_pair, is_constant

START_POSITIONS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # quantiles of the predictions and of their distinct values
START_WIDTHS = (0.03, 0.1, 0.3, 1.0)  # times the interquartile range and times the standard deviation
STARTS_REFINED = 4
GRID_ROWS = 2000
NO_RELATION = 1e-9  # a |correlation| up to here is rounding
FITS_KEPT = 4096


@dataclass(frozen=True)
class Logistic:
    """A fitted mapping, predictions -> labels.

    Attributes:
        b1, b2: the plateaus at +infinity and -infinity.
        b3, b4: the middle and the width (> 0), in units of the prediction.
        form: what the mapping is. ``linear``: f(x) = b2 + (b1 - b2) (x - b3) / b4, the least-squares line, where no
            logistic is better than it (or there are fewer than 5 pairs or 3 distinct predictions). ``constant``:
            f(x) = b1 = b2, the mean label, where predictions or labels are constant or have no relation at all.
        converged: True only for ``logistic``, found by an optimiser that reported success.
    """

    b1: float
    b2: float
    b3: float
    b4: float
    form: Literal["logistic", "linear", "constant"]
    converged: bool

    def __call__(self, predicted: npt.ArrayLike) -> FloatArray:
        """Mapped predictions, same shape, in units of the label."""
        x = np.asarray(predicted, dtype=np.float64)
        if self.form == "constant":
            return np.full(x.shape, self.b1)
        z = (x - self.b3) / self.b4
        share = z if self.form == "linear" else special.expit(z)
        return np.asarray(self.b2 + (self.b1 - self.b2) * share, dtype=np.float64)


def _plateaus(share: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Least-squares intercept and slope of y on `share`; slope 0 where `share` does not vary."""
    centred = share - share.mean()
    power = float(centred @ centred)
    slope = float(centred @ y) / power if power > 1e-24 * share.size else 0.0
    return float(y.mean()) - slope * float(share.mean()), slope


def _residual(position_and_width: FloatArray, z: FloatArray, y: FloatArray) -> FloatArray:
    """Residuals of the best logistic with a given middle and log width (variable projection, Golub & Pereyra 1973)."""
    share = special.expit((z - position_and_width[0]) * np.exp(-position_and_width[1]))
    intercept, slope = _plateaus(share, y)
    return np.asarray(intercept + slope * share - y, dtype=np.float64)


def _jacobian(position_and_width: FloatArray, z: FloatArray, y: FloatArray) -> FloatArray:
    """Derivative of `_residual`, (n, 2), the plateaus projected out (Kaufman's form of variable projection, 1975)."""
    narrowing = np.exp(-position_and_width[1])
    scaled = (z - position_and_width[0]) * narrowing
    share = special.expit(scaled)
    slope = _plateaus(share, y)[1] * share * (1.0 - share)
    columns = np.stack([-slope * narrowing, -slope * scaled], axis=1)
    columns -= columns.mean(axis=0)
    centred = share - share.mean()
    power = float(centred @ centred)
    if power > 1e-24 * share.size:
        columns -= np.outer(centred, centred @ columns / power)
    return np.asarray(columns, dtype=np.float64)


def _error(mapping: Logistic, x: FloatArray, y: FloatArray) -> float:
    return float(np.sum((mapping(x) - y) ** 2))


def _constant(y: FloatArray) -> Logistic:
    mean = float(y[0]) if is_constant(y) and y.size else float(y.mean()) if y.size else float("nan")
    return Logistic(mean, mean, 0.0, 1.0, "constant", False)


def _line(x: FloatArray, y: FloatArray, middle: float, spread: float) -> Logistic:
    intercept, slope = _plateaus((x - middle) / spread, y)
    return Logistic(intercept + slope, intercept, middle, spread, "linear", False)


def _refine(x: FloatArray, y: FloatArray, middle: float, spread: float) -> list[Logistic]:
    """Logistics from the best of a grid of starts; the plateaus are solved exactly, two parameters are searched."""
    z = (x - middle) / spread
    positions = np.unique([np.quantile(z, START_POSITIONS), np.quantile(np.unique(z), START_POSITIONS)])
    widths = [width * scale for scale in (1.0, float(z.std())) for width in START_WIDTHS]
    rows = np.unique(np.linspace(0, z.size - 1, min(z.size, GRID_ROWS)).astype(np.int64))  # x is sorted
    z_grid, y_grid = z[rows], y[rows]
    starts = [np.array([p, np.log(w)]) for p in positions for w in widths]
    starts.sort(key=lambda start: float(np.sum(_residual(start, z_grid, y_grid) ** 2)))
    reach = max(float(z[-1] - z[0]), 1.0)
    lower = np.array([z[0] - reach, np.log(1e-3)])
    upper = np.array([z[-1] + reach, np.log(10.0 * reach)])
    fits = []
    for start in starts[:STARTS_REFINED]:
        inside = np.clip(start, lower + 1e-6, upper - 1e-6)
        with np.errstate(invalid="ignore"):  # a start without any slope: its step is 0 * inf, and it ends where it is
            found = optimize.least_squares(
                _residual, inside, _jacobian, bounds=(lower, upper), args=(z, y), max_nfev=200
            )
        width = float(np.exp(found.x[1]))
        intercept, slope = _plateaus(special.expit((z - found.x[0]) / width), y)
        b3, b4 = middle + spread * float(found.x[0]), spread * width
        fits.append(Logistic(intercept + slope, intercept, b3, b4, "logistic", bool(found.success)))
    return fits


_fits: dict[bytes, Logistic] = {}  # a run's metrics, their bootstrap and the table ask for the same fit


def fit_logistic(predicted: npt.ArrayLike, difference: npt.ArrayLike) -> Logistic:
    """The least-squares 4-parameter logistic of the labels on the predictions.

    Deterministic and independent of the order of rows. Rising and falling relations are found alike. Where a logistic
    cannot be had or does not help, the mapping is the least-squares line or the mean label (see `Logistic.form`), so
    a fit is never worse than either.

    Args:
        predicted: (n,) finite, any range.
        difference: (n,) labels, finite.

    Raises:
        ValueError: NaN or infinity, wrong dimensions, different lengths.
    """
    x, y = finite_pair(predicted, difference)
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    key = hashlib.blake2b(x.tobytes() + y.tobytes(), digest_size=16).digest()
    known = _fits.get(key)
    if known is None:
        known = _fit(x, y)
        if len(_fits) >= FITS_KEPT:
            _fits.clear()
        _fits[key] = known
    return known


def _fit(x: FloatArray, y: FloatArray) -> Logistic:
    """`fit_logistic` of sorted rows."""
    if is_constant(x) or is_constant(y):
        return _constant(y)
    middle = float(np.median(x))
    quartiles = np.quantile(x, (0.25, 0.75))
    spread = float(quartiles[1] - quartiles[0])
    if spread == 0.0:  # half of the predictions tied
        spread = float(x.std())
    if not (spread > 0.0 and np.isfinite(spread) and np.isfinite((x - middle) / spread).all()):
        return _constant(y)  # differences below or above what float64 can square
    unexplained = _error(_constant(y), x, y)
    if unexplained == 0.0:
        return _constant(y)  # labels closer than what float64 can square
    line = _line(x, y, middle, spread)
    best = line
    if y.size >= 5 and np.unique(x).size >= 3:
        for mapping in _refine(x, y, middle, spread):
            if _error(mapping, x, y) < _error(best, x, y) * (1 - 1e-12):
                best = mapping
    explained = 1.0 - _error(best, x, y) / unexplained
    slope_alone = abs(float(line(x).std())) / float(y.std())  # = |PLCC|, which rounding does not blur
    if best.form == "linear" and slope_alone <= NO_RELATION:
        return _constant(y)
    if best.form == "logistic" and explained <= NO_RELATION:
        return _constant(y)
    return best
