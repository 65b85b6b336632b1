"""A take's planned segments as rows of the segment table."""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipelines.segments.policies import count_neighbours
from schemas.modality import MODALITIES, Modality
from schemas.segment import SEGMENT_SCHEMA
from schemas.take import Take

__all__ = ["describe_segments", "finish_segments"]

# Null where a row lacks the modality. Coverage and missing frames are told there too: they say why.
_OF_MODALITY: Final[Mapping[str, Modality]] = {
    "imu_stream": "imu",
    "imu_frame": "imu",
    "imu_padded_samples": "imu",
    "imu_correction_ns": "imu",
    "frames": "video",
    "frame_error_ns": "video",
    "video_variant": "video",
    "decoder": "video",
    "tokens": "text",
}
_EMPTY: Final = pl.DataFrame(pa.Table.from_batches([], schema=SEGMENT_SCHEMA))


def describe_segments(
    planned: pl.DataFrame,
    *,
    take: Take,
    split: str | None,
    valid: npt.NDArray[np.bool_],
    measured: Iterable[pl.DataFrame],
) -> pl.DataFrame:
    """Return a row for each of N planned segments, with every column that is known of it.

    Args:
        planned: ``PLAN_COLUMNS``.
        take: whose segments these are.
        split: of the take.
        valid: (N, 3) which modalities hold real data: imu, video, text.
        measured: tables of N rows, each with further columns of ``SEGMENT_SCHEMA``.

    Returns:
        Columns of ``SEGMENT_SCHEMA``, null where not told; floats still in double precision, so
        that limits meet the values as they were measured.
    """
    rows = pl.concat([planned, *measured], how="horizontal").with_columns(
        *(pl.Series(f"has_{name}", valid[:, i]) for i, name in enumerate(MODALITIES)),
        dataset=pl.lit(take.dataset),
        take_uid=pl.lit(take.take_uid),
        take_name=pl.lit(take.take_name),
        participant=pl.lit(take.participant),
        split=pl.lit(split),
        label=pl.lit(take.label),
        task_family=pl.lit(take.task_family),
        video_variant=pl.lit(take.video.variant if take.video else None),
    )
    rows = rows.with_columns(
        pl.when(f"has_{modality}").then(name).alias(name)
        for name, modality in _OF_MODALITY.items()
        if name in rows.columns
    )
    return rows.with_columns(
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in _EMPTY.schema.items()
        if name not in rows.columns
    )


def finish_segments(rows: pl.DataFrame) -> pa.Table:
    """Return the stored ones of ``describe_segments``' rows as ``SEGMENT_SCHEMA``.

    Neighbours are counted here: among the rows that are stored.
    """
    overlaps, same_window = count_neighbours(
        rows["start_ns"].to_numpy(), end_ns=rows["end_ns"].to_numpy()
    )
    table = rows.with_columns(
        pl.Series("overlaps", overlaps), pl.Series("same_window", same_window)
    ).select(SEGMENT_SCHEMA.names)
    return table.to_arrow().cast(SEGMENT_SCHEMA)
