"""How a published store's windows and frames lie against the truth, with no help of the pipeline.

Of the pipeline only what it wrote is read. The truth is the closed-form motion on the true stamps
of the video's frames, and the number drawn into every picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import zarr

from pipelines.parts.store import PartStore
from pipelines.synthetic.timecode import decode_timecode
from pipelines.synthetic.truth import TakeTruth, frame_device_ns, imu_truth, read_truth
from schemas.manifest import RunRecord
from schemas.store import ARRAYS, RUN, SEGMENTS
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "FPS",
    "STEP_MS",
    "TOLERANCE_MS",
    "FrameUse",
    "WindowLag",
    "check_frames",
    "check_windows",
    "fine_truth",
    "first_sample_ns",
    "is_assumed",
    "lag_ms",
    "true_device_ns",
    "true_take_ns",
    "used_frames",
    "window_lags",
]

TOLERANCE_MS = 5.0
FPS = 30
# Every lag in between is tried: beyond what the first-sample rule is wrong by.
REACH_MS = 2000
STEP_MS = 20
# Root mean square over a window; the synthetic heads turn at 0.23 to 1.0 rad/s.
MOVES_RAD_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLag:
    """One stored imu window: how far in the truth's future it really lies."""

    take_name: str
    start_ns: int
    lag_ms: float
    moves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameUse:
    """One frame that a stored video vector rests on."""

    take_name: str
    t_ns: int
    frame_index: int
    code: int

    @property
    def error_ms(self) -> float:
        return (self.code * NS_PER_S / FPS - self.t_ns) / NS_PER_MS


def check_windows(windows: Sequence[WindowLag]) -> None:
    """Assert that nearly all windows move, and each of those lies where the truth has it."""
    moving = [w for w in windows if w.moves]
    assert len(moving) >= 0.8 * len(windows) > 0, f"{len(moving)} of {len(windows)} windows move"
    worst = max(moving, key=lambda w: abs(w.lag_ms))
    assert abs(worst.lag_ms) <= TOLERANCE_MS, f"the worst window is off: {worst}"


def check_frames(frames: Sequence[FrameUse]) -> None:
    """Assert that each frame is the one recorded, at most half a frame from its grid time."""
    assert len(frames) > 0
    wrong = [f for f in frames if f.code != f.frame_index]
    assert not wrong, f"another frame than recorded: {wrong[0]}, {len(wrong)} in all"
    worst = max(frames, key=lambda f: abs(f.error_ms))
    assert abs(worst.error_ms) <= 500 / FPS, (
        f"the worst frame is {worst.error_ms:.1f} ms off: {worst}"
    )


def window_lags(version: Path, *, root: Path) -> list[WindowLag]:
    """Return the lag of every row's imu window; ``version`` is the version's folder."""
    truths = {take.take_uid: take for take in read_truth(root).takes}
    rows = pq.read_table(version / SEGMENTS, columns=["take_uid", "start_ns"]).to_pylist()
    imu = zarr.open_group(version / ARRAYS, mode="r")["imu"]
    found: list[WindowLag] = []
    fine: dict[str, npt.NDArray[np.float64]] = {}
    for i, row in enumerate(rows):
        truth, start_ns = truths[row["take_uid"]], row["start_ns"]
        if truth.take_uid not in fine:
            fine = {truth.take_uid: fine_truth(truth)}  # rows are sorted by take: one at a time
        values = np.asarray(imu[i], dtype=np.float64).T
        assert values.shape == (250, 6)
        lag = lag_ms(fine[truth.take_uid], values, start_ns=start_ns)
        at = REACH_MS + start_ns // NS_PER_MS
        gyro = fine[truth.take_uid][at : at + len(values) * STEP_MS, 3:]
        moves = bool(np.sqrt((gyro**2).mean()) > MOVES_RAD_S)
        found.append(
            WindowLag(take_name=truth.take_name, start_ns=start_ns, lag_ms=lag, moves=moves)
        )
    return found


