"""Write the video of a head turning in its world: equal bytes for equal scenes."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from pipelines.synthetic.picture import WORLD_PX, make_world, render_frame
from pipelines.synthetic.truth import Scene, take_motion

__all__ = ["FrameTimes", "regular_times", "render_frames", "write_video"]

_FPS: Final = 30
# Frames whose motion is computed at once.
_BLOCK_FRAMES: Final = 900
Plane = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """When a file's frames are shown.

    Attributes:
        time_base: seconds a tick.
        pts: (F,) int64 ticks, increasing, 0 for the first frame.
    """

    time_base: Fraction
    pts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pts)

    def ns(self) -> npt.NDArray[np.int64]:
        """Return the frames' times on the take clock, (F,) ns, to the nearest."""
        scale, divisor = self.time_base.numerator * 10**9, self.time_base.denominator
        return (2 * self.pts * scale + divisor) // (2 * divisor)


def regular_times(frames: int, *, rate: Fraction = Fraction(_FPS)) -> FrameTimes:
    """Return the times of ``frames`` frames at a constant ``rate``, frames a second."""
    return FrameTimes(time_base=1 / rate, pts=np.arange(frames, dtype=np.int64))


def render_frames(scene: Scene, *, seen_ns: npt.NDArray[np.int64], size_px: int) -> Iterator[Plane]:
    """Yield one picture for each instant, numbered from 0 by its time code, in bounded memory.

    Args:
        scene: a take's truth.
        seen_ns: (F,) instants on motion time.
        size_px: side of the picture, a multiple of 4.
    """
    person, motion = scene.participant, take_motion(scene)
    worlds = {
        number: make_world(
            scene.activity,
            sub_action=number,
            brightness=person.brightness,
            hue_rad=person.hue_rad,
        )
        for number in sorted({part.sub_action for part in scene.sub_actions})
    }
    x, y = np.random.default_rng([scene.seed, 6]).uniform(0, WORLD_PX, 2).tolist()
    ends_s = [part.end_s for part in scene.sub_actions[:-1]]
    for first in range(0, len(seen_ns), _BLOCK_FRAMES):
        t_s = seen_ns[first : first + _BLOCK_FRAMES].astype(np.float64) / 1e9
        angles = motion.angles(t_s)
        for number, at_s in enumerate(t_s.tolist()):
            yield render_frame(
                worlds[scene.sub_actions[bisect_right(ends_s, at_s)].sub_action],
                angles=angles[number],
                centre_px=(x, y),
                size_px=size_px,
                index=first + number,
            )


def write_video(
    path: Path,
    *,
    scene: Scene,
    seen_ns: npt.NDArray[np.int64],
    size_px: int,
    times: FrameTimes | None = None,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    quarter_turns: int = 0,
) -> None:
    """Write a scene's mp4 (yuv420p), each frame as seen at its true instant; equal bytes each time.

    Args:
        path: file to write.
        scene: a take's truth.
        seen_ns: (F,) instants on motion time, one a frame.
        size_px: side of the picture, a multiple of 4.
        times: when the file shows them; 30 a second unless given.
        codec: encoder's name.
        options: the encoder's, in place of those for H.264.
        quarter_turns: how often the player has to turn the picture by 90 degrees
            counter-clockwise, for it to stand upright.
    """
    times = regular_times(len(seen_ns)) if times is None else times
    if len(times) != len(seen_ns):
        raise ValueError(f"times must be one a frame, got {len(times)} for {len(seen_ns)}")
    # Regular frames stand at whole ticks of their rate.
    rate = 1 / times.time_base if (np.diff(times.pts) == 1).all() else Fraction(_FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=dict(options or _x264_options()))
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = size_px
        stream.pix_fmt = "yuv420p"
        stream.time_base = times.time_base
        stream.codec_context.time_base = times.time_base
        # One thread: the bytes do not depend on the machine.
        stream.codec_context.thread_count = 1
        if quarter_turns % 4:
            stream.set_display_rotation(quarter_turns * 90)
        pictures = render_frames(scene, seen_ns=seen_ns, size_px=size_px)
        for pts, planes in zip(times.pts.tolist(), pictures, strict=True):
            turned = _turn(planes, -quarter_turns)
            frame = av.VideoFrame.from_ndarray(turned, format="yuv420p")
            frame.pts = pts
            frame.time_base = times.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _turn(planes: Plane, quarter_turns: int) -> Plane:
    """Return stacked YUV 4:2:0 planes of a square picture turned counter-clockwise."""
    if quarter_turns % 4 == 0:
        return planes
    size = planes.shape[1]
    turned = np.empty_like(planes)
    turned[:size] = np.rot90(planes[:size], quarter_turns)
    for out, colour in zip(
        turned[size:].reshape(2, size // 2, size // 2),
        planes[size:].reshape(2, size // 2, size // 2),
        strict=True,
    ):
        out[...] = np.rot90(colour, quarter_turns)
    return turned


def _x264_options() -> dict[str, str]:
    return {"preset": "ultrafast", "crf": "30", "bf": "2", "g": "250"}
