"""One segment as a card: pictures, channels, sentence, where it belongs and how good it is."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.report.examples import Example
from pipelines.report.markup import Html, element
from pipelines.report.quality import NO_SPLIT
from pipelines.report.svg import draw_sparkline
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = ["show_example", "show_examples"]

_NS_PER_US: Final = 1_000
_WARNINGS: Final = {"ambiguous": "ambiguous sentence", "sync_suspect": "clocks suspect"}


def show_examples(examples: Iterable[Html]) -> Html:
    """Show the examples side by side where there is room."""
    return element("div", *examples, class_="examples")


def show_example(example: Example, *, channels: Sequence[str], units: Sequence[str]) -> Html:
    """Show one segment; half of ``channels`` are the accelerometer's, half the gyroscope's."""
    row = example.segment
    start_s, end_s = row["start_ns"] / NS_PER_S, row["end_ns"] / NS_PER_S
    tags = [row["label"] or "no label", row["split"] or NO_SPLIT]
    if row["duplicate_index"]:
        tags.append(f"repeat {row['duplicate_index']}")
    # Versions made before these columns have none of them.
    tags += [words for name, words in _WARNINGS.items() if row.get(name)]
    if example.thumbnails:
        pictures = element(
            "div",
            *(
                element(
                    "figure",
                    Html(f'<img alt="" src="data:image/jpeg;base64,{b64encode(t.jpeg).decode()}">'),
                    element("figcaption", f"{(t.t_ns - row['start_ns']) / NS_PER_S:+.1f} s"),
                )
                for t in example.thumbnails
            ),
            class_="strip",
        )
    else:
        pictures = element("p", f"No pictures: {example.note}.", class_="soft")
    if example.imu is None:
        traces = element("p", "This segment has no IMU.", class_="soft")
    else:
        half = len(channels) // 2
        # Two columns, accelerometer left and gyroscope right, filled row by row.
        order = [i for axis in range(half) for i in (axis, half + axis)]
        traces = element(
            "div",
            *(_channel(channels[i], units[i], example.imu[i]) for i in order),
            class_="channels",
        )
    sentence = row["text"] if row["text"] is not None else "no sentence"
    raw = f"as written: {row['text_raw']}" if row["text_raw"] not in (None, row["text"]) else ""
    return element(
        "article",
        element("h3", sentence),
        element("p", raw, class_="soft") if raw else Html(),
        element("div", *(element("span", tag, class_="tag") for tag in tags)),
        pictures,
        traces,
        element("p", _quality_line(row), class_="soft"),
        element(
            "p",
            f"{row['take_name']}, {start_s:.2f} to {end_s:.2f} s, ",
            element("code", row["segment_id"]),
            class_="soft",
        ),
        class_="example",
    )


def _channel(name: str, unit: str, values: npt.NDArray[np.float32]) -> Html:
    kind = "gyro" if name.startswith("gyro") else "accel"
    return element(
        "div",
        element("b", name.replace("_", " ")),
        f" {values.min():.2g} to {values.max():.2g} {unit}",
        draw_sparkline(values, kind=kind),
        class_="channel",
    )


def _quality_line(row: Mapping[str, Any]) -> str:
    words = []
    if row["narration_ns"] is not None:
        at_s = (row["narration_ns"] - row["start_ns"]) / NS_PER_S
        words.append(f"narration at {at_s:+.2f} s")
    if row["imu_gap_ns"] is not None:
        words.append(f"longest IMU gap {row['imu_gap_ns'] / NS_PER_MS:.1f} ms")
    if row.get("imu_jitter_ns") is not None:
        words.append(f"jitter {row['imu_jitter_ns'] / _NS_PER_US:.1f} us")
    if row.get("imu_still_share") is not None:
        words.append(f"still for {row['imu_still_share']:.0%}")
    if row["frames"] is not None:
        words.append(f"{row['frames']} frames")
    if row["frame_error_ns"] is not None:
        words.append(f"frame error {row['frame_error_ns'] / NS_PER_MS:.1f} ms")
    if row["take_lag_ns"] is not None:
        words.append(f"take lag {row['take_lag_ns'] / NS_PER_MS:+.1f} ms")
    if row["tokens"] is not None:
        words.append(f"{row['tokens']} tokens")
    words.append(f"meets {row['overlaps']} other segments")
    return ", ".join(words)
