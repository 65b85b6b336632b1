"""Cut segments out of a take's imu part: every window is an exact slice of the grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.imu.sample_counts import COUNT_COLUMNS
from pipelines.parts.store import PartStore
from schemas.errors import StoreDamagedError
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA

__all__ = ["ImuGrid", "cut_windows", "read_imu_grid", "read_imu_values"]


# 2 MB of gaps at 250 samples a window.
_WINDOWS_AT_ONCE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ImuGrid:
    """A take's IMU on the grid: 65 bytes a grid point, 12 MB an hour at 50 Hz."""

    first_ns: int
    step_ns: int
    values: npt.NDArray[np.float32]
    """(6, n)"""
    gap_ns: npt.NDArray[np.int64]
    """(n,) longest recording interval each point rests on."""
    valid: npt.NDArray[np.bool_]
    """(n,)"""
    counts: Mapping[str, npt.NDArray[np.generic]]
    """(n,) what was recorded at each point, by ``COUNT_COLUMNS``."""
    stream: str | None
    frame: str | None

    @property
    def t_ns(self) -> npt.NDArray[np.int64]:
        """Instants of the grid points, (n,)."""
        return self.first_ns + self.step_ns * np.arange(len(self.valid), dtype=np.int64)

    def find_first(self, start_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the index (N,) of each segment's first grid point; may lie outside the grid.

        Raises:
            ValueError: if a start is no grid point.
        """
        offset = start_ns - self.first_ns
        if (offset % self.step_ns).any():
            raise ValueError(f"segments must start on the imu grid of {self.step_ns} ns")
        index: npt.NDArray[np.int64] = offset // self.step_ns
        return index

    def cut(self, first: npt.NDArray[np.int64], *, samples: int) -> npt.NDArray[np.float32]:
        """Return the windows (N, 6, samples) that start at grid points ``first`` (N,)."""
        return cut_windows(self.values, first, samples=samples)

    def longest_gap_ns(
        self, first: npt.NDArray[np.int64], *, samples: int
    ) -> npt.NDArray[np.int64]:
        """Return the longest gap (N,) within each window that starts at ``first`` (N,)."""
        if len(first) == 0:
            return np.zeros(0, np.int64)
        views = np.lib.stride_tricks.sliding_window_view(self.gap_ns, samples)
        unique, inverse = np.unique(first, return_inverse=True)
        longest = np.empty(len(unique), np.int64)
        for low in range(0, len(unique), _WINDOWS_AT_ONCE):
            here = slice(low, low + _WINDOWS_AT_ONCE)
            longest[here] = views[unique[here]].max(axis=-1)
        return longest[inverse]


def cut_windows(
    values: npt.NDArray[np.float32], first: npt.NDArray[np.int64], *, samples: int
) -> npt.NDArray[np.float32]:
    """Return the windows (N, 6, samples) of ``values`` (6, n) that start at ``first`` (N,)."""
    if len(first) == 0:
        return np.zeros((0, len(values), samples), np.float32)
    views = np.lib.stride_tricks.sliding_window_view(values, samples, axis=1)
    windows: npt.NDArray[np.float32] = views[:, first].transpose(1, 0, 2)
    return windows


def read_imu_values(parts: PartStore, *, key: str) -> tuple[int, npt.NDArray[np.float32]]:
    """Return the first instant of an imu part's grid and its values (6, n), nothing else of it.

    Raises:
        StoreDamagedError: if the part is missing or cut short; its digest is not checked, as
            whoever measured the recording read it whole.
    """
    table = parts.read_columns("imu", key, names=("t_ns", *IMU_CHANNELS))
    if not len(table):
        raise StoreDamagedError(
            f"imu part must hold grid points, got none [{parts.path('imu', key)}]"
        )
    values = np.empty((len(IMU_CHANNELS), len(table)), np.float32)
    for row, name in zip(values, IMU_CHANNELS, strict=True):
        np.concatenate([chunk.to_numpy() for chunk in table[name].chunks], out=row)
    return table["t_ns"][0].as_py(), values


def read_imu_grid(parts: PartStore, *, key: str, step_ns: int) -> ImuGrid:
    """Read a take's imu part.

    Raises:
        StoreDamagedError: if the part is missing, altered, or no run of grid points.
    """
    points = len(parts.read_columns("imu", key, names=("t_ns",)))
    if not points:
        raise StoreDamagedError(
            f"imu part must hold grid points, got none [{parts.path('imu', key)}]"
        )
    values = np.empty((len(IMU_CHANNELS), points), np.float32)
    rows: dict[str, npt.NDArray[Any]] = dict(zip(IMU_CHANNELS, values, strict=True))
    for name in ("gap_ns", "valid", *COUNT_COLUMNS):
        rows[name] = np.empty(points, IMU_PART_SCHEMA.field(name).type.to_pandas_dtype())
    metadata: dict[bytes, bytes] = {}
    first_ns, at = 0, 0
    for batch in parts.read("imu", key):
        instants = batch["t_ns"].to_numpy()
        if not len(instants):
            continue
        if at == 0:
            metadata, first_ns = batch.schema.metadata or {}, int(instants[0])
        if instants[0] != first_ns + at * step_ns or (np.diff(instants) != step_ns).any():
            raise StoreDamagedError(
                f"imu part must step by {step_ns} ns throughout [{parts.path('imu', key)}]"
            )
        # Copied as they come: a column of a batch would keep all of it in memory.
        for name, row in rows.items():
            row[at : at + len(instants)] = batch[name].to_numpy(zero_copy_only=False)
        at += len(instants)
    return ImuGrid(
        first_ns=first_ns,
        step_ns=step_ns,
        values=values,
        gap_ns=rows["gap_ns"],
        valid=rows["valid"],
        counts={name: rows[name] for name in COUNT_COLUMNS},
        stream=_text(metadata, "imu_stream"),
        frame=_text(metadata, "imu_frame"),
    )


def _text(metadata: dict[bytes, bytes], name: str) -> str | None:
    value = metadata.get(name.encode())
    return value.decode() if value is not None else None
