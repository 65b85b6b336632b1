import tracemalloc
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.stores.pool_frames import pool_frames, unit_rows
from schemas.errors import TakeError
from schemas.time import Interval
from tests.factories import frames_table

DIM = 8
STEP = 100


def pool(
    table: pa.Table, starts: list[int], *, length: int, rows: int = 5
) -> npt.NDArray[np.float16]:
    start_ns = np.array(starts, np.int64)
    batches = table.to_batches(max_chunksize=rows)
    return pool_frames(batches, start_ns=start_ns, end_ns=start_ns + length, dim=DIM)


def make(end: int, *, missing: tuple[int, ...] = (), seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return frames_table(Interval(0, end), step_ns=STEP, dim=DIM, rng=rng, missing=missing)


@pytest.mark.parametrize("at_once", [4, 7, 512])
def test_mean_by_slow_loop(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("pipelines.stores.pool_frames._FRAMES_AT_ONCE", at_once)
    table = make(6000, missing=(7, 8, 30))
    starts = [0, 0, 20, 340, 700, 5400, 5990, 6100]
    found = pool(table, starts, length=1000)
    embedding = np.array(table["embedding"].to_pylist(), np.float64)
    for i, start in enumerate(starts):
        inside = [k for k, t in enumerate(table["t_ns"].to_pylist()) if start <= t < start + 1000]
        if not inside:
            assert not found[i].any()
            continue
        mean = sum(embedding[k] for k in inside) / len(inside)
        np.testing.assert_array_equal(
            found[i], (mean / np.sqrt((mean**2).sum())).astype(np.float16)
        )


@pytest.mark.parametrize("rows", [1, 3, 1000])
@pytest.mark.parametrize("at_once", [1, 20, 512])
def test_batches_do_not_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, rows: int, at_once: int
) -> None:
    table = make(6000)
    starts = list(range(0, 5001, 70))
    whole = pool(table, starts, length=1000, rows=17)
    monkeypatch.setattr("pipelines.stores.pool_frames._FRAMES_AT_ONCE", at_once)
    np.testing.assert_array_equal(whole, pool(table, starts, length=1000, rows=rows))


def spread(frames: int, *, seed: int) -> pa.Table:
    """Frames of all magnitudes a float16 has, so that any rounding of a sum would show."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 1 << 16, size=(frames, DIM), dtype=np.uint16).view(np.float16)
    values = np.where(np.isfinite(bits), bits, np.float16(1))
    table = make(frames * STEP)
    column = pa.FixedSizeListArray.from_arrays(values.reshape(-1), DIM)
    at = table.schema.get_field_index("embedding")
    return table.set_column(at, table.schema.field(at), column)


def test_neighbouring_frames_and_windows_do_not_change_a_bit() -> None:
    table = spread(60, seed=3)
    alone = pool(table.slice(20, 10), [2000], length=1000)
    among = pool(table, [0, 1500, 1700, 2000, 2300, 2600], length=1000)
    np.testing.assert_array_equal(alone[0], among[3])


@pytest.mark.parametrize("exact", [1 << 13, 4], ids=["by_pieces", "frame_by_frame"])
def test_sums_of_every_magnitude_are_those_of_whole_numbers(
    monkeypatch: pytest.MonkeyPatch, exact: int
) -> None:
    """Oracle: Python's own whole numbers, in units of 2^-24, the smallest float16."""
    monkeypatch.setattr("pipelines.stores.pool_frames._EXACT_FRAMES", exact)
    table = spread(60, seed=4)
    starts = [0, 130, 700, 2200, 2210]
    found = pool(table, starts, length=3300)
    units = [[int(v * 2**24) for v in row] for row in table["embedding"].to_pylist()]
    for row, start in zip(found, starts, strict=True):
        inside = range(-(-start // STEP), -(-(start + 3300) // STEP))
        mean = np.array([sum(units[k][d] for k in inside) / 2**24 for d in range(DIM)]) / len(
            inside
        )
        np.testing.assert_array_equal(row, (mean * (1 / np.linalg.norm(mean))).astype(np.float16))


def test_memory_does_not_hold_the_whole_take() -> None:
    dim, frames = 512, 10_000

    def batches() -> Iterator[pa.RecordBatch]:
        rng = np.random.default_rng(0)
        for low in range(0, frames * STEP, 50 * STEP):
            span = Interval(low, low + 50 * STEP)
            yield from frames_table(span, step_ns=STEP, dim=dim, rng=rng).to_batches()

    start_ns = np.array([0, frames * STEP - 1000], np.int64)
    tracemalloc.start()
    found = pool_frames(batches(), start_ns=start_ns, end_ns=start_ns + 1000, dim=dim)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.any(axis=1).tolist() == [True, True]
    # The take's embeddings are 10 MB; what is held of it at once, and its copy, is 0.5 MB each.
    assert peak < 3_000_000 < frames * dim * 2


def test_a_pooler_takes_the_means_place_once_a_window() -> None:
    table = make(6000, missing=(7,))
    starts = [0, 500, 500, 500, 5990, 7000]
    seen: list[npt.NDArray[np.float16]] = []

    def last_frame(frames: npt.NDArray[np.float16], /) -> npt.NDArray[np.float64]:
        seen.append(frames.copy())
        return 3 * frames[-1].astype(np.float64)

    start_ns = np.array(starts, np.int64)
    found = pool_frames(
        table.to_batches(max_chunksize=5),
        start_ns=start_ns,
        end_ns=start_ns + 1000,
        dim=DIM,
        pooler=last_frame,
    )
    embedding = np.array(table["embedding"].to_pylist(), np.float64)
    t_ns = np.array(table["t_ns"].to_pylist())
    assert [len(frames) for frames in seen] == [9, 9]
    for i, start in enumerate(starts):
        inside = embedding[(t_ns >= start) & (t_ns < start + 1000)]
        if len(inside):
            unit = inside[-1] / np.linalg.norm(inside[-1])
            np.testing.assert_array_equal(found[i], unit.astype(np.float16))
    np.testing.assert_array_equal(found[1], found[3])
    assert not found[4:].any()


def test_no_frames_and_no_segments() -> None:
    nothing = pool_frames([], start_ns=np.array([0]), end_ns=np.array([5]), dim=DIM)
    assert nothing.tolist() == [[0.0] * DIM]
    assert pool(make(1000), [], length=100).shape == (0, DIM)
    empty = make(1000).slice(0, 0).combine_chunks().to_batches() or [
        pa.RecordBatch.from_pylist([], schema=make(1000).schema)
    ]
    still = pool_frames(empty, start_ns=np.array([0]), end_ns=np.array([5]), dim=DIM)
    assert still.tolist() == [[0.0] * DIM]


def test_unit_rows_leave_absent_ones_zero() -> None:
    rows = np.array([[3.0, 4.0], [9.0, 9.0]])
    unit = unit_rows(rows, present=np.array([True, False]))
    np.testing.assert_array_equal(unit, np.array([[0.6, 0.8], [0, 0]], np.float16))


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "embedding_zero: "), (np.inf, "embedding_not_finite: ")]
)
def test_vector_without_direction_is_a_fault(value: float, message: str) -> None:
    with pytest.raises(TakeError, match=message):
        unit_rows(np.full((1, 2), value), present=np.array([True]))
