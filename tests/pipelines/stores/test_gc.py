"""What killed runs left behind goes after its grace time; what anything refers to never does."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from pipelines.storage.places import Place, open_place
from pipelines.stores.gc import GcReport, collect_garbage, remove_version
from pipelines.stores.masks import write_mask
from pipelines.stores.refs import list_versions
from pipelines.stores.sealed import read_run_record, seal_run_record
from pipelines.stores.verify import verify_version
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError
from schemas.mask import MaskSpec
from schemas.store import canonical_json
from tests.factories import publish_small_version

HOUR = 3600.0
NOW_S = 2_000_000_000.0


def set_age(root: Path, hours: float) -> None:
    for path in [root, *root.rglob("*")]:
        os.utime(path, (NOW_S - hours * HOUR,) * 2)


def files_of(store: Path) -> set[str]:
    return {p.relative_to(store).as_posix() for p in store.rglob("*") if p.is_file()}


def collect(store: Place, **fields: object) -> GcReport:
    return collect_garbage(store, now_s=NOW_S, **fields)  # type: ignore[arg-type]


def kinds(report: GcReport) -> dict[str, str]:
    return {found.path: found.kind for found in report.removed}


@pytest.fixture
def store(published: tuple[Path, str]) -> Path:
    """A version with a mask, everything a week old."""
    store, version = published
    write_mask(store, version, spec=MaskSpec(name="half", keep=0.5))
    set_age(store, 7 * 24)
    return store


def leave_hidden(store: Path) -> str:
    folder = store / "versions/.tmp-0123"
    (folder / "version/arrays.zarr").mkdir(parents=True)
    (folder / "alive").touch()
    (folder / "version/segments.parquet").write_bytes(b"x" * 10)
    return "versions/.tmp-0123"


def leave_temporary(store: Path) -> str:
    name = f"refs/.latest.json.{uuid4().hex}.tmp"
    (store / name).write_bytes(b"x" * 10)
    return name


def leave_mask(store: Path) -> str:
    folder = store / "masks/0123456789abcdef"
    folder.mkdir()
    (folder / "tenth.json").write_bytes(b"x" * 10)
    return "masks/0123456789abcdef"


LEAVE = {
    "unfinished_publish": leave_hidden,
    "temporary_file": leave_temporary,
    "orphaned_masks": leave_mask,
}


@pytest.mark.parametrize("kind", LEAVE)
def test_leftovers_go_when_they_are_old_and_not_before(store: Path, kind: str) -> None:
    whole = files_of(store)
    path = LEAVE[kind](store)
    set_age(store / path, 23)
    young = collect(store)
    assert (young.removed, young.bytes) == ((), 0)
    assert [kept.path for kept in young.kept] == [path]
    assert "23.0 h old" in young.kept[0].why
    set_age(store / path, 25)
    told = collect(store, dry_run=True)
    assert kinds(told) == {path: kind}
    assert (told.bytes, told.removed[0].age_s) == (10, 25 * HOUR)
    assert files_of(store) > whole
    assert kinds(collect(store)) == {path: kind}
    assert files_of(store) == whole
    assert not (store / path).exists()
    assert collect(store).removed == ()


def test_a_publisher_at_work_keeps_its_old_files(store: Path) -> None:
    leave_hidden(store)
    set_age(store / "versions/.tmp-0123", 99)
    os.utime(store / "versions/.tmp-0123/alive", (NOW_S - 60,) * 2)
    assert collect(store).removed == ()
    assert (store / "versions/.tmp-0123/version/segments.parquet").exists()


def test_a_sound_store_loses_nothing_even_without_grace(store: Path) -> None:
    whole, (version,) = files_of(store), list_versions(store)
    report = collect(store, grace_s=0.0, parts=True)
    # The run record of these hand-made takes names no parts; the blueprint does.
    assert (report.removed, report.kept) == ((), ())
    assert files_of(store) == whole
    assert verify_version(store, version) == []


def test_parts_of_no_version_go_only_when_asked(store: Path) -> None:
    whole = files_of(store)
    name = f"parts/imu/ab/ab{'0' * 62}.arrow"
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_bytes(b"x")
    orphan = "parts/blueprints/0123456789abcdef.arrow"
    (store / orphan).write_bytes(b"x")
    set_age(store, 48)
    assert collect(store).removed == ()
    assert kinds(collect(store, parts=True)) == {name: "unused_part", orphan: "orphaned_blueprint"}
    assert files_of(store) == whole


def test_no_part_goes_while_a_version_cannot_tell_what_it_was_made_from(store: Path) -> None:
    (version,) = list_versions(store)
    (store / f"versions/{version}/run.json").write_bytes(b"{}")
    shutil.rmtree(store / "parts/blueprints")
    report = collect(store, grace_s=0.0, parts=True)
    assert report.removed == ()
    assert [kept.path for kept in report.kept] == ["parts"]
    assert version in report.kept[0].why


def test_the_run_record_alone_protects_its_parts(store: Path) -> None:
    (version,) = list_versions(store)
    keys = [path.stem for path in (store / "parts/imu").rglob("*.arrow")]
    record = read_run_record(store, version).model_copy(update={"parts": {"t": {"imu": keys[0]}}})
    data = canonical_json(seal_run_record(record).model_dump(mode="json"))
    (store / f"versions/{version}/run.json").write_bytes(data)
    shutil.rmtree(store / "parts/blueprints")
    collect(store, grace_s=0.0, parts=True)
    assert [path.stem for path in (store / "parts/imu").rglob("*.arrow")] == [keys[0]]


def test_a_version_that_lost_its_manifest_on_a_disk_is_damaged_not_abandoned(store: Path) -> None:
    (version,) = list_versions(store)
    (store / f"versions/{version}/manifest.json").unlink()
    for path in (store / "refs").rglob("*.json"):
        path.unlink()
    whole = files_of(store)
    report = collect(store, grace_s=0.0, parts=True)
    assert report.removed == ()
    assert "it has lost its manifest: store repair may mend it" in report.kept[0].why
    assert files_of(store) == whole


def copy_to_memory(store: Path) -> Place:
    place = open_place(f"memory://gc-{uuid4().hex}")
    for name in files_of(store):
        place.fs.pipe_file(f"{place.path}/{name}", (store / name).read_bytes())
    return place


def test_a_remote_version_that_never_got_its_manifest_goes(store: Path) -> None:
    place, (version,) = copy_to_memory(store), list_versions(store)
    bare = "versions/0123456789abcdef"
    place.fs.pipe_file(f"{place.path}/{bare}/segments.parquet", b"x" * 10)
    place.fs.pipe_file(f"{place.path}/versions/.tmp-1/alive", b"")
    now_s = NOW_S * 2
    report = collect_garbage(place, now_s=now_s)
    assert kinds(report) == {bare: "unfinished_version", "versions/.tmp-1": "unfinished_publish"}
    assert report.bytes == 10
    assert verify_version(place, version) == []
    names = {path.removeprefix(place.path).strip("/") for path in place.fs.find(place.path)}
    assert names == files_of(store)


def test_a_remote_version_that_a_tag_once_named_stays_without_its_manifest(store: Path) -> None:
    place, (version,) = copy_to_memory(store), list_versions(store)
    (place / f"versions/{version}/manifest.json").unlink()
    (place / "refs/latest.json").unlink()
    report = collect_garbage(place, now_s=NOW_S * 2, parts=True)
    assert report.removed == ()
    assert "a tag names or named it" in report.kept[0].why


def test_an_unreadable_tag_stops_everything(store: Path) -> None:
    place = copy_to_memory(store)
    place.fs.pipe_file(f"{place.path}/versions/0123456789abcdef/run.json", b"x")
    place.fs.pipe_file(f"{place.path}/refs/latest.json", b"{")
    with pytest.raises(StoreDamagedError, match="ref must hold"):
        collect_garbage(place, now_s=NOW_S * 2)


@pytest.fixture
def two(store: Path) -> tuple[Path, str, str]:
    (old,) = list_versions(store)
    new = publish_small_version(store, takes=2).version
    return store, old, new


def test_a_version_is_removed_only_by_its_id_and_without_a_tag(two: tuple[Path, str, str]) -> None:
    store, old, new = two
    kept = {name for name in files_of(store) if old not in name}
    told = remove_version(store, old, now_s=NOW_S, dry_run=True)
    assert list(kinds(told).values()) == ["version", "masks", "blueprint"]
    assert list_versions(store) == sorted([old, new])
    remove_version(store, old, now_s=NOW_S)
    assert files_of(store) == kept
    assert verify_version(store, new) == []
    with pytest.raises(UsageError, match=f"{new} has latest: point it at another"):
        remove_version(store, new, now_s=NOW_S)
    with pytest.raises(StoreNotFoundError, match="must exist"):
        remove_version(store, old, now_s=NOW_S)
    with pytest.raises(UsageError, match="must be an id of 16 hex digits, got 'latest'"):
        remove_version(store, "latest", now_s=NOW_S)
