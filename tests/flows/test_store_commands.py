"""The store commands say the same as JSON and as text, and end with the right exit code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from pipelines.storage.files import remove_folder
from pipelines.stores.refs import list_versions
from tests.factories import publish_small_version


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions; the tag latest names the one of two takes."""
    store = tmp_path_factory.mktemp("commands") / "store"
    publish_small_version(store, takes=3)
    publish_small_version(store, takes=2)
    return store


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "store")
    return tmp_path / "store"


def ask(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    code = main(["store", *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def say(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["store", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def ids(capsys: pytest.CaptureFixture[str], store: Path) -> tuple[str, str]:
    """Return the tagged version and the other."""
    _, told = ask(capsys, "ls", str(store))
    by_tags = {tuple(v["tags"]): v["version"] for v in told["versions"]}
    return by_tags[("latest",)], by_tags[()]


def test_verify_and_repair_agree_about_a_damaged_version(
    capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    latest, _ = ids(capsys, store)
    assert ask(capsys, "verify", str(store))[1]["ok"] is True
    path = store / f"versions/{latest}/arrays.zarr/imu/c/0/0/0"
    path.write_bytes(b"bad")
    code, told = ask(capsys, "verify", str(store))
    assert (code, told["ok"], told["version"]) == (1, False, latest)
    assert told["problems"][0]["object"] == "arrays.zarr/imu/c/0/0/0"
    code, _, err = say(capsys, "verify", str(store))
    assert code == 1
    assert "arrays.zarr/imu/c/0/0/0: must have" in err
    parts = ("--parts", str(store / "parts"))
    code, out, _ = say(capsys, "repair", str(store), *parts, "--dry-run")
    assert (code, out) == (0, "arrays.zarr/imu/c/0/0/0: would be rebuilt\n")
    assert path.read_bytes() == b"bad"
    code, told = ask(capsys, "repair", str(store), *parts)
    assert (code, told["unhealed"]) == (0, [])
    assert told["healed"] == [{"object": "arrays.zarr/imu/c/0/0/0", "how": "rebuilt"}]
    assert ask(capsys, "verify", str(store))[0] == 0
    assert say(capsys, "repair", str(store))[1].endswith("has no bad object\n")


def test_a_version_without_its_manifest_is_repaired_by_its_id(
    capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    latest, _ = ids(capsys, store)
    manifest = store / f"versions/{latest}/manifest.json"
    before = manifest.read_bytes()
    manifest.unlink()
    assert say(capsys, "show", str(store))[0] == 2
    code, _, _ = say(capsys, "repair", f"{store}@{latest}", "--parts", str(store / "parts"))
    assert (code, manifest.read_bytes()) == (0, before)
    manifest.unlink()
    remove_folder(store / "parts/blueprints")
    code, out, _ = say(capsys, "repair", f"{store}@{latest}", "--parts", str(store / "parts"))
    assert code == 1
    assert out.startswith("manifest.json: stays bad: ")
    assert "run `primus-prep run` again" in out


def test_diff_ends_with_0_whether_equal_or_not(
    capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    latest, other = ids(capsys, store)
    code, told = ask(capsys, "diff", str(store), f"{store}@{latest}")
    assert (code, told["equal"]) == (0, True)
    code, told = ask(capsys, "diff", f"{store}@{other}", str(store))
    assert (code, told["equal"]) == (0, False)
    assert told["takes"]["removed"] == ["take-002"]
    assert (told["segments"]["same"], told["segments"]["removed"]) == (16, 8)
    code, out, _ = say(capsys, "diff", f"{store}@{other}", str(store))
    assert code == 0
    assert "segments: 16 same, 0 added, 8 removed, 0 changed" in out


def test_gc_lists_removes_and_leaves_what_is_tagged(
    capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    latest, other = ids(capsys, store)
    hidden = store / "versions/.tmp-1"
    hidden.mkdir()
    (hidden / "alive").touch()
    assert ask(capsys, "gc", str(store))[1]["removed"] == []
    code, told = ask(capsys, "gc", str(store), "--grace", "0", "--dry-run")
    assert (code, [found["path"] for found in told["removed"]]) == (0, ["versions/.tmp-1"])
    assert hidden.exists()
    code, out, _ = say(capsys, "gc", str(store), "--grace", "0")
    assert (code, out.splitlines()[-1]) == (0, "removed 1 things, 0 B")
    assert not hidden.exists()
    code, _, err = say(capsys, "gc", str(store), "--version", latest)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{latest} has latest" in err
    assert ask(capsys, "gc", str(store), "--version", other)[0] == 0
    assert list_versions(store) == [latest]
    assert say(capsys, "gc", str(store), "--grace", "-1")[0] == 2


def test_tag_card_and_lineage_reach_their_version(
    capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path
) -> None:
    latest, other = ids(capsys, store)
    assert ask(capsys, "tag", f"{store}@{other}", "old")[1]["version"] == other
    assert ask(capsys, "show", f"{store}@old")[1]["version"] == other
    code, told = ask(capsys, "show", str(store), "--lineage")
    assert code == 0
    assert latest in json.dumps(told)
    assert say(capsys, "show", str(store), "--lineage")[0] == 0
    card = ask(capsys, "card", str(store))[1]["card"]
    assert card.startswith("---\n")
    assert say(capsys, "card", str(store), "--out", str(tmp_path / "README.md"))[0] == 0
    assert (tmp_path / "README.md").read_text() == card


@pytest.mark.parametrize("action", ["ls", "verify", "gc"])
@pytest.mark.parametrize("uri", ["/gone/store", "unknown://bucket/store"])
def test_a_store_that_cannot_be_opened_is_one_sentence(
    capsys: pytest.CaptureFixture[str], action: str, uri: str
) -> None:
    code, _, err = say(capsys, action, uri)
    assert code == 2
    assert err.count("\n") == 1
