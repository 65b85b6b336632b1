"""Open and load a published version, against reading the same bytes with NumPy.

``numpy`` reads every chunk file with ``np.fromfile`` and keeps the arrays: the limit, since it
looks at nothing. ``ours`` opens the version, reads its table, loads all arrays and finds no NaN;
``ours_verified`` also compares every byte with the manifest's SHA-256. ``zarr`` loads and looks
for NaN through zarr's own indexing. All of it is warm: the files are in the page cache.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from side_by_side import Case, measure_cpu, median_of, report
from stored_version import AskedVersion, asked_version, make_version_parser

from primus_train.data.store import open_store
from schemas.store import ARRAY_NAMES, ARRAYS, ROWS_PER_CHUNK, version_path

__all__ = ["main"]

TYPES: Final = {"imu": "<f4", "video": "<f2", "text": "<f2", "valid": "?"}


def read_by_numpy(arrays: Path) -> dict[str, list[np.ndarray[Any, Any]]]:
    """Read every chunk file into an array of its own, in the order of the chunks."""
    found = {}
    for name, dtype in TYPES.items():
        count = len(list((arrays / name / "c").iterdir()))
        zeros = ["0"] * (2 if name == "imu" else 1)
        found[name] = [
            np.fromfile((arrays / name / "c").joinpath(str(chunk), *zeros), dtype)
            for chunk in range(count)
        ]
    return found


def read_by_zarr(arrays: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Load every array through zarr a chunk at a time, and look for NaN."""
    group = zarr.open_group(str(arrays), mode="r")
    found = {}
    for name in ARRAY_NAMES:
        array: Any = group[name]
        out = np.empty(array.shape, array.dtype)
        for start in range(0, len(out), ROWS_PER_CHUNK):
            block = out[start : start + ROWS_PER_CHUNK]
            block[...] = array[start : start + ROWS_PER_CHUNK]
            if out.dtype.kind == "f" and not np.isfinite(block).all():
                raise ValueError(f"{name} must be finite, got NaN at row {start} or later")
        found[name] = out
    return found


def compare(asked: AskedVersion) -> Case:
    """Time the ways on one version and check that they read the same."""
    root = asked.root
    arrays = root / version_path(asked.version, ARRAYS)
    chunks = read_by_numpy(arrays)
    total = sum(chunk.nbytes for found in chunks.values() for chunk in found)
    whole = {name: np.concatenate(found) for name, found in chunks.items()}
    store = open_store(str(root), load="memory")
    by_zarr = read_by_zarr(arrays)
    same = all(
        np.array_equal(getattr(store, name).numpy().reshape(-1), by_zarr[name].reshape(-1))
        and np.array_equal(by_zarr[name].reshape(-1), whole[name][: by_zarr[name].size])
        for name in ARRAY_NAMES
    )
    del chunks, whole, store, by_zarr
    ways: dict[str, Callable[[], int]] = {
        "numpy": lambda: len(read_by_numpy(arrays)),
        "ours": lambda: len(open_store(str(root), verify=False, load="memory")),
        "ours_verified": lambda: len(open_store(str(root), load="memory")),
        "zarr": lambda: len(read_by_zarr(arrays)),
    }
    measured = measure_cpu(ways, repeats=asked.repeats, per=total / 1e9)
    agreement = {
        "same": float(same),
        "gigabytes": total / 1e9,
        "share_of_numpy_speed": median_of(measured.wall, "numpy")
        / median_of(measured.wall, "ours"),
        "share_of_numpy_speed_verified": median_of(measured.wall, "numpy")
        / median_of(measured.wall, "ours_verified"),
    }
    return Case(
        name=f"segments_{asked.segments}",
        unit="ms_per_gigabyte",
        runs=measured.wall,
        agreement=agreement,
        cpu=measured.cpu,
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    args = make_version_parser(__doc__).parse_args(argv)
    with asked_version(args) as asked:
        case = compare(asked)
    return report("reader", cases=[case], quick=args.quick, settings={"segments": asked.segments})


if __name__ == "__main__":
    main()
