"""Rows of one take in the arrays: cut IMU windows, pooled frames, looked-up sentences."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.encoders.base import FramePooler
from pipelines.parts.store import PartStore
from pipelines.stores.cut_imu import cut_windows, read_imu_values
from pipelines.stores.look_up_text import look_up_text
from pipelines.stores.pool_frames import pool_frames
from schemas.modality import MODALITIES

__all__ = ["ROW_COLUMNS", "fill_rows"]

ROW_COLUMNS = (
    "start_ns",
    "end_ns",
    "text",
    *(f"has_{name}" for name in MODALITIES),
    "imu_correction_ns",
)
"""All that the arrays follow from, of ``SEGMENT_SCHEMA``."""

# Windows gathered at once: 6 MB at 250 samples, which stay in the processor's cache.
_WINDOWS_AT_ONCE = 256


def fill_rows(
    out: Mapping[str, npt.NDArray[Any]],
    rows: pa.RecordBatch,
    *,
    parts: PartStore,
    keys: Mapping[str, str | None],
    step_ns: int,
    windows: Path | None = None,
    low: int = 0,
    pooler: FramePooler | None = None,
) -> None:
    """Fill in some stored rows of one take.

    Args:
        out: array name: its values of these rows, all zeros; without ``video`` and ``text`` where
            nothing was embedded.
        rows: (N,) with ``ROW_COLUMNS``, in row order.
        parts: where the take's parts lie.
        keys: ``imu``, ``frames`` and ``text``: of its parts.
        step_ns: of the imu grid.
        windows: file of the take's windows where each was resampled by itself.
        low: which of the take's rows is the first of these; of ``windows`` alone.
        pooler: of a segment's frame embeddings; their mean without one.

    Raises:
        StoreDamagedError: if a part is missing or, of those with embeddings, altered.
        TakeError: if an embedding has no direction.
    """
    column = {name: rows.column(name) for name in ROW_COLUMNS}
    has = [column[f"has_{name}"].to_numpy(zero_copy_only=False) for name in MODALITIES]
    out["valid"][:] = np.stack(has, axis=1)
    has_imu, has_video, has_text = (np.flatnonzero(some) for some in has)
    start_ns, end_ns = column["start_ns"].to_numpy(), column["end_ns"].to_numpy()
    if len(has_imu) and windows is not None:
        whole = np.load(windows, mmap_mode="r", allow_pickle=False)
        out["imu"][has_imu] = whole[low + has_imu]
    elif len(has_imu) and (key := keys["imu"]) is not None:
        first_ns, values = read_imu_values(parts, key=key)
        moved_ns = column["imu_correction_ns"].fill_null(0).to_numpy()
        first = (start_ns + moved_ns - first_ns)[has_imu] // step_ns
        samples = out["imu"].shape[2]
        for at in range(0, len(first), _WINDOWS_AT_ONCE):
            some = slice(at, at + _WINDOWS_AT_ONCE)
            out["imu"][has_imu[some]] = cut_windows(values, first[some], samples=samples)
    if len(has_video) and (key := keys["frames"]) is not None:
        out["video"][has_video] = pool_frames(
            parts.read("frames", key),
            start_ns=start_ns[has_video],
            end_ns=end_ns[has_video],
            dim=out["video"].shape[1],
            pooler=pooler,
        )
    if len(has_text) and (key := keys["text"]) is not None:
        out["text"][has_text] = look_up_text(
            column["text"].take(has_text), key=key, parts=parts, dim=out["text"].shape[1]
        )
