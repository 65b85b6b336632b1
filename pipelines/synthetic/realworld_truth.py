"""The plan of a synthetic RealWorld HAR dataset, and the signals it stands for.

Every phone has a clock of its own, off by seconds and slightly fast or slow, sits turned in its own
way, and starts and stops its two sensors by themselves.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.spatial.transform import Rotation

from pipelines.config import BodyPosition
from pipelines.synthetic.arguments import assign_faults
from pipelines.synthetic.documents import ClosedModel, read_truth_file
from pipelines.synthetic.faults import IMU_GAP_NS
from pipelines.synthetic.people import make_participant, make_schedule
from pipelines.synthetic.truth import (
    ImuStreamTruth,
    ParticipantTruth,
    SubActionTruth,
    take_motion,
)
from schemas.errors import UsageError
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "ACTIVITY_NAMES",
    "POSITIONS",
    "DeviceTruth",
    "RealWorldPart",
    "RealWorldRecording",
    "RealWorldTruth",
    "plan_realworld",
    "read_realworld_truth",
    "realworld_signal",
    "recorded_ms",
]

ACTIVITY_NAMES: Final = (
    "climbingdown",
    "climbingup",
    "jumping",
    "lying",
    "running",
    "sitting",
    "standing",
    "walking",
)
POSITIONS: Final[tuple[str, ...]] = get_args(BodyPosition)
# A few people already show every oddity of the real files, and are in every split.
_PROBANDS: Final = (4, 5, 1, 10, 7, 15, 2, 6, 14, 3, 8, 9, 11, 12, 13)
# As in the real files: climbing recorded in several goes.
_IN_PARTS: Final = frozenset(
    (proband, activity) for proband in (4, 7, 14) for activity in ("climbingdown", "climbingup")
)
_PARTS: Final = 3
_DAY_NS: Final = 1_435_990_000 * NS_PER_S


class DeviceTruth(ClosedModel):
    """One phone during one part of a recording."""

    position: str
    origin_ns: int = Field(
        description="on the phone's clock: the instant at which motion time is 0"
    )
    drift_ppm: float = Field(description="how much faster than motion time the phone's clock runs")
    quaternion_wxyz: tuple[float, float, float, float] = Field(
        description="turns the motion's axes into the phone's"
    )
    acc: ImuStreamTruth
    gyr: ImuStreamTruth
    gap_ns: tuple[int, int] | None = Field(
        default=None, description="phone time [a, b) in which both sensors have no samples"
    )


class RealWorldPart(ClosedModel):
    """One uninterrupted part of a recording; all phones feel one motion."""

    part: int
    activity: int = Field(description="index of the motion")
    participant: ParticipantTruth
    seed: int
    sub_actions: tuple[SubActionTruth, ...]
    devices: tuple[DeviceTruth, ...]

    def device(self, position: str) -> DeviceTruth:
        """Return the phone worn there."""
        return next(device for device in self.devices if device.position == position)


class RealWorldRecording(ClosedModel):
    """One person doing one activity."""

    proband: int
    activity_name: str = Field(description="as the files spell it")
    parts: tuple[RealWorldPart, ...]
    fault: str | None = None


class RealWorldTruth(ClosedModel):
    """Everything the dataset was made from."""

    dataset: str = "realworld"
    seed: int
    seconds: float
    recordings: tuple[RealWorldRecording, ...]


def plan_realworld(
    *, takes: int, seconds: float, seed: int, participants: int, faults: Sequence[str]
) -> RealWorldTruth:
    """Return the truth of a dataset: pure, and equal for equal arguments.

    Recordings go round the people, then on to the next activity. Faults are given to the last
    recordings, one each.

    Args:
        takes: recordings; some are made in several parts.
        seconds: length of each part.
        seed: of everything drawn.
        participants: people, at most 15.
        faults: names of faults, or ``all``.

    Raises:
        UsageError: for a number that cannot be, an unknown fault, or more faults than takes.
    """
    if not 1 <= participants <= len(_PROBANDS):
        raise UsageError(f"participants must be 1 to {len(_PROBANDS)}, got {participants}")
    if not 1 <= takes <= len(ACTIVITY_NAMES) * participants:
        raise UsageError(
            f"takes must be 1 to {len(ACTIVITY_NAMES)} for each of participants={participants}, "
            f"got {takes}"
        )
    if seconds < 1:
        raise UsageError(f"seconds must be at least 1, got {seconds}")
    fault_of = assign_faults(faults, dataset="realworld", takes=takes)
    recordings = []
    for index in range(takes):
        activity, person = divmod(index, participants)
        proband, name = _PROBANDS[person], ACTIVITY_NAMES[activity]
        count = _PARTS if (proband, name) in _IN_PARTS else 1
        fault = fault_of.get(index)
        parts = [
            _plan_part(
                number,
                activity=activity,
                proband=proband,
                seconds=seconds,
                rng=np.random.default_rng([seed, 21, proband, activity, number]),
                person=make_participant(person, seed=seed),
                has_gap=fault == "imu_gap",
            )
            for number in range(1, count + 1)
        ]
        recordings.append(
            RealWorldRecording(proband=proband, activity_name=name, parts=tuple(parts), fault=fault)
        )
    return RealWorldTruth(seed=seed, seconds=seconds, recordings=tuple(recordings))


def read_realworld_truth(root: Path) -> RealWorldTruth:
    """Return ``root/truth.json``.

    Raises:
        UsageError: if it is not there or is no truth file of this dataset.
    """
    return read_truth_file(root, RealWorldTruth)


def realworld_signal(
    part: RealWorldPart, *, position: str, device_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return what a perfect phone feels: (N, 6) accel m/s2 xyz, gyro rad/s xyz, the phone's axes.

    Args:
        part: of a recording.
        position: where the phone is worn.
        device_ns: (N,) instants on the phone's clock.
    """
    device = part.device(position)
    since_ns = (device_ns - device.origin_ns).astype(np.float64)
    felt = take_motion(part).imu(since_ns / (NS_PER_S * (1 + device.drift_ppm * 1e-6)))
    turn = Rotation.from_quat(device.quaternion_wxyz, scalar_first=True).as_matrix()
    return np.concatenate([felt[:, :3] @ turn.T, felt[:, 3:] @ turn.T], axis=1)


