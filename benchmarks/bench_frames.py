"""Frames for all windows of a take: one pass over the video against one seek a window.

Ours decodes the take once, converts each frame of the 10 Hz grid once and cuts windows from what
it has. The published way opens the video for every window, seeks, decodes and converts all 150
frames of its five seconds, scales them all to 224 pixels by PIL's bicubic and keeps every third.
Both decode with PyAV on two threads. ``decode_only`` is the floor: every frame of the take decoded
once and nothing done with it.
"""

import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from side_by_side import Case, make_parser, measure, report

from pipelines.synthetic.picture import make_world, render_frame
from pipelines.video.decode import open_video
from pipelines.video.grid import match_frames
from pipelines.video.preprocess import crop_frames
from schemas.time import NS_PER_MS, NS_PER_S, Interval, grid_ns

__all__ = ["main"]

FPS: Final = 30
WINDOW_S: Final = 5
EVERY_S: Final = 2
STEP_MS: Final = 100
TOLERANCE_MS: Final = 17
IMAGE_SIZE: Final = 224
THREADS: Final = 2
SEED: Final = 0
Pixels = npt.NDArray[np.uint8]


def write_moving_video(path: Path, *, seconds: int, size_px: int, b_frames: int) -> Path:
    """Write a head's turning view of a textured world: H.264, preset medium, crf 23, GOP 250."""
    world = make_world(5, sub_action=1)
    rng = np.random.default_rng(SEED)
    t = np.arange(seconds * FPS) / FPS
    hz, phase = rng.uniform(0.2, 1.5, (3, 4)), rng.uniform(0, 2 * np.pi, (3, 4))
    swing = np.sin(2 * np.pi * hz[:, :, None] * t + phase[:, :, None]).mean(axis=1).T
    angles = swing * np.array([0.5, 0.3, 0.1])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = size_px
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 250
        stream.options = {"preset": "medium", "crf": "23", "bf": str(b_frames)}
        for index in range(len(t)):
            planes = render_frame(
                world, angles=angles[index], centre_px=(500, 500), size_px=size_px, index=index
            )
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def once_per_take(path: Path, *, seconds: int, starts_s: Sequence[int]) -> Pixels:
    """Return the windows' frames (W, 50, 224, 224, 3), each grid frame read and scaled once."""
    video = open_video(path, decoder="pyav")
    step_ns = STEP_MS * NS_PER_MS
    grid = grid_ns(Interval(0, seconds * NS_PER_S), step_ns=step_ns)
    matched = match_frames(video.pts_ns, grid=grid, tolerance_ns=TOLERANCE_MS * NS_PER_MS)
    small = [crop_frames(f, image_size=IMAGE_SIZE).numpy() for f in video.read(matched)]
    frames = np.concatenate(small).transpose(0, 2, 3, 1)
    firsts = [start * NS_PER_S // step_ns for start in starts_s]
    return np.stack([frames[a : a + WINDOW_S * NS_PER_S // step_ns] for a in firsts])


def once_per_window(path: Path, *, starts_s: Sequence[int]) -> Pixels:
    """Return the windows' frames (W, 50, 224, 224, 3), each window seeked to and decoded anew."""
    return np.stack([_read_window(path, start_s=start) for start in starts_s])


def _read_window(path: Path, *, start_s: int) -> Pixels:
    size, bicubic = (IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC
    scaled: list[Pixels] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = THREADS
        time_base = stream.time_base
        if time_base is None:
            raise ValueError(f"the video must have a time base, got none [{path}]")
        first_pts = round(start_s / time_base) + (stream.start_time or 0)
        container.seek(first_pts, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts < first_pts:
                continue
            rgb = frame.to_ndarray(format="rgb24")
            scaled.append(np.asarray(Image.fromarray(rgb).resize(size, bicubic)))
            if len(scaled) == WINDOW_S * FPS:
                break
    return np.stack(scaled[:: FPS * STEP_MS // 1000])


def decode_only(path: Path) -> int:
    """Decode every frame once, and return how many there are."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = THREADS
        return sum(1 for _ in container.decode(stream))


def compare(path: Path, *, name: str, seconds: int, repeats: int) -> Case:
    """Time the ways on one video and check that their pictures agree."""
    starts_s = list(range(0, seconds - WINDOW_S + 1, EVERY_S))
    ways: dict[str, Callable[[], Any]] = {
        "published": lambda: once_per_window(path, starts_s=starts_s),
        "ours": lambda: once_per_take(path, seconds=seconds, starts_s=starts_s),
        "decode_only": lambda: decode_only(path),
    }
    runs, answers = measure(ways, repeats=repeats, per=len(starts_s))
    ours, published = answers["ours"], answers["published"]
    if ours.shape != published.shape:
        raise ValueError(f"both ways must give equal shapes, got {ours.shape}, {published.shape}")
    # A window at a time: whole takes of int16 differences need not fit.
    levels = [np.abs(a.astype(np.int16) - b) for a, b in zip(ours, published, strict=True)]
    agreement = {
        "windows": len(starts_s),
        "frames_a_window": ours.shape[1],
        "frames_in_video": answers["decode_only"],
        "largest_grey_level_difference": int(max(d.max() for d in levels)),
        "share_of_values_that_differ": float(np.mean([(d > 0).mean() for d in levels])),
    }
    return Case(name=name, unit="ms_per_window", runs=runs, agreement=agreement)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--seconds", type=int, default=20, help="length of the take")
    parser.add_argument("--size", type=int, default=448, help="side of the picture, px")
    args = parser.parse_args(argv)
    seconds, size_px, repeats = args.seconds, args.size, args.repeats
    if args.quick:
        seconds, size_px, repeats = 7, 240, 1
    if seconds < WINDOW_S:
        parser.error(f"--seconds must be at least {WINDOW_S}, got {seconds}")
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, b_frames in (("no_b_frames", 0), ("b_frames", 3)):
            path = Path(folder) / f"{name}.mp4"
            write_moving_video(path, seconds=seconds, size_px=size_px, b_frames=b_frames)
            cases.append(compare(path, name=name, seconds=seconds, repeats=repeats))
    settings = {
        "seconds": seconds,
        "size_px": size_px,
        "window_s": WINDOW_S,
        "every_s": EVERY_S,
        "decoder": f"PyAV {av.__version__}",
        "decoder_threads": THREADS,
        "torch": torch.__version__,
    }
    return report("frames", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
