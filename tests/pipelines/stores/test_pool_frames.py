import tracemalloc
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.stores.pool_frames import PooledFrames, pool_frames, unit_rows
from schemas.errors import TakeError
from schemas.time import Interval
from tests.factories import frames_table

DIM = 8
STEP = 100


def pool(table: pa.Table, starts: list[int], *, length: int, rows: int = 5) -> PooledFrames:
    start_ns = np.array(starts, np.int64)
    batches = table.to_batches(max_chunksize=rows)
    return pool_frames(batches, start_ns=start_ns, end_ns=start_ns + length, dim=DIM)


def make(end: int, *, missing: tuple[int, ...] = (), seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return frames_table(Interval(0, end), step_ns=STEP, dim=DIM, rng=rng, missing=missing)


def test_mean_by_slow_loop() -> None:
    table = make(6000, missing=(7, 8, 30))
    starts = [0, 0, 20, 340, 700, 5400, 5990, 6100]
    found = pool(table, starts, length=1000)
    embedding = np.array(table["embedding"].to_pylist(), np.float64)
    for i, start in enumerate(starts):
        inside = [k for k, t in enumerate(table["t_ns"].to_pylist()) if start <= t < start + 1000]
        assert found.frames[i] == len(inside)
        if not inside:
            assert not found.video[i].any()
            assert found.error_ns[i] == 0
            continue
        mean = sum(embedding[k] for k in inside) / len(inside)
        np.testing.assert_array_equal(
            found.video[i], (mean / np.sqrt((mean**2).sum())).astype(np.float16)
        )
        late = [abs(table["pts_ns"][k].as_py() - table["t_ns"][k].as_py()) for k in inside]
        assert found.error_ns[i] == max(late)
    assert found.frames.tolist()[:2] == [8, 8]
    assert found.decoder == (*["pyav"] * 6, None, None)


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_batches_do_not_change_a_bit(rows: int) -> None:
    table = make(6000)
    starts = list(range(0, 5001, 70))
    whole, cut = (pool(table, starts, length=1000, rows=n) for n in (17, rows))
    np.testing.assert_array_equal(whole.video, cut.video)
    np.testing.assert_array_equal(whole.error_ns, cut.error_ns)


def test_neighbouring_frames_do_not_change_a_bit() -> None:
    table = make(6000)
    alone = pool(table.slice(20, 10), [2000], length=1000)
    among = pool(table, [0, 2000, 3000], length=1000)
    np.testing.assert_array_equal(alone.video[0], among.video[1])


def test_memory_does_not_hold_the_whole_take() -> None:
    dim, frames = 512, 4000

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
    assert found.frames.tolist() == [10, 10]
    # The take's embeddings are 4 MB; a batch of 50 with its working copies is far below 1 MB.
    assert peak < 1_500_000 < frames * dim * 2


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
        assert found.frames[i] == len(inside)
        if len(inside):
            unit = inside[-1] / np.linalg.norm(inside[-1])
            np.testing.assert_array_equal(found.video[i], unit.astype(np.float16))
    np.testing.assert_array_equal(found.video[1], found.video[3])
    assert not found.video[4:].any()


def test_no_frames_and_no_segments() -> None:
    nothing = pool_frames([], start_ns=np.array([0]), end_ns=np.array([5]), dim=DIM)
    assert nothing.frames.tolist() == [0]
    assert nothing.video.shape == (1, DIM)
    assert nothing.decoder == (None,)
    assert pool(make(1000), [], length=100).video.shape == (0, DIM)


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


def test_each_segment_names_who_decoded_its_own_frames() -> None:
    table = make(3000)
    names = ["decord"] * 15 + ["pyav"] * 15
    at = table.schema.get_field_index("decoder")
    table = table.set_column(at, table.schema.field(at), pa.array(names))
    found = pool(table, [0, 1000, 2000], length=1000)
    assert found.decoder == ("decord", "decord+pyav", "pyav")
