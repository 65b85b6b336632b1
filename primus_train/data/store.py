"""Open a published version: its arrays, the segment table, and a mask over both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import zarr
from torch import Tensor

from primus_train.data.chunks import RawChunks, check_rows, find_raw_chunks, load_rows
from primus_train.data.fetch import (
    OnFetch,
    cached_store,
    fetch_mask,
    fetch_version,
    is_fetched,
)
from primus_train.data.loading import Load, Loading, choose_loading
from primus_train.data.mapped import MappedRows
from primus_train.data.places import Place, open_root
from primus_train.data.version import (
    read_manifest,
    read_mask_record,
    resolve_version,
    verify_objects,
)
from primus_train.files import file_sha256
from schemas.errors import StoreDamagedError, StoreNotFoundError
from schemas.limits import LARGEST_ARRAY_RATIO
from schemas.manifest import Manifest
from schemas.mask import MASK_SCHEMA, MaskRecord
from schemas.modality import MODALITIES
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

_SMALL_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoreData:
    """One version; row i of ``table`` is index i of every array.

    Attributes:
        root: folder of the store on this machine: its own, or the cache's for a remote one.
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

    root: Path
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


def _row_shapes(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Return the shape of a row of each array, as the manifest has it."""
    shapes: dict[str, tuple[int, ...]] = {
        "imu": (len(manifest.imu.channels), manifest.imu.samples),
        "valid": (len(MODALITIES),),
    }
    if manifest.encoder is not None:
        shapes["video"] = (manifest.encoder.video_dim,)
        shapes["text"] = (manifest.encoder.text_dim,)
    return shapes


def _open_array(
    group: zarr.Group, name: str, *, shape: tuple[int, ...], manifest: Manifest, place: str
) -> zarr.Array[Any]:
    """Return an array once it is there, of the shape it must have, and no larger than its files."""
    if name not in group:
        raise StoreDamagedError(f"array {name} must exist, none found [{place}]")
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise StoreDamagedError(f"array {name} must be an array, got a group [{place}]")
    if array.shape[:1] != shape[:1]:
        raise StoreDamagedError(
            f"array {name} must have {shape[0]} rows, one a segment, got "
            f"{array.shape[0] if array.shape else 'none'} [{place}]"
        )
    if array.shape != shape:
        raise StoreDamagedError(
            f"array {name} must have shape {shape} as its manifest says, got {array.shape} "
            f"[{place}]"
        )
    # Before any memory is asked for: a line of JSON can claim petabytes.
    stored = sum(e.size for e in manifest.objects if e.path.startswith(f"{ARRAYS}/{name}/"))
    chunk_bytes = int(np.prod(array.chunks, dtype=object)) * array.dtype.itemsize
    if max(int(array.nbytes), chunk_bytes) > max(_SMALL_BYTES, LARGEST_ARRAY_RATIO * stored):
        raise StoreDamagedError(
            f"array {name} must be in its files, got {array.nbytes} bytes in chunks of "
            f"{chunk_bytes} out of files of {stored} [{place}]"
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
    root: Place, version: str, name: str, ids: pa.ChunkedArray
) -> tuple[MaskRecord, npt.NDArray[np.bool_]]:
    """Return a mask's record, and what it keeps in the order of ``ids``, shape (N, 3)."""
    record = read_mask_record(root, version, name)
    if isinstance(root, Path):
        table_path = root / mask_path(version, name, "parquet")
        if not table_path.is_file():
            raise StoreNotFoundError(f"mask must have a table, none found [file={table_path}]")
    else:
        table_path = fetch_mask(root, record)
    if file_sha256(table_path) != record.sha256:
        raise StoreDamagedError(f"mask must match the digest in its record [file={table_path}]")
    try:
        table = pq.read_table(table_path, columns=MASK_SCHEMA.names).cast(MASK_SCHEMA)
    # Its bytes were read a moment ago: what Arrow calls an OSError is said of what they hold.
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise StoreDamagedError(
            f"mask must have the columns {', '.join(MASK_SCHEMA.names)} [file={table_path}]"
        ) from error
    found = pc.index_in(ids, value_set=table["segment_id"])
    missing = found.null_count
    if missing or table.num_rows != len(ids):
        raise StoreDamagedError(
            f"mask must name every segment of its version once, {missing} of {len(ids)} are "
            f"missing among its {table.num_rows} [file={table_path}]"
        )
    keep = np.stack([table[c].to_numpy() for c in MASK_SCHEMA.names[1:]], axis=1)
    if not keep[:, 0].all():
        raise StoreDamagedError(f"mask must keep the IMU of every segment [file={table_path}]")
    order: npt.NDArray[np.int32] = found.to_numpy()
    return record, keep[order]


def open_store(
    ref: str,
    *,
    mask: str | None = None,
    verify: bool = True,
    load: Load = "auto",
    on_fetch: OnFetch | None = None,
) -> StoreData:
    """Open ``URI[@REF]``; each byte of its arrays is read once and checked.

    A version of a remote store is fetched into the cache (`primus_train.data.fetch`) once, and read
    from there ever after.

    Args:
        ref: folder or URI (``file://``, ``s3://`` and whatever else fsspec knows), and after the
            last ``@`` a version id or a tag; without one, the tag ``latest``.
        mask: name of a mask of that version; the effective mask is valid AND keep.
        verify: also compare every object with the size and SHA-256 in the manifest.
        load: ``memory`` loads the arrays (a million embeddings are 1 GB a modality), ``mapped``
            leaves them on disk, ``auto`` chooses by their size and the memory available. Rows are
            the same to the bit.
        on_fetch: told how many bytes of a remote version are fetched, and of how many.

    Raises:
        StoreNotFoundError: the store, version, tag or mask does not exist.
        NewerFormatError: the version was made by a newer format.
        StoreDamagedError: an object is missing or is not what the manifest says.
        StorageError: a remote store does not answer, or the cache has no room.
        UsageError: ``ref`` has no such form, or names a scheme that is unknown or not installed.
    """
    parsed = parse_store_ref(ref)
    place = open_root(parsed.uri)
    if isinstance(place, Path):
        version = resolve_version(place, parsed.ref)
        return _open_version(place, version, masks=place, mask=mask, verify=verify, load=load)
    here = cached_store()
    version = resolve_version(place, parsed.ref)

    def fetch(*, recheck: bool) -> None:
        manifest = read_manifest(here if is_fetched(version) and not recheck else place, version)
        fetch_version(place, version, manifest=manifest, recheck=recheck, on_fetch=on_fetch)

    def opened() -> StoreData:
        return _open_version(here, version, masks=place, mask=mask, verify=verify, load=load)

    try:
        fetch(recheck=False)
        return opened()
    except StoreDamagedError:
        if not is_fetched(version):
            raise
    # The copy here was altered since it was fetched: what is wrong in it is fetched again.
    fetch(recheck=True)
    return opened()


def _open_version(
    root: Path, version: str, *, masks: Place, mask: str | None, verify: bool, load: Load
) -> StoreData:
    """Open a version of a store on this machine, under a mask that lies in ``masks``."""
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
        name: _open_array(group, name, shape=(table.num_rows, *row), manifest=manifest, place=place)
        for name, row in _row_shapes(manifest).items()
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
        record, keep = _read_mask(masks, version, mask, table["segment_id"])
        valid = valid & keep
    return StoreData(
        root=root,
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
