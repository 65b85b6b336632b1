"""Raw IMU arrays as the windows an encoder was trained on: another rate, cut, and checked.

The resampling rule is that of the stores' own windows: straight lines between samples on a fine
grid, the smallest whole multiple of the target rate that reaches 1000 Hz, then a Kaiser-windowed
sinc of zero phase, -6 dB at four fifths of the target's Nyquist frequency and -60 dB from that
frequency on (Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.5). Nothing is
padded: near the ends the filter keeps to the weights that lie on recorded signal, divided by their
sum, so that constant gravity stays constant.
"""

import math
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from schemas.errors import UsageError

__all__ = ["Rate", "cut_windows", "parse_rate", "resample"]

Rate = float | str | Fraction

_FINE_HZ: Final = 1000
_STOP_BAND_DB: Final = 60.0
_CUTOFF_SHARE: Final = 0.8
_ROWS: Final = 96
_POINTS: Final = 3000
"""Signals and grid points resampled at a time; they change no value beyond rounding."""


def parse_rate(rate_hz: Rate) -> Fraction:
    """Return a rate as a fraction.

    Raises:
        UsageError: if it is no number above 0.
    """
    try:
        rate = Fraction(str(rate_hz))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UsageError(f"rate_hz must be a finite number above 0, got {rate_hz!r}")
    return rate


def _low_pass(*, target_hz: float, factor: int) -> npt.NDArray[np.float64]:
    """Return the filter's taps at ``factor`` times the target rate, an odd number, of sum 1."""
    fine_hz, nyquist_hz = target_hz * factor, target_hz / 2
    cutoff_hz = _CUTOFF_SHARE * nyquist_hz
    transition_hz = 2 * min(nyquist_hz - cutoff_hz, cutoff_hz / 2)
    beta = 0.1102 * (_STOP_BAND_DB - 8.7)
    taps = (_STOP_BAND_DB - 7.95) / (2.285 * 2 * np.pi * transition_hz / fine_hz)
    reach = int(np.ceil(taps / 2))
    distance = np.arange(-reach, reach + 1)
    # Two longer, as the window's own ends, of next to no weight, are no taps.
    window = np.kaiser(2 * reach + 3, beta)[1:-1]
    weights = np.sinc(2 * cutoff_hz / fine_hz * distance) * window
    return np.asarray(weights / weights.sum())


def resample(
    x: npt.NDArray[np.float64], *, source: Fraction, target: Fraction, count: int
) -> npt.NDArray[np.float64]:
    """Return signals (R, T) at ``source`` Hz at ``count`` points of a grid of ``target`` Hz.

    The first point is the first sample's instant; past the last sample its value holds. At equal
    rates nothing is filtered.
    """
    R, T = x.shape
    out = np.empty((R, count))
    if source == target:
        out[:] = x[:, np.minimum(np.arange(count), T - 1)]
        return out
    factor = -(-_FINE_HZ // target)
    taps = _low_pass(target_hz=float(target), factor=factor)
    margin = -(-(len(taps) // 2) // factor)
    end = max((count - 1) * factor, int((T - 1) * target * factor // source))
    for start in range(0, count, _POINTS):
        points = min(_POINTS, count - start)
        fine = np.arange((start - margin) * factor, (start + points + margin - 1) * factor + 1)
        recorded = (fine >= 0) & (fine <= end)
        place = np.clip(fine * float(source / (target * factor)), 0, T - 1)
        left = place.astype(np.int64)
        right = np.minimum(left + 1, T - 1)
        share = place - left
        weights = resample_poly(recorded.astype(np.float64), 1, factor, window=taps)
        kept = slice(margin, margin + points)
        for row in range(0, R, _ROWS):
            rows = x[row : row + _ROWS]
            line = np.where(recorded, rows[:, left] * (1 - share) + rows[:, right] * share, 0)
            values = resample_poly(line, 1, factor, axis=1, window=taps)
            out[row : row + _ROWS, start : start + points] = values[:, kept] / weights[kept]
    return out


def cut_windows(
    x: npt.ArrayLike,
    *,
    channels: int,
    rate_hz: Rate,
    target: Fraction,
    samples: int,
    stride_s: float | None = None,
) -> npt.NDArray[np.float32]:
    """Return raw signals as windows (B, n, C, samples) at ``target`` Hz; without stride, n = 1.

    The windows are a read-only view: overlapping ones share their memory.

    Args:
        x: (B, C, T) signals.
        channels: C.
        rate_hz: of ``x``.
        target: rate of the windows.
        samples: of a window.
        stride_s: cut a window every so many seconds (rounded to whole samples) for as long as
            there is signal; None wants signals of one window's length.

    Raises:
        UsageError: if shape, values, rate or length are not so.
    """
    source = parse_rate(rate_hz)
    signal = _check(x, channels=channels)
    length_s = samples / target
    T = signal.shape[2]
    # A point stands for the interval up to the next, as a sample does.
    count = int(-(-T * target // source))
    if stride_s is None and count != samples and abs(T - length_s * source) >= 1:
        raise UsageError(
            f"x must last {float(length_s):g} s, the length of the encoder's windows, "
            f"{float(length_s * source):g} samples at {float(source):g} Hz, got {T} samples "
            f"({float(T / source):.3f} s): give stride_s to cut windows from a longer recording"
        )
    step = samples
    if stride_s is not None:
        step = round(stride_s * target) if math.isfinite(stride_s) else 0
    if step < 1:
        raise UsageError(
            f"stride_s must be at least one sample, {float(1 / target):g} s, got {stride_s}"
        )
    if stride_s is None:
        count = samples
    rows = resample(signal.reshape(-1, T), source=source, target=target, count=count)
    line = rows.astype(np.float32).reshape(*signal.shape[:2], count)
    if count < samples:
        raise UsageError(
            f"x must last at least {float(length_s):g} s, the length of the encoder's windows, "
            f"got {float(T / source):.3f} s"
        )
    windows = np.lib.stride_tricks.sliding_window_view(line, samples, axis=2)[:, :, ::step]
    return windows.transpose(0, 2, 1, 3)


def _check(x: npt.ArrayLike, *, channels: int) -> npt.NDArray[np.float64]:
    given: npt.NDArray[Any] = np.asarray(x)
    if given.ndim != 3 or given.shape[1] != channels or given.shape[2] == 0:
        shape = given.shape[1:] if given.ndim == 3 and len(given) == 1 else given.shape
        raise UsageError(f"x must have shape ({channels}, T) or (B, {channels}, T), got {shape}")
    if not np.issubdtype(given.dtype, np.floating) and not np.issubdtype(given.dtype, np.integer):
        raise UsageError(f"x must hold real numbers, got {given.dtype}")
    if not np.isfinite(given).all():
        raise UsageError(
            "x must be finite, got NaN or infinity: cut around what is missing, as nothing is "
            "filled in"
        )
    return given.astype(np.float64)
