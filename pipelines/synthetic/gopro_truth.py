"""The plan of a synthetic folder of GoPro clips, and the signals it stands for.

Take time, motion time and the picture's time are one, zero at a recording's first frame. A camera
files its sensors' samples about once a second, by the clock that stamps the picture too.
"""

from collections.abc import Sequence
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.arguments import assign_faults, check_counts
from pipelines.synthetic.documents import ClosedModel, read_truth_file
from pipelines.synthetic.faults import IMU_GAP_NS, IMU_LATE_NS, IMU_SHORT_NS
from pipelines.synthetic.gopro_sentences import CueTruth, make_cues
from pipelines.synthetic.people import make_people, make_schedule
from pipelines.synthetic.spoil_video import plan_frame_times
from pipelines.synthetic.truth import (
    ImuStreamTruth,
    ParticipantTruth,
    SubActionTruth,
    take_motion,
)
from schemas.errors import UsageError
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "CLIP_RATE",
    "PAYLOAD_NS",
    "ClipTruth",
    "GoProTake",
    "GoProTruth",
    "clip_frames_ns",
    "gopro_signal",
    "plan_gopro",
    "read_gopro_truth",
]

CLIP_RATE: Final = Fraction(30_000, 1001)
_FOLDER: Final = "DCIM/100GOPRO"
# Name, axes of the columns, whether it writes them (ORIN), and the camera's own clock (STMP).
_CAMERAS: Final = (("HERO9 Black", "YxZ", True, True), ("Hero6 Black", "YxZ", False, False))
_UNKNOWN_CAMERA: Final = "Camera"
_ACCEL_HZ, _GYRO_HZ = 200.0, 400.0
_SUFFIXES: Final = (".vtt", ".srt", ".csv")
PAYLOAD_NS: Final = 1001 * NS_PER_MS
_PICTURE_LATE_NS: Final = 100 * NS_PER_MS
# Two payloads a chapter, and something to lose to imu_short.
_LEAST_SECONDS: Final = 8


class ClipTruth(ClosedModel):
    """One file of a recording."""

    path: str = Field(description="relative to the folder")
    first_frame: int = Field(description="number of its first frame in the recording")
    frames: int
    start_ns: int = Field(description="take time of its first frame")
    end_ns: int = Field(description="take time at which it ends")


class GoProTake(ClosedModel):
    """One recording; motion time is take time."""

    take_uid: str
    take_name: str
    activity: int = Field(description="index of the activity")
    label: str
    participant: ParticipantTruth
    seed: int
    sub_actions: tuple[SubActionTruth, ...]
    clips: tuple[ClipTruth, ...] = Field(description="its chapters, in order")
    camera: str = Field(description="as its metadata track names it")
    axes: str = Field(description="axis of each column in the file, lower case negated")
    writes_axes: bool = Field(description="the track holds ORIN")
    clock_us: int | None = Field(
        description="the camera's clock at take time 0; None where it writes no STMP"
    )
    picture_start_ns: int = Field(description="time of a clip's first frame by its own clock")
    has_sound: bool
    accel: ImuStreamTruth = Field(description="true instants of the samples, on take time")
    gyro: ImuStreamTruth
    late_ns: int = Field(default=0, description="added wrongly to every stamp of the sensors")
    gap_ns: tuple[int, int] | None = Field(
        default=None, description="take time [a, b) without samples"
    )
    cues: tuple[CueTruth, ...]
    captions: str = Field(description="suffix of the files of sentences")
    fault: str | None = None


class GoProTruth(ClosedModel):
    """Everything the clips were made from."""

    dataset: str = "gopro"
    seed: int
    seconds: float
    takes: tuple[GoProTake, ...]


def plan_gopro(
    *, takes: int, seconds: float, seed: int, participants: int, faults: Sequence[str]
) -> GoProTruth:
    """Return the truth of a folder of clips: pure, and equal for equal arguments.

    Takes go round the people, then on to the next activity; of two or more the first is cut into
    two chapters. Faults are given to the last takes, one each.

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
    if seconds < _LEAST_SECONDS:
        raise UsageError(f"seconds must be at least {_LEAST_SECONDS} for gopro, got {seconds}")
    fault_of = assign_faults(faults, dataset="gopro", takes=takes)
    people = make_people(participants, seed=seed)
    planned = [
        _plan_take(
            index,
            seconds=seconds,
            seed=seed,
            person=people[index % participants],
            activity=index // participants % len(ACTIVITIES),
            # A fault is one clip's: what comes of it does not depend on which take it is given.
            chapters=2 if index == 0 and takes > 1 and 0 not in fault_of else 1,
            fault=fault_of.get(index),
        )
        for index in range(takes)
    ]
    return GoProTruth(seed=seed, seconds=seconds, takes=tuple(planned))


def read_gopro_truth(root: Path) -> GoProTruth:
    """Return ``root/truth.json``.

    Raises:
        UsageError: if it is not there or is no truth file of this dataset.
    """
    return read_truth_file(root, GoProTruth)


def gopro_signal(take: GoProTake, take_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the noise-free signal at instants (N,): (N, 6) accel m/s2 xyz, gyro rad/s xyz.

    In the axes that GoPro calls X, Y and Z: Z points up, X to the left and Y backwards.
    """
    felt = take_motion(take).imu(take_ns.astype(np.float64) / NS_PER_S)
    # The motion's own axes: x down, y left, z forward.
    turned = [felt[:, 1], -felt[:, 2], -felt[:, 0], felt[:, 4], -felt[:, 5], -felt[:, 3]]
    return np.stack(turned, axis=1)


