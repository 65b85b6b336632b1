"""What really happened in a synthetic Ego4D: its plan, and the signals it stands for.

Motion time is the take clock: both begin with the first frame. A video's IMU is that of its
components: each has a rate of its own and starts its samples at another phase.
"""

import math
import uuid
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.segments.ego4d_labels import ego4d_label
from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.arguments import assign_faults, check_counts
from pipelines.synthetic.documents import ClosedModel, read_truth_file
from pipelines.synthetic.faults import IMU_GAP_NS, IMU_LATE_NS, IMU_SHORT_NS
from pipelines.synthetic.people import make_people, make_schedule, split_of
from pipelines.synthetic.spoil_video import plan_frame_times
from pipelines.synthetic.truth import (
    ImuStreamTruth,
    ParticipantTruth,
    SubActionTruth,
    take_motion,
)
from pipelines.synthetic.video_writer import FrameTimes
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "SCENARIOS",
    "ComponentTruth",
    "Ego4DTakeTruth",
    "Ego4DTruth",
    "ego4d_imu_truth",
    "frame_times",
    "make_ego4d_uid",
    "plan_ego4d",
    "read_ego4d_truth",
]

_CONSTRUCTION: Final = (
    "jobs related to construction/renovation company\n"
    "(Director of work, tiler, plumber, Electrician, Handyman, etc)"
)
SCENARIOS: Final = (
    ("Cleaning / laundry",),
    (_CONSTRUCTION,),
    ("Farmer",),
    ("Walking on street",),
    ("Household management - caring for kids",),
    ("Cooking",),
    ("Attending a party", "Eating"),
    ("Practicing a musical instrument",),
)
"""What ego4d.json calls each of the eight activities; the one of two scenarios has no class."""

_FPS: Final = 30
_RATE_HZ: Final = 201.0
_JITTER_NS: Final = 20_000.0
_COMPONENT_S: Final = 480.0
# The cameras record on both sides of what became the canonical video.
_AROUND_NS: Final = 1_500 * NS_PER_MS


class ComponentTruth(ClosedModel):
    """One file of the camera, ``[start_ns, end_ns)`` of the take clock, and its samples."""

    start_ns: int
    end_ns: int
    imu: ImuStreamTruth


class Ego4DTakeTruth(ClosedModel):
    """One video."""

    take_uid: str
    activity: int = Field(description="index of the activity")
    scenarios: tuple[str, ...]
    label: str | None = Field(description="one of the ten classes")
    participant: ParticipantTruth
    seed: int
    split: str
    frames: int
    duration_ns: int
    sub_actions: tuple[SubActionTruth, ...]
    components: tuple[ComponentTruth, ...]
    imu_gap_ns: tuple[int, int] | None = Field(
        default=None, description="take clock [a, b) without samples"
    )
    imu_end_ns: int | None = Field(default=None, description="take clock; no samples from here on")
    imu_late_ns: int = Field(default=0, description="the written stamps are late by this much")
    fault: str | None = None


class Ego4DTruth(ClosedModel):
    """Everything a synthetic dataset was made from."""

    dataset: str = "ego4d"
    seed: int
    seconds: float
    takes: tuple[Ego4DTakeTruth, ...]
    narrations: dict[str, int] = Field(
        default_factory=dict,
        description="written narrations: of known videos, outside them, without text; passes of "
        "unknown ones",
    )


def make_ego4d_uid(*parts: str | int) -> str:
    """Return a uuid that depends on ``parts`` alone."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(["synthetic-ego4d", *map(str, parts)])))


def read_ego4d_truth(root: Path) -> Ego4DTruth:
    """Return ``root/truth.json``.

    Raises:
        UsageError: if it is not there or is no truth file of an Ego4D.
    """
    return read_truth_file(root, Ego4DTruth)


def frame_times(take: Ego4DTakeTruth) -> FrameTimes:
    """Return when the video shows its frames, which is when they were seen."""
    return plan_frame_times(take.fault, frames=take.frames, seed=take.seed)


def ego4d_imu_truth(take: Ego4DTakeTruth, t_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the noise-free signal at instants (N,) of the take clock.

    (N, 6) accel m/s2 xyz, gyro rad/s xyz; the camera's axes are those of ``motion``.
    """
    return take_motion(take).imu(t_ns.astype(np.float64) / NS_PER_S)


