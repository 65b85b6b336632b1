"""What really happened in a synthetic dataset: ``truth.json``, and the signals it stands for.

Everything follows in closed form from the numbers stored there, so a test can ask for the true
motion at any instant without reading a sample or a frame.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.synthetic.documents import ClosedModel, read_truth_file
from pipelines.synthetic.motion import Motion, Stretch, Wearer, make_motion

__all__ = [
    "FOCAL_PX_448",
    "CaptureClock",
    "DatasetTruth",
    "ImuStreamTruth",
    "ParticipantTruth",
    "Scene",
    "SubActionTruth",
    "TakeTruth",
    "camera_angles",
    "drop_gap",
    "frame_device_ns",
    "imu_sample_ns",
    "imu_truth",
    "read_truth",
    "row_device_ns",
    "sub_action_at",
    "take_motion",
]

FOCAL_PX_448: Final = 240.0
"""Focal length in px of the 448-px picture: the scene moves by -240 px per rad of yaw (image x,
to the right) and of pitch (image y, down), and turns counter-clockwise by the roll."""


class ParticipantTruth(ClosedModel):
    """How one participant differs from the next."""

    participant_uid: int
    tempo: float = Field(description="factor on every frequency of the activity")
    amplitude: float = Field(description="factor on the activity's motion")
    noise: float = Field(description="factor on the sensors' noise")
    brightness: float = Field(description="added to the picture's luma")
    hue_rad: float = Field(description="turn of every colour")
    tilt_pitch_rad: float = Field(description="how the glasses sit: added to pitch for gravity")
    tilt_roll_rad: float = Field(description="added to roll for gravity")


class CaptureClock(ClosedModel):
    """The stamps of one capture's timesync rows on the device clock."""

    capture_name: str
    first_ns: int = Field(description="device time of row 0")
    period_ns: float = Field(description="true time between rows")
    drift_ppm: float = Field(description="period_ns against 1/30 s")
    jitter_ns: float = Field(description="standard deviation of a row's stamp")
    jitter_seed: int
    rows: int
    rows_in_file: int | None = Field(
        default=None, description="rows that timesync.csv holds, where it ends early"
    )
    empty_rows: tuple[int, ...] = Field(description="rows whose RGB stamp is left empty")


class SubActionTruth(ClosedModel):
    """One sub-action, on motion time: seconds since the device stamp ``origin_ns``."""

    sub_action: int
    start_s: float
    end_s: float


class ImuStreamTruth(ClosedModel):
    """The stamps of one IMU stream, and what was left out of the file."""

    label: str
    instance: int
    rate_hz: float = Field(description="true rate on the device clock")
    first_ns: int = Field(description="device time of the first sample, before jitter")
    samples: int
    jitter_ns: float = Field(description="stamps are uniformly off by at most this much")
    jitter_seed: int


class Scene(Protocol):
    """What a take looks and moves like, whatever its files: every dataset's take truth is one."""

    @property
    def activity(self) -> int:
        """Index of the activity."""

    @property
    def participant(self) -> ParticipantTruth:
        """The person."""

    @property
    def seed(self) -> int:
        """Of everything drawn for this take."""

    @property
    def sub_actions(self) -> Sequence[SubActionTruth]:
        """In time order, without gaps."""


class TakeTruth(ClosedModel):
    """One take."""

    take_uid: str
    take_name: str
    capture_uid: str
    activity: int = Field(description="index of the activity")
    label: str
    participant: ParticipantTruth
    seed: int
    split: str
    clock: CaptureClock
    start_row: int = Field(description="timesync_start_idx")
    end_row: int = Field(description="timesync_end_idx")
    k0: int = Field(description="mp4 frame i is row start_row + k0 + i")
    frames: int = Field(description="frames the take has")
    frames_in_file: int = Field(
        description="frames in the mp4; fewer where it is short, none where it cannot be read"
    )
    origin_ns: int = Field(description="device time at which motion time is 0")
    sub_actions: tuple[SubActionTruth, ...]
    imu: tuple[ImuStreamTruth, ...]
    imu_gap_ns: tuple[int, int] | None = Field(
        default=None, description="device time [a, b) in which both streams have no samples"
    )
    imu_late_ns: int = Field(
        default=0, description="the file's IMU stamps are this much above the device time"
    )
    fault: str | None = None


