"""Parts in an object store: the same bytes as on a disk, whole or not there."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.parts.store import PartStore
from pipelines.storage.places import Place, open_place
from schemas.errors import StoreDamagedError
from tests.storage_server import Fault, S3Server

SCHEMA = pa.schema([pa.field("t_ns", pa.int64()), pa.field("x", pa.float32())])
KEY = "ab" + "0" * 62


@pytest.fixture(params=["memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return open_place(f"memory://parts{tmp_path}")
    return open_place(request.getfixturevalue("s3_store"))


def batch(first: int) -> pa.RecordBatch:
    t = pa.array(range(first, first + 100), pa.int64())
    return pa.record_batch([t, t.cast(pa.float32())], schema=SCHEMA)


def write(parts: PartStore) -> Place:
    return parts.write("imu", KEY, schema=SCHEMA, batches=[batch(0), batch(100)])


def test_same_bytes_as_on_a_disk(root: Place, tmp_path: Path) -> None:
    there, here = write(PartStore(root)), write(PartStore(tmp_path))
    assert there.read_bytes() == here.read_bytes()
    assert there.stat().st_size == here.stat().st_size
    assert str(there) == f"{root}/imu/ab/{KEY}.arrow"


def test_part_comes_back(root: Place) -> None:
    parts = PartStore(root)
    assert not parts.has("imu", KEY)
    write(parts)
    assert parts.has("imu", KEY)
    assert parts.read_table("imu", KEY)["t_ns"].to_pylist() == list(range(200))
    columns = parts.read_columns("imu", KEY, names=["x"])
    assert columns.column_names == ["x"]
    assert columns["x"].to_pylist() == [float(i) for i in range(200)]


def test_altered_and_cut_parts_are_not_there(root: Place) -> None:
    parts = PartStore(root)
    whole = write(parts).read_bytes()
    assert parts.has("imu", KEY)
    path = parts.path("imu", KEY)
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (flipped, whole[:-9], b""):
        path.write_bytes(damaged)
        assert not parts.has("imu", KEY)
    path.write_bytes(whole)
    assert parts.has("imu", KEY)
    path.unlink()
    with pytest.raises(StoreDamagedError, match="part must be there"):
        parts.read_table("imu", KEY)


def test_part_that_failed_halfway_is_not_there(root: Place) -> None:
    parts = PartStore(root)

    def broken() -> object:
        yield batch(0)
        raise RuntimeError("decoder")

    with pytest.raises(RuntimeError, match="decoder"):
        parts.write("imu", KEY, schema=SCHEMA, batches=broken())  # type: ignore[arg-type]
    assert not parts.path("imu", KEY).exists()


def test_part_is_one_put_and_is_read_by_one_get(s3_server: S3Server, s3_store: str) -> None:
    parts = PartStore(open_place(s3_store))
    s3_server.fail()
    write(parts)
    assert s3_server.counts()["requests"] == {"PUT": 1}
    s3_server.fail()
    for _ in range(3):
        parts.read_table("imu", KEY)
    assert s3_server.counts()["requests"]["GET"] == 1


def test_cut_connections_change_nothing(s3_server: S3Server, s3_store: str) -> None:
    parts = PartStore(open_place(s3_store))
    s3_server.fail(Fault(kind="cut", every=2))
    write(parts)
    assert parts.has("imu", KEY)
    assert parts.read_table("imu", KEY)["t_ns"].to_pylist() == list(range(200))
    assert s3_server.counts()["faults"]["cut"] >= 2
