"""Open a published version: its arrays, the segment table, and a mask over both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import zarr
from torch import Tensor

from primus_train.data.chunks import RawChunks, check_rows, find_raw_chunks, load_rows
from primus_train.data.loading import Load, Loading, choose_loading
from primus_train.data.mapped import MappedRows
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
    """One version; row i of ``table`` is index i of every array.

    Attributes:
        version: id of the version.
        mask: the mask's record, None where none was asked for.
        manifest: what the version is.
        imu: (N, C, T) float32.
        video: (N, Dv) float16, unit norm; zeros where ``valid`` is False; (N, 0) in a version of
            IMU alone.
        text: (N, Dt) float16, likewise. All three are tensors, or stay on disk and give tensors
            when indexed by rows, as ``loading`` says.
        valid: (N, 3) bool [imu, video, text]: real data present and not hidden by the mask.
        table: the segment table.
        loading: where the arrays are, and why there.
    """

    version: str
    mask: MaskRecord | None
    manifest: Manifest
    imu: Tensor | MappedRows
    video: Tensor | MappedRows
    text: Tensor | MappedRows
    valid: Tensor
    table: pa.Table
    loading: Loading

    def __len__(self) -> int:
        return int(self.valid.shape[0])

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of the segment table, shape (N,); strings as objects, null as None."""
        values: npt.NDArray[Any] = self.table[name].to_numpy(zero_copy_only=False)
        return values

    def rows(self, *, splits: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Return the rows of ``splits`` that hold an IMU window, ascending, shape (n,)."""
        # skip_nulls: a row without a split is in none of them.
        chosen = pc.is_in(self.table["split"], pa.array(splits, pa.string()), skip_nulls=True)
        inside: npt.NDArray[np.bool_] = chosen.to_numpy(zero_copy_only=False)
        return np.flatnonzero(inside & self.valid[:, 0].numpy())


def _open_array(group: zarr.Group, name: str, *, rows: int, place: str) -> zarr.Array[Any]:
    """Return an array once it is there and has one row a segment."""
    if name not in group:
        raise StoreDamagedError(f"array {name} must exist, none found [{place}]")
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise StoreDamagedError(f"array {name} must be an array, got a group [{place}]")
    if array.shape[0] != rows:
        raise StoreDamagedError(
            f"array {name} must have {rows} rows, one a segment, got {array.shape[0]} [{place}]"
        )
    return array


def _decode_array(array: zarr.Array[Any], name: str, *, place: str) -> npt.NDArray[Any]:
    """Return an array that zarr must decode, a chunk of rows at a time; a NaN is damage."""
    out = np.empty(array.shape, dtype=array.dtype.newbyteorder("="))
    for start in range(0, array.shape[0], ROWS_PER_CHUNK):
        block = out[start : start + ROWS_PER_CHUNK]
        block[...] = array[start : start + ROWS_PER_CHUNK]
        if out.dtype.kind == "f" and not np.isfinite(block).all():
            raise StoreDamagedError(
                f"array {name} must be finite, got NaN or infinity in rows {start} to "
                f"{start + len(block) - 1} [{place}]"
            )
    return out


def _outside(prefix: str) -> Callable[[str], bool]:
    return lambda path: not path.startswith(prefix)


def _read_arrays(
    arrays: dict[str, zarr.Array[Any]],
    *,
    folder: Path,
    manifest: Manifest,
    verify: bool,
    load: Load,
) -> tuple[dict[str, Tensor | MappedRows], Loading]:
    """Return the arrays, each byte of them read and checked once, and where they are now."""
    raw = {n: find_raw_chunks(array, name=n, version=folder) for n, array in arrays.items()}
    decoded = [name for name, chunks in raw.items() if chunks is None]
    total = sum(int(array.nbytes) for array in arrays.values())
    loading = choose_loading(load, array_bytes=total, decoded=decoded, version=folder.name)
    digests = {entry.path: entry.sha256 for entry in manifest.objects} if verify else None
    found: dict[str, Tensor | MappedRows] = {}
    for name, array in arrays.items():
        chunks: RawChunks | None = raw[name]
        if chunks is None:
            if verify:
                verify_objects(folder, manifest, leave=_outside(f"{ARRAYS}/{name}/c/"))
            values = _decode_array(array, name, place=f"version={folder.name}")
            found[name] = torch.from_numpy(values)
        elif loading.mode == "mapped" and name != "valid":
            check_rows(chunks, digests=digests)
            found[name] = MappedRows(chunks)
        else:
            found[name] = torch.from_numpy(load_rows(chunks, digests=digests))
    return found, loading


def _read_mask(
    root: Path, version: str, name: str, ids: pa.ChunkedArray
) -> tuple[MaskRecord, npt.NDArray[np.bool_]]:
    record = read_mask_record(root, version, name)
    table_path = root / mask_path(version, name, "parquet")
    if record.version != version or file_sha256(table_path) != record.sha256:
        raise StoreDamagedError(
            f"mask must match the digest and version {version} in its record [file={table_path}]"
        )
    table = pq.read_table(table_path, columns=MASK_SCHEMA.names)
    found = pc.index_in(ids, value_set=table["segment_id"])
    missing = found.null_count
    if missing:
        raise StoreDamagedError(
            f"mask must name every segment of its version, {missing} are missing "
            f"[file={table_path}]"
        )
    keep = np.stack(
        [table[c].to_numpy(zero_copy_only=False).astype(np.bool_) for c in MASK_SCHEMA.names[1:]],
        axis=1,
    )
    order: npt.NDArray[np.int32] = found.to_numpy()
    return record, keep[order]


def open_store(
    ref: str, *, mask: str | None = None, verify: bool = True, load: Load = "auto"
) -> StoreData:
    """Open ``URI[@REF]``; each byte of its arrays is read once and checked.

    Args:
        ref: folder or file:// URI, and after the last ``@`` a version id or a tag; without one,
            the tag ``latest``.
        mask: name of a mask of that version; the effective mask is valid AND keep.
        verify: also compare every object with the size and SHA-256 in the manifest.
        load: ``memory`` loads the arrays (a million embeddings are 1 GB a modality), ``mapped``
            leaves them on disk, ``auto`` chooses by their size and the memory available. Rows are
            the same to the bit.

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
        # Chunk files are hashed while they are loaded.
        chunk_files = tuple(f"{ARRAYS}/{name}/c/" for name in ARRAY_NAMES)
        verify_objects(folder, manifest, leave=lambda path: path.startswith(chunk_files))
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
    opened = {
        name: _open_array(group, name, rows=table.num_rows, place=place)
        for name in (("imu", "valid") if manifest.encoder is None else ARRAY_NAMES)
    }
    arrays, loading = _read_arrays(
        opened, folder=folder, manifest=manifest, verify=verify, load=load
    )
    nothing = torch.zeros((table.num_rows, 0), dtype=torch.float16)
    shown = arrays["valid"]
    valid = shown[:].numpy()
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
        record, keep = _read_mask(root, version, mask, table["segment_id"])
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
        loading=loading,
    )
