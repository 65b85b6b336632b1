"""The IMU of a synthetic Ego4D video, as its CSV file has it: joined, stamped twice, quantised."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.synthetic.ego4d_truth import ComponentTruth, Ego4DTakeTruth
from pipelines.synthetic.truth import drop_gap, imu_sample_ns, take_motion
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = ["IMU_HEADER", "write_ego4d_csv"]

IMU_HEADER: Final = (
    "component_idx",
    "component_timestamp_ms",
    "canonical_timestamp_ms",
    "gyro_x",
    "gyro_y",
    "gyro_z",
    "accl_x",
    "accl_y",
    "accl_z",
)
# Steps a unit: the scale factors of the cameras' own metadata.
_ACCEL_STEPS: Final = 417
_GYRO_STEPS: Final = 939
_ACCEL_NOISE_M_S2: Final = 0.06
_GYRO_NOISE_RAD_S: Final = 0.006
_BLOCK_SAMPLES: Final = 4000
_SWAPPED_ROWS: Final = 100
_BAD_EVERY: Final = 97
_ABSURD_MS: Final = ("-9223372036854.775", "1152921504606846976.0")


def write_ego4d_csv(path: Path, *, take: Ego4DTakeTruth) -> None:
    """Write the video's CSV, in blocks of samples.

    Rows recorded outside the canonical video have no canonical stamp. ``imu_backward`` puts a
    hundred rows behind the hundred after them, and adds two of absurd stamps; ``imu_nan`` leaves
    the cells of a sensor empty, or NaN, in single rows.
    """
    rng = np.random.default_rng([take.seed, 32])
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(IMU_HEADER) + "\n")
        for number, rows in enumerate(_blocks(take, rng=rng)):
            if take.fault == "imu_nan":
                _spoil_cells(rows)
            if take.fault == "imu_backward" and number == 0:
                rows = _disorder(rows)
            file.writelines(",".join(row) + "\n" for row in rows)


def _blocks(take: Ego4DTakeTruth, *, rng: np.random.Generator) -> Iterator[list[list[str]]]:
    motion = take_motion(take)
    noise = take.participant.noise
    for component in take.components:
        for first in range(0, component.imu.samples, _BLOCK_SAMPLES):
            count = min(_BLOCK_SAMPLES, component.imu.samples - first)
            t_ns = _recorded(take, imu_sample_ns(component.imu, first=first, count=count))
            values = motion.imu(t_ns.astype(np.float64) / NS_PER_S)
            values[:, :3] += rng.normal(0, _ACCEL_NOISE_M_S2, (len(t_ns), 3)) * noise
            values[:, 3:] += rng.normal(0, _GYRO_NOISE_RAD_S, (len(t_ns), 3)) * noise
            accel = np.rint(values[:, :3] * _ACCEL_STEPS) / _ACCEL_STEPS
            gyro = np.rint(values[:, 3:] * _GYRO_STEPS) / _GYRO_STEPS
            yield _as_rows(take, component, t_ns=t_ns, values=np.concatenate([gyro, accel], axis=1))


def _recorded(take: Ego4DTakeTruth, t_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    t_ns = drop_gap(t_ns, take.imu_gap_ns)
    return t_ns if take.imu_end_ns is None else t_ns[t_ns < take.imu_end_ns]


def _as_rows(
    take: Ego4DTakeTruth,
    component: ComponentTruth,
    *,
    t_ns: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> list[list[str]]:
    stamp_ns = t_ns + take.imu_late_ns
    inside = ((stamp_ns >= 0) & (stamp_ns < take.duration_ns)).tolist()
    canonical_ms = (stamp_ns / NS_PER_MS).tolist()
    component_ms = ((stamp_ns - component.start_ns) / NS_PER_MS).tolist()
    index = str(component.imu.instance)
    return [
        [index, f"{own:.4f}", f"{joined:.4f}" if here else "", *(repr(v) for v in cells)]
        for own, joined, here, cells in zip(
            component_ms, canonical_ms, inside, values.tolist(), strict=True
        )
    ]


def _spoil_cells(rows: list[list[str]]) -> None:
    # Single samples apart from each other, so that no gap is too long to be bridged.
    for place, row in enumerate(rows[_BAD_EVERY::_BAD_EVERY]):
        if place % 3 == 0:
            row[3:6] = ["", "", ""]
        elif place % 3 == 1:
            row[6:9] = ["", "", ""]
        else:
            row[7] = "NaN"


def _disorder(rows: list[list[str]]) -> list[list[str]]:
    at, n = len(rows) // 3, min(_SWAPPED_ROWS, len(rows) // 4)
    before, first, second = rows[:at], rows[at : at + n], rows[at + n : at + 2 * n]
    absurd = [
        [row[0], row[1], stamp, *row[3:]] for row, stamp in zip(rows, _ABSURD_MS, strict=False)
    ]
    return [*before, *second, *first, *absurd, *rows[at + 2 * n :]]
