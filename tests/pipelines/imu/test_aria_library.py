"""The vendor's library in a process of its own: what it does to itself costs one take."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from pipelines.imu import aria_library
from pipelines.imu.aria_calibration import parse_aria_calibration
from pipelines.imu.aria_library import open_aria_library
from pipelines.imu.aria_records import find_aria_imu, open_bulk_source
from pipelines.imu.vrs_file import read_vrs_file
from pipelines.synthetic.aria_imu import make_calib_json
from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs
from schemas.errors import TakeError
from schemas.time import NS_PER_MS, NS_PER_S

pytest.importorskip("projectaria_tools.core.data_provider")

RIGHT = "imu-right"


def write(path: Path, *, count: int = 200, calib_json: str | None = None) -> Path:
    rng = np.random.default_rng(0)
    accel, gyro = rng.normal(size=(2, count, 3))
    accel[3, 1] = np.nan
    block = AriaImuBlock(
        instance=1,
        t_ns=300 * NS_PER_S + np.arange(count) * NS_PER_MS,
        accel_m_s2=accel,
        gyro_rad_s=gyro,
        accel_valid=rng.random(count) > 0.2,
    )
    stream = AriaImuStream(instance=1, label=RIGHT, nominal_rate_hz=1000)
    write_aria_vrs(path, streams=[stream], blocks=[[block]], calib_json=calib_json)
    return path


def library_that(does: str, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the helper find another library, which does something as it opens a file."""
    package = tmp_path / "fake" / "projectaria_tools" / "core"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    code = f"import os, signal, time\n\n\ndef create_vrs_data_provider(path):\n    {does}\n"
    (package / "data_provider.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))


@pytest.mark.slow
def test_records_and_calibration_come_through_the_pipe_to_the_bit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs", calib_json=make_calib_json())
    vrs = read_vrs_file(path)
    stream = find_aria_imu(vrs, stream=RIGHT)
    assert stream is not None
    with (
        open_bulk_source(vrs, stream=stream) as bulk,
        open_aria_library(path, stream=RIGHT) as ours,
    ):
        assert len(ours.source) == len(bulk) == 200
        for start, stop in ((0, 200), (7, 8), (150, 200), (5, 5)):
            expected, got = bulk.read(start, stop), ours.source.read(start, stop)
            for name in ("device_ns", "accel", "gyro", "accel_valid", "gyro_valid"):
                mine, theirs = getattr(expected, name), getattr(got, name)
                assert np.array_equal(mine, theirs, equal_nan=name == "accel")
                assert mine.dtype == theirs.dtype
    parsed = parse_aria_calibration(make_calib_json(), stream=RIGHT, path=path)
    assert parsed is not None
    assert ours.calibration is not None
    assert np.array_equal(parsed.rotation, ours.calibration.rotation)
    for mine, theirs in ((parsed.accel, ours.calibration.accel),
                         (parsed.gyro, ours.calibration.gyro)):  # fmt: skip
        assert np.array_equal(mine.matrix, theirs.matrix)
        assert np.array_equal(mine.bias, theirs.bias)
        assert mine.time_offset_ns == theirs.time_offset_ns


@pytest.mark.slow
def test_many_records_are_asked_for_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aria_library, "_ASKED", 33)
    with open_aria_library(write(tmp_path / "a.vrs"), stream=RIGHT) as opened:
        stamps = opened.source.read(0, 200).device_ns
    assert stamps.tolist() == [300 * NS_PER_S + i * NS_PER_MS for i in range(200)]
    assert opened.calibration is None


@pytest.mark.slow
def test_faults_the_library_tells_of_are_the_take_s(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs")
    with (
        pytest.raises(TakeError, match="must hold the stream imu-left") as caught,
        open_aria_library(path, stream="imu-left"),
    ):
        pass
    assert caught.value.code == "imu_stream_missing"
    path.write_bytes(b"no recording at all")
    with (
        pytest.raises(TakeError, match="must be readable") as caught,
        open_aria_library(path, stream=RIGHT),
    ):
        pass
    assert caught.value.code == "vrs_unreadable"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "why"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", "by signal 11", id="crash"),
        pytest.param("os._exit(7)", "by exit code 7", id="end"),
        pytest.param("return bytearray(9 << 30)", "by exit code 1", id="memory"),
    ],
)
def test_library_that_dies_costs_one_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, why: str
) -> None:
    library_that(does, tmp_path=tmp_path, monkeypatch=monkeypatch)
    path = write(tmp_path / "a.vrs")
    with (
        pytest.raises(TakeError, match=f"an end of projectaria-tools {why}; copy") as caught,
        open_aria_library(path, stream=RIGHT),
    ):
        pass
    assert caught.value.code == "vrs_unreadable"


@pytest.mark.slow
def test_library_that_stalls_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pid"
    library_that(
        f"open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)",
        tmp_path=tmp_path,
        monkeypatch=monkeypatch,
    )
    monkeypatch.setattr(aria_library, "_PATIENCE_S", 4.0)
    with (
        pytest.raises(TakeError, match="got no answer of projectaria-tools in 4 s"),
        open_aria_library(write(tmp_path / "a.vrs"), stream=RIGHT),
    ):
        pass
    if note.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(note.read_text()), signal.SIG_DFL)


@pytest.mark.slow
def test_death_between_two_reads_is_the_take_s_fault(tmp_path: Path) -> None:
    with open_aria_library(write(tmp_path / "a.vrs"), stream=RIGHT) as opened:
        assert len(opened.source.read(0, 2).device_ns) == 2
        opened.source._pipe._process.kill()  # type: ignore[attr-defined]
        with pytest.raises(TakeError, match="an end of projectaria-tools by signal 9"):
            opened.source.read(2, 4)