def plan_ego4d(
    *,
    takes: int,
    seconds: float,
    seed: int,
    participants: int = 4,
    faults: Sequence[str] = (),
) -> Ego4DTruth:
    """Return the truth of a dataset: pure, and equal for equal arguments.

    Videos go round the eight activities, then on to the next participant; every other one has at
    least two components, and a long one has one more for each eight minutes. Faults are given to
    the last videos, one each, the first video last.

    Raises:
        UsageError: for a number that cannot be, an unknown fault, or more faults than takes.
    """
    check_counts(takes=takes, participants=participants, seconds=seconds)
    fault_of = assign_faults(faults, dataset="ego4d", takes=takes)
    people = make_people(participants, seed=seed)
    planned = []
    for index in range(takes):
        turn, activity = divmod(index, len(ACTIVITIES))
        person = turn % participants
        planned.append(
            _plan_take(
                index,
                activity=activity,
                person=people[person],
                split=split_of(person, participants=participants, index=index),
                frames=round(seconds * _FPS),
                seed=seed,
                fault=fault_of.get(index),
            )
        )
    return Ego4DTruth(seed=seed, seconds=seconds, takes=tuple(planned))


def _plan_take(
    index: int,
    *,
    activity: int,
    person: ParticipantTruth,
    split: str,
    frames: int,
    seed: int,
    fault: str | None,
) -> Ego4DTakeTruth:
    rng = np.random.default_rng([seed, 31, index])
    take_seed = int(rng.integers(2**31))
    fps = _FPS / 1.001 if fault == "video_2997" else _FPS
    duration_ns = round(frames / fps * NS_PER_S)
    late_ns = IMU_LATE_NS if fault == "imu_late" else 0
    middle_ns = duration_ns // 2
    scenarios = SCENARIOS[activity]
    return Ego4DTakeTruth(
        take_uid=make_ego4d_uid(seed, index),
        activity=activity,
        scenarios=scenarios,
        label=ego4d_label(scenarios, rule="paper"),
        participant=person,
        seed=take_seed,
        split=split,
        frames=frames,
        duration_ns=duration_ns,
        sub_actions=make_schedule(duration_ns / NS_PER_S, rng=rng),
        components=_plan_components(
            duration_ns, count=1 + index % 2 + int(duration_ns / NS_PER_S / _COMPONENT_S), rng=rng
        ),
        imu_gap_ns=(middle_ns, middle_ns + IMU_GAP_NS) if fault == "imu_gap" else None,
        imu_end_ns=duration_ns - IMU_SHORT_NS if fault == "imu_short" else None,
        imu_late_ns=late_ns,
        fault=fault,
    )


def _plan_components(
    duration_ns: int, *, count: int, rng: np.random.Generator
) -> tuple[ComponentTruth, ...]:
    # Files of unequal length, on whole frames as the joined video has them.
    shares = rng.uniform(0.7, 1.3, count).cumsum()
    frame_ns = NS_PER_S / _FPS
    ends = np.rint(np.rint(shares / shares[-1] * duration_ns / frame_ns) * frame_ns)
    bounds = [0, *ends[:-1].astype(np.int64).tolist(), duration_ns]
    parts = []
    for number, (start_ns, end_ns) in enumerate(pairwise(bounds)):
        rate_hz = _RATE_HZ * (1 + float(rng.uniform(-1e-3, 1e-3)))
        first_ns = start_ns + int(rng.uniform(0, NS_PER_S / rate_hz))
        first_ns -= _AROUND_NS if number == 0 else 0
        until_ns = end_ns + (_AROUND_NS if number == count - 1 else 0)
        parts.append(
            ComponentTruth(
                start_ns=start_ns,
                end_ns=end_ns,
                imu=ImuStreamTruth(
                    label="csv",
                    instance=number,
                    rate_hz=rate_hz,
                    first_ns=first_ns,
                    # Jitter and all, none reaches into the next component.
                    samples=math.ceil((until_ns - first_ns - 2 * _JITTER_NS) * rate_hz / NS_PER_S),
                    jitter_ns=_JITTER_NS,
                    jitter_seed=int(rng.integers(2**31)),
                ),
            )
        )
    return tuple(parts)
