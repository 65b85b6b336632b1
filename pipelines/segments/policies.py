"""Plan a take's segments: pure time arithmetic, before any sample or picture is read."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.config import SegmentsConfig, TextConfig
from pipelines.segments.windows import TAKE_SHORTER, published_window, segment_around
from schemas.manifest import Drop
from schemas.narration import Narration
from schemas.segment import make_segment_id
from schemas.take import Take
from schemas.time import Interval

__all__ = ["PLAN_COLUMNS", "TakePlan", "count_neighbours", "plan_segments"]

PLAN_COLUMNS: Mapping[str, pl.DataType] = {
    "segment_id": pl.String(),
    "start_ns": pl.Int64(),
    "end_ns": pl.Int64(),
    "narration_ns": pl.Int64(),
    "text": pl.String(),
    "text_raw": pl.String(),
    "text_source": pl.String(),
    "pass_uid": pl.String(),
    "subject": pl.String(),
    "visible": pl.Boolean(),
    "duplicate_index": pl.Int32(),
    "clock_uncertainty_ns": pl.Int64(),
}
_OF_NARRATIONS = (
    "narration_ns",
    "text",
    "text_raw",
    "text_source",
    "pass_uid",
    "subject",
    "visible",
)
_ANY_TEXT = TextConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class TakePlan:
    """The segments of one take, and those that fell out already."""

    rows: pl.DataFrame
    """``PLAN_COLUMNS``, sorted by (start_ns, end_ns, segment_id); narration fields null under
    stride."""
    drops: Mapping[str, int]
    """Reason: segments."""

    @property
    def planned(self) -> int:
        """Segments planned, the dropped ones included."""
        return self.rows.height + sum(self.drops.values())


def plan_segments(
    take: Take,
    *,
    narrations: Sequence[Narration],
    span: Interval,
    clock_uncertainty_ns: int,
    config: SegmentsConfig,
    text: TextConfig = _ANY_TEXT,
) -> TakePlan:
    """Return the take's planned segments: one a narration, or one a stride.

    Under ``stride`` no narration is read: starts go on by the stride from the take's first step
    for as long as a whole segment fits, and a take too short for one counts as one dropped segment.

    Args:
        take: whose segments these are; gives the ids.
        narrations: of this take, with their sentences cleaned, in any order.
        span: of the take on its own clock.
        clock_uncertainty_ns: of the take clock, copied to every row.
        config: policy, length, step, stride and what becomes of duplicates.
        text: whether sentences known to be of others, or of what cannot be seen, are dropped;
            those of which it is not known stay.
    """
    drops: Counter[str] = Counter()
    placed: list[tuple[Interval, Narration | None]] = []
    if config.policy == "stride":
        placed = [(window, None) for window in _stride(span, config=config)]
        if not placed:
            drops[TAKE_SHORTER] += 1
    else:
        for narration in sorted(narrations, key=_narration_order):
            window = _refuse(narration, text=text) or _place(
                narration.narration_ns, span=span, config=config
            )
            if isinstance(window, Drop):
                drops[window.reason] += 1
            else:
                placed.append((window, narration))
    rows = _rows(take, placed=placed, clock_uncertainty_ns=clock_uncertainty_ns)
    if config.duplicates == "drop":
        kept = rows.filter(pl.col("duplicate_index") == 0)
        if kept.height < rows.height:
            drops["duplicate_segment"] += rows.height - kept.height
        rows = kept
    return TakePlan(rows=rows.sort("start_ns", "end_ns", "segment_id"), drops=dict(drops))


def count_neighbours(
    start_ns: npt.NDArray[np.int64], *, end_ns: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Count, for each of a take's segments, the others that meet it and the others equal to it.

    Args:
        start_ns: (N,) in any order.
        end_ns: (N,), each above its start.

    Returns:
        overlaps (N,) and same_window (N,), int32, the segment itself left out of both.
    """
    if len(start_ns) == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    # Whatever starts before my end, less what has ended by my start, meets me.
    started = np.searchsorted(np.sort(start_ns), end_ns, side="left")
    ended = np.searchsorted(np.sort(end_ns), start_ns, side="right")
    windows = np.stack([start_ns, end_ns], axis=1)
    _, inverse, counts = np.unique(windows, axis=0, return_inverse=True, return_counts=True)
    overlaps: npt.NDArray[np.int32] = (started - ended - 1).astype(np.int32)
    same_window: npt.NDArray[np.int32] = (counts[inverse.reshape(-1)] - 1).astype(np.int32)
    return overlaps, same_window


def _narration_order(narration: Narration) -> tuple[int, str, str, str]:
    return (
        narration.narration_ns,
        narration.pass_uid,
        narration.text_source,
        narration.text_raw,
    )


def _stride(span: Interval, *, config: SegmentsConfig) -> list[Interval]:
    first_ns = -(-span.start_ns // config.step_ns) * config.step_ns
    last_ns = span.end_ns - config.length_ns
    starts = range(first_ns, last_ns + 1, config.stride_ns)
    return [Interval(start_ns, start_ns + config.length_ns) for start_ns in starts]


def _refuse(narration: Narration, *, text: TextConfig) -> Drop | None:
    if text.subjects == "wearer" and narration.subject == "other":
        return Drop("narration_other_subject")
    if text.visibility == "visible" and narration.visible is False:
        return Drop("narration_not_visible")
    return None


def _place(t_ns: int, *, span: Interval, config: SegmentsConfig) -> Interval | Drop:
    if not span.contains(t_ns):
        return Drop("narration_outside_take")
    if config.policy == "published":
        return published_window(t_ns, take=span, length_ns=config.length_ns, step_ns=config.step_ns)
    return segment_around(t_ns, take=span, length_ns=config.length_ns, step_ns=config.step_ns)


def _rows(
    take: Take, *, placed: Sequence[tuple[Interval, Narration | None]], clock_uncertainty_ns: int
) -> pl.DataFrame:
    start_ns = [window.start_ns for window, _ in placed]
    end_ns = [window.end_ns for window, _ in placed]
    said = {name: [getattr(n, name, None) for _, n in placed] for name in _OF_NARRATIONS}
    identities = [
        (take.dataset, take.take_uid, *own)
        for own in zip(
            start_ns,
            end_ns,
            *(said[name] for name in ("text_source", "pass_uid", "narration_ns", "text_raw")),
            strict=True,
        )
    ]
    same = zip(start_ns, end_ns, said["text_source"], said["text"], strict=True)
    columns = {
        "segment_id": [
            make_segment_id([*identity, k])
            for identity, k in zip(identities, _count_earlier(identities), strict=True)
        ],
        "start_ns": start_ns,
        "end_ns": end_ns,
        **said,
        "duplicate_index": _count_earlier(same),
        "clock_uncertainty_ns": [clock_uncertainty_ns] * len(placed),
    }
    return pl.DataFrame(columns, schema=dict(PLAN_COLUMNS))


def _count_earlier(items: Iterable[Hashable]) -> list[int]:
    """Count, for each item, the equal ones before it."""
    met: Counter[Hashable] = Counter()
    counts = []
    for item in items:
        counts.append(met[item])
        met[item] += 1
    return counts
