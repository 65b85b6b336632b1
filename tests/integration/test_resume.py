"""What a second run computes: what is new, and nothing else. Counted by the runs themselves."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.prepare import RunSummary, prepare
from pipelines.state.records import read_records
from pipelines.synthetic.egoexo4d import write_egoexo4d
from tests.integration.conftest import make_config
from tests.integration.datasets import add_sentence, copy_dataset, take_folders

pytestmark = pytest.mark.slow

NOTHING = {"frames": 0, "imu": 0, "text": 0}


class Store:
    """One store that several runs go into, each told what it computed."""

    def __init__(self, root: Path, *, encoder: Path, place: Path) -> None:
        self.root, self.encoder, self.place = root, encoder, place

    def run(self, **overrides: Any) -> RunSummary:
        shares = {"splits__shares": [1.0, 0.0, 0.0]}
        return prepare(
            make_config(
                self.root, encoder=self.encoder, store=self.place, **{**shares, **overrides}
            )
        )


@pytest.fixture(scope="module")
def six_takes(
    small_dataset: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Store:
    """A store of the first six takes, and the dataset it may grow by."""
    folder = tmp_path_factory.mktemp("resume")
    root = copy_dataset(small_dataset, folder / "data")
    store = Store(root, encoder=tiny_encoder, place=folder / "store")
    first = store.run(dataset__limit=6)
    assert (first.computed_takes, first.reused_takes) == (6, 0)
    assert first.computed_parts == {"frames": 6, "imu": 6, "text": 6}
    return store


def test_only_what_is_new_is_computed(six_takes: Store) -> None:
    grown = six_takes.run()
    assert (grown.computed_takes, grown.reused_takes) == (2, 6)
    assert grown.computed_parts == {"frames": 2, "imu": 2, "text": 2}

    shorter = six_takes.run(segments__length_ms=4000)
    assert (shorter.computed_takes, shorter.computed_parts) == (0, NOTHING)
    assert shorter.version != grown.version

    split = six_takes.run(splits__seed=5, splits__shares=[0.5, 0.0, 0.5])
    assert (split.computed_takes, split.computed_parts) == (0, NOTHING)
    assert split.version != grown.version

    spoken = list(take_folders(six_takes.root))[2]
    add_sentence(six_takes.root, spoken, text="C waves a yellow flag", at_s=6.0)
    told = six_takes.run()
    assert (told.computed_takes, told.reused_takes) == (1, 7)
    assert told.computed_parts == {"frames": 0, "imu": 0, "text": 1}
    assert told.planned == grown.planned + 1

    assert six_takes.run().computed_parts == NOTHING


@pytest.mark.long
def test_two_takes_more_than_twelve_decode_two(tiny_encoder: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_egoexo4d(root, takes=14, seconds=20.0, seed=4, participants=2, workers=2)
    store = Store(root, encoder=tiny_encoder, place=tmp_path / "store")
    assert store.run(dataset__limit=12).computed_parts["frames"] == 12
    assert store.run().computed_parts == {"frames": 2, "imu": 2, "text": 2}
    assert store.run(segments__length_ms=3000).computed_parts == NOTHING


def test_a_retry_touches_only_what_failed_for_its_reason(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_dataset(small_dataset, tmp_path / "data")
    folders = list(take_folders(root).items())[:4]
    (lost, first), (torn, second) = folders[0], folders[1]
    vrs, video = next(first.glob("*.vrs")), next(second.rglob("*.mp4"))
    kept = vrs.rename(tmp_path / "kept.vrs")
    video.unlink()
    options = [
        "--dataset", "egoexo4d", "--root", str(root), "--store", str(tmp_path / "store"),
        "--encoder", str(tiny_encoder), "--executor", "inline", "--limit", "4",
        "--set", "encoder.precision=float32", "--set", "splits.shares=[1.0, 0.0, 0.0]",
        "--set", "max_quarantine=0.9", "--json",
    ]  # fmt: skip

    def tell(*command: str) -> dict[str, Any]:
        assert main([*command, *options]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    before = tell("status")
    assert (before["takes"]["left"], before["eta_from"], before["run"]) == (4, "unknown", None)
    run = tell("run")
    assert run["quarantined_takes"] == {"vrs_missing": 1, "video_missing": 1}
    status = tell("status")
    assert status["takes"] == {"all": 4, "done": 2, "left": 0, "quarantined": 2}
    assert {r["reason"] for r in status["quarantined"]} == {"vrs_missing", "video_missing"}
    assert [v["version"] for v in status["versions"]] == [run["version"]]
    assert status["versions"][0]["tags"] == ["latest"]
    assert status["parts"]["frames"]["files"] == 2
    assert status["run"]["ended"] == "published"

    assert tell("retry", "--reason", "no_calibration")["retried"] == 0
    config = make_config(root, encoder=tiny_encoder, store=tmp_path / "store")
    records = read_records(config, [lost, torn])
    kept.rename(vrs)
    retried = tell("retry", "--reason", "vrs_missing,no_calibration")
    assert (retried["retried"], retried["quarantined_takes"]) == (1, {"video_missing": 1})
    assert (retried["computed_takes"], retried["reused_takes"]) == (1, 2)
    after = read_records(config, [lost, torn])
    assert after[torn] == records[torn]
    assert after[lost].outcome.status == "ready"
    # What was left alone is in the version as a run of all takes has it.
    again = tell("run")
    assert (again["version"], again["computed_takes"]) == (retried["version"], 0)

    assert main(["retry", "--reason", "vrs_mising", *options]) == 2
    assert "on record: video_missing (1)" in capsys.readouterr().err
