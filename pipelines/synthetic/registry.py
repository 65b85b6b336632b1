"""The synthetic datasets, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pipelines.synthetic.arguments import FullSize, parse_full_size
from schemas.errors import UsageError

__all__ = ["SYNTHETIC", "write_synthetic"]


@dataclass(frozen=True, slots=True)
class _Writer:
    module: str
    """Imported only when it is asked for: cameras, encoders and tables are its own business."""
    function: str
    has_full_size: bool
    """There is a large copy of the picture too, and an argument ``full_size`` that asks for it."""


_WRITERS: Final[Mapping[str, _Writer]] = MappingProxyType(
    {
        "egoexo4d": _Writer("egoexo4d", "write_egoexo4d", has_full_size=True),
        "ego4d": _Writer("ego4d", "write_ego4d", has_full_size=True),
        "realworld": _Writer("realworld", "write_realworld", has_full_size=False),
        "gopro": _Writer("gopro", "write_gopro", has_full_size=False),
        "folder": _Writer("folder", "write_folder", has_full_size=False),
    }
)
SYNTHETIC: Final = tuple(_WRITERS)


def write_synthetic(
    dataset: str,
    dest: Path,
    *,
    takes: int,
    seconds: float,
    seed: int,
    participants: int,
    full_size: FullSize,
    faults: Sequence[str],
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a synthetic dataset with ``truth.json`` beside it.

    Args:
        dataset: one of ``SYNTHETIC``.
        dest: folder to make; must not exist or be empty.
        takes: how many.
        seconds: length of each.
        seed: of everything drawn.
        participants: how many people there are.
        full_size: takes that get the large copy of the picture too; ``none`` where the dataset has
            one copy, or no picture.
        faults: names of the dataset's faults, one take each, or ``all``.
        workers: processes that write takes.
        progress: called with (takes written, takes).

    Raises:
        UsageError: for arguments that cannot be, or a folder that holds something.
    """
    writer = _WRITERS.get(dataset)
    if writer is None:
        raise UsageError(f"dataset must be among {', '.join(SYNTHETIC)}, got {dataset}")
    size: dict[str, Any] = {"full_size": full_size} if writer.has_full_size else {}
    if not size and any(parse_full_size(full_size, takes=1)):
        raise UsageError(
            f"full_size must be none for {dataset}, which has no second, larger picture, "
            f"got {full_size}"
        )
    write = getattr(import_module(f"pipelines.synthetic.{writer.module}"), writer.function)
    write(
        dest,
        takes=takes,
        seconds=seconds,
        seed=seed,
        participants=participants,
        faults=faults,
        workers=workers,
        progress=progress,
        **size,
    )
