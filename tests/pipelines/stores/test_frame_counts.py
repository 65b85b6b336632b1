import numpy as np
import pyarrow as pa
import pytest

from pipelines.stores.frame_counts import FrameCounts, count_frames
from schemas.time import Interval
from tests.factories import frames_table

STEP = 100


def count(table: pa.Table, starts: list[int], *, length: int, rows: int = 5) -> FrameCounts:
    start_ns = np.array(starts, np.int64)
    cut = pa.Table.from_batches(table.to_batches(max_chunksize=rows))
    return count_frames(cut, start_ns=start_ns, end_ns=start_ns + length)


def make(end: int, *, missing: tuple[int, ...] = (), decoders: list[str] | None = None) -> pa.Table:
    rng = np.random.default_rng(0)
    table = frames_table(Interval(0, end), step_ns=STEP, dim=2, rng=rng, missing=missing)
    if decoders is None:
        return table
    at = table.schema.get_field_index("decoder")
    return table.set_column(at, table.schema.field(at), pa.array(decoders))


@pytest.mark.parametrize("at_once", [1, 10_000])
def test_counts_by_slow_loop(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("pipelines.stores.frame_counts._WINDOWS_AT_ONCE", at_once)
    table = make(6000, missing=(7, 8, 12))
    starts = [0, 0, 20, 340, 700, 5400, 5990, 6100]
    found = count(table, starts, length=1000)
    t_ns, pts_ns = table["t_ns"].to_pylist(), table["pts_ns"].to_pylist()
    for i, start in enumerate(starts):
        inside = [k for k, t in enumerate(t_ns) if start <= t < start + 1000]
        assert found.frames[i] == len(inside)
        late = [abs(pts_ns[k] - t_ns[k]) for k in inside]
        assert found.error_ns[i] == max(late, default=0)
        assert found.decoder[i] == ("pyav" if inside else None)
    assert found.frames.tolist() == [8, 8, 8, 7, 7, 6, 0, 0]


def test_each_segment_names_who_decoded_its_own_frames() -> None:
    table = make(3000, decoders=["decord"] * 15 + ["pyav"] * 15)
    found = count(table, [0, 1000, 2000, 4000], length=1000)
    assert found.decoder.to_list() == ["decord", "decord+pyav", "pyav", None]


def test_no_frames_and_no_segments() -> None:
    nothing = count_frames(None, start_ns=np.array([0]), end_ns=np.array([5]))
    assert (nothing.frames.tolist(), nothing.error_ns.tolist()) == ([0], [0])
    assert nothing.decoder.to_list() == [None]
    none = count(make(1000), [], length=100)
    assert (len(none.frames), len(none.decoder)) == (0, 0)
