import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from primus_train.data.store import open_store
from primus_train.data.version import identify_store
from schemas.errors import NewerFormatError, StoreDamagedError, StoreNotFoundError, UsageError


def version_folder(root: Path) -> Path:
    version = json.loads((root / "refs" / "latest.json").read_text())["version"]
    return root / "versions" / version


def test_arrays_and_table_come_back_as_written(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    written: dict[str, Any] = {}
    version = store_writer(tmp_path, takes=("train-0", "val-0"), per_take=3, change=written.update)
    store = open_store(str(tmp_path))
    assert store.version == version
    assert len(store) == 6
    for name in ("imu", "video", "text", "valid"):
        got = getattr(store, name).numpy()
        assert got.dtype == written[name].dtype
        np.testing.assert_array_equal(got, written[name])
    assert store.column("take_uid").tolist() == ["train-0"] * 3 + ["val-0"] * 3
    assert store.column("start_ns").tolist() == [0, 5 * 10**9, 10 * 10**9] * 2
    assert store.rows(splits=("val",)).tolist() == [3, 4, 5]
    assert store.rows(splits=("train", "val")).tolist() == [0, 1, 2, 3, 4, 5]


def test_version_tag_file_uri_and_latest_name_the_same_version(toy_store: Path) -> None:
    version = version_folder(toy_store).name
    (toy_store / "refs" / "v1.json").write_text(json.dumps({"version": version}))
    references = ("", "@latest", "@v1", f"@{version}")
    found = {identify_store(f"{toy_store}{ref}").version for ref in references}
    found.add(identify_store(f"file://{toy_store}").version)
    assert found == {version}
    assert identify_store(str(toy_store)).pinned == f"{toy_store}@{version}"


def test_an_at_sign_in_the_folder_name_is_no_reference(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    root = tmp_path / "me@home" / "store"
    version = store_writer(root, takes=("train-0",), per_take=1)
    assert identify_store(str(root)).pinned == f"{root}@{version}"


def test_effective_mask_is_valid_and_keep(
    tmp_path: Path, store_writer: Callable[..., str], mask_writer: Callable[..., None]
) -> None:
    def no_video_in_row_0(data: dict[str, Any]) -> None:
        data["valid"][0, 1] = False
        data["video"][0] = 0
        data["rows"][0]["has_video"] = False

    version = store_writer(tmp_path, takes=("train-0",), per_take=4, change=no_video_in_row_0)
    mask_writer(tmp_path, version, name="m", hidden=lambda i: i == 2)
    plain = open_store(str(tmp_path))
    masked = open_store(str(tmp_path), mask="m")
    t, f = True, False
    assert plain.valid.tolist() == [[t, f, t], [t, t, t], [t, t, t], [t, t, t]]
    assert masked.valid.tolist() == [[t, f, t], [t, t, t], [t, f, f], [t, t, t]]
    assert masked.mask is not None
    assert masked.mask.spec.name == "m"
    assert torch.equal(masked.video, plain.video)


def test_rows_without_imu_are_in_no_split(tmp_path: Path, store_writer: Callable[..., str]) -> None:
    def no_imu_in_row_1(data: dict[str, Any]) -> None:
        data["valid"][1, 0] = False
        data["imu"][1] = 0
        data["rows"][1]["has_imu"] = False

    store_writer(tmp_path, takes=("train-0",), per_take=3, change=no_imu_in_row_1)
    assert open_store(str(tmp_path)).rows(splits=("train",)).tolist() == [0, 2]


def test_a_version_of_imu_alone_has_empty_embeddings(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path, takes=("train-0",), per_take=3, imu_only=True)
    store = open_store(str(tmp_path))
    assert store.manifest.encoder is None
    assert tuple(store.video.shape) == tuple(store.text.shape) == (3, 0)
    assert store.rows(splits=("train",)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("ref", "mask", "message"),
    [
        pytest.param("/absent", None, "must be an existing folder", id="store"),
        pytest.param("{}@nope", None, r"no tag 'nope'; tags: .*latest.*; versions: ", id="tag"),
        pytest.param("{}@0123456789abcdef", None, r"no version '0123456789abcdef'", id="version"),
        pytest.param("{}", "nope", r"no mask 'nope'; masks: allhidden, half", id="mask"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    toy_store: Path, ref: str, mask: str | None, message: str
) -> None:
    with pytest.raises(StoreNotFoundError, match=message):
        open_store(ref.format(toy_store), mask=mask)


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"store must be of a kind that fsspec knows, .* got floppy://$"
    ):
        open_store("floppy://bucket/x@latest")


def test_newer_format_is_refused_before_anything_else(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path, takes=("train-0",), per_take=1, format_version=2)
    with pytest.raises(NewerFormatError, match=r"format_version must be at most 1, got 2"):
        open_store(str(tmp_path))


@pytest.mark.parametrize("name", ["segments.parquet", "arrays.zarr/imu/c/0/0/0"])
def test_a_flipped_byte_is_damage_unless_verify_is_off(
    tmp_path: Path, store_writer: Callable[..., str], name: str
) -> None:
    store_writer(tmp_path, takes=("train-0",), per_take=2)
    path = version_folder(tmp_path) / name
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match=rf"must have SHA-256 .*{name}"):
        open_store(str(tmp_path))
    if name.startswith("arrays"):
        assert len(open_store(str(tmp_path), verify=False)) == 2


def test_missing_and_truncated_objects_are_damage(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path, takes=("train-0",), per_take=2)
    path = version_folder(tmp_path) / "arrays.zarr/text/c/0/0"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreDamagedError, match=rf"must have {len(whole)} bytes"):
        open_store(str(tmp_path))
    path.unlink()
    with pytest.raises(StoreDamagedError, match="object must exist"):
        open_store(str(tmp_path))


def test_an_edited_manifest_is_damage(tmp_path: Path, store_writer: Callable[..., str]) -> None:
    store_writer(tmp_path, takes=("train-0",), per_take=1)
    path = version_folder(tmp_path) / "manifest.json"
    path.write_text(path.read_text().replace('"toy"', '"toz"', 1))
    with pytest.raises(StoreDamagedError, match="manifest must hash to its version"):
        open_store(str(tmp_path))


def test_a_nan_anywhere_is_damage(tmp_path: Path, store_writer: Callable[..., str]) -> None:
    def nan(data: dict[str, Any]) -> None:
        data["video"][1, 0] = np.nan

    store_writer(tmp_path, takes=("train-0",), per_take=2, change=nan)
    with pytest.raises(StoreDamagedError, match=r"array video must be finite.*rows 0 to 1"):
        open_store(str(tmp_path))


def test_valid_and_the_has_columns_must_agree(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    def disagree(data: dict[str, Any]) -> None:
        data["rows"][1]["has_text"] = False

    store_writer(tmp_path, takes=("train-0",), per_take=2, change=disagree)
    with pytest.raises(StoreDamagedError, match=r"valid must equal the has_\* columns"):
        open_store(str(tmp_path))


def test_arrays_of_another_length_are_damage(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    def shorten(data: dict[str, Any]) -> None:
        data["text"] = data["text"][:-1]

    store_writer(tmp_path, takes=("train-0",), per_take=3, change=shorten)
    with pytest.raises(
        StoreDamagedError, match="array text must have 3 rows, one a segment, got 2"
    ):
        open_store(str(tmp_path))


def rewrite_mask(root: Path, version: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Alter the table of mask ``m`` and make its record agree."""
    path = root / "masks" / version / "m.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    record = json.loads(path.with_suffix(".json").read_text())
    record["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda t: t.slice(1), r"1 of 4 are missing among its 3", id="missing"),
        pytest.param(
            lambda t: pa.concat_tables([t, t.slice(0, 1)]),
            "0 of 4 are missing among its 5",
            id="twice",
        ),
        pytest.param(
            lambda t: t.set_column(0, "segment_id", pa.array(["x"] * 4)), "4 of 4 are", id="others"
        ),
        pytest.param(
            lambda t: t.set_column(1, "keep_imu", pa.array([True, True, False, True])),
            "must keep the IMU of every segment",
            id="no_imu",
        ),
        pytest.param(lambda t: t.drop_columns(["keep_text"]), "must have the columns", id="column"),
        pytest.param(
            lambda t: t.set_column(2, "keep_video", pa.array([True, None, True, True])),
            "must have the columns",
            id="null",
        ),
    ],
)
def test_a_mask_of_other_rows_is_damage(
    tmp_path: Path,
    store_writer: Callable[..., str],
    mask_writer: Callable[..., None],
    change: Callable[[pa.Table], pa.Table],
    message: str,
) -> None:
    version = store_writer(tmp_path, takes=("train-0",), per_take=4)
    mask_writer(tmp_path, version, name="m", hidden=lambda i: i == 0)
    rewrite_mask(tmp_path, version, lambda table: table)
    assert open_store(str(tmp_path), mask="m").valid[:, 1].tolist() == [False, True, True, True]
    rewrite_mask(tmp_path, version, change)
    with pytest.raises(StoreDamagedError, match=message):
        open_store(str(tmp_path), mask="m")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", "0" * 16, "must be of mask m of version"),
        ("spec", {"name": "n", "keep": 0.5}, "must be of mask m of version .*, got n of"),
        ("sha256", "../../x", "must hold a SHA-256"),
        ("rows", "many", "must follow its schema"),
    ],
)
def test_a_mask_record_of_another_is_damage(
    tmp_path: Path,
    store_writer: Callable[..., str],
    mask_writer: Callable[..., None],
    field: str,
    value: object,
    message: str,
) -> None:
    version = store_writer(tmp_path, takes=("train-0",), per_take=2)
    mask_writer(tmp_path, version, name="m", hidden=lambda i: i == 0)
    path = tmp_path / "masks" / version / "m.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(StoreDamagedError, match=message):
        open_store(str(tmp_path), mask="m")


def test_a_mask_that_is_no_table_is_damage(
    tmp_path: Path, store_writer: Callable[..., str], mask_writer: Callable[..., None]
) -> None:
    version = store_writer(tmp_path, takes=("train-0",), per_take=4)
    mask_writer(tmp_path, version, name="m", hidden=lambda i: i == 0)
    table, record = (tmp_path / "masks" / version / f"m.{end}" for end in ("parquet", "json"))
    data = table.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    table.write_bytes(data[:footer] + b"\xff" * 9 + data[footer + 9 :])
    told = {
        **json.loads(record.read_text()),
        "sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
    }
    record.write_text(json.dumps(told))
    with pytest.raises(StoreDamagedError, match="mask must have the columns segment_id"):
        open_store(str(tmp_path), mask="m")


def test_a_mask_that_was_edited_is_damage(
    tmp_path: Path, store_writer: Callable[..., str], mask_writer: Callable[..., None]
) -> None:
    version = store_writer(tmp_path, takes=("train-0",), per_take=2)
    mask_writer(tmp_path, version, name="m", hidden=lambda i: i == 0)
    path = tmp_path / "masks" / version / "m.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StoreDamagedError, match="mask must match the digest"):
        open_store(str(tmp_path), mask="m")
