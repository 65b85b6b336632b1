"""Bad usage gets one sentence and exit code 2; --json leaves stdout to one object."""

import json
from pathlib import Path
from typing import get_args

import pytest

from flows.cli import main
from pipelines.align.clock import TakeClock
from pipelines.config import DatasetConfig, DatasetName
from pipelines.datasets.base import Catalogue
from pipelines.synthetic.faults import FAULTS
from pipelines.synthetic.registry import SYNTHETIC
from schemas.store import canonical_json, version_id
from schemas.take import ImuStream, Take
from schemas.time import NS_PER_S, Interval
from tests.factories import make_take, publish_small_version


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def newer_store(tmp_path: Path) -> str:
    manifest = {"format_version": 99}
    version = version_id(manifest)
    folder = tmp_path / "store" / "versions" / version
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    return f"{tmp_path / 'store'}@{version}"


def test_a_missing_root_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(
        capsys, "run", "--dataset", "egoexo4d", "--root", str(tmp_path / "gone"),
        "--store", str(tmp_path / "s"), "--encoder", str(tmp_path), "--executor", "inline",
    )  # fmt: skip
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert str(tmp_path / "gone") in err


def test_an_unknown_key_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "prep.yaml"
    path.write_text("dataset: {name: egoexo4d, root: /d}\nstore: {uri: /s}\nvideo: {fps: 10}\n")
    code, _, err = run(capsys, "run", "--config", str(path))
    assert code == 2
    assert err.startswith("primus-prep: video.fps: Extra inputs are not permitted")
    assert str(path) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "ref", ["{tmp}/gone", "{tmp}@nothing", "{tmp}@0123456789abcdef", "{tmp}@A B"]
)
def test_a_reference_to_nothing_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ref: str
) -> None:
    code, _, err = run(capsys, "store", "show", ref.format(tmp=tmp_path))
    assert code == 2
    assert err.count("\n") == 1


def test_a_newer_store_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "store", "show", newer_store(tmp_path))
    assert code == 2
    assert "format_version" in err
    assert "99" in err


def test_no_command_prints_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert code == 2
    assert out == ""
    assert "commands" in err


@pytest.mark.parametrize("setting", ["novalue", "=3", "video.step_ms=[1"])
def test_a_malformed_setting_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, setting: str
) -> None:
    code, _, err = run(capsys, "run", "--store", str(tmp_path), "--set", setting)
    assert code == 2
    assert "--set" in err


def test_an_unexpected_error_is_one_line_unless_debugging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("pipelines.encoders.make_encoder.make_encoder", fail)
    code, _, err = run(capsys, "make-encoder", str(tmp_path / "e"))
    assert code == 1
    assert err == "primus-prep: RuntimeError: disk on fire (--debug shows where)\n"
    code, _, err = run(capsys, "--debug", "make-encoder", str(tmp_path / "e"))
    assert "Traceback" in err


def test_json_is_the_only_thing_on_stdout(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = run(capsys, "make-encoder", str(tmp_path / "e"), "--seed", "4", "--json")
    assert code == 0
    assert json.loads(out)["seed"] == 4


def test_synth_offers_every_dataset_and_says_what_its_faults_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(capsys, "synth", "--help")
    shown = capsys.readouterr().out
    for fault in FAULTS:
        assert fault.name in shown
        assert fault.what in shown
    asked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(
        "pipelines.synthetic.registry.write_synthetic",
        lambda dataset, _dest, **given: asked.append((dataset, given["faults"])),
    )
    for dataset in SYNTHETIC:
        code, out, _ = run(
            capsys, "synth", str(tmp_path), "--dataset", dataset, "--faults", "all", "--json"
        )
        assert code == 0
        assert json.loads(out)["dataset"] == dataset
    assert asked == [(dataset, ["all"]) for dataset in SYNTHETIC]


def test_inventory_counts_what_the_reader_finds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    positions: list[tuple[str, ...]] = []

    class Reader:
        def read_catalogue(self) -> Catalogue:
            takes = tuple(
                make_take(uid, video=None, imu=ImuStream(path="imu.bin", label="head"))
                for uid in ("a", "b", "c")
            )
            return Catalogue(takes=takes, narrations={})

        def read_clock(self, take: Take) -> TakeClock:
            return TakeClock.identity(Interval(0, 1800 * NS_PER_S))

    def open_reader(config: DatasetConfig, **_others: object) -> Reader:
        positions.append(config.positions)
        return Reader()

    monkeypatch.setattr("pipelines.datasets.registry.open_reader", open_reader)
    (tmp_path / "imu.bin").write_bytes(bytes(7))
    argv = [
        "inventory", "--dataset", "realworld", "--root", str(tmp_path),
        "--set", "dataset.positions=[head,waist]", "--set", "dataset.limit=2",
    ]  # fmt: skip
    code, out, err = run(capsys, *argv, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["takes"], report["hours"], report["bytes"]) == (2, 1.0, 7)
    assert positions == [("head", "waist")]
    code, out, _ = run(capsys, *argv)
    assert out.startswith("realworld: 2 takes, 2 usable, 1:00:00")


def test_inventory_of_no_folder_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for dataset in get_args(DatasetName):
        code, out, err = run(
            capsys, "inventory", "--dataset", dataset, "--root", str(tmp_path / "gone")
        )
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "gone" in err


def test_table1_prints_rows_and_the_papers_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    published = publish_small_version(tmp_path / "store")
    code, out, _ = run(capsys, "store", "table1", str(tmp_path / "store"), "--json")
    assert code == 0
    report = json.loads(out)
    assert report["stores"] == [f"{tmp_path / 'store'}@{published.version}"]
    whole = report["rows"][-1]
    assert (whole["dataset"], whole["split"], whole["paper_segments"]) == (
        "egoexo4d", "all", 250_000,
    )  # fmt: skip
    assert whole["segments"] == published.counts.stored > 0
