"""Every reason code a run can give, what it means, and what to do about it.

``docs/quarantine.md`` is rendered from this table; a test holds both against the code.
"""

from typing import Final

from schemas.reasons.files import FILES, MACHINE
from schemas.reasons.imu import IMU
from schemas.reasons.reason import KINDS, Reason, ReasonKind
from schemas.reasons.segments import PRICING, SEGMENTS
from schemas.reasons.text import ANNOTATIONS, TEXT
from schemas.reasons.video import CLOCKS, VIDEO

__all__ = ["KINDS", "REASONS", "Reason", "ReasonKind", "find_reason", "reasons_of"]

REASONS: Final[tuple[Reason, ...]] = (
    *FILES,
    *IMU,
    *CLOCKS,
    *VIDEO,
    *TEXT,
    *MACHINE,
    *SEGMENTS,
    *ANNOTATIONS,
    *PRICING,
)


def find_reason(code: str, *, kind: ReasonKind) -> Reason | None:
    """Return the row of a code; None for one that this version of the code does not know."""
    return next((row for row in REASONS if (row.code, row.kind) == (code, kind)), None)


def reasons_of(kind: ReasonKind) -> tuple[Reason, ...]:
    """Return the rows of a kind, in the table's order."""
    return tuple(row for row in REASONS if row.kind == kind)