def recorded_ms(stamps_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return stamps as the files hold them: whole ms since 1970, rounded to the nearest."""
    ms: npt.NDArray[np.int64] = (stamps_ns + NS_PER_MS // 2) // NS_PER_MS
    return ms


def _plan_part(
    number: int,
    *,
    activity: int,
    proband: int,
    seconds: float,
    rng: np.random.Generator,
    person: ParticipantTruth,
    has_gap: bool,
) -> RealWorldPart:
    seed = int(rng.integers(2**31))
    # Parts lie minutes apart, activities an hour.
    begins_ns = _DAY_NS + 86_400 * NS_PER_S * proband + 3600 * NS_PER_S * activity
    begins_ns += (number - 1) * (round(seconds * NS_PER_S) + 60 * NS_PER_S)
    devices = []
    for position in POSITIONS:
        origin_ns = begins_ns + round(float(rng.uniform(-8, 8)) * NS_PER_S)
        streams = []
        for label, instance in (("acc", 1), ("gyr", 2)):
            # Each sensor starts and stops by itself, within half a second.
            first_ns = origin_ns + round(float(rng.uniform(-0.5, 0)) * NS_PER_S)
            last_ns = origin_ns + round((seconds + float(rng.uniform(0, 0.5))) * NS_PER_S)
            rate_hz = float(rng.uniform(49.6, 50.4))
            streams.append(
                ImuStreamTruth(
                    label=label,
                    instance=instance,
                    rate_hz=rate_hz,
                    first_ns=first_ns,
                    samples=int((last_ns - first_ns) * rate_hz / NS_PER_S) + 1,
                    jitter_ns=3.0 * NS_PER_MS,
                    jitter_seed=int(rng.integers(2**31)),
                )
            )
        gap_start_ns = origin_ns + round(seconds / 2 * NS_PER_S)
        w, x, y, z = Rotation.random(rng=rng).as_quat(scalar_first=True).tolist()
        devices.append(
            DeviceTruth(
                position=position,
                origin_ns=origin_ns,
                drift_ppm=float(rng.uniform(-40, 40)),
                quaternion_wxyz=(w, x, y, z),
                acc=streams[0],
                gyr=streams[1],
                gap_ns=(gap_start_ns, gap_start_ns + IMU_GAP_NS) if has_gap else None,
            )
        )
    return RealWorldPart(
        part=number,
        activity=activity,
        participant=person,
        seed=seed,
        sub_actions=make_schedule(seconds, rng=rng),
        devices=tuple(devices),
    )
