from pathlib import Path

import pytest

from pipelines.imu.gpmf_camera import read_camera_model
from pipelines.imu.gpmf_klv import GpmfError
from pipelines.synthetic.gpmf_writer import nest, text


def box(name: bytes, *contents: bytes, wide: bool = False) -> bytes:
    data = b"".join(contents)
    if wide:
        return (1).to_bytes(4, "big") + name + (len(data) + 16).to_bytes(8, "big") + data
    return (len(data) + 8).to_bytes(4, "big") + name + data


def write(path: Path, *user_data: bytes, wide: bool = False) -> Path:
    moov = box(b"moov", box(b"mvhd", bytes(100)), box(b"udta", *user_data))
    path.write_bytes(box(b"ftyp", b"mp41") + box(b"mdat", bytes(999), wide=wide) + moov)
    return path


def test_model_of_a_real_clip_is_told_by_its_firmware(shared_data: Path) -> None:
    # Its FIRM box says HD5.02.02.00.00: a HERO5.
    assert read_camera_model(shared_data / "gopro_karma.mp4") == "HERO5"


@pytest.mark.parametrize(
    ("firmware", "model"),
    [
        (b"HD6.01.02.01.00", "HERO6"),
        (b"HD9.01.01.72.00", "HERO9"),
        (b"FS1.04.02.00.00", "Fusion"),
        (b"XX1.04.02.00.00", ""),
        (b"", ""),
    ],
)
def test_model_by_firmware(tmp_path: Path, firmware: bytes, model: str) -> None:
    assert read_camera_model(write(tmp_path / "a.mp4", box(b"FIRM", firmware))) == model


@pytest.mark.parametrize("wide", [False, True])
def test_the_header_s_own_name_comes_first(tmp_path: Path, wide: bool) -> None:
    named = box(b"GPMF", nest("DEVC", text("DVNM", "Global"), text("MINF", "HERO7 Black ")))
    path = write(tmp_path / "a.mp4", box(b"FIRM", b"HD6.01"), named, wide=wide)
    assert read_camera_model(path) == "HERO7 Black"


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"no video at all" * 9], ids=str)
def test_file_without_boxes_has_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert read_camera_model(path) == ""


def test_header_that_is_cut_off_ends_quietly(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.mp4", box(b"FIRM", b"HD6.01.02.01.00")).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.mp4").write_bytes(whole[:length])
        assert read_camera_model(tmp_path / "cut.mp4") in ("", "HERO6")


def test_malformed_metadata_of_the_header_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", box(b"GPMF", text("MINF", "HERO7 Black")[:-4]))
    with pytest.raises(GpmfError, match="MINF must end inside its parent of 16 bytes, got 19"):
        read_camera_model(path)
