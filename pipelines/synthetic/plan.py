"""Decide everything about a synthetic dataset before a byte of it is written."""

import uuid
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.synthetic.activities import ACTIVITIES, SUB_ACTIONS
from pipelines.synthetic.truth import (
    CaptureClock,
    DatasetTruth,
    ImuStreamTruth,
    ParticipantTruth,
    SubActionTruth,
    TakeTruth,
)
from schemas.errors import UsageError

__all__ = ["FAULTS", "SYNTHETIC_VERSION", "make_uid", "plan_dataset"]

# Raised when equal arguments come to give other bytes.
SYNTHETIC_VERSION: Final = 1
FAULTS: Final = ("vrs_missing", "no_calibration", "video_truncated", "imu_gap", "vrs_corrupt")
_FPS: Final = 30
_TAKES_PER_CAPTURE: Final = 2
_IMU_GAP_NS: Final = 400_000_000
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
        UsageError: for a number that cannot be, an unknown fault, or more faults than takes.
    """
    if takes < 1 or participants < 1 or seconds < 1:
        raise UsageError(
            f"takes, participants and seconds must be at least 1, "
            f"got {takes}, {participants}, {seconds}"
        )
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        raise UsageError(f"faults must be among {', '.join(FAULTS)}, got {', '.join(unknown)}")
    if len(faults) > takes:
        raise UsageError(f"faults must be no more than takes={takes}, got {len(faults)}")
    people = [_make_participant(number, seed=seed) for number in range(participants)]
    frames = round(seconds * _FPS)
    clocks: dict[tuple[int, int], CaptureClock] = {}
    fault_of = {takes - 1 - number: fault for number, fault in enumerate(faults)}
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
                split=_split_of(turn % participants, participants=participants, index=index),
                clock=clocks[activity, capture],
                start_row=start_row,
                frames=frames,
                seed=seed,
                index=index,
                fault=fault_of.get(index),
            )
        )
    return DatasetTruth(seed=seed, seconds=seconds, takes=tuple(planned))


def _make_participant(number: int, *, seed: int) -> ParticipantTruth:
    rng = np.random.default_rng([seed, 3, number])
    tilt = np.deg2rad(rng.uniform(-4, 4, 2))
    return ParticipantTruth(
        participant_uid=101 + number,
        tempo=float(rng.uniform(0.94, 1.06)),
        amplitude=float(rng.uniform(0.9, 1.1)),
        noise=float(rng.uniform(0.7, 1.4)),
        brightness=float(rng.uniform(-4, 4)),
        hue_rad=float(rng.uniform(-0.1, 0.1)),
        tilt_pitch_rad=float(tilt[0]),
        tilt_roll_rad=float(tilt[1]),
    )


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


def _split_of(person: int, *, participants: int, index: int) -> str:
    # By participant where there are enough of them; else the official split shares participants.
    if participants >= 3:
        return {participants - 1: "test", participants - 2: "val"}.get(person, "train")
    return ("train", "val", "test")[index % 3]


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
    first_ns = origin_ns - round(rng.uniform(0.3, 1.5) * 1e9)
    last_ns = end_ns + round(rng.uniform(0.3, 1.5) * 1e9)
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
        frames_in_file=frames - max(2, frames // 10) if fault == "video_truncated" else frames,
        origin_ns=origin_ns,
        sub_actions=_schedule(frames / _FPS, rng=rng),
        imu=tuple(streams),
        imu_gap_ns=(gap_start_ns, gap_start_ns + _IMU_GAP_NS) if fault == "imu_gap" else None,
        fault=fault,
    )


def _schedule(seconds: float, *, rng: np.random.Generator) -> tuple[SubActionTruth, ...]:
    # Each lasts 4 to 9 s, none follows itself; a rest too short to stand alone joins the last.
    parts: list[SubActionTruth] = []
    start_s, previous = 0.0, -1
    while start_s < seconds:
        end_s = start_s + float(rng.uniform(4, 9))
        if seconds - end_s < 4:
            end_s = seconds
        choices = [number for number in range(len(SUB_ACTIONS)) if number != previous]
        previous = int(rng.choice(choices))
        parts.append(SubActionTruth(sub_action=previous, start_s=start_s, end_s=end_s))
        start_s = end_s
    return tuple(parts)
