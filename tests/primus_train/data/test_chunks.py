import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec

from primus_train.data.chunks import RawChunks, check_rows, find_raw_chunks, load_rows
from primus_train.data.store import open_store
from schemas.errors import StoreDamagedError

ROWS = 4  # a chunk


def write(
    version: Path, values: np.ndarray[Any, Any], *, name: str = "x", **options: Any
) -> zarr.Array[Any]:
    group = zarr.open_group(str(version / "arrays.zarr"), mode="a", zarr_format=3)
    defaults = {"chunks": (ROWS, *values.shape[1:]), "compressors": None}
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        config={"write_empty_chunks": True},
        **(defaults | options),
    )
    array[...] = values
    return array


def raw(version: Path, values: np.ndarray[Any, Any]) -> RawChunks:
    found = find_raw_chunks(write(version, values), name="x", version=version)
    assert found is not None
    return found


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bool", "int64"])
def test_the_values_are_those_that_zarr_reads(tmp_path: Path, rows: int, dtype: str) -> None:
    values = (np.random.default_rng(rows).normal(size=(rows, 2, 3)) * 9).astype(dtype)
    found = raw(tmp_path, values)
    got = load_rows(found)
    assert (found.count, got.dtype) == (-(-rows // ROWS), np.dtype(dtype))
    np.testing.assert_array_equal(got, zarr.open_group(str(tmp_path / "arrays.zarr"))["x"][...])
    np.testing.assert_array_equal(got, values)
    check_rows(found)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"compressors": "auto"}, id="compressed"),
        pytest.param({"serializer": BytesCodec(endian="big")}, id="big_endian"),
        pytest.param({"chunks": (ROWS, 1)}, id="columns"),
        pytest.param({"chunks": (2, 2), "shards": (ROWS, 2)}, id="zarr_shards"),
        pytest.param({"chunk_key_encoding": {"name": "v2", "separator": "."}}, id="key_names"),
    ],
)
def test_any_other_layout_is_left_to_zarr(tmp_path: Path, options: dict[str, Any]) -> None:
    array = write(tmp_path, np.ones((5, 2), np.float32), **options)
    assert find_raw_chunks(array, name="x", version=tmp_path) is None


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("bad", ["nan", "-nan", "inf", "-inf"])
@pytest.mark.parametrize("read", [load_rows, check_rows])
def test_whatever_is_not_finite_is_damage_and_its_rows_are_named(
    tmp_path: Path, dtype: str, bad: str, read: Callable[..., Any]
) -> None:
    values = np.random.default_rng(0).normal(size=(11, 6)).astype(dtype)
    limits = np.finfo(dtype)
    values[0, :5] = [limits.max, limits.min, limits.tiny, -limits.smallest_subnormal, -0.0]
    values[4:8] = -np.abs(values[4:8])  # a chunk whose only signs are minus
    found = raw(tmp_path, values)
    read(found)
    values[9, 2] = np.copysign(np.float64(bad.removeprefix("-")), -1 if bad[0] == "-" else 1)
    write(tmp_path, values, name="y")
    damaged = find_raw_chunks(
        zarr.open_group(str(tmp_path / "arrays.zarr"))["y"], name="y", version=tmp_path
    )
    assert damaged is not None
    with pytest.raises(StoreDamagedError, match=r"array y must be finite.*rows 8 to 10"):
        read(damaged)


def test_the_fill_of_the_last_chunk_is_no_damage(tmp_path: Path) -> None:
    array = write(tmp_path, np.ones((5, 2), np.float32), fill_value=float("nan"))
    found = find_raw_chunks(array, name="x", version=tmp_path)
    assert found is not None
    assert np.isnan(np.fromfile(found.path(1), "<f4")).sum() == 6
    assert load_rows(found).tolist() == [[1, 1]] * 5


@pytest.mark.parametrize("read", [load_rows, check_rows])
def test_blocks_smaller_than_a_chunk_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[..., Any]
) -> None:
    monkeypatch.setattr("primus_train.data.chunks._BLOCK", 24)
    values = np.arange(66, dtype=np.float32).reshape(11, 6)
    values[8, 1] = np.inf  # not in the last block that is looked at
    with pytest.raises(StoreDamagedError, match="rows 8 to 10"):
        read(raw(tmp_path, values))
    values[8, 1] = 0
    write(tmp_path, values, name="y")
    found = find_raw_chunks(
        zarr.open_group(str(tmp_path / "arrays.zarr"))["y"], name="y", version=tmp_path
    )
    assert found is not None
    got = read(found)
    assert got is None or got.tolist() == values.tolist()


def test_files_that_are_not_as_promised_are_damage(tmp_path: Path) -> None:
    found = raw(tmp_path, np.ones((11, 6), np.float32))
    with pytest.raises(StoreDamagedError, match=r"must be named in the manifest .*x/c/0/0"):
        load_rows(found, digests={})
    found.path(1).write_bytes(b"short")
    with pytest.raises(StoreDamagedError, match=r"object must have 96 bytes, got 5 .*x/c/1/0"):
        load_rows(found)
    found.path(1).unlink()
    with pytest.raises(StoreDamagedError, match=r"object must exist, none found .*x/c/1/0"):
        check_rows(found)


@pytest.mark.parametrize("load", ["memory", "mapped"])
def test_every_byte_is_hashed_even_the_fill(
    tmp_path: Path, store_writer: Callable[..., str], load: Any
) -> None:
    version = store_writer(tmp_path, takes=("train-0",), per_take=2)
    path = tmp_path / "versions" / version / "arrays.zarr/imu/c/0/0/0"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match=r"must have SHA-256 .*imu/c/0/0/0"):
        open_store(str(tmp_path), load=load)
    assert len(open_store(str(tmp_path), load=load, verify=False)) == 2


def test_a_compressed_version_is_read_through_zarr_and_verified(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    written: dict[str, Any] = {}
    store_writer(tmp_path, takes=("train-0",), per_take=3, change=written.update, compress=True)
    store = open_store(str(tmp_path))
    assert store.loading.mode == "memory"
    np.testing.assert_array_equal(store.imu[:].numpy(), written["imu"])
    version = json.loads((tmp_path / "refs" / "latest.json").read_text())["version"]
    path = tmp_path / "versions" / version / "arrays.zarr/video/c/0/0"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreDamagedError, match=r"must have SHA-256 .*video/c/0/0"):
        open_store(str(tmp_path))
