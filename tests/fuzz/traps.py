"""Targets that fail on purpose, to show that the driver sees it."""

import ctypes
from pathlib import Path

from tests.fuzz.target import Target

__all__ = ["TRAPS"]


def _crash(data: bytes, folder: Path) -> None:
    if data != b"sound":
        ctypes.string_at(0)


def _fail(data: bytes, folder: Path) -> None:
    if data != b"sound":
        raise ZeroDivisionError("nobody foresaw it")


def _devour(data: bytes, folder: Path) -> None:
    if data != b"sound":
        bytearray(1 << 31)


TRAPS = {
    f"trap_{parse.__name__[1:]}": Target(
        name=parse.__name__, originals=lambda: [b"sound"], parse=parse
    )
    for parse in (_crash, _fail, _devour)
}
