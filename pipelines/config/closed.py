"""What every model of the config is: frozen, and closed to what it does not know."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Closed"]


class Closed(BaseModel):
    """A stage's fields; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
