"""One IMU window resampled by itself, as the published PRIMUS code does it.

The kernel is a sinc under a Hann window that ends after six zero crossings, its cutoff at 0.99 of
the lower half rate: torchaudio's documented default (``torchaudio.functional.resample``, after
Smith, "Digital Audio Resampling"). With rates ``f`` in and ``g`` out and ``b = 0.99 min(f, g)``,

    y[m] = sum_k x[k] (b / f) sinc(u) cos^2(pi u / 12),   u = b (k / f - m / g),   |u| < 6.

What lies beyond the cut counts as zero, so the first and last tenth of a second of a window are
bent: constant gravity comes out as about half of itself at the edge. And the rate in is told from
the window's mean step, rounded down to whole Hz. Both are what the published windows hold; our own
way (``pipelines.imu.resample``) does neither.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.segments.filters import IMU_MISSING, PRESENT
from schemas.imu import TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

__all__ = ["EARLY_NS", "ResampledWindow", "common_samples", "resample_window", "sinc_resample"]

_ZERO_CROSSINGS: Final = 6
_ROLL_OFF: Final = 0.99
_CHANNELS: Final = 6

EARLY_NS: Final = 100 * NS_PER_MS
"""By so much samples may begin after a window's start, or end before its end."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampledWindow:
    """One window on the grid.

    Attributes:
        values: (6, T) float32, accelerometer xyz then gyroscope xyz; 0 where there is a fault.
        padded: grid points at the end that hold zeros and no signal.
        fault: why there is no window, ``PRESENT`` where there is one.
    """

    values: npt.NDArray[np.float32]
    padded: int
    fault: str


def sinc_resample(values: Values, *, rate_in: int, rate_out: int) -> Values:
    """Return evenly spaced samples at another rate.

    Args:
        values: (C, N).
        rate_in: of the samples, whole Hz.
        rate_out: wanted, whole Hz.

    Returns:
        (C, ceil(N * rate_out / rate_in)); the values themselves where the rates are equal.
    """
    common = gcd(rate_in, rate_out)
    f, g = rate_in // common, rate_out // common
    if f == g:
        return values
    phases, first, reach = _kernel(f, g)
    count = ceil(values.shape[1] * g / f)
    # Output m = q g + p looks at inputs from q f + first[p] on.
    m = np.arange(count)
    start = m // g * f + first[m % g]
    low = int(first.min())
    padded = np.pad(values, ((0, 0), (-low, int(start.max()) + reach)))
    stretches = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=1)
    resampled: Values = np.einsum("cmk,mk->cm", stretches[:, start - low], phases[m % g])
    return resampled


@lru_cache(maxsize=16)
def _kernel(f: int, g: int) -> tuple[Values, npt.NDArray[np.int64], int]:
    """Return each phase's weights (g, K), the first input it looks at (g,), and K."""
    b = _ROLL_OFF * min(f, g)
    half = _ZERO_CROSSINGS / b
    centre = np.arange(g) / g
    first = np.ceil((centre - half) * f).astype(np.int64)
    reach = ceil(2 * half * f) + 1
    k = first[:, None] + np.arange(reach)
    u = b * (k / f - centre[:, None])
    hann = np.cos(np.pi * np.clip(u, -_ZERO_CROSSINGS, _ZERO_CROSSINGS) / (2 * _ZERO_CROSSINGS))
    return b / f * np.sinc(u) * hann**2, first, reach


def resample_window(
    accel: TriadSamples,
    gyro: TriadSamples,
    *,
    window: Interval,
    samples: int,
    rate_hz: int,
) -> ResampledWindow:
    """Return a window cut from recorded samples and resampled by itself.

    Where the recording ends less than ``EARLY_NS`` before the window does, the cut ends at the
    last whole second before that, so that up to a second of signal gives way to zeros. Gaps within
    the window are not looked for: the samples after one move up.

    Args:
        accel: samples around the window, one at or after its end included where there is one.
        gyro: the same of the other sensor.
        window: on the take clock.
        samples: T: grid points of the window.
        rate_hz: of the grid.
    """
    values = np.zeros((_CHANNELS, samples), np.float32)
    filled = samples
    for i, triad in enumerate(common_samples(accel, gyro)):
        cut = _cut(triad, window=window)
        rate_in = _whole_rate(cut) if cut is not None else 0
        if cut is None or rate_in == 0:
            nothing = np.zeros((_CHANNELS, samples), np.float32)
            return ResampledWindow(values=nothing, padded=0, fault=IMU_MISSING)
        made = sinc_resample(cut.values.T, rate_in=rate_in, rate_out=rate_hz)[:, :samples]
        values[3 * i : 3 * i + 3, : made.shape[1]] = made
        filled = min(filled, made.shape[1])
    return ResampledWindow(values=values, padded=samples - filled, fault=PRESENT)


def common_samples(accel: TriadSamples, gyro: TriadSamples) -> tuple[TriadSamples, TriadSamples]:
    """Return the samples at stamps that both sensors have; all, where each has stamps of its own.

    The published code reads pairs and leaves out those of which either is flagged invalid.
    """
    if np.array_equal(accel.t_ns, gyro.t_ns):
        return accel, gyro
    _, of_accel, of_gyro = np.intersect1d(
        accel.t_ns, gyro.t_ns, assume_unique=True, return_indices=True
    )
    if 2 * len(of_accel) < max(len(accel), len(gyro)):
        return accel, gyro
    return (
        TriadSamples(t_ns=accel.t_ns[of_accel], values=accel.values[of_accel]),
        TriadSamples(t_ns=gyro.t_ns[of_gyro], values=gyro.values[of_gyro]),
    )


def _cut(triad: TriadSamples, *, window: Interval) -> TriadSamples | None:
    """Return the window's samples; None where the recording does not reach its ends."""
    t_ns = triad.t_ns
    if not (_near(t_ns, window.start_ns) and _near(t_ns, window.end_ns)):
        return None
    last_ns = int(t_ns[-1])
    ends_early = last_ns < window.end_ns
    end_ns = last_ns // NS_PER_S * NS_PER_S if ends_early else window.end_ns
    low, high = np.searchsorted(t_ns, [window.start_ns, max(end_ns, window.start_ns)])
    return TriadSamples(t_ns=t_ns[low:high], values=triad.values[low:high])


def _near(t_ns: npt.NDArray[np.int64], at_ns: int) -> bool:
    low, high = np.searchsorted(t_ns, [at_ns - EARLY_NS, at_ns + EARLY_NS + 1])
    return bool(high > low)


def _whole_rate(cut: TriadSamples) -> int:
    """Return the rate by the mean step, rounded down to whole Hz; 0 where it cannot be told."""
    if len(cut) < 2:
        return 0
    mean_step_ns = (int(cut.t_ns[-1]) - int(cut.t_ns[0])) / (len(cut) - 1)
    return int(NS_PER_S / mean_step_ns)
