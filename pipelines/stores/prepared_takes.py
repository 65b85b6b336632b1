"""Takes whose parts are there, on their way to a worker: plain values and a file of narrations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from pipelines.outcome import TakeOutcome
from schemas.narration import Narration
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import Interval

__all__ = [
    "NARRATIONS_SCHEMA",
    "PreparedTake",
    "join_take",
    "make_prepared_take",
    "narration_batch",
    "plain_take",
    "read_takes",
    "write_takes",
]

NARRATIONS_SCHEMA: Final = pa.schema(
    [
        pa.field("narration_ns", pa.int64(), nullable=False),
        pa.field("text_raw", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("text_source", pa.string(), nullable=False),
        pa.field("pass_uid", pa.string(), nullable=False),
        pa.field("subject", pa.string()),
        pa.field("visible", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTake:
    """A take whose parts are there."""

    take: Take
    narrations: tuple[Narration, ...]
    """With their sentences cleaned."""
    span: Interval
    clock_uncertainty_ns: int
    split: str | None
    imu_key: str | None
    frames_key: str | None
    text_key: str | None
    raw_imu_key: str | None = None
    """Where each window is resampled by itself."""


def make_prepared_take(
    take: Take, *, outcome: TakeOutcome, narrations: tuple[Narration, ...], split: str | None
) -> PreparedTake:
    """Return a take with what its preparation came to.

    Args:
        take: that was prepared.
        outcome: of its preparation.
        narrations: of the take, with their sentences cleaned.
        split: of the take.
    """
    return PreparedTake(
        take=take,
        narrations=narrations,
        span=Interval(outcome.start_ns, outcome.end_ns),
        clock_uncertainty_ns=outcome.clock_uncertainty_ns,
        split=split,
        imu_key=outcome.keys.get("imu"),
        raw_imu_key=outcome.keys.get("raw_imu"),
        frames_key=outcome.keys.get("frames"),
        text_key=outcome.keys.get("text"),
    )


def write_takes(path: Path, takes: Sequence[PreparedTake]) -> list[dict[str, Any]]:
    """Write the takes' narrations to a new file and return the rest as JSON values, in order.

    What decided the take's clock is left out: it has been told by now.
    """
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, NARRATIONS_SCHEMA) as writer:
        for prepared in takes:
            writer.write_batch(narration_batch(prepared))
    return [plain_take(prepared) for prepared in takes]


def read_takes(path: Path, plain: Sequence[Mapping[str, Any]]) -> list[PreparedTake]:
    """Return what ``write_takes`` was given."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    return [join_take(values, batch) for values, batch in zip(plain, batches, strict=True)]


def narration_batch(prepared: PreparedTake) -> pa.RecordBatch:
    """Return a take's narrations as rows of ``NARRATIONS_SCHEMA``."""
    columns = [
        pa.array([getattr(n, field.name) for n in prepared.narrations], field.type)
        for field in NARRATIONS_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NARRATIONS_SCHEMA)


def plain_take(prepared: PreparedTake) -> dict[str, Any]:
    """Return all of a take but its narrations as JSON values."""
    return {
        "take": asdict(replace(prepared.take, extras={})),
        "span_ns": [prepared.span.start_ns, prepared.span.end_ns],
        "clock_uncertainty_ns": prepared.clock_uncertainty_ns,
        "split": prepared.split,
        "imu_key": prepared.imu_key,
        "frames_key": prepared.frames_key,
        "text_key": prepared.text_key,
        "raw_imu_key": prepared.raw_imu_key,
    }


def join_take(values: Mapping[str, Any], batch: pa.RecordBatch) -> PreparedTake:
    """Return the take that ``plain_take`` and ``narration_batch`` were given."""
    fields = dict(values)
    take: dict[str, Any] = dict(fields.pop("take"))
    for name, stream in (("video", VideoStream), ("imu", ImuStream)):
        if (given := take[name]) is not None:
            take[name] = stream(**{**given, "later_paths": tuple(given["later_paths"])})
    take["clock_paths"] = tuple(take["clock_paths"])
    return PreparedTake(
        take=Take(**take),
        narrations=tuple(_narrations(batch)),
        span=Interval(*fields.pop("span_ns")),
        **fields,
    )


def _narrations(batch: pa.RecordBatch) -> Iterator[Narration]:
    rows = pl.DataFrame(batch).select(NARRATIONS_SCHEMA.names).iter_rows()
    for t_ns, text_raw, text, source, pass_uid, subject, visible in rows:
        yield Narration(
            narration_ns=t_ns,
            text_raw=text_raw,
            text=text,
            text_source=source,
            pass_uid=pass_uid,
            subject=subject,
            visible=visible,
        )
