"""What the stages of a run did: seconds, items and bytes, added up as the work is done."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ITEMS", "StageWork", "WorkMeter", "add_work", "total_work"]

# What a stage counts. Names with a dot are shares of the stage before it: they run side by side,
# so that their seconds need not add up to its own.
ITEMS: Final[Mapping[str, str]] = {
    "catalogue": "takes",
    "fingerprint": "files",
    "check": "parts",
    "imu": "samples",
    "raw_imu": "samples",
    "frames": "frames",
    "frames.decode": "frames",
    "frames.encode": "frames",
    "frames.motion": "frames",
    "text": "sentences",
    "audit": "takes",
    "assemble": "segments",
    "arrays": "segments",
    "seal": "objects",
}


class StageWork(BaseModel):
    """What a stage did; small enough to travel between processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(default=0.0, ge=0, description="busy, over all workers")
    items: int = Field(default=0, ge=0, description="of the stage's kind, see ``ITEMS``")
    bytes_in: int = Field(default=0, ge=0, description="read")
    bytes_out: int = Field(default=0, ge=0, description="written")


class WorkMeter:
    """Adds up what stages did; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._work: dict[str, StageWork] = {}

    def add(
        self,
        stage: str,
        *,
        seconds: float = 0.0,
        items: int = 0,
        bytes_in: int = 0,
        bytes_out: int = 0,
    ) -> None:
        """Add to what ``stage`` did.

        Raises:
            ValueError: if there is no such stage.
        """
        if stage not in ITEMS:
            raise ValueError(f"stage must be one of {', '.join(ITEMS)}, got {stage}")
        more = StageWork(seconds=seconds, items=items, bytes_in=bytes_in, bytes_out=bytes_out)
        with self._lock:
            self._work[stage] = add_work(self._work.get(stage, StageWork()), more)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds that the block takes, also where it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, seconds=time.perf_counter() - began)

    def work(self) -> dict[str, StageWork]:
        """Return what each stage did so far."""
        with self._lock:
            return dict(self._work)


def add_work(one: StageWork, other: StageWork) -> StageWork:
    """Return the sum of what two stages did."""
    return StageWork(
        seconds=one.seconds + other.seconds,
        items=one.items + other.items,
        bytes_in=one.bytes_in + other.bytes_in,
        bytes_out=one.bytes_out + other.bytes_out,
    )


def total_work(works: Iterable[Mapping[str, StageWork]]) -> dict[str, StageWork]:
    """Return what each stage did in all of ``works``."""
    total: dict[str, StageWork] = {}
    for work in works:
        for stage, more in work.items():
            total[stage] = add_work(total.get(stage, StageWork()), more)
    return total