def fine_truth(truth: TakeTruth) -> npt.NDArray[np.float64]:
    """Return the true signal (N, 6) each ms, from ``REACH_MS`` before the take to as long after."""
    end_ms = -(-truth.frames * 1000 // FPS)
    t_ms = np.arange(-REACH_MS, end_ms + REACH_MS + 1, dtype=np.int64)
    return imu_truth(truth, true_device_ns(truth, t_ms * NS_PER_MS))


def lag_ms(
    fine: npt.NDArray[np.float64], values: npt.NDArray[np.float64], *, start_ns: int
) -> float:
    """Return the shift of the true signal that fits ``values`` best, by least squares.

    Args:
        fine: ``fine_truth`` of the take.
        values: (N, 6) stored samples, ``STEP_MS`` apart.
        start_ns: instant of the first, on the take clock.
    """
    first = start_ns // NS_PER_MS
    reach = slice(first, first + 2 * REACH_MS + STEP_MS * (len(values) - 1) + 1)
    # Row 0 of ``shifted`` is the window REACH_MS too early, row 1 one millisecond later: (L, 6, N).
    span = STEP_MS * (len(values) - 1) + 1
    shifted = np.lib.stride_tricks.sliding_window_view(fine[reach], span, axis=0)[..., ::STEP_MS]
    # Each channel counts alike, whatever its unit.
    weight = 1 / shifted[REACH_MS].var(axis=1)
    # (true - stored)^2 without the stored^2 that all lags share.
    squares = np.einsum("lcn,lcn,c->l", shifted, shifted, weight)
    squares -= 2 * np.einsum("lcn,nc,c->l", shifted, values, weight)
    best = int(np.clip(np.argmin(squares), 1, len(squares) - 2))
    before, here, after = squares[best - 1 : best + 2]
    # The bottom of the parabola through the best lag and its neighbours.
    return float(best - REACH_MS + (before - after) / (2 * (before - 2 * here + after)))


def true_device_ns(truth: TakeTruth, take_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return device instants by the true stamps of the frames, 1/30 s apart on the take clock."""
    stamps = frame_device_ns(truth)
    last = len(stamps) - 1
    frame = take_ns * FPS / NS_PER_S
    inside = np.interp(frame, np.arange(last + 1), stamps - stamps[0])
    outside = (np.minimum(frame, 0) + np.maximum(frame - last, 0)) * truth.clock.period_ns
    device_ns: npt.NDArray[np.int64] = stamps[0] + np.rint(inside + outside).astype(np.int64)
    return device_ns


def true_take_ns(truth: TakeTruth, device_ns: int) -> float:
    """Return one device instant on the take clock: a line is enough, jitter is below 1 ms."""
    return (device_ns - int(frame_device_ns(truth)[0])) / truth.clock.period_ns * NS_PER_S / FPS


def is_assumed(truth: TakeTruth) -> bool:
    """Whether the numbers of rows and frames leave the first frame's row open."""
    return truth.frames == truth.end_row - truth.start_row


def first_sample_ns(truth: TakeTruth) -> int:
    """Return the device instant of the first sample that the pipeline's stream holds."""
    return next(s.first_ns for s in truth.imu if s.label == "imu-right")


def used_frames(version: Path, *, root: Path) -> list[FrameUse]:
    """Return each frame of every row's ``[start_ns, end_ns)``, its number read from its pixels."""
    truths = {take.take_uid: take for take in read_truth(root).takes}
    run = RunRecord.model_validate_json((version / RUN).read_text())
    parts = PartStore(Path(run.parts_uri))
    rows = pq.read_table(version / SEGMENTS).to_pylist()
    found: list[FrameUse] = []
    for uid in sorted({row["take_uid"] for row in rows}):
        name = truths[uid].take_name
        table = parts.read_table("frames", run.parts[uid]["frames"])
        t_ns, indices = table["t_ns"].to_numpy(), table["frame_index"].to_numpy()
        used = np.zeros(len(t_ns), dtype=bool)
        for row in (row for row in rows if row["take_uid"] == uid):
            inside = (t_ns >= row["start_ns"]) & (t_ns < row["end_ns"])
            assert inside.sum() == row["frames"] == 50
            used |= inside
        codes = read_codes(root, take_name=name, indices=set(indices[used].tolist()))
        found += [
            FrameUse(take_name=name, t_ns=t, frame_index=index, code=codes[index])
            for t, index in zip(t_ns[used].tolist(), indices[used].tolist(), strict=True)
        ]
    return found


def read_codes(root: Path, *, take_name: str, indices: set[int]) -> dict[int, int]:
    """Return the number drawn into each of a video's frames ``indices``, counted as decoded."""
    folder = root / "takes" / take_name / "frame_aligned_videos" / "downscaled" / "448"
    (path,) = folder.glob("*_214-1.mp4")
    with av.open(str(path)) as container:
        return {
            i: decode_timecode(
                # Upright, as a player would show it.
                np.rot90(np.asarray(frame.to_ndarray(format="gray")), frame.rotation // 90)
            )
            for i, frame in enumerate(container.decode(video=0))
            if i in indices
        }
