"""What every synthetic dataset is asked for: how much of it, in which size, with which faults."""

from collections.abc import Sequence
from typing import Literal, get_args

from pipelines.synthetic.faults import Fault, faults_of
from schemas.errors import UsageError

__all__ = [
    "FullSize",
    "assign_faults",
    "check_counts",
    "check_size_px",
    "parse_faults",
    "parse_full_size",
]

FullSize = Literal["none", "one", "all"]


def check_counts(*, takes: int, participants: int, seconds: float) -> None:
    """Refuse a dataset of nothing.

    Raises:
        UsageError: for a number below 1.
    """
    if takes < 1 or participants < 1 or seconds < 1:
        raise UsageError(
            f"takes, participants and seconds must be at least 1, "
            f"got {takes}, {participants}, {seconds}"
        )


def check_size_px(size_px: int) -> None:
    """Refuse a picture that the writer cannot make.

    Raises:
        UsageError: if the side is no positive multiple of 4.
    """
    if size_px < 4 or size_px % 4:
        raise UsageError(f"size_px must be a positive multiple of 4, got {size_px}")


def parse_full_size(full_size: str, *, takes: int) -> tuple[bool, ...]:
    """Return for each take whether it gets the large copy of its picture too.

    Raises:
        UsageError: for a word that is none of ``FullSize``.
    """
    if full_size not in get_args(FullSize):
        raise UsageError(f"full_size must be none, one or all, got {full_size!r}")
    return tuple(full_size == "all" or (full_size == "one" and i == 0) for i in range(takes))


def parse_faults(names: Sequence[str], *, dataset: str, takes: int) -> tuple[Fault, ...]:
    """Return the named faults; ``all`` stands for every fault of the dataset.

    Args:
        names: in the order in which they are given to takes.
        dataset: name of the dataset.
        takes: how many takes there are; each fault needs one of its own.

    Raises:
        UsageError: for a name the dataset does not know, or more faults than takes.
    """
    known = faults_of(dataset)
    wanted = list(known) if list(names) == ["all"] else list(names)
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise UsageError(
            f"faults of {dataset} must be among {', '.join(known)}, got {', '.join(unknown)}"
        )
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"faults must be named once each, got {', '.join(wanted)}")
    if len(wanted) > takes:
        raise UsageError(f"faults must be no more than takes={takes}, got {len(wanted)}")
    return tuple(known[name] for name in wanted)


def assign_faults(names: Sequence[str], *, dataset: str, takes: int) -> dict[int, str]:
    """Return the fault of each spoilt take, by its index: the last takes first, one each.

    Raises:
        UsageError: as ``parse_faults``.
    """
    wanted = parse_faults(names, dataset=dataset, takes=takes)
    return {takes - 1 - number: fault.name for number, fault in enumerate(wanted)}