class DatasetTruth(ClosedModel):
    """Everything a synthetic dataset was made from."""

    dataset: str = "egoexo4d"
    seed: int
    seconds: float
    focal_px_448: float = FOCAL_PX_448
    takes: tuple[TakeTruth, ...]
    narrations: dict[str, int] = Field(
        default_factory=dict,
        description="written narrations: in accepted passes, and of each kind that is ignored",
    )


def read_truth(root: Path) -> DatasetTruth:
    """Return ``root/truth.json``.

    Raises:
        UsageError: if it is not there or is no truth file.
    """
    return read_truth_file(root, DatasetTruth)


def take_motion(take: Scene) -> Motion:
    """Return the take's closed-form motion, on motion time."""
    person = take.participant
    return make_motion(
        take.activity,
        stretches=[Stretch(s.sub_action, s.start_s, s.end_s) for s in take.sub_actions],
        wearer=Wearer(
            tempo=person.tempo,
            amplitude=person.amplitude,
            tilt_pitch_rad=person.tilt_pitch_rad,
            tilt_roll_rad=person.tilt_roll_rad,
        ),
        seed=take.seed,
    )


def imu_truth(take: TakeTruth, device_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the noise-free signal at device instants (N,): (N, 6) accel m/s2 xyz, gyro rad/s xyz.

    Device frame: x down, y left, z forward (see ``motion``).
    """
    return take_motion(take).imu(_motion_s(take, device_ns))


def camera_angles(take: TakeTruth, device_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return yaw, pitch, roll in rad (N, 3) at device instants (see ``motion``)."""
    return take_motion(take).angles(_motion_s(take, device_ns))


def row_device_ns(clock: CaptureClock) -> npt.NDArray[np.int64]:
    """Return the true device stamp of every timesync row, (rows,), the empty ones included."""
    jitter = np.random.default_rng(clock.jitter_seed).normal(0, clock.jitter_ns, clock.rows)
    limit = 3 * clock.jitter_ns
    offsets = np.rint(np.arange(clock.rows) * clock.period_ns + np.clip(jitter, -limit, limit))
    stamps: npt.NDArray[np.int64] = clock.first_ns + offsets.astype(np.int64)
    return stamps


def frame_device_ns(take: TakeTruth) -> npt.NDArray[np.int64]:
    """Return the true device stamp of every frame of the take, (frames,)."""
    first = take.start_row + take.k0
    return row_device_ns(take.clock)[first : first + take.frames]


def imu_sample_ns(
    stream: ImuStreamTruth, *, first: int = 0, count: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the device stamps of ``count`` samples from number ``first`` on, gap included."""
    count = stream.samples - first if count is None else count
    # One step of the generator a sample: a block's jitter does not depend on how samples are cut.
    bits = np.random.PCG64(stream.jitter_seed)
    bits.advance(first)
    jitter = stream.jitter_ns * (2 * np.random.Generator(bits).random(count) - 1)
    offsets = np.rint(np.arange(first, first + count) * (1e9 / stream.rate_hz) + jitter)
    return stream.first_ns + offsets.astype(np.int64)


def drop_gap(t_ns: npt.NDArray[np.int64], gap_ns: tuple[int, int] | None) -> npt.NDArray[np.int64]:
    """Return the instants (N,) outside ``gap_ns``, half-open on their own clock."""
    return t_ns if gap_ns is None else t_ns[(t_ns < gap_ns[0]) | (t_ns >= gap_ns[1])]


def sub_action_at(take: TakeTruth, device_ns: int) -> int:
    """Return the number of the sub-action at a device instant, the nearest one outside the take."""
    t_s = (device_ns - take.origin_ns) / 1e9
    for part in take.sub_actions:
        if t_s < part.end_s:
            return part.sub_action
    return take.sub_actions[-1].sub_action


def _motion_s(take: TakeTruth, device_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    # Offsets from the origin stay below 2^53 ns, so float64 loses nothing that matters.
    return (device_ns - take.origin_ns).astype(np.float64) / 1e9
