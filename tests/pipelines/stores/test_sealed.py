import json
from pathlib import Path

import pytest

from pipelines.stores.sealed import find_digest_problems, read_manifest, read_run_record
from pipelines.stores.verify import verify_version
from schemas.errors import NewerFormatError, StoreDamagedError, StoreNotFoundError


def folder_of(published: tuple[Path, str]) -> Path:
    return published[0] / "versions" / published[1]


def found(published: tuple[Path, str]) -> set[tuple[str, str]]:
    return {(p.loc, p.kind) for p in verify_version(*published)}


@pytest.mark.parametrize(
    "name",
    [
        "segments.parquet",
        "quarantine.parquet",
        "arrays.zarr/zarr.json",
        "arrays.zarr/imu/zarr.json",
        "arrays.zarr/imu/c/0/0/0",
        "arrays.zarr/video/c/0/0",
        "arrays.zarr/text/c/0/0",
        "arrays.zarr/valid/c/0/0",
    ],
)
def test_flipped_byte_names_its_object(published: tuple[Path, str], name: str) -> None:
    path = folder_of(published) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert (name, "altered") in found(published)


def test_every_object_is_in_the_manifest(published: tuple[Path, str]) -> None:
    folder = folder_of(published)
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    listed = {entry.path for entry in read_manifest(*published).objects}
    assert files - listed == {"manifest.json", "run.json"}


def test_missing_chunk_is_named(published: tuple[Path, str]) -> None:
    (folder_of(published) / "arrays.zarr/text/c/0/0").unlink()
    assert ("arrays.zarr/text/c/0/0", "missing") in found(published)


def test_cut_chunk_is_named_with_its_size(published: tuple[Path, str]) -> None:
    path = folder_of(published) / "arrays.zarr/imu/c/0/0/0"
    path.write_bytes(path.read_bytes()[:-1])
    problems = find_digest_problems(*published)
    assert [p.loc for p in problems] == ["arrays.zarr/imu/c/0/0/0"]
    assert problems[0].message == "must have 983040 bytes, got 983039"


def test_extra_file_is_named(published: tuple[Path, str]) -> None:
    (folder_of(published) / "arrays.zarr/imu/c/1").mkdir()
    (folder_of(published) / "arrays.zarr/imu/c/1/0").write_bytes(b"x")
    assert found(published) == {("arrays.zarr/imu/c/1/0", "extra")}


def test_edited_manifest_does_not_fit_its_id(published: tuple[Path, str]) -> None:
    path = folder_of(published) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"stored":24', b'"stored":25'))
    assert found(published) == {("manifest.json", "altered")}
    with pytest.raises(StoreDamagedError, match=f"must have the id {published[1]}"):
        read_manifest(*published)


def test_manifest_in_other_bytes_is_told(published: tuple[Path, str]) -> None:
    path = folder_of(published) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=2))
    assert found(published) == {("manifest.json", "altered")}


def test_version_without_manifest_does_not_exist(published: tuple[Path, str]) -> None:
    (folder_of(published) / "manifest.json").unlink()
    assert found(published) == {("manifest.json", "missing")}
    with pytest.raises(StoreNotFoundError, match="must exist"):
        read_manifest(*published)


@pytest.mark.parametrize(
    ("data", "message"), [(b"{", "must be JSON"), (b"[]", "must be an object, got list")]
)
def test_broken_manifest_is_damage(published: tuple[Path, str], data: bytes, message: str) -> None:
    (folder_of(published) / "manifest.json").write_bytes(data)
    with pytest.raises(StoreDamagedError, match=message):
        read_manifest(*published)


def test_newer_format_is_refused_with_a_way_out(published: tuple[Path, str]) -> None:
    path = folder_of(published) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"format_version":1', b'"format_version":2'))
    with pytest.raises(NewerFormatError, match="at most 1 for this code, got 2: install a newer"):
        verify_version(*published)


@pytest.mark.parametrize("edit", [(b'"inline"', b'"dasker"'), (b'"version"', b'"versiom"')])
def test_edited_run_record_is_told(published: tuple[Path, str], edit: tuple[bytes, bytes]) -> None:
    path = folder_of(published) / "run.json"
    path.write_bytes(path.read_bytes().replace(*edit))
    assert found(published) == {("run.json", "altered")}
    with pytest.raises(StoreDamagedError, match="run record must"):
        read_run_record(*published)
