"""Frames of the whole take, or of what segments use: the same arrays, other work."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from flows.prepare import RunSummary, prepare
from pipelines.parts.store import PartStore
from schemas.time import NS_PER_MS
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

GRID_NS = 100 * NS_PER_MS


def publish(root: Path, encoder: Path, store: Path, **options: Any) -> RunSummary:
    config = make_config(
        root,
        encoder=encoder,
        store=store,
        dataset__limit=2,
        splits__shares=[1.0, 0.0, 0.0],
        **{"segments__length_ms": 1000, **options},
    )
    return prepare(config)


def read_version(store: Path, version: str) -> tuple[dict[str, bytes], dict[str, Any], set[int]]:
    """Return the arrays' bytes, the manifest, and the frames parts' grid times."""
    folder = store / "versions" / version
    group = zarr.open_group(folder / "arrays.zarr", mode="r")
    arrays = {name: np.asarray(group[name][:]).tobytes() for name in ("imu", "video", "text")}
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    parts = json.loads((folder / "run.json").read_bytes())["parts"]
    table = pq.read_table(folder / "segments.parquet")
    (uid,) = set(table.column("take_uid").to_pylist()[:1])
    frames = PartStore(store / "parts").read_table("frames", parts[uid]["frames"])
    return arrays, manifest, set(frames.column("t_ns").to_pylist())


def wanted_times(store: Path, version: str) -> set[int]:
    table = pq.read_table(store / "versions" / version / "segments.parquet").to_pylist()
    uid = table[0]["take_uid"]
    windows = [(r["start_ns"], r["end_ns"]) for r in table if r["take_uid"] == uid]
    last = max(end for _, end in windows)
    return {t for t in range(0, last, GRID_NS) if any(start <= t < end for start, end in windows)}


def test_needed_frames_give_the_same_arrays_and_only_they_are_made(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"

    def run(**options: Any) -> RunSummary:
        return publish(small_dataset, tiny_encoder, store, **options)

    whole, some = run(), run(video__coverage="needed")
    assert whole.version != some.version
    assert (whole.computed_takes, some.computed_takes) == (2, 2)
    arrays, manifest, times = read_version(store, whole.version)
    found, other, covered = read_version(store, some.version)
    assert found == arrays
    assert len(arrays["video"]) > 0
    assert covered == wanted_times(store, some.version)
    assert covered < times
    changed = {k for k in manifest["config"] if manifest["config"][k] != other["config"][k]}
    assert changed == {"video"}
    # Shorter windows: under `all` nothing is decoded, under `needed` each take is again.
    assert run(segments__length_ms=800).computed_takes == 0
    again = run(segments__length_ms=800, video__coverage="needed")
    assert again.computed_takes == 2
    assert read_version(store, again.version)[2] == wanted_times(store, again.version)
    assert run(segments__length_ms=800, video__coverage="needed").computed_takes == 0
