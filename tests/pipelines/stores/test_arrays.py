from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from pipelines.storage.files import file_sha256
from pipelines.stores import arrays
from pipelines.stores.arrays import (
    array_layout,
    chunk_rows,
    create_arrays,
    make_chunk,
    write_chunk,
)
from schemas.imu import IMU_CHANNELS, IMU_UNITS
from schemas.manifest import ArraySpec
from tests.factories import SPEC

LAYOUT = ArraySpec(
    channels=IMU_CHANNELS, units=IMU_UNITS, samples=4, rate_hz="50", length_ns=80_000_000
)


def make_rows(n: int, *, seed: int) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "imu": rng.normal(size=(n, 6, 4)).astype(np.float32),
        "video": rng.normal(size=(n, SPEC.video_dim)).astype(np.float16),
        "text": rng.normal(size=(n, SPEC.text_dim)).astype(np.float16),
        "valid": rng.random((n, 3)) > 0.5,
    }


def write(path: Path, rows: dict[str, npt.NDArray[Any]]) -> list[tuple[str, int, str]]:
    """Write all rows, the last chunk first."""
    n = len(rows["valid"])
    create_arrays(path, spec=LAYOUT, encoder=SPEC, rows=n)
    written = []
    for low, high in reversed(chunk_rows(n)):
        chunk = make_chunk(array_layout(LAYOUT, encoder=SPEC), rows=high - low)
        for name, values in chunk.items():
            assert not values[: high - low].any()
            values[: high - low] = rows[name][low:high]
        written += write_chunk(path, chunk, low=low)
    return written


@pytest.mark.parametrize(
    ("rows", "chunks"),
    [
        pytest.param(3, 1, id="less_than_a_chunk"),
        pytest.param(8, 1, id="exactly_one"),
        pytest.param(9, 2, id="one_row_over"),
        pytest.param(40, 5, id="whole_chunks"),
    ],
)
def test_arrays_hold_the_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, chunks: int
) -> None:
    monkeypatch.setattr(arrays, "ROWS_PER_CHUNK", 8)
    given = make_rows(rows, seed=0)
    write(tmp_path / "a", given)
    group = zarr.open_group(tmp_path / "a", mode="r")
    for name, wanted in given.items():
        array = group[name]
        np.testing.assert_array_equal(array[:], wanted)
        assert array.dtype == wanted.dtype
        assert array.nchunks == chunks
        assert array.nchunks_initialized == chunks


@pytest.mark.parametrize("rows", [5, 8, 19])
def test_digests_are_those_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(arrays, "ROWS_PER_CHUNK", 8)
    path = tmp_path / "a"
    found = write(path, make_rows(rows, seed=1))
    on_disk = {p.relative_to(path).as_posix() for p in path.rglob("c/**/*") if p.is_file()}
    assert {name for name, _, _ in found} == on_disk
    assert len(found) == 4 * len(chunk_rows(rows))
    for name, size, digest in found:
        assert size == (path / name).stat().st_size
        assert digest == file_sha256(path / name), name


def test_chunk_files_are_plain_little_endian_bytes_padded_with_the_fill_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "ROWS_PER_CHUNK", 8)
    rows = make_rows(5, seed=0)
    write(tmp_path / "a", rows)
    video = np.frombuffer((tmp_path / "a/video/c/0/0").read_bytes(), "<f2").reshape(8, -1)
    np.testing.assert_array_equal(video[:5], rows["video"])
    assert np.isnan(video[5:]).all()
    valid = np.frombuffer((tmp_path / "a/valid/c/0/0").read_bytes(), np.bool_).reshape(8, 3)
    np.testing.assert_array_equal(valid[:5], rows["valid"])
    assert not valid[5:].any()


def test_all_false_chunk_is_written_all_the_same(tmp_path: Path) -> None:
    rows = make_rows(2, seed=0)
    rows["valid"][:] = False
    write(tmp_path / "a", rows)
    assert (tmp_path / "a/valid/c/0/0").stat().st_size == 4096 * 3


def test_a_group_that_was_given_up_does_not_come_back(tmp_path: Path) -> None:
    chunk = make_chunk(array_layout(LAYOUT, encoder=SPEC), rows=1)
    with pytest.raises(FileNotFoundError, match="gone"):
        write_chunk(tmp_path / "gone", chunk, low=0)
    assert list(tmp_path.iterdir()) == []


def test_no_rows_have_no_chunk(tmp_path: Path) -> None:
    assert write(tmp_path / "a", make_rows(0, seed=0)) == []
    assert zarr.open_array(tmp_path / "a/imu", mode="r").shape == (0, 6, 4)


def test_imu_describes_itself(tmp_path: Path) -> None:
    write(tmp_path / "a", make_rows(1, seed=0))
    imu = zarr.open_array(tmp_path / "a/imu", mode="r")
    assert dict(imu.attrs) == {
        "channels": list(IMU_CHANNELS),
        "units": list(IMU_UNITS),
        "rate_hz": "50",
        "length_ns": 80_000_000,
    }
    assert imu.compressors == ()
    assert np.isnan(imu.fill_value)
