"""Records of an Aria IMU by projectaria-tools, in a process of its own.

The library is native code, and a damaged file can end the process that it runs in (measured: a few
changed bytes in some thousand files). So it never runs inside a run's own process: a helper opens
the file, answers with the count and the calibration, and hands records over through a pipe. If it
dies, stalls or takes too much memory, the take is quarantined and the run goes on.
"""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.imu.aria_calibration import read_aria_calibration
from pipelines.imu.aria_records import (
    AriaImuRecords,
    AriaImuSource,
    open_aria_provider,
    provider_source,
)
from pipelines.imu.calibrate import ImuCalibration, TriadCalibration
from schemas.errors import TakeError

__all__ = ["AriaLibraryFile", "open_aria_library"]

_RECORD: Final = np.dtype(
    [
        ("device_ns", "<i8"),
        ("accel", "<f8", 3),
        ("gyro", "<f8", 3),
        ("accel_valid", "?"),
        ("gyro_valid", "?"),
    ]
)
# A record takes microseconds, and opening walks the file's index; a slow share may stall a while.
_PATIENCE_S: Final = 120.0
# The library maps nothing and holds an index, 40 bytes a record.
_MOST_MEMORY: Final = 8 << 30
_ASKED: Final = 1 << 14
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AriaLibraryFile:
    """A file that the library has open.

    Attributes:
        source: records of the stream.
        calibration: of the IMU, None where the file has none.
    """

    source: AriaImuSource
    calibration: ImuCalibration | None


@contextmanager
def open_aria_library(path: Path, *, stream: str) -> Iterator[AriaLibraryFile]:
    """Have the library open one stream of a file, and close it at the end.

    Args:
        path: VRS file.
        stream: label such as ``imu-right``.

    Raises:
        TakeError: ``vrs_layout_unknown`` if the library is not installed; ``vrs_unreadable`` if it
            cannot read the file, or dies of it, here or as records are read;
            ``imu_stream_missing``; ``no_calibration`` if a rectification matrix has no inverse.
    """
    if not _is_installed():
        raise TakeError(
            "vrs_layout_unknown",
            "VRS must be laid out as the first generation of Aria writes it, or projectaria-tools "
            "must be there to read it, the extra `aria`: pip install 'primus-pipelines[aria]' "
            f"[{path}]",
        )
    command = [sys.executable, "-m", "pipelines.imu.aria_library", str(path), stream]
    # What the library prints, a line for each tag it wonders at, goes nowhere.
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # numpy multiplies nothing there.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ) as process:
        try:
            yield _greet(process, path=path)
        finally:
            process.kill()


def _is_installed() -> bool:
    try:
        return find_spec("projectaria_tools.core.data_provider") is not None
    except ImportError:
        return False


def _greet(process: "subprocess.Popen[bytes]", *, path: Path) -> AriaLibraryFile:
    pipe = _Pipe(process, path=path)
    hello = json.loads(pipe.read(int.from_bytes(pipe.read(8), "little")))
    if "code" in hello:
        raise TakeError(hello["code"], hello["detail"])
    return AriaLibraryFile(
        source=_PipedSource(pipe, count=hello["count"]),
        calibration=_calibration(hello["calibration"]),
    )


class _Pipe:
    """Both ends of a helper's pipes; its death or silence is the take's fault."""

    def __init__(self, process: "subprocess.Popen[bytes]", *, path: Path) -> None:
        self._process = process
        self._path = path
        self._selector = selectors.DefaultSelector()
        self._selector.register(_end(process.stdout), selectors.EVENT_READ)

    def ask(self, question: bytes) -> None:
        try:
            pipe = _end(self._process.stdin)
            pipe.write(question)
            pipe.flush()
        except OSError as error:
            raise self._fault() from error

    def read(self, length: int) -> bytes:
        answer = bytearray()
        out = _end(self._process.stdout).fileno()
        until = time.monotonic() + _PATIENCE_S
        while len(answer) < length:
            if not self._selector.select(max(until - time.monotonic(), 0)):
                self._process.kill()
                raise TakeError(
                    "vrs_unreadable",
                    f"VRS must be readable, got no answer of projectaria-tools in "
                    f"{_PATIENCE_S:.0f} s [{self._path}]",
                )
            piece = os.read(out, min(length - len(answer), _CHUNK))
            if not piece:
                raise self._fault()
            answer += piece
        return bytes(answer)

    def _fault(self) -> TakeError:
        code = self._process.wait(_PATIENCE_S)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return TakeError(
            "vrs_unreadable",
            f"VRS must be readable, got an end of projectaria-tools by {how}; copy the file anew "
            f"from its source [{self._path}]",
        )


def _end(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "both ends are piped"
    return pipe


class _PipedSource:
    def __init__(self, pipe: _Pipe, *, count: int) -> None:
        self._pipe = pipe
        self._count = count

    def __len__(self) -> int:
        return self._count

    def read(self, start: int, stop: int) -> AriaImuRecords:
        rows = np.empty(stop - start, _RECORD)
        for first in range(start, stop, _ASKED):
            after = min(first + _ASKED, stop)
            self._pipe.ask(b"%d %d\n" % (first, after))
            raw = self._pipe.read((after - first) * _RECORD.itemsize)
            rows[first - start : after - start] = np.frombuffer(raw, _RECORD)
        return AriaImuRecords(**{name: rows[name].copy() for name in _RECORD.names or ()})


def _calibration(said: dict[str, Any] | None) -> ImuCalibration | None:
    if said is None:
        return None
    accel, gyro = (
        TriadCalibration(
            matrix=np.array(said[name]["matrix"], np.float64),
            bias=np.array(said[name]["bias"], np.float64),
            time_offset_ns=said[name]["time_offset_ns"],
        )
        for name in ("accel", "gyro")
    )
    return ImuCalibration(accel=accel, gyro=gyro, rotation=np.array(said["rotation"], np.float64))


def _say_calibration(calibration: ImuCalibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    said: dict[str, Any] = {"rotation": calibration.rotation.tolist()}
    for name, triad in (("accel", calibration.accel), ("gyro", calibration.gyro)):
        said[name] = {
            "matrix": triad.matrix.tolist(),
            "bias": triad.bias.tolist(),
            "time_offset_ns": triad.time_offset_ns,
        }
    return said


def _open(path: Path, *, stream: str) -> tuple[AriaImuSource | None, dict[str, Any]]:
    try:
        provider = open_aria_provider(path)
        source = provider_source(provider, stream=stream, path=path)
        calibration = read_aria_calibration(provider, stream=stream, path=path)
    except TakeError as error:
        return None, {"code": error.code, "detail": error.detail}
    return source, {"count": len(source), "calibration": _say_calibration(calibration)}


def _rows(records: AriaImuRecords) -> npt.NDArray[np.void]:
    rows = np.empty(len(records.device_ns), _RECORD)
    for name in _RECORD.names or ():
        rows[name] = getattr(records, name)
    return rows


def _serve(path: Path, *, stream: str) -> None:
    """Answer on the pipe that was standard output until nobody asks any more."""
    _limit_memory()
    # The library writes to standard output as well.
    with os.fdopen(os.dup(1), "wb") as out:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        source, hello = _open(path, stream=stream)
        said = json.dumps(hello).encode()
        out.write(len(said).to_bytes(8, "little") + said)
        out.flush()
        for line in sys.stdin.buffer if source is not None else ():
            start, stop = map(int, line.split())
            assert source is not None
            out.write(_rows(source.read(start, stop)).tobytes())
            out.flush()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _MOST_MEMORY if hard == resource.RLIM_INFINITY else min(_MOST_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), stream=sys.argv[2])
