"""From a capture's timesync.csv and a take's row numbers to the take clock.

The file has one row per instant, near 30 a second, with all cameras side by side. Row numbers count
raw rows from the top, partly empty ones included. A take's video shows frame ``i`` at row
``start_idx + k0 + i``; a video of ``end_idx - start_idx - 1`` frames leaves only ``k0 = 0``, one of
``end_idx - start_idx`` leaves it open.
"""

from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from pipelines.align.clock import TakeClock
from pipelines.video.probe import VideoProbe
from schemas.errors import TakeError
from schemas.time import NS_PER_S, Interval

__all__ = ["read_timesync_clock"]

_ROW_NS: Final = NS_PER_S / 30
_ROW_TOLERANCE: Final = 0.02
_MAX_EMPTY_ROWS: Final = 3
_EXACT_NS: Final = float(2**53)


def read_timesync_clock(
    path: Path,
    *,
    cam_id: str,
    start_idx: int,
    end_idx: int,
    video: VideoProbe,
    k0: Literal[0, 1],
) -> TakeClock:
    """Return the clock of a take: its video's frames matched to Aria device time.

    Frame ``i`` stands at ``i / rate`` on the take clock by the video's own constant rate.

    Args:
        path: the capture's timesync.csv.
        cam_id: the take's Aria camera, such as ``aria01``.
        start_idx: raw row where the take starts.
        end_idx: raw row where the take ends.
        video: header of the take's frame-aligned video.
        k0: row offset to assume where the frame count leaves it open.

    Raises:
        TakeError: ``video_rate_varies``, ``frame_count_mismatch``, ``timesync_column_missing``,
            ``timesync_unreadable``, ``timesync_short``, ``timesync_gap``, ``timesync_order`` or
            ``timesync_rate``.
    """
    if video.rate_varies:
        raise TakeError(
            "video_rate_varies",
            "video must have a constant frame rate for its frames to be rows of timesync, "
            f"got intervals that differ [{path}, rows {start_idx} to {end_idx}]",
        )
    frames = video.num_frames_from_header
    rows = end_idx - start_idx
    place = f"[{path}, rows {start_idx} to {end_idx}]"
    if frames == rows - 1:
        offset, uncertainty_ns = 0, 0
    elif frames == rows:
        offset, uncertainty_ns = k0, round(_ROW_NS)
    else:
        raise TakeError(
            "frame_count_mismatch",
            f"video must hold {rows - 1} or {rows} frames for its timesync rows, "
            f"got {frames} {place}",
        )
    first = start_idx + offset
    column = f"{cam_id}_214-1_capture_timestamp_ns"
    stamps = _read_rows(path, column=column, first=first, count=frames)
    if len(stamps) < frames:
        raise TakeError(
            "timesync_short",
            f"timesync must reach row {first + frames - 1}, got {first + len(stamps)} rows {place}",
        )
    known = np.flatnonzero(~np.isnan(stamps))
    longest = _longest_run_without(known, length=frames)
    if longest > _MAX_EMPTY_ROWS:
        raise TakeError(
            "timesync_gap",
            f"{column} must not be empty in more than {_MAX_EMPTY_ROWS} rows on end, "
            f"got {longest} {place}",
        )
    if len(known) < 2:
        raise TakeError("timesync_short", f"{column} must have 2 stamps, got {len(known)} {place}")
    device_ns = _whole_ns(stamps[known], column=column, place=place)
    steps = np.diff(device_ns)
    if int(steps.min()) <= 0:
        row = first + int(known[int(np.argmax(steps <= 0)) + 1])
        raise TakeError(
            "timesync_order", f"{column} must increase, got a step back at row {row} {place}"
        )
    step_ns = float(np.median(steps / np.diff(known)))
    if abs(step_ns - _ROW_NS) > _ROW_TOLERANCE * _ROW_NS:
        raise TakeError(
            "timesync_rate",
            f"{column} must step 33.3 ms a row within 2 %, got {step_ns / 1e6:.2f} ms {place}",
        )
    # Exact integer arithmetic: i * 1e9 * den stays far below 2^63 for any take.
    per_frame, rate = NS_PER_S * video.rate.denominator, video.rate.numerator
    take_ns = (known.astype(np.int64) * per_frame + rate // 2) // rate
    span = Interval(0, (frames * per_frame + rate // 2) // rate)
    return TakeClock(device_ns=device_ns, take_ns=take_ns, span=span, uncertainty_ns=uncertainty_ns)


def _read_rows(path: Path, *, column: str, first: int, count: int) -> npt.NDArray[np.float64]:
    """Return one column's raw rows from ``first``, at most ``count``; empty cells are NaN."""
    read: list[npt.NDArray[np.float64]] = []
    row = 0
    try:
        with csv.open_csv(
            path,
            convert_options=csv.ConvertOptions(
                include_columns=[column], column_types={column: pa.float64()}
            ),
        ) as reader:
            for batch in reader:
                lo, hi = max(first - row, 0), min(first + count - row, batch.num_rows)
                if lo < hi:
                    cells = batch.column(0).slice(lo, hi - lo)
                    read.append(cells.to_numpy(zero_copy_only=False))
                row += batch.num_rows
                if row >= first + count:
                    break
    except KeyError as error:
        raise TakeError(
            "timesync_column_missing", f"timesync must have the column {column} [{path}]"
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise TakeError(
            "timesync_unreadable", f"timesync must be a CSV table, got {error} [{path}]"
        ) from error
    return np.concatenate(read).astype(np.float64) if read else np.empty(0)


def _longest_run_without(known: npt.NDArray[np.int64], *, length: int) -> int:
    """Return the longest run of rows in ``[0, length)`` that are not ``known``."""
    edges = np.concatenate([[-1], known, [length]])
    return int(np.diff(edges).max()) - 1


def _whole_ns(stamps: npt.NDArray[np.float64], *, column: str, place: str) -> npt.NDArray[np.int64]:
    # pandas writes a column with empty cells as floats: exact below 2^53 ns, 104 days.
    if not bool(((stamps >= 0) & (stamps < _EXACT_NS)).all()):
        raise TakeError(
            "timesync_order",
            f"{column} must lie in [0, 2^53) ns, got {stamps.min():.0f} to {stamps.max():.0f} "
            f"{place}",
        )
    return np.rint(stamps).astype(np.int64)
