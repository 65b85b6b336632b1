"""The raw imu part: a take's samples as recorded, on the take clock, streamed to disk.

Only windows that are resampled one by one (``imu.resampling: window``) need it; it lies beside the
imu part, which still tells quality and motion.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from pipelines.datasets.base import ImuRecording
from pipelines.parts.store import PartStore
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_S, Interval

__all__ = ["RAW_IMU_SCHEMA", "read_raw_batch", "write_raw_imu_part"]

_AXES: Final = ("x", "y", "z")

RAW_IMU_SCHEMA: Final = pa.schema(
    [
        # A batch holds a run, the accelerometer's samples first; each sensor's stamps increase.
        pa.field("is_gyro", pa.bool_(), nullable=False),
        pa.field("t_ns", pa.int64(), nullable=False),
        *(pa.field(axis, pa.float32(), nullable=False) for axis in _AXES),
    ]
)

# Beyond what decides whether a recording reaches to a window's end.
_MARGIN_NS: Final = NS_PER_S


def write_raw_imu_part(
    parts: PartStore, key: str, *, recording: ImuRecording, span: Interval
) -> None:
    """Write a take's samples as the part of ``key``.

    Args:
        parts: folder of the parts.
        key: of the part.
        recording: the take's samples; its runs are read once.
        span: of the take; samples further than a second from it are left out.

    Raises:
        TakeError: whatever the runs raise.
    """
    metadata = {"imu_frame": recording.frame, "imu_stream": recording.stream}
    parts.write(
        "raw_imu",
        key,
        schema=RAW_IMU_SCHEMA,
        batches=_batches(recording, span=span),
        metadata=metadata,
    )


def read_raw_batch(batch: pa.RecordBatch) -> ImuSamples:
    """Return the run that a batch holds, without the stamps of samples left out."""
    values = np.stack([batch.column(name).to_numpy() for name in _AXES], axis=1)
    t_ns = batch.column("t_ns").to_numpy()
    is_gyro = batch.column("is_gyro").to_numpy(zero_copy_only=False)
    accel, gyro = (
        TriadSamples(t_ns=t_ns[mine], values=values[mine].astype(np.float64))
        for mine in (~is_gyro, is_gyro)
    )
    return ImuSamples(accel=accel, gyro=gyro)


def _batches(recording: ImuRecording, *, span: Interval) -> Iterator[pa.RecordBatch]:
    first_ns, last_ns = span.start_ns - _MARGIN_NS, span.end_ns + _MARGIN_NS
    for run in recording.runs:
        stamps, values = [], []
        for triad in (run.accel, run.gyro):
            low, high = np.searchsorted(triad.t_ns, [first_ns, last_ns])
            stamps.append(triad.t_ns[low:high])
            values.append(triad.values[low:high].astype(np.float32))
        counts = [len(t_ns) for t_ns in stamps]
        if not any(counts):
            continue
        columns = [
            np.repeat([False, True], counts),
            np.concatenate(stamps),
            *(np.ascontiguousarray(axis) for axis in np.concatenate(values).T),
        ]
        yield pa.RecordBatch.from_arrays(
            [pa.array(column) for column in columns], schema=RAW_IMU_SCHEMA
        )
