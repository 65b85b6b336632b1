"""The rows of a take's parts from given numbers: as recorded without a gap, a jitter or a fault."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.embedding import frames_part_schema, text_part_schema
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA
from schemas.store import sha256_hex
from schemas.time import NS_PER_S

__all__ = ["frames_rows", "imu_rows", "text_rows"]

_RECORDED_HZ: Final = 1_000


def imu_rows(
    values: npt.NDArray[np.float32], *, t_ns: npt.NDArray[np.int64], step_ns: int
) -> pa.Table:
    """Return the imu part of ``values`` (6, N), in m/s2 and rad/s, at the grid times (N,)."""
    a_step = step_ns * _RECORDED_HZ // NS_PER_S
    interval_ns = NS_PER_S // _RECORDED_HZ
    whole = {
        "gap_ns": interval_ns,
        "valid": True,
        "samples": a_step,
        "intervals": a_step,
        "invalid_samples": 0,
        "saturated_samples": 0,
        "interval_sum_ns": a_step * interval_ns,
        "interval_sum_us2": a_step * (interval_ns / 1000) ** 2,
    }
    columns: dict[str, Any] = {"t_ns": t_ns}
    columns |= dict(zip(IMU_CHANNELS, values, strict=True))
    for name, value in whole.items():
        columns[name] = pa.repeat(pa.scalar(value, IMU_PART_SCHEMA.field(name).type), len(t_ns))
    return pa.table(columns, schema=IMU_PART_SCHEMA)


def frames_rows(
    embedding: npt.NDArray[np.float16],
    *,
    t_ns: npt.NDArray[np.int64],
    rng: np.random.Generator,
    jpeg: bytes | None = None,
) -> pa.Table:
    """Return the frames part of ``embedding`` (F, D) at the grid times (F,).

    Args:
        embedding: one row a frame.
        t_ns: of the frames asked for.
        rng: of how far the frames found lie from them, and of the picture's motion.
        jpeg: thumbnail of each whole second; None leaves all out.
    """
    shift = rng.normal(scale=0.01, size=len(t_ns)).astype(np.float32)
    dim = embedding.shape[1]
    return pa.table(
        {
            "t_ns": t_ns,
            "pts_ns": t_ns + rng.integers(-16_000_000, 16_000_000, size=len(t_ns)),
            "frame_index": 3 * np.arange(len(t_ns)),
            "embedding": pa.FixedSizeListArray.from_arrays(embedding.reshape(-1), dim),
            "motion_dx": shift,
            "motion_dy": shift,
            "motion_peak": np.ones(len(t_ns), np.float32),
            "decoder": pa.repeat("decord", len(t_ns)),
            "jpeg": pa.array(
                [jpeg if t % NS_PER_S == 0 else None for t in t_ns.tolist()], pa.binary()
            ),
        },
        schema=frames_part_schema(dim),
    )


def text_rows(texts: Sequence[str], *, embedding: npt.NDArray[np.float16]) -> pa.Table:
    """Return the text part of different sentences and their ``embedding`` (len(texts), D)."""
    dim = embedding.shape[1]
    return pa.table(
        {
            "text_sha256": [sha256_hex(text.encode()) for text in texts],
            "text": list(texts),
            "embedding": pa.FixedSizeListArray.from_arrays(embedding.reshape(-1), dim),
            "tokens": np.array([len(text.split()) + 2 for text in texts], np.int32),
        },
        schema=text_part_schema(dim),
    )
