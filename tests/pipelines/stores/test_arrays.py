from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import zarr

from pipelines.stores import arrays
from pipelines.stores.arrays import VersionArrays
from pipelines.stores.assemble import TakeRows
from schemas.imu import IMU_CHANNELS, IMU_UNITS
from schemas.manifest import ArraySpec
from tests.factories import SPEC

LAYOUT = ArraySpec(
    channels=IMU_CHANNELS, units=IMU_UNITS, samples=4, rate_hz="50", length_ns=80_000_000
)


class FakeRows(SimpleNamespace):
    """Rows of random numbers with the interface of assembled ones."""

    def __len__(self) -> int:
        return len(self.valid)

    def imu_block(self, low: int, high: int) -> Any:
        return self.imu[low:high]


def make_rows(n: int, *, seed: int) -> FakeRows:
    rng = np.random.default_rng(seed)
    return FakeRows(
        imu=rng.normal(size=(n, 6, 4)).astype(np.float32),
        video=rng.normal(size=(n, SPEC.video_dim)).astype(np.float16),
        text=rng.normal(size=(n, SPEC.text_dim)).astype(np.float16),
        valid=rng.random((n, 3)) > 0.5,
    )


@pytest.mark.parametrize(
    ("sizes", "chunks"),
    [
        pytest.param([3], 1, id="less_than_a_chunk"),
        pytest.param([8], 1, id="exactly_one"),
        pytest.param([5, 4], 2, id="one_row_over"),
        pytest.param([20, 1, 7, 12], 5, id="takes_across_chunks"),
    ],
)
def test_arrays_hold_the_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], chunks: int
) -> None:
    monkeypatch.setattr(arrays, "ROWS_PER_CHUNK", 8)
    given = [make_rows(n, seed=i) for i, n in enumerate(sizes)]
    with VersionArrays(tmp_path / "a", spec=LAYOUT, encoder=SPEC) as writer:
        for rows in given:
            writer.write(cast(TakeRows, rows))
    group = zarr.open_group(tmp_path / "a", mode="r")
    for name in ("imu", "video", "text", "valid"):
        array = group[name]
        wanted = np.concatenate([getattr(rows, name) for rows in given])
        np.testing.assert_array_equal(array[:], wanted)
        assert array.dtype == wanted.dtype
        assert array.nchunks == chunks
        assert array.nchunks_initialized == chunks


def test_chunk_files_are_plain_little_endian_bytes_padded_with_the_fill_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "ROWS_PER_CHUNK", 8)
    rows = make_rows(5, seed=0)
    with VersionArrays(tmp_path / "a", spec=LAYOUT, encoder=SPEC) as writer:
        writer.write(cast(TakeRows, rows))
    video = np.frombuffer((tmp_path / "a/video/c/0/0").read_bytes(), "<f2").reshape(8, -1)
    np.testing.assert_array_equal(video[:5], rows.video)
    assert np.isnan(video[5:]).all()
    valid = np.frombuffer((tmp_path / "a/valid/c/0/0").read_bytes(), np.bool_).reshape(8, 3)
    np.testing.assert_array_equal(valid[:5], rows.valid)
    assert not valid[5:].any()


def test_all_false_chunk_is_written_all_the_same(tmp_path: Path) -> None:
    rows = make_rows(2, seed=0)
    rows.valid[:] = False
    with VersionArrays(tmp_path / "a", spec=LAYOUT, encoder=SPEC) as writer:
        writer.write(cast(TakeRows, rows))
    assert (tmp_path / "a/valid/c/0/0").stat().st_size == 4096 * 3


def test_imu_describes_itself(tmp_path: Path) -> None:
    with VersionArrays(tmp_path / "a", spec=LAYOUT, encoder=SPEC) as writer:
        writer.write(cast(TakeRows, make_rows(1, seed=0)))
    imu = zarr.open_array(tmp_path / "a/imu", mode="r")
    assert dict(imu.attrs) == {
        "channels": list(IMU_CHANNELS),
        "units": list(IMU_UNITS),
        "rate_hz": "50",
        "length_ns": 80_000_000,
    }
    assert imu.compressors == ()
    assert np.isnan(imu.fill_value)
