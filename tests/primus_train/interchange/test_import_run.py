import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primus_train.checkpoint import read_checkpoint
from primus_train.cli import main
from primus_train.data.store import open_store
from primus_train.interchange.import_run import import_checkpoint
from primus_train.representation import read_pretrained
from schemas.errors import UsageError
from schemas.imu import IMU_CHANNELS
from tests.primus_train.interchange.published_encoders import (
    make_published,
    windows,
    write_lightning,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lightning(tmp_path / "primus.ckpt", make_published("primus"))


def rename_channels(root: Path) -> None:
    """Give a toy store the channel names that published stores have."""
    (folder,) = (root / "versions").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["imu"]["channels"] = list(IMU_CHANNELS)
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    (folder / "manifest.json").write_text(text)
    folder.rename(folder.with_name(version))
    (root / "refs" / "latest.json").write_text(json.dumps({"version": version}))


def test_an_imported_run_gives_the_published_embeddings(imported: Path) -> None:
    pretrained = read_pretrained(imported / "best.pt")
    x = windows(250)
    with torch.no_grad():
        wanted, got = make_published("primus")(x), pretrained.objective.encoder(x)
    for name, value in wanted.items():
        torch.testing.assert_close(getattr(got, name), value, rtol=0, atol=1e-6)
    assert pretrained.objective.representation == "multimodal"
    assert pretrained.objective.aligned_with == ("video", "text")
    # The teacher's space is the encoder's own: nothing is projected.
    torch.testing.assert_close(
        pretrained.objective.project(got.multimodal, name="video"), got.multimodal
    )


def test_the_record_tells_the_file(source: Path, tmp_path: Path) -> None:
    record = import_checkpoint(source, out=tmp_path / "run")
    imported = {
        "file": "primus.ckpt",
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "layout": "primus",
    }
    assert record["imported"] == imported
    assert (record["origin"], record["reused"], record["finished"]) == ("imported", False, True)
    assert record["objective"] == "ss+mm+nn"
    assert (record["imu"]["samples"], record["imu"]["rate_hz"]) == (250, "50")
    assert record["imu"]["length_ns"] == 5_000_000_000
    written = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {**written, "reused": False} == record
    meta = read_checkpoint(tmp_path / "run" / "best.pt").meta
    assert (meta["run"], meta["imported"], meta["version"]) == (record["key"], imported, None)
    assert read_pretrained(tmp_path / "run" / "best.pt").origin()["imported"] == imported


def test_imu2clip_windows_are_another_size(tmp_path: Path) -> None:
    source = write_lightning(tmp_path / "x.ckpt", make_published("imu2clip"))
    record = import_checkpoint(source, out=tmp_path / "run", objective="imu2clip-video")
    assert (record["imu"]["samples"], record["imu"]["rate_hz"]) == (1000, "200")
    assert record["config"]["encoder"]["pooling"] == "max"
    assert read_pretrained(tmp_path / "run" / "best.pt").objective.aligned_with == ("video",)
    with pytest.raises(UsageError, match=r"978 to 1004 samples do, got 500 samples and 14 bins"):
        import_checkpoint(source, out=tmp_path / "other", samples=500)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("rate_hz", ["0", "-50", "fast", "1/0"])
def test_a_rate_that_is_none_is_refused(source: Path, tmp_path: Path, rate_hz: str) -> None:
    with pytest.raises(UsageError, match=f"rate above 0 Hz, .* got {rate_hz} Hz and 250"):
        import_checkpoint(source, out=tmp_path / "run", rate_hz=rate_hz)


def test_the_same_import_is_reused_and_another_refused(source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = import_checkpoint(source, out=run)
    before = (run / "best.pt").stat().st_mtime_ns
    assert import_checkpoint(source, out=run) == {**first, "reused": True}
    assert (run / "best.pt").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="it holds another import: give another --out"):
        import_checkpoint(source, out=run, objective="ss+mm")
    other = import_checkpoint(source, out=run, objective="ss+mm", overwrite=True)
    assert other["key"] != first["key"]
    assert other["objective"] == "ss+mm"
    (run / "best.pt").unlink()
    assert import_checkpoint(source, out=run, objective="ss+mm", overwrite=True)["reused"] is False


def test_a_pretrained_run_is_never_replaced(source: Path, trained: Path) -> None:
    before = (trained / "best.pt").read_bytes()
    with pytest.raises(UsageError, match="it holds a pretrained one: give another --out"):
        import_checkpoint(source, out=trained, overwrite=True)
    assert (trained / "best.pt").read_bytes() == before


def test_a_store_of_other_windows_is_refused(imported: Path, toy_store: Path) -> None:
    with pytest.raises(UsageError, match=r"imu channels must be as in pretraining, .*accel_x"):
        read_pretrained(imported / "best.pt").check_fits(open_store(str(toy_store)))


@pytest.mark.slow
def test_the_commands_read_an_imported_run(
    imported: Path,
    tmp_path: Path,
    store_writer: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "store"
    store_writer(store, video_width=512, text_width=512)
    rename_channels(store)
    reading = ["--checkpoint", str(imported), "--store", str(store), "--device", "cpu", "--json"]

    def report(*arguments: str) -> dict[str, Any]:
        assert main([*arguments, *reading]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    probed = report("probe", "--shots", "2", "--trials", "2", "--out", str(tmp_path / "probe"))
    assert probed["representation"] == "multimodal"
    assert probed["pretrained_on"]["imported"]["file"] == "primus.ckpt"
    found = report("retrieve", "--splits", "val,test")
    assert found["imu_to_video"]["n"] == 24
    assert main(["lineage", str(imported)]) == 0
    assert "file: primus.ckpt" in capsys.readouterr().out


def test_the_command_imports_and_refuses_in_one_sentence(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["import-checkpoint", str(source), "--out", str(run)]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["run"], report["imported"]["layout"]) == (str(run), "primus")
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith("reused: ")
    assert "imported from primus.ckpt, layout primus, for windows of 250 samples at 50 Hz" in said
    bad = write_lightning(tmp_path / "bad.ckpt", make_published("primus"), hyper_parameters=Path())
    assert main(["import-checkpoint", str(bad), "--out", str(tmp_path / "none")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "tensors and plain values only, found the Python object pathlib." in captured.err
    assert not (tmp_path / "none").exists()
