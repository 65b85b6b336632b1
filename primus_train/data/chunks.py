"""Arrays whose chunk files are the values themselves: read into one array at the disk's speed.

Versions store arrays uncompressed, little-endian, whole rows to a chunk, so a chunk file needs no
decoding: its bytes go straight to their place, are looked at for NaN and hashed while they are
still in the processor's cache, and several files are read at once (reading, hashing and NumPy's
reductions all let go of the interpreter's lock).
"""

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr

from primus_train.cores import usable_cores
from schemas.errors import StoreDamagedError
from schemas.store import ARRAYS

__all__ = ["RawChunks", "check_rows", "find_raw_chunks", "load_rows"]

_BLOCK: Final = 2 << 20
"""Bytes read, looked at and hashed at a time: few calls, and they fit a core's cache."""

_MOST_THREADS: Final = 16

_ABOVE_FINITE: Final[dict[str, tuple[int, int]]] = {
    "float16": (0x7C00, 0xFC00),
    "float32": (0x7F800000, 0xFF800000),
}
"""Bit patterns of +infinity and -infinity: those of NaN lie above them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawChunks:
    """Where an array's values lie.

    Attributes:
        version: the version's folder, which the manifest's paths start from.
        name: of the array.
        files: folder of the chunk files, ``c``.
        shape: (N, ...) of the array.
        dtype: of its values, in this machine's byte order.
        rows: rows a chunk; the last chunk is filled up.
    """

    version: Path
    name: str
    files: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.shape[0] // self.rows)

    @property
    def chunk_bytes(self) -> int:
        """Size of every chunk file."""
        return self.rows * int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def path(self, chunk: int) -> Path:
        """Return the file of a chunk."""
        return self.files.joinpath(str(chunk), *("0" for _ in self.shape[1:]))


def find_raw_chunks(array: zarr.Array[Any], *, name: str, version: Path) -> RawChunks | None:
    """Return how to read an array's chunk files as they are, None where zarr must decode them.

    Args:
        array: opened for its metadata.
        name: of the array in the version's group.
        version: the version's folder.
    """
    meta: dict[str, Any] = array.metadata.to_dict()
    dtype = np.dtype(array.dtype)
    shape = tuple(int(n) for n in array.shape)
    codecs = [
        (c.get("name"), c.get("configuration", {}).get("endian")) for c in meta.get("codecs", ())
    ]
    ends = {"little"} if dtype.itemsize > 1 else {"little", None}
    grid = meta.get("chunk_grid", {})
    chunk = tuple(grid.get("configuration", {}).get("chunk_shape", ()))
    keys = meta.get("chunk_key_encoding", {})
    if not (
        sys.byteorder == "little"
        and meta.get("zarr_format") == 3
        and not meta.get("storage_transformers")
        and codecs in [[("bytes", end)] for end in ends]
        and grid.get("name") == "regular"
        and len(chunk) == len(shape) >= 1
        and chunk[0] >= 1
        and chunk[1:] == shape[1:]
        and keys.get("name") == "default"
        and keys.get("configuration", {}).get("separator", "/") == "/"
        and dtype.kind in "fbiu"
    ):
        return None
    return RawChunks(
        version=version,
        name=name,
        files=version / ARRAYS / name / "c",
        shape=shape,
        dtype=dtype.newbyteorder("="),
        rows=int(chunk[0]),
    )


def _is_finite(values: memoryview, dtype: np.dtype[Any]) -> bool:
    """Whether no value is NaN or infinite; two integer maxima, without any temporary array.

    Read as signed integers the largest of the positive values stands out, as unsigned integers the
    largest of the negative ones; half-precision ``isfinite`` alone would take twenty times longer.
    """
    limits = _ABOVE_FINITE.get(dtype.name)
    if len(values) == 0 or dtype.kind != "f":
        return True
    if limits is None:
        return bool(np.isfinite(np.frombuffer(values, dtype)).all())
    unsigned = np.frombuffer(values, f"u{dtype.itemsize}")
    signed = unsigned.view(f"i{dtype.itemsize}")
    return bool(signed.max() < limits[0] and unsigned.max() < limits[1])


def _read_chunk(
    raw: RawChunks,
    chunk: int,
    *,
    into: npt.NDArray[Any] | None,
    digests: Mapping[str, str] | None,
) -> None:
    """Read one chunk file's rows to ``into``, or only through a buffer; check all that is read.

    Args:
        raw: where the array lies.
        chunk: its number.
        into: the whole array; None reads and checks without keeping.
        digests: path in the version: SHA-256 in hex; None does not hash.
    """
    path = raw.path(chunk)
    place = path.relative_to(raw.version).as_posix()
    if digests is not None and place not in digests:
        raise StoreDamagedError(f"object must be named in the manifest [file={path}]")
    start, stop = chunk * raw.rows, min((chunk + 1) * raw.rows, raw.shape[0])
    row_bytes = raw.chunk_bytes // raw.rows
    wanted = (stop - start) * row_bytes
    digest = None if digests is None else sha256()
    target = None if into is None else into[start:stop].reshape(-1).view(np.uint8).data
    buffer = memoryview(bytearray(_BLOCK if target is None or digest is not None else 0))
    finite = True
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != raw.chunk_bytes:
                raise StoreDamagedError(
                    f"object must have {raw.chunk_bytes} bytes, got {size} [file={path}]"
                )
            # Of the last chunk's fill only the digest needs to know.
            end = wanted if digest is None else size
            done = 0
            while done < end:
                inside = done < wanted
                limit = min(done + _BLOCK, wanted if inside else end)
                block = buffer[: limit - done]
                if target is not None and inside:
                    block = target[done:limit]
                _fill(file, block, path=path)
                if inside:
                    finite = _is_finite(block, raw.dtype) and finite
                if digest is not None:
                    digest.update(block)
                done = limit
    except FileNotFoundError as error:
        raise StoreDamagedError(f"object must exist, none found [file={path}]") from error
    if digest is not None and digests is not None and digest.hexdigest() != digests[place]:
        raise StoreDamagedError(
            f"object must have SHA-256 {digests[place]}, got {digest.hexdigest()} [file={path}]"
        )
    if not finite:
        raise StoreDamagedError(
            f"array {raw.name} must be finite, got NaN or infinity in rows {start} to {stop - 1} "
            f"[version={raw.version.name}]"
        )


def _fill(file: Any, block: memoryview, *, path: Path) -> None:  # noqa: ANN401 - a raw file
    got = 0
    while got < len(block):  # one call may give less than was asked for
        count = file.readinto(block[got:])
        if not count:
            raise StoreDamagedError(f"object must not shrink while it is read [file={path}]")
        got += count


def _for_all(
    raw: RawChunks, *, into: npt.NDArray[Any] | None, digests: Mapping[str, str] | None
) -> None:
    # At least two: while one file's bytes are looked at, another's are on their way.
    threads = max(1, min(raw.count, max(2, usable_cores()), _MOST_THREADS))
    with ThreadPoolExecutor(threads, thread_name_prefix="chunks") as pool:
        jobs = [
            pool.submit(_read_chunk, raw, chunk, into=into, digests=digests)
            for chunk in range(raw.count)
        ]
        try:
            for job in jobs:
                job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def load_rows(raw: RawChunks, *, digests: Mapping[str, str] | None = None) -> npt.NDArray[Any]:
    """Return a whole array, every value of it finite.

    Args:
        raw: where it lies.
        digests: path in the version: SHA-256 of the file in hex, compared with the bytes as they
            are read; None compares nothing.

    Returns:
        ``raw.shape``, C order.

    Raises:
        StoreDamagedError: if a file is absent, has another size or digest, or holds a NaN.
    """
    # NumPy asks for huge pages, which makes filling fresh memory cheaper.
    out = np.empty(raw.shape, raw.dtype)
    _for_all(raw, into=out, digests=digests)
    return out


def check_rows(raw: RawChunks, *, digests: Mapping[str, str] | None = None) -> None:
    """Read an array once through a small buffer and check it as ``load_rows`` does."""
    _for_all(raw, into=None, digests=digests)
