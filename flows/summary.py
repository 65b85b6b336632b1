"""What ``primus-prep run`` reports."""

from pydantic import BaseModel, ConfigDict

from schemas.profile import RunProfile

__all__ = ["RunSummary"]


class RunSummary(BaseModel):
    """What ``primus-prep run`` reports."""

    model_config = ConfigDict(frozen=True)

    version: str
    store: str
    planned: int
    stored: int
    dropped: dict[str, int]
    quarantined: dict[str, int]
    quarantined_takes: dict[str, int]
    ignored: dict[str, int]
    computed_takes: int
    reused_takes: int
    computed_parts: dict[str, int] = {}
    """By kind; each of ``frames`` is a take that was decoded."""
    seconds: dict[str, float]
    profile: RunProfile | None = None
