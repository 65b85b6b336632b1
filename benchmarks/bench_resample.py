"""IMU windows on the 50 Hz grid: the take resampled once against each window resampled alone.

Ours low-passes and resamples the whole take once and cuts windows from the result. The published
way cuts the recorded samples of each window and resamples them alone by a windowed sinc, which
takes what lies beyond the cut for zeros; scipy's polyphase resampler stands for it here. The
windows are cut by binary search, which flatters the published way.

The signal is known in closed form, so both are also held against the truth: away from a window's
edges both give it, at the edges only ours does.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy
from scipy import signal
from side_by_side import Case, make_parser, measure, report

from pipelines.imu.resample import design_low_pass, resample_runs
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval, seconds_to_ns

__all__ = ["main"]

NATIVE_HZ: Final = 1000
GRID_HZ: Final = 50
CUTOFF_HZ: Final = 20.0
WINDOW_S: Final = 5
BLOCK_S: Final = 60
MAX_GAP_NS: Final = 100 * NS_PER_MS
GRAVITY_M_S2: Final = 9.81
# Further from a window's edge than either filter reaches, in samples of the grid.
EDGE: Final = 12
SEED: Final = 0
Values = npt.NDArray[np.float64]


class Motion:
    """Six channels of sines between 0.3 and 8 Hz, the third with gravity on top."""

    def __init__(self) -> None:
        rng = np.random.default_rng(SEED)
        self.hz = rng.uniform(0.3, 8, (6, 5))
        self.phase = rng.uniform(0, 2 * np.pi, (6, 5))

    def at(self, t_ns: npt.NDArray[np.int64]) -> Values:
        """Return the values (N, 6) at instants (N,)."""
        t = t_ns[:, None] / NS_PER_S
        columns = [
            np.sin(2 * np.pi * hz * t + phase).sum(axis=1)
            for hz, phase in zip(self.hz, self.phase, strict=True)
        ]
        values: Values = np.stack(columns, axis=1)
        values[:, 2] += GRAVITY_M_S2
        return values


def record(motion: Motion, *, seconds: int) -> ImuSamples:
    """Return the motion as a sensor of 1000 Hz samples it, evenly."""
    t_ns = np.arange(seconds * NATIVE_HZ + 1, dtype=np.int64) * (NS_PER_S // NATIVE_HZ)
    values = motion.at(t_ns)
    accel, gyro = (np.ascontiguousarray(half) for half in (values[:, :3], values[:, 3:]))
    return ImuSamples(
        accel=TriadSamples(t_ns=t_ns, values=accel), gyro=TriadSamples(t_ns=t_ns, values=gyro)
    )


def once_per_take(samples: ImuSamples, *, seconds: int, starts_s: Sequence[float]) -> Values:
    """Return windows (W, 250, 6) cut from the take's one resampling."""
    blocks = resample_runs(
        _runs(samples, seconds=seconds),
        span=Interval(0, seconds * NS_PER_S),
        low_pass=design_low_pass(step_ns=NS_PER_S // GRID_HZ, cutoff_hz=CUTOFF_HZ),
        max_gap_ns=MAX_GAP_NS,
        block_ns=BLOCK_S * NS_PER_S,
    )
    take = np.concatenate([block.values for block in blocks])
    firsts = [round(start * GRID_HZ) for start in starts_s]
    return np.stack([take[a : a + WINDOW_S * GRID_HZ] for a in firsts])


def _runs(samples: ImuSamples, *, seconds: int) -> Iterator[ImuSamples]:
    """Yield the take in runs of ten seconds, as a reader would."""
    step = 10 * NATIVE_HZ
    for start in range(0, seconds * NATIVE_HZ + 1, step):
        cut = slice(start, start + step)
        yield ImuSamples(
            accel=TriadSamples(t_ns=samples.accel.t_ns[cut], values=samples.accel.values[cut]),
            gyro=TriadSamples(t_ns=samples.gyro.t_ns[cut], values=samples.gyro.values[cut]),
        )


def once_per_window(samples: ImuSamples, *, starts_s: Sequence[float]) -> Values:
    """Return windows (W, 250, 6), each resampled from its own samples alone."""
    windows = []
    for start in starts_s:
        first_ns = seconds_to_ns(start)
        triads = []
        for triad in (samples.accel, samples.gyro):
            a, b = np.searchsorted(triad.t_ns, [first_ns, first_ns + WINDOW_S * NS_PER_S])
            t_ns, values = triad.t_ns[a:b], triad.values[a:b]
            rate_hz = round(NS_PER_S * (len(t_ns) - 1) / int(t_ns[-1] - t_ns[0]))
            triads.append(signal.resample_poly(values, GRID_HZ, rate_hz, axis=0))
        windows.append(np.concatenate(triads, axis=1))
    return np.stack(windows)


def compare(*, name: str, every_s: float, seconds: int, repeats: int) -> Case:
    """Time both ways on one take, and hold them against the signal's closed form."""
    motion = Motion()
    samples = record(motion, seconds=seconds)
    # Windows that touch the take's own ends are left out: there is no signal beyond those.
    count = int((seconds - 2 - WINDOW_S) / every_s)
    starts_s = [round((1 + i * every_s) * GRID_HZ) / GRID_HZ for i in range(count)]
    ways: dict[str, Callable[[], Values]] = {
        "published": lambda: once_per_window(samples, starts_s=starts_s),
        "ours": lambda: once_per_take(samples, seconds=seconds, starts_s=starts_s),
    }
    runs, answers = measure(ways, repeats=repeats, per=seconds / 3600)
    offsets_ns = np.arange(WINDOW_S * GRID_HZ, dtype=np.int64) * (NS_PER_S // GRID_HZ)
    truth = np.stack([motion.at(seconds_to_ns(start) + offsets_ns) for start in starts_s])
    inner = slice(EDGE, -EDGE)
    ours, published = answers["ours"], answers["published"]
    agreement = {
        "windows": len(starts_s),
        "largest_inner_difference": float(np.abs(ours - published)[:, inner].max()),
        "ours_largest_inner_error": float(np.abs(ours - truth)[:, inner].max()),
        "published_largest_inner_error": float(np.abs(published - truth)[:, inner].max()),
        "ours_largest_error": float(np.abs(ours - truth).max()),
        "published_largest_error": float(np.abs(published - truth).max()),
    }
    return Case(name=name, unit="ms_per_hour_of_take", runs=runs, agreement=agreement)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--seconds", type=int, default=600, help="length of the take")
    args = parser.parse_args(argv)
    seconds, repeats = (20, 1) if args.quick else (args.seconds, args.repeats)
    if seconds < 3 * WINDOW_S:
        parser.error(f"--seconds must be at least {3 * WINDOW_S}, got {seconds}")
    cases = [
        compare(name=name, every_s=every_s, seconds=seconds, repeats=repeats)
        for name, every_s in (("every_5_s", 5.0), ("every_2_s", 2.0), ("every_half_s", 0.5))
    ]
    settings = {
        "seconds": seconds,
        "native_hz": NATIVE_HZ,
        "grid_hz": GRID_HZ,
        "cutoff_hz": CUTOFF_HZ,
        "window_s": WINDOW_S,
        "scipy": scipy.__version__,
    }
    return report("resample", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
