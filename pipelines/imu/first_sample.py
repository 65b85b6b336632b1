"""Read a take's IMU as if it began with the picture: the published code's alignment.

The published PRIMUS code subtracts the first valid sample's stamp and opens no clock file: the
first sample is taken for the first frame, and the device's seconds for the video's, so that neither
a late start nor the drift between the two clocks is made good. The wrapper works on any reader: it
has the recording read on its own clock and moves the runs.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from pipelines.align.clock import TakeClock
from pipelines.config import ImuConfig
from pipelines.datasets.base import DatasetReader, ImuRecording
from schemas.imu import ImuSamples, TriadSamples
from schemas.take import Take
from schemas.time import NS_PER_S, Interval

__all__ = ["align_first_sample", "open_imu"]

# No device clock runs for longer, and float64 holds it exactly.
_EVER_NS: Final = 1 << 62
# Samples this far after the take are read on: beyond the reach of any filter.
_MARGIN_NS: Final = 2 * NS_PER_S


def open_imu(
    reader: DatasetReader, take: Take, clock: TakeClock, *, config: ImuConfig
) -> ImuRecording:
    """Open a take's IMU on the take clock, by the alignment that ``config`` names.

    Args:
        reader: of the take's dataset.
        take: as the catalogue has it.
        clock: of the take.
        config: gives the alignment.

    Raises:
        TakeError: as the reader's ``read_imu``, here or from the runs.
    """
    if config.alignment == "clock":
        return reader.read_imu(take, clock)
    return align_first_sample(reader.read_imu(take, _own_clock(clock)), span=clock.span)


def align_first_sample(recording: ImuRecording, *, span: Interval) -> ImuRecording:
    """Return the recording with the first instant that both sensors have seen moved to zero.

    Samples flagged invalid are no part of a recording, so the first that is there is the first
    valid one. ``info`` gains ``alignment`` and ``first_sample_ns``, the stamp that became zero.

    Args:
        recording: on any clock; its runs are read once.
        span: of the take; the recording is read until 2 s after it.
    """
    info = dict(recording.info)
    runs = _moved_runs(recording, end_ns=span.end_ns + _MARGIN_NS, info=info)
    return replace(recording, runs=runs, info=info)


def _own_clock(clock: TakeClock) -> TakeClock:
    """Return a clock under which a reader hands out the device's own stamps."""
    if np.array_equal(clock.device_ns, clock.take_ns):
        # Stamped on the take clock already. The reader keeps the span to tell absurd stamps by.
        return clock
    # Without an end: which stretch of the device clock the take is, nobody has asked.
    return TakeClock.identity(Interval(0, _EVER_NS))


def _moved_runs(
    recording: ImuRecording, *, end_ns: int, info: dict[str, str | int | float]
) -> Iterator[ImuSamples]:
    firsts: dict[str, int] = {}
    held: ImuSamples | None = None
    origin_ns: int | None = None
    for run in recording.runs:
        whole = run
        if origin_ns is None:
            for name, triad in (("accel", run.accel), ("gyro", run.gyro)):
                if len(triad):
                    firsts.setdefault(name, int(triad.t_ns[0]))
            if len(firsts) < 2:
                # What one sensor saw long before the other began bears on nothing.
                held = run
                continue
            origin_ns = max(firsts.values())
            whole = run if held is None else _joined(held, run)
        # The reader counts as it reads.
        info.update(recording.info)
        info.update({"alignment": "first_sample", "first_sample_ns": origin_ns})
        moved = _moved(whole, by_ns=-origin_ns)
        if all(len(t) and int(t.t_ns[0]) > end_ns for t in (moved.accel, moved.gyro)):
            return
        yield moved


def _moved(run: ImuSamples, *, by_ns: int) -> ImuSamples:
    return ImuSamples(
        accel=TriadSamples(t_ns=run.accel.t_ns + by_ns, values=run.accel.values),
        gyro=TriadSamples(t_ns=run.gyro.t_ns + by_ns, values=run.gyro.values),
        invalid_ns=run.invalid_ns + by_ns,
        saturated_ns=run.saturated_ns + by_ns,
    )


def _joined(first: ImuSamples, then: ImuSamples) -> ImuSamples:
    def triad(a: TriadSamples, b: TriadSamples) -> TriadSamples:
        return TriadSamples(
            t_ns=np.concatenate([a.t_ns, b.t_ns]), values=np.concatenate([a.values, b.values])
        )

    return ImuSamples(
        accel=triad(first.accel, then.accel),
        gyro=triad(first.gyro, then.gyro),
        invalid_ns=np.concatenate([first.invalid_ns, then.invalid_ns]),
        saturated_ns=np.concatenate([first.saturated_ns, then.saturated_ns]),
    )
