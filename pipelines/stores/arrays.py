"""The four arrays of a version, grown chunk by chunk: one chunk of rows is in memory at a time."""

from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import zarr

from pipelines.stores.assemble import TakeRows
from schemas.embedding import EmbeddingSpec
from schemas.manifest import ArraySpec
from schemas.modality import MODALITIES
from schemas.store import ROWS_PER_CHUNK

__all__ = ["VersionArrays", "array_layout"]

_FILL: Final = {"imu": float("nan"), "video": float("nan"), "text": float("nan"), "valid": False}


def array_layout(
    spec: ArraySpec, *, encoder: EmbeddingSpec | None
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype of each array and the shape of one row of it; without encoder two arrays."""
    embeddings: dict[str, tuple[str, tuple[int, ...]]] = {}
    if encoder is not None:
        embeddings["video"] = ("float16", (encoder.video_dim,))
        embeddings["text"] = ("float16", (encoder.text_dim,))
    return {
        "imu": ("float32", (len(spec.channels), spec.samples)),
        **embeddings,
        "valid": ("bool", (len(MODALITIES),)),
    }


class VersionArrays:
    """Writer of a new arrays group: Zarr v3, little-endian, uncompressed, every chunk written."""

    def __init__(self, path: Path, *, spec: ArraySpec, encoder: EmbeddingSpec | None) -> None:
        self._rows = 0
        self._filled = 0
        self._buffers: dict[str, Any] = {}
        self._arrays: dict[str, Any] = {}
        group = zarr.open_group(path, mode="w-", zarr_format=3)
        for name, (dtype, row) in array_layout(spec, encoder=encoder).items():
            self._arrays[name] = group.create_array(
                name,
                shape=(0, *row),
                chunks=(ROWS_PER_CHUNK, *row),
                dtype=np.dtype(dtype).newbyteorder("<"),
                compressors=None,
                filters=None,
                fill_value=_FILL[name],
                attributes=_attributes(spec) if name == "imu" else {},
                config={"write_empty_chunks": True},
            )
            self._buffers[name] = np.zeros((ROWS_PER_CHUNK, *row), dtype)

    def write(self, take: TakeRows) -> None:
        """Append the rows of one take."""
        low = 0
        while low < len(take):
            high = min(len(take), low + ROWS_PER_CHUNK - self._filled)
            here = slice(self._filled, self._filled + high - low)
            block = {
                "imu": take.imu_block(low, high),
                "video": take.video[low:high],
                "text": take.text[low:high],
                "valid": take.valid[low:high],
            }
            for name, buffer in self._buffers.items():
                buffer[here] = block[name]
            self._filled += high - low
            low = high
            if self._filled == ROWS_PER_CHUNK:
                self._flush()

    def _flush(self) -> None:
        if self._filled == 0:
            return
        rows = self._rows + self._filled
        for name, buffer in self._buffers.items():
            array = self._arrays[name]
            array.resize((rows, *buffer.shape[1:]))
            array[self._rows : rows] = buffer[: self._filled]
        self._rows, self._filled = rows, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()


def _attributes(spec: ArraySpec) -> dict[str, Any]:
    return {
        "channels": list(spec.channels),
        "units": list(spec.units),
        "rate_hz": spec.rate_hz,
        "length_ns": spec.length_ns,
    }
