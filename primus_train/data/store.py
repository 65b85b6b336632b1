"""Open a published version: arrays to memory, the segment table, and a mask over both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import zarr
from torch import Tensor

from primus_train.data.version import (
    local_root,
    read_manifest,
    read_mask_record,
    resolve_version,
    verify_objects,
)
from primus_train.files import file_sha256
from schemas.errors import StoreDamagedError
from schemas.manifest import Manifest
from schemas.mask import MASK_SCHEMA, MaskRecord
from schemas.segment import SEGMENT_FIRST_COLUMNS
from schemas.store import (
    ARRAY_NAMES,
    ARRAYS,
    ROWS_PER_CHUNK,
    SEGMENTS,
    mask_path,
    parse_store_ref,
    version_path,
)

__all__ = ["StoreData", "open_store"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoreData:
    """One version in memory; row i of ``table`` is index i of every tensor.

    Attributes:
        version: id of the version.
        mask: the mask's record, None where none was asked for.
        manifest: what the version is.
        imu: (N, C, T) float32.
        video: (N, Dv) float16, unit norm; zeros where ``valid`` is False; (N, 0) in a version of
            IMU alone.
        text: (N, Dt) float16, likewise.
        valid: (N, 3) bool [imu, video, text]: real data present and not hidden by the mask.
        table: the segment table.
    """

    version: str
    mask: MaskRecord | None
    manifest: Manifest
    imu: Tensor
    video: Tensor
    text: Tensor
    valid: Tensor
    table: pa.Table

    def __len__(self) -> int:
        return int(self.valid.shape[0])

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of the segment table, shape (N,); strings as objects, null as None."""
        values: npt.NDArray[Any] = self.table[name].to_numpy(zero_copy_only=False)
        return values

    def rows(self, *, splits: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Return the rows of ``splits`` that hold an IMU window, ascending, shape (n,)."""
        inside = np.isin(self.column("split").astype("U"), np.array(splits, dtype="U"))
        return np.flatnonzero(inside & self.valid[:, 0].numpy())


def _read_array(group: zarr.Group, name: str, *, rows: int, place: str) -> Tensor:
    """Return one array as a tensor, read a chunk of rows at a time; a NaN is damage."""
    if name not in group:
        raise StoreDamagedError(f"array {name} must exist, none found [{place}]")
    array = group[name]
    if array.shape[0] != rows:
        raise StoreDamagedError(
            f"array {name} must have {rows} rows, one a segment, got {array.shape[0]} [{place}]"
        )
    out = np.empty(array.shape, dtype=array.dtype.newbyteorder("="))
    for start in range(0, rows, ROWS_PER_CHUNK):
        block = out[start : start + ROWS_PER_CHUNK]
        block[...] = array[start : start + ROWS_PER_CHUNK]
        if out.dtype.kind == "f" and not np.isfinite(block).all():
            raise StoreDamagedError(
                f"array {name} must be finite, got NaN or infinity in rows {start} to "
                f"{start + len(block) - 1} [{place}]"
            )
    return torch.from_numpy(out)


def _read_mask(
    root: Path, version: str, name: str, ids: npt.NDArray[Any]
) -> tuple[MaskRecord, npt.NDArray[np.bool_]]:
    record = read_mask_record(root, version, name)
    table_path = root / mask_path(version, name, "parquet")
    if record.version != version or file_sha256(table_path) != record.sha256:
        raise StoreDamagedError(
            f"mask must match the digest and version {version} in its record [file={table_path}]"
        )
    table = pq.read_table(table_path, columns=MASK_SCHEMA.names)
    place = {segment: i for i, segment in enumerate(table["segment_id"].to_pylist())}
    missing = sum(segment not in place for segment in ids)
    if missing:
        raise StoreDamagedError(
            f"mask must name every segment of its version, {missing} are missing "
            f"[file={table_path}]"
        )
    keep = np.stack(
        [table[c].to_numpy(zero_copy_only=False).astype(np.bool_) for c in MASK_SCHEMA.names[1:]],
        axis=1,
    )
    order = np.array([place[segment] for segment in ids], dtype=np.int64)
    return record, keep[order]


def open_store(ref: str, *, mask: str | None = None, verify: bool = True) -> StoreData:
    """Open ``URI[@REF]`` and load it whole (a million embeddings are 1 GB a modality).

    Args:
        ref: folder or file:// URI, and after the last ``@`` a version id or a tag; without one,
            the tag ``latest``.
        mask: name of a mask of that version; the effective mask is valid AND keep.
        verify: also compare every object with the size and SHA-256 in the manifest.

    Raises:
        StoreNotFoundError: the store, version, tag or mask does not exist.
        NewerFormatError: the version was made by a newer format.
        StoreDamagedError: an object is missing or is not what the manifest says.
        UsageError: ``ref`` has no such form, or names a scheme other than file.
    """
    parsed = parse_store_ref(ref)
    root = local_root(parsed.uri)
    version = resolve_version(root, parsed.ref)
    manifest = read_manifest(root, version)
    folder = root / version_path(version)
    if verify:
        verify_objects(folder, manifest)
    try:
        table = pq.read_table(folder / SEGMENTS)
        group = zarr.open_group(str(folder / ARRAYS), mode="r")
    except FileNotFoundError as error:
        raise StoreDamagedError(f"version must hold {SEGMENTS} and {ARRAYS}: {error}") from error
    absent = [name for name in SEGMENT_FIRST_COLUMNS if name not in table.column_names]
    if absent:
        raise StoreDamagedError(
            f"{SEGMENTS} must have the columns {', '.join(absent)} [version={version}]"
        )
    place = f"version={version}"
    arrays = {
        name: _read_array(group, name, rows=table.num_rows, place=place)
        for name in (("imu", "valid") if manifest.encoder is None else ARRAY_NAMES)
    }
    nothing = torch.zeros((table.num_rows, 0), dtype=torch.float16)
    valid = arrays["valid"].numpy()
    has = np.stack(
        [
            table[c].to_numpy(zero_copy_only=False).astype(np.bool_)
            for c in ("has_imu", "has_video", "has_text")
        ],
        axis=1,
    )
    if valid.shape != has.shape or not np.array_equal(valid, has):
        raise StoreDamagedError(f"array valid must equal the has_* columns [{place}]")
    record = None
    if mask is not None:
        ids = table["segment_id"].to_numpy(zero_copy_only=False)
        record, keep = _read_mask(root, version, mask, ids)
        valid = valid & keep
    return StoreData(
        version=version,
        mask=record,
        manifest=manifest,
        imu=arrays["imu"],
        video=arrays.get("video", nothing),
        text=arrays.get("text", nothing),
        valid=torch.from_numpy(valid),
        table=table,
    )
