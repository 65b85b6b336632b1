"""Figures of a version as PNG files: one triplet, one take's alignment, the composition.

Figures are objects of their own; pyplot and its global state are never touched.
"""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from PIL import Image

from pipelines.parts.motion_trace import MotionTrace, read_motion_trace
from pipelines.parts.store import PartStore
from pipelines.report.examples import Example, read_examples
from pipelines.report.motion_fit import fit_motion, r2_by_lag
from pipelines.report.quality import NO_SPLIT, choose_examples, count_labels, summarise_takes
from pipelines.storage.files import local_copy, write_atomic
from pipelines.storage.places import Place
from pipelines.stores.contents import read_object
from pipelines.stores.verify import read_manifest
from schemas.segment import SPLITS
from schemas.store import RUN, SEGMENTS, version_path
from schemas.time import NS_PER_MS, NS_PER_S, parse_rate

__all__ = [
    "draw_alignment_figure",
    "draw_composition_figure",
    "draw_segment_figure",
    "write_demo_figures",
]

# Okabe and Ito (2008): told apart with every common colour blindness.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#e69f00")
_SHOWN_S: Final = 20.0
_LAG_STEP_NS: Final = 10 * NS_PER_MS


def draw_segment_figure(
    out: Path,
    *,
    example: Example,
    channels: Sequence[str],
    units: Sequence[str],
    rate_hz: float,
) -> None:
    """Draw one triplet: its pictures, its IMU channels and its sentence.

    Args:
        out: PNG file to write.
        example: the segment; without pictures or IMU that part says so.
        channels: (C,) names, one triad after the other.
        units: (C,) units.
        rate_hz: of the window.
    """
    row = example.segment
    figure = Figure(figsize=(9.6, 6.6), dpi=110, layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 2.0))
    above, below = halves
    above.suptitle(fill(row["text"] or "no sentence", 76), fontsize=13, weight="bold")
    count = max(1, len(example.thumbnails))
    strip = np.atleast_1d(above.subplots(1, count))
    for axis in strip:
        axis.set_axis_off()
    for axis, thumbnail in zip(strip, example.thumbnails, strict=False):
        with Image.open(BytesIO(thumbnail.jpeg)) as picture:
            axis.imshow(np.asarray(picture.convert("RGB")))
        axis.set_title(f"{(thumbnail.t_ns - row['start_ns']) / NS_PER_S:+.1f} s", fontsize=9)
    if not example.thumbnails:
        strip[0].text(0.5, 0.5, example.note, ha="center", va="center", fontsize=10)
    triads = [channels[i : i + 3] for i in range(0, len(channels), 3)]
    axes = np.atleast_1d(below.subplots(len(triads), 1, sharex=True))
    for k, (axis, triad) in enumerate(zip(axes, triads, strict=True)):
        axis.set_ylabel(f"{triad[0].rpartition('_')[0]}, {units[3 * k]}")
        if example.imu is None:
            axis.text(0.5, 0.5, "no IMU", ha="center", va="center", transform=axis.transAxes)
            continue
        t_s = np.arange(example.imu.shape[1]) / rate_hz
        for j, name in enumerate(triad):
            axis.plot(
                t_s,
                example.imu[3 * k + j],
                color=_COLOURS[j],
                lw=1.1,
                label=name.rpartition("_")[2],
            )
        axis.margins(x=0)
        _finish(axis)
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    axes[-1].set_xlabel(
        f"seconds from the segment's start, {row['start_ns'] / NS_PER_S:.2f} s into "
        f"{row['take_name']} (label {row['label'] or 'unknown'}, {row['split'] or NO_SPLIT})"
    )
    _save(figure, out)


def draw_alignment_figure(
    out: Path,
    *,
    title: str,
    trace: MotionTrace,
    lag_ns: int | None,
    max_lag_ns: int = 1_500 * NS_PER_MS,
) -> None:
    """Draw how well one take's gyro explains the motion of its picture.

    Args:
        out: PNG file to write.
        title: name of the take.
        trace: what gyroscope and picture saw.
        lag_ns: of the gyro behind the picture as measured; None where it cannot be told.
        max_lag_ns: lags shown on both sides.
    """
    fit = fit_motion(trace, lag_ns=0 if lag_ns is None else lag_ns)
    lags_ns = np.arange(-max_lag_ns, max_lag_ns + 1, _LAG_STEP_NS, dtype=np.int64)
    curve = r2_by_lag(trace, lags_ns=lags_ns)
    t_s = trace.motion_t_ns / NS_PER_S
    shown = t_s <= (t_s[0] if len(t_s) else 0) + _SHOWN_S
    figure = Figure(figsize=(9.6, 6.8), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=13, weight="bold")
    axes = figure.subplots(3, 1, height_ratios=(1, 1, 1.1))
    for k, name in enumerate(("right", "down")):
        axes[k].plot(
            t_s[shown], 100 * trace.motion[shown, k], color=_COLOURS[0], lw=1.6, label="picture"
        )
        axes[k].plot(
            t_s[shown],
            100 * fit[shown, k],
            color=_COLOURS[1],
            lw=1.2,
            ls="--",
            label="turn of the gyro, fitted",
        )
        axes[k].set_ylabel(f"shift {name}, %")
        axes[k].margins(x=0)
        _finish(axes[k])
    axes[1].sharex(axes[0])
    axes[1].set_xlabel("seconds on the take clock")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9)
    axes[2].plot(lags_ns / NS_PER_MS, curve, color=_COLOURS[0], lw=1.6)
    axes[2].axvline(0, color="#888888", lw=0.8)
    if lag_ns is not None:
        axes[2].axvline(lag_ns / NS_PER_MS, color=_COLOURS[1], lw=1.4, ls="--")
    told = "cannot be told" if lag_ns is None else f"{lag_ns / NS_PER_MS:+.1f} ms"
    axes[2].set_title(f"measured lag of the gyro behind the picture: {told}", fontsize=10)
    axes[2].set_xlabel("lag tried, ms")
    axes[2].set_ylabel("R² of the fit")
    axes[2].set_ylim(0, 1)
    axes[2].margins(x=0)
    _finish(axes[2])
    _save(figure, out)


