"""Which recordings, how their metadata is read, and what each dataset sets by default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from pipelines.config.closed import Closed

__all__ = ["DATASET_DEFAULTS", "BodyPosition", "DatasetConfig", "DatasetName"]

DatasetName = Literal["egoexo4d", "ego4d", "realworld", "gopro", "folder"]
BodyPosition = Literal["chest", "forearm", "head", "shin", "thigh", "upperarm", "waist"]

DATASET_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Most of its videos have no IMU, which is no fault of theirs.
    "ego4d": {"max_quarantine": 1.0},
    # Inertial sensors alone: nothing to embed. Test subjects are our choice, as the paper names
    # none: "held-out users".
    "realworld": {
        "encoder": {"name": "none"},
        "segments": {"policy": "stride", "require": ["imu"]},
        "splits": {"test_participants": ["5", "10", "15"]},
    },
}
"""Dataset: its own defaults, by stage; what is given wins over them."""


class DatasetConfig(Closed):
    """Which recordings, and how their metadata is read."""

    name: DatasetName = Field(description="reader to use")
    root: Path = Field(
        description="dataset folder, or a URI such as s3://bucket/dataset, whose mirror on this "
        "machine it then is"
    )
    uri: str | None = Field(
        default=None, description="filled in where root is given as the URI of an object store"
    )
    limit: int | None = Field(default=None, ge=1, description="first takes only, by take uid")
    labels: Literal["paper", "published"] = Field(
        default="paper",
        description="paper: basketball has no label; published: it counts as soccer",
    )
    timesync_k0: Literal[0, 1] = Field(
        default=0, description="row offset where mp4 frames = end - start leaves it open"
    )
    positions: tuple[BodyPosition, ...] = Field(
        default=("head",), min_length=1, description="realworld: where the sensor was worn"
    )
    follow_links: bool = Field(
        default=False,
        description="read files that links inside the dataset's folder lead to outside of it, for "
        "folders that are made of links",
    )

    @property
    def source(self) -> str:
        """Where the recordings come from: folder or URI."""
        return str(self.root) if self.uri is None else self.uri
