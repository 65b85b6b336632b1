"""The plan of a synthetic folder of one's own data, and the signals it stands for.

Take time and motion time are one: the recorder is taken to have put everything on one clock.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.arguments import assign_faults, check_counts
from pipelines.synthetic.documents import ClosedModel, read_truth_file
from pipelines.synthetic.faults import IMU_GAP_NS, IMU_LATE_NS, IMU_SHORT_NS
from pipelines.synthetic.people import make_people, make_schedule
from pipelines.synthetic.truth import (
    ImuStreamTruth,
    ParticipantTruth,
    SubActionTruth,
    drop_gap,
    imu_sample_ns,
    take_motion,
)
from schemas.time import NS_PER_S, seconds_to_ns

__all__ = [
    "FolderTake",
    "FolderTruth",
    "folder_signal",
    "folder_stamps",
    "plan_folder",
    "read_folder_truth",
]

_RATE_HZ: Final = 199.3
_EPOCH_NS: Final = 1_700_000_000 * NS_PER_S


class FolderTake(ClosedModel):
    """One take; motion time is take time."""

    take_uid: str
    activity: int = Field(description="index of the activity")
    label: str
    participant: ParticipantTruth
    seed: int
    split: str
    sub_actions: tuple[SubActionTruth, ...]
    frames: int = Field(description="frames the take has")
    video: str = Field(description="relative to the folder")
    imu: str = Field(description="relative to the folder")
    stream: ImuStreamTruth = Field(description="true instants of the samples, on take time")
    first_frame_ns: int = Field(description="added to every stamp in the IMU table")
    late_ns: int = Field(default=0, description="added wrongly to every stamp in the IMU table")
    gap_ns: tuple[int, int] | None = Field(
        default=None, description="take time [a, b) without samples"
    )
    fault: str | None = None


class FolderTruth(ClosedModel):
    """Everything the dataset was made from."""

    dataset: str = "folder"
    seed: int
    seconds: float
    takes: tuple[FolderTake, ...]
    narrations: dict[str, int] = Field(
        default_factory=dict, description="written narrations: of takes, and of unknown ones"
    )


def plan_folder(
    *, takes: int, seconds: float, seed: int, participants: int, faults: Sequence[str]
) -> FolderTruth:
    """Return the truth of a dataset: pure, and equal for equal arguments.

    Takes go round the people, then on to the next activity. Faults are given to the last takes,
    one each.

    Args:
        takes: how many.
        seconds: length of each.
        seed: of everything drawn.
        participants: how many people there are.
        faults: names of faults, or ``all``.

    Raises:
        UsageError: for a number that cannot be, an unknown fault, or more faults than takes.
    """
    check_counts(takes=takes, participants=participants, seconds=seconds)
    fault_of = assign_faults(faults, dataset="folder", takes=takes)
    people = make_people(participants, seed=seed)
    planned = [
        _plan_take(
            index,
            seconds=seconds,
            seed=seed,
            person=people[index % participants],
            activity=index // participants % len(ACTIVITIES),
            split=("train", "val", "test")[max(0, index % participants - participants + 3)],
            fault=fault_of.get(index),
        )
        for index in range(takes)
    ]
    return FolderTruth(seed=seed, seconds=seconds, takes=tuple(planned))


def read_folder_truth(root: Path) -> FolderTruth:
    """Return ``root/truth.json``.

    Raises:
        UsageError: if it is not there or is no truth file of this dataset.
    """
    return read_truth_file(root, FolderTruth)


def folder_signal(take: FolderTake, take_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the noise-free signal at instants (N,): (N, 6) accel m/s2 xyz, gyro rad/s xyz."""
    return take_motion(take).imu(take_ns.astype(np.float64) / NS_PER_S)


def folder_stamps(
    take: FolderTake, *, first: int = 0, count: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the true instants of ``count`` samples from number ``first`` on, those kept alone."""
    return drop_gap(imu_sample_ns(take.stream, first=first, count=count), take.gap_ns)


def _plan_take(
    index: int,
    *,
    seconds: float,
    seed: int,
    person: ParticipantTruth,
    activity: int,
    split: str,
    fault: str | None,
) -> FolderTake:
    rng = np.random.default_rng([seed, 31, index])
    uid = f"take-{index + 1:03d}"
    end_ns = seconds_to_ns(seconds)
    first_ns = -round(float(rng.uniform(0.2, 0.6)) * NS_PER_S)
    last_ns = end_ns + round(float(rng.uniform(0.2, 0.6)) * NS_PER_S)
    if fault == "imu_short":
        last_ns = end_ns - IMU_SHORT_NS
    folder = "../outside" if fault == "path_escape" else uid
    return FolderTake(
        take_uid=uid,
        activity=activity,
        label=ACTIVITIES[activity].label,
        participant=person,
        seed=int(rng.integers(2**31)),
        split=split,
        sub_actions=make_schedule(seconds, rng=rng),
        frames=round(seconds * 30),
        video=f"{folder}/video.mp4",
        # Both kinds of table, and both kinds of clock, side by side.
        imu=f"{folder}/imu.{'csv' if index % 2 else 'parquet'}",
        stream=ImuStreamTruth(
            label="table",
            instance=1,
            rate_hz=_RATE_HZ,
            first_ns=first_ns,
            samples=max(0, int((last_ns - first_ns) * _RATE_HZ / NS_PER_S)),
            jitter_ns=200_000.0,
            jitter_seed=int(rng.integers(2**31)),
        ),
        first_frame_ns=_EPOCH_NS + 3600 * NS_PER_S * index if index % 3 == 2 else 0,
        late_ns=IMU_LATE_NS if fault == "imu_late" else 0,
        gap_ns=(end_ns // 2, end_ns // 2 + IMU_GAP_NS) if fault == "imu_gap" else None,
        fault=fault,
    )
