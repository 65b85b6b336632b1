"""One small file for the settings of a run: who works, since when, and how it ended."""

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.config import PrepConfig
from pipelines.state.settings import parts_settings
from pipelines.storage.faults import storage_faults
from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place
from schemas.store import canonical_json

__all__ = ["RunState", "read_run_state", "write_run_state"]

_NS_PER_S = 1_000_000_000


class RunState(BaseModel):
    """A run at work, or the last one that was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(description="names it")
    executor: str
    workers: int = Field(ge=1, description="side by side")
    takes: int = Field(ge=0, description="of the dataset")
    began_ns: int = Field(description="Unix time")
    seen_ns: int = Field(description="Unix time; renewed while the driver is alive")
    ended: Literal["", "published", "stopped", "failed"] = ""
    said: str = Field(default="", description="why it failed, in one sentence")
    version: str | None = Field(default=None, description="that it published")

    def age_s(self, *, now_ns: int) -> float:
        """Return how long ago the driver was last alive, in seconds."""
        return max(0.0, (now_ns - self.seen_ns) / _NS_PER_S)


def write_run_state(config: PrepConfig, state: RunState) -> RunState:
    """Put a run on record, seen alive now; a later run of the same settings replaces it.

    Raises:
        StorageError: if there is no room or no permission.
    """
    seen = state.model_copy(update={"seen_ns": time.time_ns()})
    write_atomic(_path(config), canonical_json(seen.model_dump(mode="json")))
    return seen


def read_run_state(config: PrepConfig) -> RunState | None:
    """Return the last run under the settings of ``config``; None where none is on record.

    Raises:
        StorageError: if the place does not answer.
    """
    path = _path(config)
    try:
        with storage_faults(path):
            return RunState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _path(config: PrepConfig) -> Place:
    return config.parts_root / "state" / "runs" / f"{parts_settings(config)}.json"
