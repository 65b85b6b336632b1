"""What a repair tells of each bad object."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Healed", "RepairReport", "Unhealed"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Healed(_Closed):
    """An object that is right again, or would be."""

    object: str = Field(description="path relative to the version; a mask's, to the store")
    how: str = Field(
        description="rebuilt, copied (from beside the parts), redrawn (masks) or removed (extras)"
    )


class Unhealed(_Closed):
    """An object that stays wrong."""

    object: str
    why: str
    remedy: str


class RepairReport(_Closed):
    """What a repair did, or would do."""

    store: str
    version: str
    dry_run: bool
    healed: tuple[Healed, ...]
    unhealed: tuple[Unhealed, ...]
