"""A row of the table of reasons, and what becomes of the data under each kind of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["COPY_AGAIN", "KINDS", "LAY_OUT", "Reason", "ReasonKind", "reasons"]

ReasonKind = Literal["quarantine", "drop", "ignored", "plan"]

KINDS: Final[Mapping[ReasonKind, str]] = MappingProxyType(
    {
        "quarantine": "Quarantined takes: no segment of the take is stored, the others are",
        "drop": "Dropped segments: the take's other segments are stored",
        "ignored": "Ignored annotations: they plan no segment, and are counted beside them",
        "plan": "While pricing: the take is passed over by `plan` alone, which tries another",
    }
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table.

    Attributes:
        code: as the manifest counts it and ``retry --reason`` takes it.
        kind: what becomes of the data; one code may have a row of several kinds.
        meaning: what was found.
        remedy: what the owner of the data can do.
    """

    code: str
    kind: ReasonKind
    meaning: str
    remedy: str


LAY_OUT: Final = "Put the file where the dataset's download lays it out, then `retry`"
COPY_AGAIN: Final = "Copy the file again from its origin, compare sizes, then `retry`"


def reasons(kind: ReasonKind, *rows: tuple[str, str, str]) -> tuple[Reason, ...]:
    """Return rows of one kind, each given as its code, meaning and remedy."""
    return tuple(
        Reason(code=code, kind=kind, meaning=meaning, remedy=remedy)
        for code, meaning, remedy in rows
    )
