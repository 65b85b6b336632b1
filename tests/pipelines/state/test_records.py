"""A record a take and settings; what cannot be read is as good as absent."""

import json
from pathlib import Path

import pytest
from upath import UPath

from pipelines.outcome import TakeOutcome, state_path
from pipelines.profile.work import StageWork
from pipelines.state.records import read_records, record_path, write_record
from pipelines.state.settings import plan_settings
from schemas.errors import StorageError
from tests.pipelines.state.runs import bad, make_config, ready


def test_a_record_says_what_became_of_a_take(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    outcome = ready("a").model_copy(update={"work": {"imu": StageWork(seconds=2.0)}})
    write_record(config, outcome, run="r1", seconds=2.5)
    (record,) = read_records(config, ["a", "b"]).values()
    assert (record.run, record.seconds, record.plan) == ("r1", 2.5, plan_settings(config))
    assert record.outcome == ready("a")


def test_the_last_run_wins_under_its_own_settings(tmp_path: Path) -> None:
    config, other = make_config(tmp_path), make_config(tmp_path, imu__rate_hz=100)
    write_record(config, bad("a"), run="r1", seconds=1.0)
    write_record(other, ready("a"), run="r2", seconds=1.0)
    assert read_records(config, ["a"])["a"].outcome.status == "quarantined"
    assert read_records(other, ["a"])["a"].outcome.status == "ready"
    write_record(config, ready("a"), run="r3", seconds=1.0)
    assert read_records(config, ["a"])["a"].run == "r3"


def test_a_quarantined_takes_own_record_stands_while_it_is_bad(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    quarantine = state_path(config.parts_root, "a")
    write_record(config, bad("a"), run="r1", seconds=1.0)
    assert TakeOutcome.model_validate_json(quarantine.read_bytes()) == bad("a")
    assert "work" not in json.loads(quarantine.read_bytes())
    write_record(config, ready("a"), run="r2", seconds=1.0)
    assert not quarantine.exists()


@pytest.mark.parametrize("found", [b"", b"{}", b'{"outcome": 3}', b"\xff"])
def test_a_broken_record_is_passed_over(tmp_path: Path, found: bytes) -> None:
    config = make_config(tmp_path)
    for uid in ("a", "b"):
        write_record(config, ready(uid), run="r", seconds=1.0)
    record_path(config, "a").write_bytes(found)
    assert set(read_records(config, ["a", "b"])) == {"b"}


def test_a_record_of_another_take_is_not_taken_for_this_one(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_record(config, ready("a"), run="r", seconds=1.0)
    Path(str(record_path(config, "a"))).rename(str(record_path(config, "b")))
    assert read_records(config, ["a", "b"]) == {}


def test_names_that_are_no_file_names_have_records_too(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    for uid in ("../up", "a/b", "x" * 300, "ü"):
        write_record(config, ready(uid), run="r", seconds=1.0)
    assert set(read_records(config, ["../up", "a/b", "x" * 300, "ü"])) == {
        "../up", "a/b", "x" * 300, "ü",
    }  # fmt: skip
    assert not (tmp_path / "store" / "parts" / "up.json").exists()


def test_an_object_store_holds_the_same(tmp_path: Path) -> None:
    config = make_config(tmp_path, store__uri=f"memory://state-{tmp_path.name}")
    assert isinstance(config.parts_root, UPath)
    assert read_records(config, ["a"]) == {}
    write_record(config, bad("a"), run="r1", seconds=1.0)
    write_record(config, ready("b"), run="r1", seconds=1.0)
    assert {u: r.outcome.status for u, r in read_records(config, ["a", "b", "c"]).items()} == {
        "a": "quarantined",
        "b": "ready",
    }
    write_record(config, ready("a"), run="r2", seconds=1.0)
    assert not state_path(config.parts_root, "a").exists()


def test_a_place_that_is_no_folder_is_a_fault_of_storage(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageError, match="run again"):
        write_record(config, ready("a"), run="r", seconds=1.0)
