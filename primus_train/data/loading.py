"""Where a version's arrays go: into memory, or left on disk where they would not fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from primus_train.memory import available_bytes
from schemas.errors import UsageError

__all__ = ["Load", "Loading", "choose_loading"]

Load = Literal["auto", "memory", "mapped"]

SHARE: Final = 0.7
"""Of the available memory that ``auto`` gives to arrays; the rest is the training's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """Where a version's arrays are.

    Attributes:
        mode: ``memory``, or ``mapped`` from their files.
        asked: what was asked for.
        array_bytes: of all arrays.
        available_bytes: memory there was before; None where the system does not say.
    """

    mode: Literal["memory", "mapped"]
    asked: Load
    array_bytes: int
    available_bytes: int | None

    def say(self) -> str:
        """Return it in one line."""
        size = f"{self.array_bytes / 1e9:.2f} GB of arrays"
        where = "loaded to memory" if self.mode == "memory" else "left on disk, memory-mapped"
        if self.asked != "auto":
            return f"{size} {where}, as asked"
        if self.available_bytes is None:
            return f"{size} {where}; this system does not say how much memory there is"
        return f"{size} {where}; {self.available_bytes / 1e9:.2f} GB of memory available"


def choose_loading(
    load: Load, *, array_bytes: int, decoded: Sequence[str] = (), version: str
) -> Loading:
    """Return where arrays of ``array_bytes`` go.

    Args:
        load: what was asked for.
        array_bytes: of all arrays.
        decoded: names of arrays whose chunk files are not their values; they cannot be mapped.
        version: id, for messages.

    Raises:
        UsageError: if ``mapped`` is asked for and an array cannot be, or ``load`` is another word.
    """
    if load not in {"auto", "memory", "mapped"}:
        raise UsageError(f"load must be auto, memory or mapped, got {load!r}")
    if load == "mapped" and decoded:
        raise UsageError(
            f"load mapped needs uncompressed little-endian chunks of whole rows, array "
            f"{decoded[0]} is stored otherwise: give memory [version={version}]"
        )
    available = available_bytes()
    fits = available is None or array_bytes <= SHARE * available
    mapped = load == "mapped" or (load == "auto" and not fits and not decoded)
    return Loading(
        mode="mapped" if mapped else "memory",
        asked=load,
        array_bytes=array_bytes,
        available_bytes=available,
    )
