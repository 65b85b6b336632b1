"""The imu part: a take's IMU on the grid of its clock, streamed to disk block by block."""

import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.config import ImuConfig
from pipelines.datasets.base import ImuRecording
from pipelines.imu.resample import ResampledBlock, design_low_pass, resample_runs
from pipelines.imu.sample_counts import COUNT_COLUMNS, SampleCounter
from pipelines.parts.store import PartStore
from pipelines.storage.faults import temporary_faults
from schemas.errors import TakeError
from schemas.imu import IMU_PART_SCHEMA
from schemas.store import canonical_json
from schemas.time import NS_PER_MS, NS_PER_S, Interval

__all__ = ["write_imu_part"]

# Some 40 minutes of 50 Hz; a longer take waits on disk.
_IN_MEMORY: Final = 8 << 20


def write_imu_part(
    parts: PartStore, key: str, *, recording: ImuRecording, span: Interval, config: ImuConfig
) -> None:
    """Resample a take's IMU and write it as the part of ``key``.

    The part's metadata holds ``imu_frame``, ``imu_stream``, ``rate_hz`` and ``imu_info``, the
    recording's info as canonical JSON.

    Args:
        parts: folder of the parts.
        key: of the part.
        recording: the take's samples; its runs are read once.
        span: of the take; the grid is the multiples of the step in ``[start, end)``.
        config: grid rate, filter and gaps.

    Raises:
        TakeError: ``imu_missing`` if not one grid point is valid; whatever the runs raise.
        UsageError: if filter or gap settings cannot work.
    """
    max_gap_ns = config.max_gap_ms * NS_PER_MS
    counter = SampleCounter(span=span, step_ns=config.step_ns, max_gap_ns=max_gap_ns)
    blocks = resample_runs(
        counter.watch(recording.runs),
        span=span,
        low_pass=design_low_pass(step_ns=config.step_ns, cutoff_hz=config.cutoff_hz),
        max_gap_ns=max_gap_ns,
        block_ns=config.block_s * NS_PER_S,
    )
    # Spilled first: what the runs say of themselves is whole only once they have been read.
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spill:
        if _spill(spill, blocks, counter=counter) == 0:
            raise TakeError(
                "imu_missing",
                f"IMU stream {recording.stream} must have samples within the take, got none "
                f"in [{span.start_ns / NS_PER_S:.3f}, {span.end_ns / NS_PER_S:.3f}) s",
            )
        with temporary_faults():
            spill.seek(0)
        metadata = {
            "imu_frame": recording.frame,
            "imu_stream": recording.stream,
            "rate_hz": config.rate_hz,
            "imu_info": canonical_json(dict(recording.info)).decode(),
        }
        parts.write(
            "imu",
            key,
            schema=IMU_PART_SCHEMA,
            batches=_read_spilled(spill),
            metadata=metadata,
        )


def _spill(file: IO[bytes], blocks: Iterator[ResampledBlock], *, counter: SampleCounter) -> int:
    """Write the blocks as Arrow batches; return how many grid points are valid."""
    valid = 0
    writer = pa.ipc.new_stream(file, IMU_PART_SCHEMA)
    for block in blocks:
        valid += int(block.valid.sum())
        batch = _batch(block, counts=counter.give(len(block.t_ns)))
        with temporary_faults():
            writer.write_batch(batch)
    with temporary_faults():
        writer.close()
    return valid


def _read_spilled(file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    with pa.ipc.open_stream(file) as reader:
        yield from reader


def _batch(
    block: ResampledBlock, *, counts: Mapping[str, npt.NDArray[np.generic]]
) -> pa.RecordBatch:
    channels = block.values.astype(np.float32).T
    recorded = [counts[name] for name in COUNT_COLUMNS]
    columns = [block.t_ns, *channels, block.gap_ns, block.valid, *recorded]
    return pa.RecordBatch.from_arrays(
        [pa.array(np.ascontiguousarray(column)) for column in columns], schema=IMU_PART_SCHEMA
    )
