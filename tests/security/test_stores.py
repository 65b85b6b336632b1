"""Stores from others: whatever they hold, one sentence, and nothing read or written elsewhere."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.html import write_report
from pipelines.stores.refs import read_ref
from pipelines.stores.verify import read_manifest, verify_version
from primus_train.data.store import open_store
from schemas.errors import StoreDamagedError
from schemas.store import canonical_json, parse_json, sha256_hex, version_id
from tests.factories import publish_small_version

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("sound") / "store"
    publish_small_version(store, takes=3, segments=2)
    return store


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "store"))


def version_of(store: Path) -> Path:
    return store / "versions" / read_ref(store, "latest")


def forge(store: Path, edit: Edit) -> str:
    """Edit the manifest and make the version look whole again: its id is that of the forgery."""
    folder = version_of(store)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    edit(manifest)
    for entry in manifest["objects"]:
        path = folder / entry["path"]
        if path.is_relative_to(folder) and ".." not in path.parts and path.is_file():
            entry["size"], entry["sha256"] = path.stat().st_size, sha256_hex(path.read_bytes())
    version = version_id(manifest)
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    folder.rename(folder.with_name(version))
    (store / "refs" / "latest.json").write_bytes(canonical_json({"version": version}))
    return version


def both_refuse(store: Path, version: str, *, said: str) -> None:
    with pytest.raises(StoreDamagedError, match=said):
        open_store(str(store))
    problems = verify_version(store, version)
    assert problems
    assert any(said.replace("\\", "") in f"{p.loc} {p.message}" for p in problems), problems


@pytest.mark.parametrize(
    "path", ["../../../private", "/etc/passwd", "a/../../../private", "arrays.zarr/../../x", ""]
)
def test_paths_in_a_manifest_stay_in_the_version(store: Path, path: str) -> None:
    (store.parent / "private").write_text("PRIVATE")
    version = forge(store, lambda m: m["objects"][0].update(path=path))
    both_refuse(store, version, said="path must name a file below the version's folder")
    with pytest.raises(StoreDamagedError, match="below the version's folder"):
        read_manifest(store, version)


@pytest.mark.parametrize("name", ["segments.parquet", "arrays.zarr/imu/zarr.json"])
def test_links_in_a_version_are_not_followed(store: Path, tmp_path: Path, name: str) -> None:
    path = version_of(store) / name
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(StoreDamagedError, match="must be a file of the version, got a link"):
        open_store(str(store))
    problems = verify_version(store, version_of(store).name)
    assert [p.kind for p in problems if p.loc == name and "got a link" in p.message] == ["link"]


def test_folders_in_a_version_are_no_links(store: Path, tmp_path: Path) -> None:
    folder = version_of(store) / "arrays.zarr" / "imu"
    folder.rename(tmp_path / "imu")
    folder.symlink_to(tmp_path / "imu")
    with pytest.raises(StoreDamagedError, match="got a link"):
        open_store(str(store))
    assert verify_version(store, version_of(store).name)


def test_a_store_may_itself_lie_behind_a_link(store: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(store)
    assert len(open_store(str(tmp_path / "linked"))) == 6
    assert verify_version(tmp_path / "linked", version_of(store).name) == []


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"format_version": NaN}',
        b'{"format_version": 1, "x": Infinity}',
        b'{"format_version": 1, "x": "\\ud800"}',
        b"null",
        b"\xff\xfe",
    ],
    ids=["deep", "nan", "infinity", "half_sign", "null", "bytes"],
)
def test_a_manifest_that_is_no_json_of_ours_is_one_sentence(store: Path, content: bytes) -> None:
    folder = version_of(store)
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(StoreDamagedError, match=r"manifest must .*manifest.json"):
        open_store(str(store))
    with pytest.raises(StoreDamagedError, match=r"manifest must .*manifest.json"):
        read_manifest(store, folder.name)
    assert [p.loc for p in verify_version(store, folder.name)][:1] == ["manifest.json"]


@pytest.mark.parametrize("version", ["../../x", "/etc", 7, None, "0" * 15, ["a"]])
def test_a_tag_names_an_id_and_no_path(store: Path, version: object) -> None:
    (store / "refs" / "latest.json").write_text(json.dumps({"version": version}))
    with pytest.raises(StoreDamagedError, match="must name a version id"):
        open_store(str(store))
    with pytest.raises(StoreDamagedError, match="must name a version id"):
        read_ref(store, "latest")


def enlarge(store: Path, *, name: str, shape: list[int], chunk: list[int]) -> None:
    path = version_of(store) / "arrays.zarr" / name / "zarr.json"
    described = json.loads(path.read_bytes())
    described["shape"] = shape
    described["chunk_grid"]["configuration"]["chunk_shape"] = chunk
    path.write_text(json.dumps(described))


def test_arrays_are_no_larger_than_the_manifest_and_their_files(store: Path) -> None:
    enlarge(store, name="video", shape=[6, 10**12], chunk=[4096, 10**12])
    version = forge(store, lambda _: None)
    with pytest.raises(StoreDamagedError, match=r"array video must have shape \(6, \d+\)"):
        open_store(str(store))
    assert verify_version(store, version)


def test_a_manifest_cannot_claim_more_than_the_files_hold(store: Path) -> None:
    enlarge(store, name="video", shape=[6, 10**12], chunk=[4096, 10**12])
    version = forge(store, lambda m: m["encoder"].update(video_dim=10**12))
    with pytest.raises(StoreDamagedError, match=r"array video must be in its files, got \d{13}"):
        open_store(str(store))
    assert verify_version(store, version)


def test_a_run_record_names_no_part_outside_the_parts(store: Path, tmp_path: Path) -> None:
    folder = version_of(store)
    run = json.loads((folder / "run.json").read_bytes())
    run["parts"] = {"take-000": {"frames": "../../../../private"}, "take-001": {"frames": 7}}
    (folder / "run.json").write_text(json.dumps(run))
    write_report(store, version=folder.name, out=tmp_path / "report.html", details=2)
    assert "private" not in (tmp_path / "report.html").read_text()
    for broken in ("[1]", "{", "NaN"):
        (folder / "run.json").write_text(broken)
        with pytest.raises(StoreDamagedError, match="run record must be"):
            write_report(store, version=folder.name, out=tmp_path / "report.html")


def test_only_json_that_is_json_is_taken() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, "x"]}') == {"a": [1, 2.5, None, "x"]}
    for text in ("NaN", "[-Infinity]", '{"a": Infinity}'):
        with pytest.raises(ValueError, match="is no JSON"):
            parse_json(text)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 200_000)
