"""A run that is told to stop ends between two batches, and leaves no file of a part behind."""

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.state.stopping import StoppableParts, StoppedError, check_stop, pause, request_stop

BATCH = pa.record_batch({"t_ns": pa.array([1, 2, 3])})


def test_only_the_run_that_was_told_stops(tmp_path: Path) -> None:
    run = f"{tmp_path}"
    check_stop(run)
    request_stop(run)
    check_stop(f"{run} next")
    with pytest.raises(StoppedError, match="told to stop"):
        check_stop(run)


def test_a_part_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    made: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(10):
            if i == 3:
                request_stop(str(tmp_path))
            made.append(i)
            yield BATCH

    parts = StoppableParts(tmp_path, run=str(tmp_path))
    with pytest.raises(StoppedError):
        parts.write("imu", "ab" * 32, schema=BATCH.schema, batches=batches())
    assert made == [0, 1, 2, 3]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_part_of_a_run_that_goes_on_is_whole(tmp_path: Path) -> None:
    parts = StoppableParts(tmp_path, run="another")
    parts.write("imu", "ab" * 32, schema=BATCH.schema, batches=[BATCH, BATCH])
    assert parts.read_table("imu", "ab" * 32).num_rows == 6


def test_a_pause_ends_when_the_run_is_told_to_stop(tmp_path: Path) -> None:
    began = time.monotonic()
    pause(0.05, run=str(tmp_path))
    assert time.monotonic() - began >= 0.05
    request_stop(str(tmp_path))
    with pytest.raises(StoppedError):
        pause(60.0, run=str(tmp_path))
    assert time.monotonic() - began < 30
