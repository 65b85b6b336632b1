"""The IMU of a recording that its camera cut into chapters, joined on one clock.

Each chapter is stamped from its own metadata track, counted from its own first frame, and laid
where that frame stands in the recording. What little overlap the lines of two chapters leave is
taken off the later one, so that stamps never step back.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.datasets.base import ImuRecording
from pipelines.imu.gpmf import open_gpmf_imu, read_gpmf_span
from pipelines.video.chapters import Chapter
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, Interval

__all__ = ["open_gpmf_chapters", "read_chapters_span"]

# More than this is no rounding of two lines: a chapter's picture or sensors are cut short.
_MAX_OVERLAP_NS: Final = 100 * NS_PER_MS


def open_gpmf_chapters(chapters: Sequence[Chapter], *, accept_sensor_frame: bool) -> ImuRecording:
    """Open the IMU of a recording's files as one stream of runs; time zero is its first frame.

    Args:
        chapters: of the recording, in order; at least one.
        accept_sensor_frame: as for ``open_gpmf_imu``.

    Returns:
        As ``open_gpmf_imu``; of several chapters ``info`` is the first one's, with samples added
        up, ``chapters``, and, once the runs are read, ``overlap_samples`` left out.

    Raises:
        TakeError: as ``open_gpmf_imu``; ``imu_clock_unstable`` from the runs if two chapters
            overlap by more than 100 ms.
    """
    recordings = [
        open_gpmf_imu(
            chapter.path,
            origin_ns=chapter.probe.first_pts_ns - chapter.start_ns,
            accept_sensor_frame=accept_sensor_frame,
        )
        for chapter in chapters
    ]
    first = recordings[0]
    if len(recordings) == 1:
        return first
    info: dict[str, str | int | float] = dict(first.info)
    for name in ("accel_samples", "gyro_samples"):
        info[name] = sum(int(recording.info[name]) for recording in recordings)
    info["chapters"], info["overlap_samples"] = len(chapters), 0
    runs = _join(chapters, recordings, info=info)
    return ImuRecording(runs=runs, frame=first.frame, stream=first.stream, info=info)


def read_chapters_span(chapters: Sequence[Chapter]) -> Interval:
    """Return the stretch from the first to the last instant that both sensors have samples for.

    Raises:
        TakeError: as ``read_gpmf_span``.
    """
    spans = [
        read_gpmf_span(chapter.path, origin_ns=chapter.probe.first_pts_ns - chapter.start_ns)
        for chapter in chapters
    ]
    return Interval(spans[0].start_ns, spans[-1].end_ns)


def _join(
    chapters: Sequence[Chapter],
    recordings: Sequence[ImuRecording],
    *,
    info: dict[str, str | int | float],
) -> Iterator[ImuSamples]:
    last_ns: int | None = None
    for chapter, recording in zip(chapters, recordings, strict=True):
        before_ns = last_ns  # where the chapters before this one ended
        for run in recording.runs:
            if before_ns is not None:
                _check_overlap(run, before_ns, path=chapter.path)
                run, lost = _after(run, before_ns)
                info["overlap_samples"] = int(info["overlap_samples"]) + lost
            ends = [int(triad.t_ns[-1]) for triad in (run.accel, run.gyro) if len(triad)]
            last_ns = max(ends, default=last_ns)
            yield run


def _check_overlap(run: ImuSamples, last_ns: int, *, path: Path) -> None:
    starts = [int(triad.t_ns[0]) for triad in (run.accel, run.gyro) if len(triad)]
    overlap_ns = last_ns - min(starts, default=last_ns)
    if overlap_ns > _MAX_OVERLAP_NS:
        raise TakeError(
            "imu_clock_unstable",
            f"chapters must overlap by {_MAX_OVERLAP_NS // NS_PER_MS} ms at most, "
            f"got {overlap_ns // NS_PER_MS} ms [{path}]",
        )


def _after(run: ImuSamples, last_ns: int) -> tuple[ImuSamples, int]:
    """Return what of a run is later than ``last_ns``, and how many samples are not."""
    accel, gyro = _cut(run.accel, last_ns), _cut(run.gyro, last_ns)
    lost = len(run.accel) + len(run.gyro) - len(accel) - len(gyro)
    later = ImuSamples(
        accel=accel,
        gyro=gyro,
        invalid_ns=run.invalid_ns[run.invalid_ns > last_ns],
        saturated_ns=run.saturated_ns[run.saturated_ns > last_ns],
    )
    return later, lost


def _cut(triad: TriadSamples, last_ns: int) -> TriadSamples:
    keep = int(np.searchsorted(triad.t_ns, last_ns, side="right"))
    return TriadSamples(t_ns=triad.t_ns[keep:], values=triad.values[keep:])
