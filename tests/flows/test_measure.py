"""A real run with ``--profile``: every stage is there, sums are sane, the record carries it."""

import json
from pathlib import Path

import pytest

from flows import measure
from flows.cli import main
from flows.measure import measure_profile
from pipelines.config import load_config
from pipelines.encoders.make_encoder import make_encoder
from pipelines.profile import limits
from pipelines.stores.verify import read_run_record, verify_version
from pipelines.synthetic.folder import write_folder
from schemas.profile import RunProfile

STAGES = {
    "catalogue", "start", "fingerprint", "check", "imu", "frames", "frames.decode",
    "frames.encode", "frames.motion", "text", "audit", "assemble", "arrays", "seal", "other",
}  # fmt: skip
PROBES = {"read", "sha256", "write", "decode", "encode", "encode_text"}


def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> tuple[dict[str, object], RunProfile]:
    code = main(
        ["run", "--dataset", "folder", "--root", str(tmp_path / "data"), "--encoder",
         str(tmp_path / "encoder"), "--store", str(tmp_path / "store"), "--executor", "inline",
         "--profile", "--json"]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0
    assert out.count("\n") == 1
    report = json.loads(out)
    return report, RunProfile.model_validate(report["profile"])


def test_without_a_take_that_was_read_no_file_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("sha256", "write"):
        monkeypatch.setitem(getattr(limits, f"probe_{name}").__kwdefaults__, "seconds", 0.01)
    config = load_config(
        None,
        overrides={
            "dataset.name": "folder",
            "dataset.root": str(tmp_path / "gone"),
            "store.uri": str(tmp_path / "store"),
        },
    )
    profile = measure_profile(
        config,
        work={},
        takes=7,
        probed=None,
        encoder=None,
        seconds={"catalogue": 1.0, "start": 3.0, "total": 10.0},
        workers=2,
    )
    assert {probe.name for probe in profile.probes} == {"sha256", "write"}
    stages = {stage.stage: stage for stage in profile.stages}
    assert (stages["catalogue"].items, stages["start"].seconds) == (7, 2.0)
    assert stages["other"].fill == pytest.approx(0.7)


@pytest.mark.slow
def test_a_run_tells_what_each_stage_did(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in PROBES:
        probe = getattr(limits, f"probe_{name}")
        # As in use, but for a moment only.
        monkeypatch.setitem(probe.__kwdefaults__, "seconds", 0.05)
        assert getattr(measure, f"probe_{name}") is probe
    write_folder(tmp_path / "data", takes=2, seconds=12.0, seed=1)
    make_encoder(tmp_path / "encoder", preset="tiny", seed=1)
    report, profile = run(capsys, tmp_path)
    assert {stage.stage for stage in profile.stages} == STAGES
    assert {probe.name for probe in profile.probes} == PROBES
    stages = {stage.stage: stage for stage in profile.stages}
    lanes = profile.workers * profile.threads
    for stage in profile.stages:
        assert 0 <= stage.seconds <= profile.wall_seconds * lanes, stage
    whole = [stage.fill for stage in profile.stages if "." not in stage.stage]
    assert sum(whole) == pytest.approx(1.0, abs=0.02)
    assert stages["catalogue"].items == 2
    assert stages["frames"].items == stages["frames.decode"].items > 0
    assert stages["seal"].seconds > 0
    assert profile.bottleneck in STAGES
    assert profile.bottleneck.partition(".")[0] in profile.sentence

    # The record beside the version holds the same, sealed; the version is whole.
    store, version = tmp_path / "store", str(report["version"])
    assert read_run_record(store, version).profile == profile
    assert verify_version(store, version) == []

    # A second run finds the version made: it tells of itself and leaves the record alone.
    again, second = run(capsys, tmp_path)
    assert again["version"] == version
    assert "frames.decode" not in {stage.stage for stage in second.stages}
    assert read_run_record(store, version).profile == profile
