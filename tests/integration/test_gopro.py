"""The whole preparation road on a clip that nobody here made."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from flows.cli import main
from pipelines.stores.verify import verify_version
from tests.gopro_files import Sensor, gyro_at, make_payloads, write_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gopro")
    (root / "clips").mkdir()
    shutil.copyfile(shared_data / "gopro_karma.mp4", root / "clips" / "karma.mp4")
    return root


def publish(
    clips: Path, encoder: Path, capsys: pytest.CaptureFixture[str], *settings: str
) -> tuple[Path, str]:
    store = clips / "store"
    code = main(
        ["run", "--dataset", "gopro", "--root", str(clips / "clips"), "--store", str(store),
         "--encoder", str(encoder), "--executor", "inline", "--json",
         *[word for s in settings for word in ("--set", s)]]
    )  # fmt: skip
    assert code == 0
    summary = json.loads(capsys.readouterr().out)
    return store / "versions" / summary["version"], summary["version"]


def test_real_clip_becomes_a_verified_store(
    clips: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, version = publish(clips, tiny_encoder, capsys, "segments.policy=stride")
    assert verify_version(clips / "store", version) == []
    table = pq.read_table(folder / "segments.parquet")
    assert table.num_rows >= 2
    imu = np.asarray(zarr.open_group(folder / "arrays.zarr", mode="r")["imu"][:])
    # Each window by itself: near gravity, in m/s2.
    norms = np.linalg.norm(imu[:, :3], axis=1).mean(axis=1)
    assert norms.tolist() == pytest.approx([9.8] * table.num_rows, rel=0.05)
    assert table.column("imu_frame").to_pylist() == ["device"] * table.num_rows
    lag_ns = table.column("take_lag_ns").to_pylist()[0]
    assert lag_ns is not None
    assert abs(lag_ns) < 150_000_000
    assert min(table.column("frames").to_pylist()) == 50


def test_the_page_shows_its_frames(
    clips: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, version = publish(clips, tiny_encoder, capsys, "segments.policy=stride")
    page = clips / "report.html"
    assert main(["report", f"{clips / 'store'}@{version}", "--out", str(page)]) == 0
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") >= 2
    assert "karma" in html


def test_chapters_become_one_take_without_a_seam(
    clips: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = clips / "chaptered"
    (root / "clips").mkdir(parents=True)
    for k in range(2):
        sensors = [Sensor(rate_hz=hz, first_s=6.0 * k) for hz in (200, 400)]
        payloads = make_payloads(seconds=6, start_s=6.0 * k, accel=sensors[0], gyro=sensors[1])
        write_clip(
            root / "clips" / f"GX0{k + 1}0042.MP4",
            payloads,
            frames=180,
            rate=Fraction(30000, 1001),
            seed=k,
        )
    (root / "clips" / "GX020042.csv").write_text("t_s,text\n0.5,C goes on\n")
    folder, version = publish(root, tiny_encoder, capsys)
    assert verify_version(root / "store", version) == []
    (row,) = pq.read_table(folder / "segments.parquet").to_pylist()
    # Half a second into the second chapter, which starts after 180 frames: 6.006 s.
    assert (row["take_name"], row["narration_ns"]) == ("GX010042", 6_506_000_000)
    start_s = row["start_ns"] / 1e9
    assert start_s < 6.006 < row["end_ns"] / 1e9 <= 12.012
    assert row["frames"] == 50
    imu = np.asarray(zarr.open_group(folder / "arrays.zarr", mode="r")["imu"][0])
    # The second chapter's samples stand 6 ms late by the picture, in the window as on the clock.
    t_s = start_s + np.arange(250) / 50
    truth = gyro_at(t_s - np.where(t_s < 6.003, 0.0, 0.006))
    apart = np.abs(t_s - 6.003) > 0.2  # the filter reaches across the step of 6 ms
    np.testing.assert_allclose(imu[3:].T[apart], truth[apart], atol=0.005)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [s["path"] for s in manifest["sources"]] == ["GX010042.MP4", "GX020042.MP4"]


def test_captions_beside_the_clip_become_narrations(
    clips: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captions = clips / "clips" / "karma.vtt"
    captions.write_text(
        "WEBVTT\n\n00:02.000 --> 00:04.000\nC lifts the camera\n\n"
        "00:07.500 --> 00:08.500\nC turns around\n"
    )
    folder, _ = publish(clips, tiny_encoder, capsys)
    captions.unlink()
    rows = pq.read_table(folder / "segments.parquet").to_pylist()
    assert [row["text"] for row in rows] == ["lifts the camera", "turns around"]
    assert [row["narration_ns"] for row in rows] == [3_000_000_000, 8_000_000_000]
    assert rows[1]["start_ns"] == 5_500_000_000
