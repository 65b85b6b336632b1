"""What a fuzz target is, and what it must keep to whatever bytes it is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.base import ImuRecording
from schemas.errors import TakeError

__all__ = ["SLOWEST_S", "Target", "check_input", "check_recording"]

SLOWEST_S = 5.0
"""One input may take so long."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parser, sound inputs for it, and the errors it may answer with.

    Attributes:
        name: of the parser.
        originals: returns sound inputs; each must be parsed without an error.
        parse: given bytes and a folder to write in; checks what comes out.
        allowed: errors that are an answer. A parser of one take may raise ``TakeError`` alone:
            any other would end the run.
        text: whether the inputs are text, whose syntax is best left alone most of the time.
    """

    name: str
    originals: Callable[[], Sequence[bytes]]
    parse: Callable[[bytes, Path], None]
    allowed: tuple[type[Exception], ...] = (TakeError,)
    text: bool = False


def check_input(target: Target, data: bytes, *, folder: Path) -> str:
    """Parse, and return ``ok`` or what the parser answered; any other error passes."""
    try:
        target.parse(data, folder)
    except target.allowed as error:
        said = str(error)
        assert said, f"{target.name} must say what is wrong"
        said.encode()
        return error.code if isinstance(error, TakeError) else type(error).__name__
    return "ok"


def check_recording(recording: ImuRecording, *, most: int) -> None:
    """Read a recording's runs: stamps go on increasing, and no more samples than bytes.

    Args:
        recording: opened, its runs unread.
        most: samples that the input can hold.
    """
    latest = [-(2**63)] * 2
    samples = 0
    for run in recording.runs:
        for i, triad in enumerate((run.accel, run.gyro)):
            if len(triad):
                assert int(triad.t_ns[0]) > latest[i], "stamps must go on increasing"
                latest[i] = int(triad.t_ns[-1])
            samples += len(triad)
        for stamps in (run.invalid_ns, run.saturated_ns):
            assert (stamps[1:] >= stamps[:-1]).all(), "stamps must not fall"
    assert samples <= most, f"{samples} samples out of {most} bytes"