def draw_composition_figure(out: Path, *, title: str, counted: pl.DataFrame) -> None:
    """Draw segments by label, stacked by split; takes the table of `quality.count_labels`."""
    labels = ["no label" if label is None else str(label) for label in counted["label"]]
    figure = Figure(figsize=(9.6, 1.6 + 0.42 * max(1, len(labels))), dpi=110, layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=13, weight="bold", loc="left")
    left = np.zeros(len(labels))
    for name, colour in zip((*SPLITS, NO_SPLIT), _COLOURS, strict=True):
        counts = counted[name].to_numpy()
        if not counts.any():
            continue
        axis.barh(labels, counts, left=left, color=colour, label=name, height=0.7)
        left += counts
    for place, total in enumerate(left):
        axis.text(total, place, f" {int(total):,}", va="center", fontsize=9)
    axis.invert_yaxis()
    axis.margins(x=0.08)
    axis.set_xlabel("segments")
    _finish(axis)
    if len(labels):
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _save(figure, out)


def _finish(axis: Any) -> None:  # noqa: ANN401 - matplotlib ships no types we check
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)


def _save(figure: Figure, out: Path) -> None:
    buffer = BytesIO()
    # Without the program's version in it, equal data give equal files.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomic(out, buffer.getvalue())


def write_demo_figures(
    store: Place, *, version: str, parts: PartStore, out: Path, triplets: int = 3, seed: int = 0
) -> list[Path]:
    """Draw a version: its composition, one take's alignment and some triplets.

    The take shown is the one whose gyro explains its picture neither best nor worst: the middle
    one by R2.

    Args:
        store: place of the store.
        version: id of the version.
        parts: where its parts lie.
        out: folder of the PNG files.
        triplets: how many segments are drawn.
        seed: of their choice.

    Returns:
        The files written, in the order named above.

    Raises:
        StoreNotFoundError: if the version is not in the store.
        StoreDamagedError: if a part of the take shown is missing or damaged.
    """
    manifest = read_manifest(store, version)
    folder = store / version_path(version)
    keys: dict[str, dict[str, str]] = json.loads(read_object(folder / RUN))["parts"]
    with local_copy(folder / SEGMENTS) as table:
        segments = pl.scan_parquet(table)
        made = [out / "composition.png"]
        title = f"{manifest.dataset} {version}: segments by label and split"
        draw_composition_figure(made[0], title=title, counted=count_labels(segments))
        takes = summarise_takes(segments).sort("r2", "take_uid", nulls_last=False)
        shown = takes.row(takes.height // 2, named=True)
        taken = keys[shown["take_uid"]]
        if {"imu", "frames"} <= set(taken):
            trace = read_motion_trace(parts, imu_key=taken["imu"], frames_key=taken["frames"])
            lag_ns = None if shown["lag_ms"] is None else round(shown["lag_ms"] * NS_PER_MS)
            made.append(out / "alignment.png")
            draw_alignment_figure(made[-1], title=shown["take_name"], trace=trace, lag_ns=lag_ns)
        labels = segments.select("label").collect()["label"]
        rows = choose_examples(labels, count=triplets, generator=np.random.default_rng(seed))
        frames_keys = {
            take_uid: taken["frames"] for take_uid, taken in keys.items() if "frames" in taken
        }
        examples = read_examples(
            folder, table=table, imu=manifest.imu, rows=rows, parts=parts, frames_keys=frames_keys
        )
        for i, example in enumerate(examples):
            made.append(out / f"triplet-{i + 1}.png")
            draw_segment_figure(
                made[-1],
                example=example,
                channels=manifest.imu.channels,
                units=manifest.imu.units,
                rate_hz=float(parse_rate(manifest.imu.rate_hz)),
            )
        return made
