"""What each choice of the published preprocessing changes, alone and all together.

Makes the demo's dataset, prepares it by default, with every switch of the profile ``published`` set
alone, and with the whole profile, and holds each version against the default one, row by row, and
against the dataset's truth. Prints a Markdown table, or JSON with ``--json``.

Lags are told from the size of the turn rate alone, which does not depend on axes: the shift of the
true signal that fits a window best, in windows whose head turns.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import zarr

from flows.prepare import prepare
from flows.presets import read_preset
from pipelines.config import load_config
from pipelines.encoders.make_encoder import make_encoder
from pipelines.synthetic.egoexo4d import write_egoexo4d
from pipelines.synthetic.truth import TakeTruth, frame_device_ns, imu_truth, read_truth
from schemas.store import ARRAYS, SEGMENTS, version_path
from schemas.time import NS_PER_MS

__all__ = ["main"]

FPS: Final = 30
STEP_MS: Final = 20
REACH_MS: Final = 2000
# Root mean square of the turn rate over a window, below which no lag can be told.
MOVES_RAD_S: Final = 0.2
# What the two versions of one sentence have in common.
SAME: Final = ("take_uid", "narration_ns", "pass_uid", "text_raw")
Values = npt.NDArray[np.float64]


def switches() -> dict[str, dict[str, Any]]:
    """Return the settings of each run: none, each field of the profile alone, the profile."""
    profile = read_preset("published")
    alone = {
        f"{stage}.{name}={str(value).lower()}": {stage: {name: value}}
        for stage, fields in profile.items()
        for name, value in fields.items()
    }
    return {"default": {}, **alone, "all": profile}


def run(base: Mapping[str, Any], *, root: Path, encoder: Path, store: Path) -> dict[str, Any]:
    """Prepare the dataset; return counts, rows and windows of the version."""
    given = {
        "dataset.name": "egoexo4d",
        "dataset.root": str(root),
        "encoder.name": str(encoder),
        "encoder.device": "cpu",
        "store.uri": str(store),
        "execution.executor": "inline",
    }
    summary = prepare(load_config(None, overrides=given, base=base))
    version = store / version_path(summary.version)
    return {
        "planned": summary.planned,
        "stored": summary.stored,
        "dropped": summary.dropped,
        "rows": pl.read_parquet(version / SEGMENTS),
        "imu": np.asarray(zarr.open_group(version / ARRAYS, mode="r")["imu"][:]),
    }


def compare(made: Mapping[str, Any], default: Mapping[str, Any], *, root: Path) -> dict[str, Any]:
    """Return what a version holds, and how it differs from the default one."""
    rows: pl.DataFrame = made["rows"]
    nth = pl.int_range(pl.len()).over(SAME).alias("nth")
    both = rows.with_columns(nth).join(
        default["rows"].with_columns(nth), on=[*SAME, "nth"], how="inner", suffix="_default"
    )
    moved = (both["start_ns"] - both["start_ns_default"]).abs().to_numpy() / NS_PER_MS
    windows = rows.select("take_uid", "start_ns").unique().height
    lags, first_ms2 = measure_windows(rows, made["imu"], root=root)
    return {
        "planned": made["planned"],
        "stored": made["stored"],
        "dropped": made["dropped"],
        "repeats": round(1 - windows / max(rows.height, 1), 3),
        "matched": both.height,
        "moved_ms_mean": round(float(np.mean(moved)), 0),
        "moved_ms_max": round(float(np.max(moved)), 0),
        "lag_ms_median": round(float(np.median(np.abs(lags))), 1),
        "lag_ms_max": round(float(np.max(np.abs(lags))), 1),
        "lags_told": len(lags),
        "first_sample_accel_m_s2": round(first_ms2, 2),
        "texts_changed": int((both["text"] != both["text_default"]).sum()),
        "labels_changed": int((~both["label"].eq_missing(both["label_default"])).sum()),
        "splits_changed": int((~both["split"].eq_missing(both["split_default"])).sum()),
        "sensor_frame": int((rows["imu_frame"] == "sensor").sum()),
        "padded_windows": int((rows["imu_padded_samples"] > 0).sum()),
    }


def measure_windows(rows: pl.DataFrame, imu: Values, *, root: Path) -> tuple[Values, float]:
    """Return the lags (L,) in ms of the windows that turn, and |accel| of a median first sample."""
    truths = {take.take_uid: take for take in read_truth(root).takes}
    lags: list[float] = []
    first: list[float] = []
    turning: dict[str, Values] = {}
    for i, (uid, start_ns) in enumerate(rows.select("take_uid", "start_ns").rows()):
        if uid not in turning:
            turning = {uid: turn_rate(truths[uid])}  # rows are sorted by take
        window = np.asarray(imu[i], np.float64)
        first.append(float(np.linalg.norm(window[:3, 0])))
        stored = np.linalg.norm(window[3:], axis=0)
        span = STEP_MS * (len(stored) - 1) + 1
        at = start_ns // NS_PER_MS
        reach = turning[uid][at : at + 2 * REACH_MS + span]
        shifted = np.lib.stride_tricks.sliding_window_view(reach, span)[:, ::STEP_MS]
        if np.sqrt((shifted[REACH_MS] ** 2).mean()) > MOVES_RAD_S:
            squares = (shifted**2).sum(axis=1) - 2 * shifted @ stored
            lags.append(float(np.argmin(squares)) - REACH_MS)
    return np.array(lags), float(np.median(first))


def turn_rate(truth: TakeTruth) -> Values:
    """Return |gyro| in rad/s each ms, from ``REACH_MS`` before the take to as long after."""
    t_ms = np.arange(-REACH_MS, truth.frames * 1000 // FPS + REACH_MS + 1)
    stamps = frame_device_ns(truth)
    frame = t_ms * FPS / 1000
    last = len(stamps) - 1
    inside = np.interp(frame, np.arange(last + 1), stamps - stamps[0])
    outside = (np.minimum(frame, 0) + np.maximum(frame - last, 0)) * truth.clock.period_ns
    device_ns = stamps[0] + np.rint(inside + outside).astype(np.int64)
    rate: Values = np.linalg.norm(imu_truth(truth, device_ns)[:, 3:], axis=1)
    return rate


def as_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    head = (
        "run", "planned", "stored", "repeats", "windows moved, ms: mean (max)",
        "IMU lag, ms: median (max)", "accel of the first sample, m/s²", "texts changed",
        "labels changed", "splits changed",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name, found in results.items():
        cells = (
            f"`{name}`",
            f"{found['planned']}",
            f"{found['stored']}",
            f"{found['repeats']:.1%}",
            f"{found['moved_ms_mean']:.0f} ({found['moved_ms_max']:.0f})",
            f"{found['lag_ms_median']:.0f} ({found['lag_ms_max']:.0f})",
            f"{found['first_sample_accel_m_s2']:.2f}",
            f"{found['texts_changed']}",
            f"{found['labels_changed']}",
            f"{found['splits_changed']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--takes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        root, encoder = Path(scratch) / "data", Path(scratch) / "encoder"
        write_egoexo4d(
            root, takes=args.takes, seconds=args.seconds, seed=args.seed, participants=2, workers=2
        )
        make_encoder(encoder, preset="tiny", seed=args.seed)
        store = Path(scratch) / "store"
        runs = {
            name: run(base, root=root, encoder=encoder, store=store)
            for name, base in switches().items()
        }
        results = {name: compare(made, runs["default"], root=root) for name, made in runs.items()}
    print(json.dumps(results) if args.json else as_table(results))
    return results


if __name__ == "__main__":
    main()
