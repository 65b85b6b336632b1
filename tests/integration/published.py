"""A published version of a synthetic dataset, beside the truth it was made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import zarr

from flows.prepare import RunSummary
from schemas.store import ARRAYS, SEGMENTS
from schemas.time import NS_PER_MS
from tests.integration.alignment import MOVES_RAD_S, REACH_MS, STEP_MS, WindowLag, lag_ms

__all__ = ["Published", "TruthOfTake"]


class TruthOfTake(Protocol):
    """What every synthetic take says of itself."""

    @property
    def take_uid(self) -> str: ...

    @property
    def fault(self) -> str | None: ...


Truth = TypeVar("Truth", bound=TruthOfTake)


@dataclass(frozen=True)
class Published(Generic[Truth]):
    root: Path
    version: Path
    summary: RunSummary
    takes: Mapping[str, Truth]
    """By take_uid."""

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return pq.read_table(self.version / SEGMENTS).to_pylist()

    @cached_property
    def imu(self) -> npt.NDArray[np.float64]:
        group = zarr.open_group(self.version / ARRAYS, mode="r")
        return np.asarray(group["imu"][:], dtype=np.float64)

    def of_fault(self, name: str) -> Truth:
        (take,) = (take for take in self.takes.values() if take.fault == name)
        return take

    def rows_of(self, take: Truth) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["take_uid"] == take.take_uid]

    def lags(
        self,
        take: Truth,
        *,
        end_ns: int,
        signal: Callable[[Truth, npt.NDArray[np.int64]], npt.NDArray[np.float64]],
    ) -> list[WindowLag]:
        """How far each of a take's windows lies in the truth's future, by closed-form motion."""
        t_ms = np.arange(-REACH_MS, end_ns // NS_PER_MS + REACH_MS + 1, dtype=np.int64)
        fine = signal(take, t_ms * NS_PER_MS)
        found = []
        for i, row in enumerate(self.rows):
            if row["take_uid"] != take.take_uid:
                continue
            start_ns = row["start_ns"]
            at = REACH_MS + start_ns // NS_PER_MS
            gyro = fine[at : at + self.imu.shape[2] * STEP_MS, 3:]
            found.append(
                WindowLag(
                    take_name=take.take_uid,
                    start_ns=start_ns,
                    lag_ms=lag_ms(fine, self.imu[i].T, start_ns=start_ns),
                    moves=bool(np.sqrt((gyro**2).mean()) > MOVES_RAD_S),
                )
            )
        return found
