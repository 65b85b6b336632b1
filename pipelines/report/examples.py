"""Read the few segments a report shows in full, and nothing else of a version's arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.parts.store import PartStore
from pipelines.report.quality import spread_rows
from pipelines.storage.places import Place
from pipelines.stores.array_files import read_chunk_file
from pipelines.stores.arrays import array_layout
from schemas.errors import StoreDamagedError
from schemas.manifest import ArraySpec
from schemas.store import ROWS_PER_CHUNK
from schemas.time import Interval

__all__ = ["Example", "Thumbnail", "read_examples", "read_thumbnails"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One small picture of a take."""

    t_ns: int
    """On the take clock."""
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One segment as a report shows it.

    Attributes:
        segment: its row of the segment table, by column.
        imu: (C, T) float32; None where the segment has no IMU.
        thumbnails: pictures between its start and end, in time order.
        note: why there is no picture; empty where there is one.
    """

    segment: Mapping[str, Any]
    imu: npt.NDArray[np.float32] | None
    thumbnails: tuple[Thumbnail, ...]
    note: str


def read_examples(
    version: Place,
    *,
    table: Path,
    imu: ArraySpec,
    rows: Sequence[int],
    parts: PartStore | None,
    frames_keys: Mapping[str, str],
    pictures: int = 5,
) -> Iterator[Example]:
    """Yield the segments of ``rows``, one take after the other.

    Args:
        version: place of the version.
        table: its segment table, on this machine.
        imu: spec of its windows.
        rows: row numbers.
        parts: where the frames parts lie; None for none at all.
        frames_keys: take_uid to the key of its frames part.
        pictures: how many thumbnails a segment shows at most.
    """
    segments = (
        pl.scan_parquet(table)
        .with_row_index("row")
        .filter(pl.col("row").is_in(list(rows)))
        .sort("take_uid", "row")
        .collect()
    )
    windows_of = _Windows(version, spec=imu)
    for take_uid, group in groupby(segments.iter_rows(named=True), key=lambda row: row["take_uid"]):
        taken = list(group)
        windows = [Interval(row["start_ns"], row["end_ns"]) for row in taken]
        strips, note = _read_strips(parts, frames_keys.get(take_uid), windows)
        for row, strip in zip(taken, strips, strict=True):
            window: npt.NDArray[np.float32] | None = None
            if row["has_imu"]:
                window = windows_of.read(row["row"])
            chosen = tuple(strip[i] for i in spread_rows(len(strip), limit=pictures))
            missing = note or ("" if chosen else "the frames part holds no picture in this segment")
            yield Example(segment=row, imu=window, thumbnails=chosen, note=missing)


class _Windows:
    """IMU windows by row; the chunk read last is kept, as a take's rows lie together."""

    def __init__(self, version: Place, *, spec: ArraySpec) -> None:
        self._version = version
        self._dtype, self._row = array_layout(spec, encoder=None)["imu"]
        self._number, self._chunk = -1, np.zeros(0, np.float32)

    def read(self, row: int) -> npt.NDArray[np.float32]:
        number, at = divmod(row, ROWS_PER_CHUNK)
        if number != self._number:
            self._chunk = read_chunk_file(
                self._version, "imu", number, dtype=self._dtype, row=self._row
            )
            self._number = number
        window: npt.NDArray[np.float32] = self._chunk[at]
        return window


def _read_strips(
    parts: PartStore | None, key: str | None, windows: Sequence[Interval]
) -> tuple[list[list[Thumbnail]], str]:
    empty: list[list[Thumbnail]] = [[] for _ in windows]
    if parts is None:
        return empty, "there is no parts folder"
    if key is None:
        return empty, "the run record names no frames part of this take"
    try:
        return read_thumbnails(parts, key, windows=windows), ""
    except StoreDamagedError as error:
        return empty, str(error)


def read_thumbnails(
    parts: PartStore, key: str, *, windows: Sequence[Interval]
) -> list[list[Thumbnail]]:
    """Return the thumbnails of a frames part that lie in each window, in time order.

    Raises:
        StoreDamagedError: if the part is missing or damaged.
    """
    strips: list[list[Thumbnail]] = [[] for _ in windows]
    for batch in parts.read("frames", key):
        small = batch.select(["t_ns", "jpeg"])
        for row in small.filter(small.column("jpeg").is_valid()).to_pylist():
            for strip, window in zip(strips, windows, strict=True):
                if window.contains(row["t_ns"]):
                    strip.append(Thumbnail(t_ns=row["t_ns"], jpeg=row["jpeg"]))
    return strips
