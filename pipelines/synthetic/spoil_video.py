"""Write a take's video with one of the troubles that videos come with.

A dataset's writer plans when the file shows its frames, sees the scene at the true instants of
those frames, and writes::

    times = plan_frame_times(fault, frames=450, seed=seed)
    seen_ns = motion_ns_of(times.ns())        # the dataset's own clock: where the truth is
    write_spoiled_video(path, fault=fault, scene=take, seen_ns=seen_ns, times=times, size_px=448)

``fault`` is the take's fault, or None; faults that are not about the video change nothing.
"""

import os
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from pipelines.synthetic.faults import KEPT_BYTES
from pipelines.synthetic.svt_av1 import tamed_svt
from pipelines.synthetic.truth import Scene
from pipelines.synthetic.video_writer import FrameTimes, regular_times, write_video

__all__ = ["plan_frame_times", "write_sound", "write_spoiled_video"]

_TICK: Final = Fraction(1, 90_000)
# A frame of a variable rate is off its even place by at most this share of the even step.
_UNEVEN: Final = 0.4
_SOUND_HZ: Final = 48_000
_SOUND_BLOCK: Final = 1024
_TONE_HZ: Final = 440.0


def plan_frame_times(
    fault: str | None, *, frames: int, seed: int, rate: Fraction = Fraction(30)
) -> FrameTimes:
    """Return when the file shows its frames, from 0 on; ``video_short`` leaves a tenth out.

    Args:
        fault: the take's fault, if any.
        frames: frames the take has.
        seed: of the uneven steps.
        rate: frames a second without fault; 30000/1001 under ``video_2997``.
    """
    if fault == "video_2997":
        return regular_times(frames, rate=Fraction(30_000, 1001))
    if fault == "video_short":
        return regular_times(frames - max(2, frames // 10), rate=rate)
    if fault == "video_variable_rate":
        rng = np.random.default_rng([seed, 12])
        places = np.arange(frames) + rng.uniform(-_UNEVEN, _UNEVEN, frames)
        places[:1] = 0
        ticks = np.rint(places / float(rate * _TICK)).astype(np.int64)
        return FrameTimes(time_base=_TICK, pts=ticks)
    return regular_times(frames, rate=rate)


def write_spoiled_video(
    path: Path,
    *,
    fault: str | None,
    scene: Scene,
    seen_ns: npt.NDArray[np.int64],
    times: FrameTimes,
    size_px: int,
) -> None:
    """Write a take's mp4 with its fault, or as ``write_video`` does where it has none.

    Args:
        path: file to write.
        fault: the take's fault, if any.
        scene: the take's truth.
        seen_ns: (F,) motion time of each frame in the file.
        times: when the file shows them, from ``plan_frame_times``.
        size_px: side of the picture, a multiple of 4.
    """
    if fault == "video_empty":
        path.write_bytes(b"")
    elif fault == "video_audio_only":
        write_sound(path, seconds=len(times) * float(times.time_base))
    elif fault == "video_av1":
        options = {"preset": "10", "crf": "35", "svtav1-params": "lp=1"}
        with tamed_svt():
            write_video(
                path,
                scene=scene,
                seen_ns=seen_ns,
                times=times,
                size_px=size_px,
                codec="libsvtav1",
                options=options,
            )
    else:
        turns = 1 if fault == "video_rotated" else 0
        write_video(
            path, scene=scene, seen_ns=seen_ns, times=times, size_px=size_px, quarter_turns=turns
        )
    if fault == "video_truncated":
        os.truncate(path, int(path.stat().st_size * KEPT_BYTES))


def write_sound(path: Path, *, seconds: float) -> None:
    """Write an mp4 of sound alone: a quiet tone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=_SOUND_HZ, layout="mono")
        for first in range(0, int(seconds * _SOUND_HZ), _SOUND_BLOCK):
            t_s = (first + np.arange(_SOUND_BLOCK)) / _SOUND_HZ
            wave = (0.2 * np.sin(2 * np.pi * _TONE_HZ * t_s)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate = _SOUND_HZ
            frame.pts = first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
