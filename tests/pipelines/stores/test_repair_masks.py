"""A mask is drawn again to the same bytes, and only where something proves it."""

import json
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from pipelines.storage.places import open_place
from pipelines.stores.masks import write_mask
from pipelines.stores.repair import repair_version
from pipelines.stores.repair_report import RepairReport
from pipelines.stores.verify import verify_version
from schemas.mask import MaskSpec
from tests.factories import publish_small_version


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("masks") / "store"
    version = publish_small_version(store, takes=3).version
    write_mask(store, version, spec=MaskSpec(name="half", keep=0.5))
    write_mask(
        store,
        version,
        spec=MaskSpec(
            name="takes", keep=0.4, unit="take", seed=3, exact=True, modalities=("text",)
        ),
    )
    return store, version


@pytest.fixture
def damaged(master: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    shutil.copytree(master[0], tmp_path / "store")
    return tmp_path / "store", master[1]


def repair(store: Path, version: str, *, dry_run: bool = False) -> RepairReport:
    return repair_version(store, version, parts_root=store / "parts", dry_run=dry_run)


def files(store: Path, version: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (store / "masks" / version).iterdir()}


# A mask without a record is none: only a table can be gone.
@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("half.parquet", False),
        ("half.parquet", True),
        ("takes.parquet", False),
        ("takes.parquet", True),
        ("half.json", False),
    ],
)
def test_a_damaged_mask_is_drawn_again(damaged: tuple[Path, str], name: str, gone: bool) -> None:
    store, version = damaged
    before = files(store, version)
    path = store / "masks" / version / name
    if gone:
        path.unlink()
    else:
        path.write_bytes(b"x" + before[name][1:])
    loc = f"masks/{version}/{name}"
    assert [problem.loc for problem in verify_version(store, version)] == [loc]
    for dry_run in (True, False):
        report = repair(store, version, dry_run=dry_run)
        assert [(one.object, one.how) for one in report.healed] == [(loc, "redrawn")]
        assert report.unhealed == ()
        assert (files(store, version) == before) is not dry_run
    assert verify_version(store, version) == []


def test_a_record_of_another_mask_is_made_again(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    before = files(store, version)
    (store / "masks" / version / "half.json").write_bytes(before["takes.json"])
    report = repair(store, version)
    assert [one.object for one in report.healed] == [f"masks/{version}/half.json"]
    assert files(store, version) == before


def test_masks_are_drawn_on_the_table_that_was_mended(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    before = files(store, version)
    (store / "masks" / version / "takes.parquet").unlink()
    (store / "versions" / version / "segments.parquet").write_bytes(b"bad")
    expected = ["segments.parquet", f"masks/{version}/takes.parquet"]
    assert [one.object for one in repair(store, version, dry_run=True).healed] == expected
    assert [one.object for one in repair(store, version).healed] == expected
    assert files(store, version) == before


def test_what_nothing_proves_is_not_put_in_place(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    folder = store / "masks" / version
    told = json.loads((folder / "half.json").read_text())
    # A record that was edited: its counts, or the digest, are not what the recipe gives.
    (folder / "half.json").write_text(json.dumps({**told, "kept_rows": told["kept_rows"] + 1}))
    (folder / "half.parquet").write_bytes(b"bad")
    # Damaged as a whole: only the claim is left.
    (folder / "takes.json").write_bytes(b"{")
    (folder / "takes.parquet").write_bytes(b"bad")
    before = files(store, version)
    report = repair(store, version)
    assert report.healed == ()
    assert {
        one.object.rpartition("/")[2]: one.why.partition(",")[0] for one in report.unhealed
    } == {
        "half.parquet": "what its recipe gives must have the digest and counts in its record",
        "takes.json": "its record is damaged",
    }
    assert all("primus-prep mask" in one.remedy for one in report.unhealed)
    assert files(store, version) == before
    (folder / "takes.claim").write_bytes(b"{")
    assert "neither its record nor the claim" in repair(store, version).unhealed[1].why


def test_without_its_table_no_mask_is_drawn(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    (store / "versions" / version / "segments.parquet").unlink()
    (store / "masks" / version / "half.parquet").unlink()
    shutil.rmtree(store / "parts")
    report = repair(store, version)
    assert [one.object for one in report.unhealed] == [
        "segments.parquet",
        f"masks/{version}/half.parquet",
    ]
    assert "segments.parquet must be right first" in report.unhealed[1].why


def test_a_mask_of_a_store_elsewhere_is_drawn_there(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    place = open_place(f"memory://repair-masks-{uuid4().hex}")
    for path in (p for p in store.rglob("*") if p.is_file()):
        place.fs.pipe_file(f"{place.path}/{path.relative_to(store).as_posix()}", path.read_bytes())
    table = place / "masks" / version / "half.parquet"
    place.fs.pipe_file(table.path, b"bad")
    report = repair_version(place, version, parts_root=place / "parts")
    assert [one.how for one in report.healed] == ["redrawn"]
    assert table.read_bytes() == (store / "masks" / version / "half.parquet").read_bytes()
