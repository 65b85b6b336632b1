"""A part is there only when whole, and a changed byte makes it not there."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.parts.store import PartStore
from schemas.errors import StoreDamagedError

SCHEMA = pa.schema([pa.field("t_ns", pa.int64()), pa.field("x", pa.float32())])
KEY = "ab" + "0" * 62


def batch(first: int, rows: int = 100) -> pa.RecordBatch:
    t = np.arange(first, first + rows, dtype=np.int64)
    return pa.record_batch([t, t.astype(np.float32)], schema=SCHEMA)


def written(tmp_path: Path) -> PartStore:
    parts = PartStore(tmp_path)
    parts.write("imu", KEY, schema=SCHEMA, batches=[batch(0), batch(100)], metadata={"a": "1"})
    return parts


def test_a_part_comes_back_as_written_with_its_metadata(tmp_path: Path) -> None:
    table = written(tmp_path).read_table("imu", KEY)
    assert table.column("t_ns").to_pylist() == list(range(200))
    assert table.schema.metadata[b"a"] == b"1"
    assert table.schema.metadata[b"kind"] == b"imu"


def test_a_part_of_no_rows_is_whole(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    parts.write("text", KEY, schema=SCHEMA, batches=[])
    assert parts.has("text", KEY)
    assert parts.read_table("text", KEY).num_rows == 0


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    one = written(tmp_path / "one").path("imu", KEY).read_bytes()
    two = written(tmp_path / "two").path("imu", KEY).read_bytes()
    assert one == two


def test_a_missing_part_is_not_there(tmp_path: Path) -> None:
    assert not PartStore(tmp_path).has("imu", KEY)
    with pytest.raises(StoreDamagedError, match="must be there"):
        PartStore(tmp_path).read_table("imu", KEY)


def test_any_flipped_value_byte_is_seen(tmp_path: Path) -> None:
    parts = written(tmp_path)
    path = parts.path("imu", KEY)
    good = path.read_bytes()
    at = good.index(np.arange(3, 8, dtype=np.int64).tobytes())
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    assert not parts.has("imu", KEY)
    with pytest.raises(StoreDamagedError, match="must match its digest"):
        parts.read_table("imu", KEY)


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_a_part_cut_short_is_not_there(tmp_path: Path, keep: float) -> None:
    parts = written(tmp_path)
    path = parts.path("imu", KEY)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    assert not parts.has("imu", KEY)


def test_a_part_under_another_key_is_not_there(tmp_path: Path) -> None:
    parts = written(tmp_path)
    other = "cd" + KEY[2:]
    parts.path("imu", other).parent.mkdir(parents=True)
    parts.path("imu", KEY).rename(parts.path("imu", other))
    assert not parts.has("imu", other)


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def batches() -> object:
        yield batch(0)
        raise RuntimeError("decoder died")

    with pytest.raises(RuntimeError, match="decoder died"):
        PartStore(tmp_path).write("imu", KEY, schema=SCHEMA, batches=batches())  # type: ignore[arg-type]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_some_columns_come_in_the_order_asked_for_and_leave_the_digest_unread(
    tmp_path: Path,
) -> None:
    parts = written(tmp_path)
    table = parts.read_columns("imu", KEY, names=("x", "t_ns"))
    assert table.column_names == ["x", "t_ns"]
    assert table["t_ns"].to_pylist() == list(range(200))
    assert parts.read_columns("imu", KEY, names=("x",)).column_names == ["x"]
    path = parts.path("imu", KEY)
    data = bytearray(path.read_bytes())
    data[data.find(np.arange(5, 9, dtype=np.int64).tobytes())] ^= 1
    path.write_bytes(data)
    assert parts.read_columns("imu", KEY, names=("x",))["x"].to_pylist() == list(range(200))
    with pytest.raises(StoreDamagedError, match="part must match its digest"):
        parts.check("imu", KEY)


def test_a_column_that_is_not_there_is_damage(tmp_path: Path) -> None:
    parts = written(tmp_path)
    with pytest.raises(StoreDamagedError, match="part must have column y"):
        parts.read_columns("imu", KEY, names=("t_ns", "y"))
    with pytest.raises(StoreDamagedError, match="part must be there"):
        parts.read_columns("imu", "cd" + KEY[2:], names=("t_ns",))
    path = parts.path("imu", KEY)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreDamagedError, match="part must be a whole Arrow IPC file"):
        parts.read_columns("imu", KEY, names=("t_ns",))


def test_columns_of_a_part_of_no_rows(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    parts.write("text", KEY, schema=SCHEMA, batches=[])
    assert parts.read_columns("text", KEY, names=("x",)).num_rows == 0
    parts.check("text", KEY)


def test_footer_that_cannot_be_is_damage(tmp_path: Path) -> None:
    parts = written(tmp_path)
    path = parts.path("imu", KEY)
    sound = path.read_bytes()
    # Its length stands in front of the last six bytes; what it points to is broken.
    length = int.from_bytes(sound[-10:-6], "little")
    begin = len(sound) - 10 - length
    path.write_bytes(sound[:begin] + b"\xff" * 8 + sound[begin + 8 :])
    with pytest.raises(StoreDamagedError, match="part must be a whole Arrow IPC file"):
        parts.check("imu", KEY)
    assert not parts.has("imu", KEY)


def test_vectors_of_which_there_are_less_than_none_are_damage(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("embedding", pa.list_(pa.float32(), 4))])
    vectors = pa.FixedSizeListArray.from_arrays(np.zeros(388, np.float32), 4)
    parts = PartStore(tmp_path)
    parts.write("frames", KEY, schema=schema, batches=[pa.record_batch([vectors], schema=schema)])
    path = parts.path("frames", KEY)
    sound, values = path.read_bytes(), (388).to_bytes(8, "little")
    assert sound.count(values) == 1
    path.write_bytes(sound.replace(values, (-(2**63) + 64).to_bytes(8, "little", signed=True)))
    # Arrow would end the process.
    assert not parts.has("frames", KEY)
    with pytest.raises(StoreDamagedError, match="part must be readable"):
        parts.read_columns("frames", KEY, names=("embedding",))


def test_another_name_or_type_of_a_column_is_damage(tmp_path: Path) -> None:
    parts = written(tmp_path)
    path = parts.path("imu", KEY)
    sound = path.read_bytes()
    # The footer has a copy of the schema, which alone is read; no column's bytes change.
    at = sound.rindex(b"t_ns\0")
    path.write_bytes(sound[:at] + b"t_mn" + sound[at + 4 :])
    assert not parts.has("imu", KEY)
    with pytest.raises(StoreDamagedError, match="part must match its digest"):
        parts.check("imu", KEY)


def test_parts_without_a_digest_of_the_schema_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.parts.store._SCHEMA_DIGEST", b"unknown")
    parts = written(tmp_path)
    monkeypatch.undo()
    assert parts.has("imu", KEY)
