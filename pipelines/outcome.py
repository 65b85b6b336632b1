"""What became of one take, and the words its quarantine record has for it."""

import re
import traceback
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.profile.work import StageWork
from pipelines.storage.places import Place
from schemas.errors import TakeError
from schemas.manifest import SourceEntry
from schemas.store import sha256_hex

__all__ = ["TakeOutcome", "fault_of", "quarantined", "state_path"]

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class TakeOutcome(BaseModel):
    """What became of one take; small enough to travel between processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    take_uid: str
    status: Literal["ready", "empty", "quarantined"]
    """empty: no segment is planned in it, so nothing was computed."""
    reason: str = ""
    detail: str = ""
    segments: int = 0
    """Planned segments and planned drops; without a clock the narrations, none under stride."""
    start_ns: int = 0
    end_ns: int = 0
    """The take spans [start_ns, end_ns) of its clock."""
    clock_uncertainty_ns: int = 0
    keys: dict[str, str] = {}
    """Part keys by kind; a kind the take lacks is absent."""
    sources: tuple[SourceEntry, ...] = ()
    made: tuple[str, ...] = ()
    """Kinds of the parts that had to be made; none when all were there already."""
    work: dict[str, StageWork] = {}
    """What each stage did in it."""

    @property
    def computed(self) -> bool:
        """Whether any part had to be made."""
        return bool(self.made)


def state_path(parts_root: Place, take_uid: str) -> Place:
    """Return where a take's quarantine record lies; a uid that is no safe file name is hashed."""
    safe = _SAFE_NAME.fullmatch(take_uid) is not None
    name = take_uid if safe else sha256_hex(take_uid.encode())
    return parts_root / "state" / f"{name}.json"


def quarantined(
    fault: TakeError, *, take_uid: str, take_name: str, segments: int, root: Path
) -> TakeOutcome:
    """Return the outcome of a take that cannot be used.

    Args:
        fault: why.
        take_uid: of the take.
        take_name: of the take.
        segments: that it would have had.
        root: dataset folder; paths are told relative to it, since the quarantine table is part of
            a version's identity.
    """
    detail = _without_root(fault.detail, root=root)
    return TakeOutcome(
        take_uid=take_uid,
        status="quarantined",
        reason=fault.code,
        # A name out of JSON may hold halves of signs, which no file can.
        detail=f"{detail} [take={take_name}]".encode(errors="backslashreplace").decode(),
        segments=segments,
    )


def fault_of(error: Exception) -> TakeError:
    """Return an error nobody foresaw as a take's fault, in the same words on every machine."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = re.sub(r" at 0x[0-9a-fA-F]+", "", said)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"[{Path(place.filename).name}:{place.lineno}]"
    return TakeError("unexpected_error", f"{type(error).__name__}: {said} {where}")


def _without_root(detail: str, *, root: Path) -> str:
    # The longer first: one may end in the other (/private/tmp/ds and /tmp/ds, or a relative ds).
    for prefix in sorted({str(root.resolve()), str(root)}, key=len, reverse=True):
        detail = re.sub(rf"(?<![\w./-]){re.escape(prefix)}/", "", detail)
    return detail
