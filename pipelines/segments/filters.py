"""Which planned segments are stored: what each lacks, and which of that may be lacking."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from schemas.modality import MODALITIES, Modality

__all__ = [
    "FRAMES_MISSING",
    "IMU_GAP",
    "IMU_MISSING",
    "MAX_MISSING_FRAMES",
    "PRESENT",
    "TEXT_EMPTY",
    "Faults",
    "Filtered",
    "drop_faulty",
    "filter_segments",
    "find_frame_faults",
    "find_imu_faults",
    "find_text_faults",
]

PRESENT = ""
IMU_MISSING = "imu_missing"
IMU_GAP = "imu_gap"
FRAMES_MISSING = "frames_missing"
TEXT_EMPTY = "text_empty"

MAX_MISSING_FRAMES = 0.1
"""Share of a segment's grid frames that may be missing from the video."""

Faults = npt.NDArray[np.str_]
"""(N,) reason for each segment, ``PRESENT`` where nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """What is left of N planned segments."""

    keep: npt.NDArray[np.bool_]
    """(N,) stored or not."""
    valid: npt.NDArray[np.bool_]
    """(N, 3) which modalities hold real data: imu, video, text."""
    drops: Mapping[str, int]
    """Reason: segments, a segment counted once under the first that it fell for."""


def find_imu_faults(
    valid: npt.NDArray[np.bool_], *, first: npt.NDArray[np.int64], samples: int
) -> Faults:
    """Return what is wrong with each segment's IMU samples.

    A segment that reaches beyond the recorded stretch is ``imu_missing``; one that lies within it
    but meets a gap too long to bridge is ``imu_gap``.

    Args:
        valid: (n,) of the take's grid points.
        first: (N,) index of each segment's first grid point; may lie outside the grid.
        samples: grid points a segment.
    """
    recorded = np.flatnonzero(valid)
    if len(recorded) == 0:
        return np.full(len(first), IMU_MISSING)
    outside = (first < recorded[0]) | (first + samples - 1 > recorded[-1])
    bad_before = np.concatenate([[0], np.cumsum(~valid)])
    low = np.clip(first, 0, len(valid))
    high = np.clip(first + samples, 0, len(valid))
    gap = bad_before[high] > bad_before[low]
    faults: Faults = np.where(outside, IMU_MISSING, np.where(gap, IMU_GAP, PRESENT))
    return faults


def find_frame_faults(
    found: npt.NDArray[np.int64], *, expected: npt.NDArray[np.int64] | int
) -> Faults:
    """Return what is wrong with each segment's grid frames.

    A segment may lack a tenth of its frames; the mean is then over those it has.

    Args:
        found: (N,) grid frames matched in the video.
        expected: (N,) grid frames that lie in the segment.
    """
    missing = (found == 0) | ((expected - found) > MAX_MISSING_FRAMES * np.asarray(expected))
    faults: Faults = np.where(missing, FRAMES_MISSING, PRESENT)
    return faults


def find_text_faults(known: npt.NDArray[np.bool_]) -> Faults:
    """Return what is wrong with each segment's sentence; ``known`` (N,): it has an embedding."""
    faults: Faults = np.where(known, PRESENT, TEXT_EMPTY)
    return faults


def filter_segments(faults: Mapping[Modality, Faults], *, required: Sequence[str]) -> Filtered:
    """Drop the segments that lack a required modality; mark the rest with what they have.

    Args:
        faults: for each of the three modalities, (N,) what is wrong with each segment.
        required: modalities a stored segment must have.
    """
    valid = np.stack([faults[name] == PRESENT for name in MODALITIES], axis=1)
    filtered = Filtered(keep=np.ones(len(valid), np.bool_), valid=valid, drops={})
    for name in MODALITIES:
        if name in required:
            filtered = drop_faulty(filtered, faults=faults[name])
    return filtered


def drop_faulty(filtered: Filtered, *, faults: Faults) -> Filtered:
    """Drop those segments with a fault that are left, each under its own; (N,) ``faults``."""
    falls = filtered.keep & (faults != PRESENT)
    drops = Counter(filtered.drops) + Counter(faults[falls].tolist())
    return replace(filtered, keep=filtered.keep & ~falls, drops=dict(drops))