def clip_frames_ns(take: GoProTake, clip: ClipTruth) -> npt.NDArray[np.int64]:
    """Return when a clip's frames were seen, (F,) take time."""
    times = plan_frame_times(take.fault, frames=clip.frames, seed=take.seed, rate=CLIP_RATE)
    return clip.start_ns + times.ns()


def _plan_take(
    index: int,
    *,
    seconds: float,
    seed: int,
    person: ParticipantTruth,
    activity: int,
    chapters: int,
    fault: str | None,
) -> GoProTake:
    rng = np.random.default_rng([seed, 41, index])
    frames = round(Fraction(seconds) * CLIP_RATE)
    clips = _plan_clips(index, frames=frames, chapters=chapters)
    end_ns = clips[-1].end_ns
    camera, axes, writes_axes, has_clock = _CAMERAS[index % len(_CAMERAS)]
    if fault == "no_calibration":
        camera, writes_axes = _UNKNOWN_CAMERA, False
    late_ns = IMU_LATE_NS if fault == "imu_late" else 0
    # Every third picture starts behind the sensors; late stamps cover the take all the same.
    picture_start_ns = _PICTURE_LATE_NS if index % 3 == 2 else 0
    first_ns = -picture_start_ns - late_ns
    last_ns = end_ns - late_ns - (IMU_SHORT_NS if fault == "imu_short" else 0)
    schedule = make_schedule(seconds, rng=rng)
    take_seed = int(rng.integers(2**31))
    gap_end_ns = first_ns + (end_ns - first_ns) // 2 // PAYLOAD_NS * PAYLOAD_NS
    return GoProTake(
        take_uid=sha256(clips[0].path.encode()).hexdigest()[:16],
        take_name=Path(clips[0].path).stem,
        activity=activity,
        label=ACTIVITIES[activity].label,
        participant=person,
        seed=take_seed,
        sub_actions=schedule,
        clips=clips,
        camera=camera,
        axes=axes,
        writes_axes=writes_axes,
        clock_us=int(rng.integers(10**6, 10**9)) if has_clock else None,
        picture_start_ns=picture_start_ns,
        has_sound=index % 2 == 1,
        accel=_plan_stream("ACCL", rate_hz=_ACCEL_HZ, first_ns=first_ns, last_ns=last_ns, rng=rng),
        gyro=_plan_stream("GYRO", rate_hz=_GYRO_HZ, first_ns=first_ns, last_ns=last_ns, rng=rng),
        late_ns=late_ns,
        # Up to the start of a payload, whose running count then tells of the loss.
        gap_ns=(gap_end_ns - IMU_GAP_NS, gap_end_ns) if fault == "imu_gap" else None,
        cues=make_cues(
            activity,
            schedule=schedule,
            starts_ns=[clip.start_ns for clip in clips],
            end_ns=end_ns,
            fault=fault,
            seed=take_seed,
        ),
        # Only a CSV file can say that something was before the first frame.
        captions=".csv" if fault == "narration_outside" else _SUFFIXES[index % len(_SUFFIXES)],
        fault=fault,
    )


def _plan_clips(index: int, *, frames: int, chapters: int) -> tuple[ClipTruth, ...]:
    cuts = [round(number * frames / chapters) for number in range(chapters + 1)]
    return tuple(
        ClipTruth(
            path=f"{_FOLDER}/GX{number + 1:02d}{index + 1:04d}.MP4",
            first_frame=first,
            frames=last - first,
            start_ns=round(first / CLIP_RATE * NS_PER_S),
            end_ns=round(last / CLIP_RATE * NS_PER_S),
        )
        for number, (first, last) in enumerate(pairwise(cuts))
    )


def _plan_stream(
    label: str, *, rate_hz: float, first_ns: int, last_ns: int, rng: np.random.Generator
) -> ImuStreamTruth:
    # No two units keep quite the same rate.
    rate_hz *= 1 + float(rng.uniform(-0.01, 0.01))
    first_ns += int(rng.integers(0, 2 * NS_PER_MS))
    return ImuStreamTruth(
        label=label,
        instance=1,
        rate_hz=rate_hz,
        first_ns=first_ns,
        samples=int((last_ns - first_ns) * rate_hz / NS_PER_S) + 1,
        jitter_ns=0.0,
        jitter_seed=0,
    )
