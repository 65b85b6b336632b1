"""Decide everything about a synthetic dataset before a byte of it is written."""

import uuid
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.arguments import assign_faults, check_counts
from pipelines.synthetic.faults import IMU_GAP_NS, IMU_LATE_NS, IMU_SHORT_NS
from pipelines.synthetic.people import make_people, make_schedule, split_of
from pipelines.synthetic.spoil_video import plan_frame_times
from pipelines.synthetic.truth import (
    CaptureClock,
    DatasetTruth,
    ImuStreamTruth,
    ParticipantTruth,
    TakeTruth,
)
from schemas.errors import UsageError

__all__ = [
    "SYNTHETIC_VERSION",
    "make_uid",
    "plan_dataset",
]

# Raised when equal arguments come to give other bytes.
SYNTHETIC_VERSION: Final = 2
_FPS: Final = 30
_TAKES_PER_CAPTURE: Final = 2
# imu_short needs takes that go on for longer than what it takes away.
_IMU_SHORT_SECONDS: Final = 8
_UNREADABLE_VIDEOS: Final = ("video_truncated", "video_empty", "video_audio_only")
# Label, instance, true rate on the device clock, jitter: as measured on real recordings.
_STREAMS: Final = (("imu-right", 1, 999.5, 60_000.0), ("imu-left", 2, 807.4, 0.0))


def make_uid(*parts: str | int) -> str:
    """Return a uuid that depends on ``parts`` alone."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(["synthetic-egoexo4d", *map(str, parts)])))


def plan_dataset(
    *, takes: int, seconds: float, seed: int, participants: int = 4, faults: Sequence[str] = ()
) -> DatasetTruth:
    """Return the truth of a dataset: pure, and equal for equal arguments.

    Takes go round the eight activities, then on to the next participant, so that 8 x participants
    takes show every pair once. Faults are given to the last takes, one each, the first take last.

    Raises:
        UsageError: for a number that cannot be, an unknown fault, more faults than takes, or takes
            too short for their fault.
    """
    check_counts(takes=takes, participants=participants, seconds=seconds)
    fault_of = assign_faults(faults, dataset="egoexo4d", takes=takes)
    if "imu_short" in fault_of.values() and seconds < _IMU_SHORT_SECONDS:
        raise UsageError(
            f"seconds must be at least {_IMU_SHORT_SECONDS} for imu_short, got {seconds}"
        )
    people = make_people(participants, seed=seed)
    frames = round(seconds * _FPS)
    clocks: dict[tuple[int, int], CaptureClock] = {}
    planned = []
    for index in range(takes):
        turn, activity = divmod(index, len(ACTIVITIES))
        capture, place = divmod(turn, _TAKES_PER_CAPTURE)
        name = f"{ACTIVITIES[activity].name_stem}_{capture + 1:02d}"
        rng = np.random.default_rng([seed, 2, activity, capture])
        lead = int(rng.integers(45, 90))
        start_row = lead + place * (frames + 1 + int(rng.integers(100, 160)))
        if (activity, capture) not in clocks:
            rows = start_row + _TAKES_PER_CAPTURE * (frames + 170) + 60
            clocks[activity, capture] = _make_clock(name, rows=rows, seed=seed, rng=rng)
        person = people[turn % participants]
        planned.append(
            _make_take(
                activity=activity,
                take_name=f"{name}_{place + 1}",
                person=person,
                split=split_of(turn % participants, participants=participants, index=index),
                clock=clocks[activity, capture],
                start_row=start_row,
                frames=frames,
                seed=seed,
                index=index,
                fault=fault_of.get(index),
            )
        )
    return DatasetTruth(seed=seed, seconds=seconds, takes=tuple(planned))


def _make_clock(name: str, *, rows: int, seed: int, rng: np.random.Generator) -> CaptureClock:
    drift_ppm = float(rng.choice([-1, 1]) * rng.uniform(30, 200))
    return CaptureClock(
        capture_name=name,
        first_ns=int(rng.uniform(200, 900) * 1e9),
        period_ns=1e9 / _FPS * (1 + drift_ppm * 1e-6),
        drift_ppm=drift_ppm,
        jitter_ns=300_000.0,
        jitter_seed=int(rng.integers(2**31)),
        rows=rows,
        empty_rows=_empty_rows(rows, rng=rng),
    )


def _empty_rows(rows: int, *, rng: np.random.Generator) -> tuple[int, ...]:
    # The first rows lie before the camera starts; later holes are one or two rows, never more.
    empty = set(range(3))
    row = int(rng.integers(20, 60))
    while row < rows - 2:
        empty.update(range(row, row + int(rng.integers(1, 3))))
        row += int(rng.integers(60, 300))
    return tuple(sorted(empty))


def _make_take(
    *,
    activity: int,
    take_name: str,
    person: ParticipantTruth,
    split: str,
    clock: CaptureClock,
    start_row: int,
    frames: int,
    seed: int,
    index: int,
    fault: str | None,
) -> TakeTruth:
    rng = np.random.default_rng([seed, 4, index])
    take_seed = int(rng.integers(2**31))
    origin_ns = clock.first_ns + round(start_row * clock.period_ns)
    end_ns = origin_ns + round(frames * clock.period_ns)
    late_ns = IMU_LATE_NS if fault == "imu_late" else 0
    # Late stamps cover the take all the same: what they stand for began that much earlier.
    first_ns = origin_ns - round(rng.uniform(0.3, 1.5) * 1e9) - late_ns
    last_ns = end_ns + round(rng.uniform(0.3, 1.5) * 1e9) - late_ns
    if fault == "imu_short":
        last_ns = end_ns - IMU_SHORT_NS
    if fault == "timesync_rows_missing":
        # In a capture of its own: the takes around it keep their rows.
        clock = clock.model_copy(
            update={
                "capture_name": f"{clock.capture_name}cut",
                "rows_in_file": start_row + frames // 2,
            }
        )
    streams = []
    for label, instance, rate_hz, jitter_ns in _STREAMS:
        begin_ns = first_ns + int(rng.integers(0, 1_000_000))
        streams.append(
            ImuStreamTruth(
                label=label,
                instance=instance,
                rate_hz=rate_hz,
                first_ns=begin_ns,
                samples=int((last_ns - begin_ns) * rate_hz / 1e9),
                jitter_ns=jitter_ns,
                jitter_seed=int(rng.integers(2**31)),
            )
        )
    gap_start_ns = (origin_ns + end_ns) // 2
    return TakeTruth(
        take_uid=make_uid(seed, take_name),
        take_name=take_name,
        capture_uid=make_uid(seed, clock.capture_name),
        activity=activity,
        label=ACTIVITIES[activity].label,
        participant=person,
        seed=take_seed,
        split=split,
        clock=clock,
        start_row=start_row,
        # frames = end - start - 1 makes the row of frame 0 certain; half the takes leave it open.
        end_row=start_row + frames + (1 - index % 2),
        k0=0,
        frames=frames,
        frames_in_file=0
        if fault in _UNREADABLE_VIDEOS
        else len(plan_frame_times(fault, frames=frames, seed=take_seed)),
        origin_ns=origin_ns,
        sub_actions=make_schedule(frames / _FPS, rng=rng),
        imu=tuple(streams),
        imu_late_ns=late_ns,
        imu_gap_ns=(gap_start_ns, gap_start_ns + IMU_GAP_NS) if fault == "imu_gap" else None,
        fault=fault,
    )
