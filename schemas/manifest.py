"""What a version is (manifest) and how it came to be (run record)."""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from schemas.embedding import EmbeddingSpec
from schemas.profile import RunProfile
from schemas.store import FORMAT_VERSION, is_inside

__all__ = [
    "QUARANTINE_SCHEMA",
    "ArraySpec",
    "Counts",
    "Drop",
    "Manifest",
    "ObjectEntry",
    "RunRecord",
    "SourceEntry",
]


@dataclass(frozen=True, slots=True)
class Drop:
    """A segment that will not be stored, and why: a short snake_case reason."""

    reason: str


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectEntry(_Closed):
    """One file of a version."""

    path: str = Field(description="relative to the version's folder")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(description="of the whole file, hex")

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        # Readers join it to a folder, and copies are written where it says.
        if not is_inside(value):
            raise ValueError(f"path must name a file below the version's folder, got {value!r}")
        return value


class SourceEntry(_Closed):
    """One file a version was made from."""

    take_uid: str
    path: str = Field(description="relative to the dataset root")
    size: int = Field(ge=0, description="bytes")
    fingerprint: str = Field(
        description="SHA-256 of the whole file up to 64 MiB, of 16 spaced 1 MiB blocks above, hex"
    )


class ArraySpec(_Closed):
    """Shape of the imu array's windows."""

    channels: tuple[str, ...]
    units: tuple[str, ...]
    samples: int = Field(gt=0, description="T: samples a window")
    rate_hz: str = Field(description="a fraction, such as 50 or 30000/1001")
    length_ns: int = Field(gt=0, description="length of a window")


class Counts(_Closed):
    """Segments: planned = stored + dropped + quarantined."""

    planned: int = Field(ge=0)
    stored: int = Field(ge=0)
    dropped: dict[str, int] = Field(default_factory=dict, description="reason: segments")
    quarantined: dict[str, int] = Field(default_factory=dict, description="reason: segments")
    quarantined_takes: dict[str, int] = Field(default_factory=dict, description="reason: takes")
    ignored: dict[str, int] = Field(default_factory=dict, description="reason: annotations")
    takes: int = Field(ge=0, description="takes with at least one stored segment")
    splits: dict[str, int] = Field(default_factory=dict, description="split: segments")
    labels: dict[str, int] = Field(default_factory=dict, description="label: segments")
    shared_participants: int = Field(
        default=0, ge=0, description="participants in more than one split"
    )
    shared_names: tuple[str, ...] = Field(
        default=(), description="those participants, each with its splits; official splits only"
    )
    split_participants: dict[str, int] = Field(
        default_factory=dict, description="split: participants"
    )
    long_sentences: int = Field(
        default=0, ge=0, description="segments whose sentence the encoder had to cut"
    )


class Manifest(_Closed):
    """Identity of a version and nothing else: equal manifests mean equal bytes."""

    format_version: int = FORMAT_VERSION
    dataset: str
    config: dict[str, Any] = Field(
        description="resolved config without paths, URIs, executor and workers"
    )
    sources: tuple[SourceEntry, ...]
    encoder: EmbeddingSpec | None = Field(
        description="None where no picture and no sentence was embedded: no video or text array"
    )
    part_versions: dict[str, int]
    imu: ArraySpec
    counts: Counts
    quality: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="quality column: count, mean, p05, p50, p95, max over the stored segments",
    )
    objects: tuple[ObjectEntry, ...]


class RunRecord(_Closed):
    """Everything about the making of a version that is not its identity."""

    version: str
    made_at: str = Field(description="UTC, ISO 8601")
    seconds: dict[str, float] = Field(description="wall seconds by stage")
    executor: str
    workers: int
    computed_takes: int
    reused_takes: int
    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None = Field(description="git commit of the code, where it can be told")
    dirty: bool | None = Field(
        default=None, description="whether the code's tracked files differed from that commit"
    )
    container_digest: str | None = None
    host: str | None = Field(default=None, description="name of the driver's machine")
    etags: dict[str, str] = Field(
        default_factory=dict,
        description="source path: entity tag, of sources read from an object store",
    )
    parts: dict[str, dict[str, str]] = Field(description="take_uid: {kind: part key}")
    parts_uri: str
    dataset_root: str
    store_uri: str
    manifest_sha256: str = Field(description="of the manifest file's bytes")
    profile: RunProfile | None = Field(
        default=None, description="limits measured beside the stages; absent where none were"
    )
    sha256: str = Field(default="", description="of this record's canonical JSON without sha256")

    @model_serializer(mode="wrap")
    def _without_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Records made before there were these fields keep their digests.
        record: dict[str, Any] = handler(self)
        for name in ("dirty", "host", "etags", "profile"):
            if name in record and record[name] in (None, {}):
                del record[name]
        return record


QUARANTINE_SCHEMA: Final = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("take_uid", pa.string(), nullable=False),
        pa.field("take_name", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("segments", pa.int64(), nullable=False),  # 0 where no plan could be computed
    ]
)
