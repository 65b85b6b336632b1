import json
from pathlib import Path

import pytest

from pipelines.stores.refs import list_tags, list_versions, read_ref, read_tag_log, write_tag
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError

ONE, TWO = "1" * 16, "2" * 16


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for version in (ONE, TWO):
        folder = tmp_path / "versions" / version
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    (tmp_path / "versions" / ("3" * 16)).mkdir()
    (tmp_path / "versions" / ".tmp-x").mkdir()
    (tmp_path / "versions" / ".tmp-x" / "manifest.json").write_text("{}")
    return tmp_path


def test_only_folders_with_a_manifest_are_versions(store: Path) -> None:
    assert list_versions(store) == [ONE, TWO]


def test_tag_is_one_small_file_and_the_last_writer_wins(store: Path) -> None:
    write_tag(store, "latest", version=ONE)
    write_tag(store, "latest", version=TWO)
    write_tag(store, "paper", version=ONE)
    assert json.loads((store / "refs" / "latest.json").read_bytes()) == {"version": TWO}
    assert list_tags(store) == {"latest": TWO, "paper": ONE}
    assert read_ref(store, "paper") == ONE
    assert read_ref(store, TWO) == TWO
    assert read_ref(store, None) == TWO


def test_history_keeps_every_write(store: Path) -> None:
    for version in (ONE, TWO, ONE):
        write_tag(store, "latest", version=version)
    assert read_tag_log(store, "latest") == [ONE, TWO, ONE]
    entries = [
        json.loads(path.read_bytes()) for path in sorted((store / "refs/log/latest").iterdir())
    ]
    assert [entry["previous"] for entry in entries] == [None, ONE, TWO]


def test_missing_tag_lists_what_exists(store: Path) -> None:
    write_tag(store, "paper", version=ONE)
    with pytest.raises(
        StoreNotFoundError,
        match=rf"tag latest must exist, got tags \[paper -> {ONE}\] and versions",
    ):
        read_ref(store, None)


def test_missing_version_lists_what_exists(store: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=rf"3{{16}} must exist.*\[{ONE}, {TWO}\]"):
        read_ref(store, "3" * 16)
    with pytest.raises(StoreNotFoundError, match="must exist"):
        write_tag(store, "latest", version="3" * 16)
    assert list_tags(store) == {}


def test_tag_of_a_version_that_went_is_named(store: Path) -> None:
    write_tag(store, "paper", version=ONE)
    (store / "versions" / ONE / "manifest.json").unlink()
    with pytest.raises(StoreNotFoundError, match=f"{ONE} that tag paper names must exist"):
        read_ref(store, "paper")


def test_store_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="store must be an existing folder"):
        read_ref(tmp_path / "none", None)


@pytest.mark.parametrize("tag", ["Latest", "../x", "a/b", "a..b", "f" * 16, ""])
def test_tag_must_be_a_tag(store: Path, tag: str) -> None:
    with pytest.raises(UsageError, match="tag must match"):
        write_tag(store, tag, version=ONE)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": "../.."}', '{"version": 3}'])
def test_broken_ref_is_damage(store: Path, text: str) -> None:
    (store / "refs").mkdir()
    (store / "refs" / "latest.json").write_text(text)
    with pytest.raises(StoreDamagedError, match="ref must"):
        read_ref(store, None)
