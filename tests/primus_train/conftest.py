"""Small stores written by hand with zarr and pyarrow, from the layout alone."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zarr

from schemas.segment import SEGMENT_SCHEMA

NS = 1_000_000_000
LABELS = ("cook", "dance")
TAKES = (*(f"train-{i}" for i in range(4)), "val-0", "val-1", "test-0", "test-1")


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_rows(*, takes: Sequence[str], per_take: int, step_ns: int) -> list[dict[str, Any]]:
    """Rows of takes ``<split>-<n>``; labels alternate with n."""
    return [
        {
            "segment_id": hashlib.sha256(f"{take}/{i}".encode()).hexdigest()[:32],
            "dataset": "toy",
            "take_uid": take,
            "take_name": f"name of {take}",
            "participant": f"toy:{take}",
            "split": take.partition("-")[0],
            "label": LABELS[int(take.partition("-")[2]) % 2],
            "start_ns": i * step_ns,
            "end_ns": i * step_ns + 5 * NS,
            "text": f"sentence {i}",
            "has_imu": True,
            "has_video": True,
            "has_text": True,
            "duplicate_index": 0,
            "overlaps": 0,
            "same_window": 0,
            "clock_uncertainty_ns": 0,
        }
        for take in takes
        for i in range(per_take)
    ]


def unit(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def write_store(
    root: Path,
    *,
    takes: Sequence[str] = TAKES,
    per_take: int = 6,
    step_ns: int = 5 * NS,
    video_width: int = 16,
    text_width: int = 8,
    samples: int = 250,
    seed: int = 0,
    change: Callable[[dict[str, Any]], None] | None = None,
    format_version: int = 1,
    imu_only: bool = False,
    compress: bool = False,
) -> str:
    """Write a version, tag it ``latest`` and return its id.

    Windows and embeddings share a latent per row and a class offset, so there is something to
    learn. ``change`` edits ``{"rows", "imu", "video", "text", "valid"}`` before it is written.
    ``imu_only`` writes a version without encoder, video and text, ``compress`` compressed chunks.
    """
    rng = np.random.default_rng(seed)
    rows = make_rows(takes=takes, per_take=per_take, step_ns=step_ns)
    count = len(rows)
    latent = rng.normal(size=(count, 4)) + 2 * np.array(
        [[row["label"] == "dance", row["label"] == "cook", 0, 0] for row in rows]
    )
    time = np.arange(samples) / 50
    waves = np.stack([np.sin(2 * np.pi * (k + 1) * time) for k in range(4)])
    imu = np.einsum("nk,kt,kc->nct", latent, waves, rng.normal(size=(4, 6)))
    imu = (imu + 0.1 * rng.normal(size=imu.shape)).astype(np.float32)
    data: dict[str, Any] = {
        "rows": rows,
        "imu": imu,
        "video": unit(latent @ rng.normal(size=(4, video_width))),
        "text": unit(latent @ rng.normal(size=(4, text_width))),
        "valid": np.ones((count, 3), dtype=np.bool_),
    }
    if imu_only:
        data["valid"][:, 1:] = False
        for row in rows:
            row |= {"has_video": False, "has_text": False}
    if change is not None:
        change(data)
    staging = root / "staging"
    staging.mkdir(parents=True)
    table = pa.Table.from_pylist(data["rows"], schema=SEGMENT_SCHEMA)
    pq.write_table(table, staging / "segments.parquet")
    group = zarr.create_group(str(staging / "arrays.zarr"), zarr_format=3)
    for name in ("imu", "valid") if imu_only else ("imu", "video", "text", "valid"):
        values = data[name]
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(4096, *values.shape[1:]),
            compressors="auto" if compress else None,
        )
        array[...] = values
    files = sorted(p for p in staging.rglob("*") if p.is_file())
    manifest = {
        "format_version": format_version,
        "dataset": "toy",
        "config": {},
        "sources": [],
        "encoder": {
            "name": "toy",
            "revision": None,
            "weights_sha256": "0" * 64,
            "meaning": None,
            "video_dim": video_width,
            "text_dim": text_width,
            "image_size": 32,
            "max_tokens": 16,
            "batch_size": 4,
            "device_kind": "cpu",
            "precision": "float32",
        },
        "part_versions": {},
        "imu": {
            "channels": ["ax", "ay", "az", "gx", "gy", "gz"],
            "units": ["m/s2"] * 3 + ["rad/s"] * 3,
            "samples": samples,
            "rate_hz": "50",
            "length_ns": 5 * NS,
        },
        "counts": {"planned": count, "stored": count, "takes": len(takes)},
        "objects": [
            {
                "path": p.relative_to(staging).as_posix(),
                "size": p.stat().st_size,
                "sha256": digest_of(p),
            }
            for p in files
        ],
    }
    if imu_only:
        manifest["encoder"] = None
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    version = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    (staging / "manifest.json").write_text(canonical)
    (root / "versions").mkdir(exist_ok=True)
    staging.rename(root / "versions" / version)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "latest.json").write_text(json.dumps({"version": version}))
    return version


def write_mask(root: Path, version: str, *, name: str, hidden: Callable[[int], bool]) -> None:
    """Write a mask that hides video and text of the rows for which ``hidden`` is true."""
    ids = pq.read_table(root / "versions" / version / "segments.parquet")["segment_id"].to_pylist()
    keep = [not hidden(i) for i in range(len(ids))]
    folder = root / "masks" / version
    folder.mkdir(parents=True, exist_ok=True)
    # In another order than the version's rows: the reader must join on the id.
    columns = {
        "segment_id": ids[::-1],
        "keep_imu": [True] * len(ids),
        "keep_video": keep[::-1],
        "keep_text": keep[::-1],
    }
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    record = {
        "version": version,
        "spec": {"name": name, "keep": 0.5},
        "units": len(ids),
        "kept_units": sum(keep),
        "rows": len(ids),
        "kept_rows": sum(keep),
        "sha256": digest_of(folder / f"{name}.parquet"),
    }
    (folder / f"{name}.json").write_text(json.dumps(record))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors on a busy machine: threads that wait for each other only cost time."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def store_writer() -> Callable[..., str]:
    return write_store


@pytest.fixture(scope="session")
def mask_writer() -> Callable[..., None]:
    return write_mask


@pytest.fixture(scope="session")
def toy_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 train, 12 val and 12 test rows of two classes, with the masks ``half`` and ``none``."""
    root = tmp_path_factory.mktemp("stores") / "toy"
    version = write_store(root)
    write_mask(root, version, name="half", hidden=lambda i: i % 2 == 1)
    write_mask(root, version, name="allhidden", hidden=lambda _: True)
    return root
