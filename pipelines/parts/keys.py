"""What decides a part's bytes, and the key made from it."""

import posixpath
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.config import ImuConfig, PrepConfig, VideoConfig
from pipelines.datasets.mirror import ensure_file
from pipelines.storage.files import file_sha256
from schemas.embedding import EmbeddingSpec
from schemas.errors import TakeError
from schemas.manifest import SourceEntry
from schemas.store import canonical_json, sha256_hex
from schemas.take import Take

__all__ = [
    "FRAMES_PART_VERSION",
    "IMU_PART_VERSION",
    "PART_VERSIONS",
    "RAW_IMU_PART_VERSION",
    "TEXT_PART_VERSION",
    "find_file",
    "fingerprinted_bytes",
    "frames_key",
    "imu_key",
    "raw_imu_key",
    "read_source",
    "take_path",
    "text_key",
]

# Raised by hand when a part's output changes; golden-output tests tell when that is.
IMU_PART_VERSION: Final = 2
RAW_IMU_PART_VERSION: Final = 1
FRAMES_PART_VERSION: Final = 2
TEXT_PART_VERSION: Final = 1
PART_VERSIONS: Final = {
    "imu": IMU_PART_VERSION,
    "raw_imu": RAW_IMU_PART_VERSION,
    "frames": FRAMES_PART_VERSION,
    "text": TEXT_PART_VERSION,
}

_WHOLE_BYTES: Final = 64 << 20
_BLOCKS: Final = 16
_BLOCK_BYTES: Final = 1 << 20


def take_path(root: Path, relative: str, *, follow_links: bool = False) -> Path:
    """Return the file that ``relative`` names under ``root``, for reading.

    Under the mirror of a dataset in an object store it is fetched if it is not there yet.

    Args:
        root: dataset folder.
        relative: path that data name, of which nothing is believed.
        follow_links: as of :func:`find_file`.

    Raises:
        TakeError: ``path_escapes_root`` or ``file_missing``.
        StorageError: if it cannot be fetched.
    """
    path = find_file(root, relative, follow_links=follow_links)
    ensure_file(root, path)
    return path


def find_file(root: Path, relative: str, *, follow_links: bool = False) -> Path:
    """Return where the file that ``relative`` names lies under ``root``; it may not be read yet.

    Args:
        root: dataset folder.
        relative: path that data name, of which nothing is believed.
        follow_links: links may lead out of the folder; names with ``..`` still may not.

    Raises:
        TakeError: ``path_escapes_root`` or ``file_missing``.
    """
    inside = not follow_links or _stays_inside(relative)
    try:
        path = (root / relative).resolve()
        there = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        # Too long, a NUL inside, links in a circle: no file can have such a name.
        shown = ascii(relative[:80])
        raise TakeError("file_missing", f"path must name a file, got {shown}") from error
    if not (inside and (follow_links or path.is_relative_to(root.resolve()))):
        raise TakeError("path_escapes_root", f"path must stay inside the dataset, got {relative}")
    if not there:
        raise TakeError("file_missing", f"file must exist, got {relative}")
    return path


def _stays_inside(relative: str) -> bool:
    normal = posixpath.normpath(relative)
    return not posixpath.isabs(normal) and normal.split("/")[0] != ".."


def read_source(
    root: Path, take_uid: str, relative: str, *, follow_links: bool = False
) -> SourceEntry:
    """Return size and fingerprint of a source file; never its modification time."""
    path = take_path(root, relative, follow_links=follow_links)
    size = path.stat().st_size
    if size <= _WHOLE_BYTES:
        fingerprint = file_sha256(path)
    else:
        digest = sha256()
        with path.open("rb") as file:
            for i in range(_BLOCKS):
                file.seek((size - _BLOCK_BYTES) * i // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
        fingerprint = digest.hexdigest()
    return SourceEntry(take_uid=take_uid, path=relative, size=size, fingerprint=fingerprint)


def fingerprinted_bytes(size: int) -> int:
    """Return how many bytes ``read_source`` reads of a file of ``size`` bytes."""
    return size if size <= _WHOLE_BYTES else _BLOCKS * _BLOCK_BYTES


def _key(kind: str, sources: Sequence[SourceEntry], fields: Mapping[str, Any]) -> str:
    identity = {
        "kind": kind,
        "version": PART_VERSIONS[kind],
        "sources": [[s.size, s.fingerprint] for s in sources],
        **fields,
    }
    return sha256_hex(canonical_json(identity))


def _clock_fields(config: PrepConfig, take: Take) -> dict[str, Any]:
    # The reader's extras hold the row numbers that tie the clock file to this take.
    return {
        "dataset": take.dataset,
        "extras": dict(take.extras),
        "timesync_k0": config.dataset.timesync_k0,
    }


def _encoder_fields(encoder: EmbeddingSpec) -> dict[str, Any]:
    # Frames are pooled when a version is published: the parts hold them one by one.
    return encoder.model_dump(mode="json", exclude={"pooling", "pooling_sha256"})


def imu_key(sources: Sequence[SourceEntry], *, config: PrepConfig, take: Take) -> str:
    """Return the key of a take's imu part; ``sources`` are its IMU, clock and video files."""
    imu: ImuConfig = config.imu
    # Windows resampled one by one come from the raw imu part; this one is the same either way.
    fields = imu.model_dump(mode="json", exclude={"block_s", "resampling"})
    return _key("imu", sources, {**_clock_fields(config, take), "imu": fields})


def raw_imu_key(sources: Sequence[SourceEntry], *, config: PrepConfig, take: Take) -> str:
    """Return the key of a take's raw imu part; ``sources`` are its IMU, clock and video files."""
    fields = config.imu.model_dump(
        mode="json", include={"stream", "accept_sensor_frame", "alignment"}
    )
    return _key("raw_imu", sources, {**_clock_fields(config, take), "imu": fields})


def frames_key(
    sources: Sequence[SourceEntry],
    *,
    config: PrepConfig,
    take: Take,
    encoder: EmbeddingSpec,
    grid: npt.NDArray[np.int64] | None = None,
) -> str:
    """Return the key of a take's frames part.

    Args:
        sources: its video files, in order.
        config: of the run.
        take: as the catalogue has it.
        encoder: of the run.
        grid: (G,) int64, the grid times covered under ``coverage: needed``; None for the whole
            take, whose part does not depend on segments.

    Raises:
        ValueError: if ``grid`` is given where the whole take is covered, or missing where not.
    """
    if (grid is None) != (config.video.coverage == "all"):
        raise ValueError(f"coverage {config.video.coverage} must go with its grid times alone")
    video: VideoConfig = config.video
    variant = take.video.variant if take.video is not None else None
    fields = {
        "video": {**video.model_dump(mode="json"), "variant": variant},
        "encoder": _encoder_fields(encoder),
        "motion": config.audit.enabled,
    }
    if grid is not None:
        fields["grid"] = sha256_hex(grid.astype("<i8").tobytes())
    return _key("frames", sources, fields)


def text_key(text_sha256s: Sequence[str], *, encoder: EmbeddingSpec) -> str:
    """Return the key of a take's text part: its sorted unique sentences and the encoder."""
    fields = {"texts": sorted(text_sha256s), "encoder": _encoder_fields(encoder)}
    return _key("text", [], fields)
