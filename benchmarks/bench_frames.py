"""Frames for all windows of a take: one pass over the video against one seek a window.

Five-second windows every two seconds, 50 frames each, scaled to 224 pixels. Ours decodes the take
once and scales each frame of the 10 Hz grid once, inside the reader; windows are views of what it
has. ``published`` is the published way, with OpenCV. Its windows are alike but for how far they
lie behind a key frame: every third, at all such distances, is timed and stands for the others.
``decode_only`` is the floor: every frame of the take decoded once by PyAV and nothing done with
it. Without B-frames and with x264's default.

``--rivals`` adds the published way without its scaling, and decord asked for the 50 frames of each
window.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import av
import decord
import numpy as np
import numpy.typing as npt
from moving_video import FPS, GOP_FRAMES, loop_video, megabits_a_second, write_moving_video
from published_frames import (
    EVERY_S,
    FRAMES_KEPT,
    IMAGE_SIZE,
    KEEP_EVERY,
    WINDOW_S,
    decode_only,
    describe_opencv,
    read_published_window,
    require_opencv,
)
from side_by_side import Case, make_parser, measure_cpu, ratios, report

from pipelines.video.decode import open_video
from pipelines.video.grid import match_frames
from pipelines.video.preprocess import crop_frames
from schemas.time import NS_PER_MS, NS_PER_S, Interval, grid_ns

__all__ = ["main"]

STEP_MS: Final = 100
TOLERANCE_MS: Final = 17
CHUNK: Final = 32
# A wrong frame would have to be wrong by whole pieces to go unseen.
PIECE_FRAMES: Final = 2 * GOP_FRAMES
B_FRAMES: Final = {"no_b_frames": 0, "b_frames": 3}
Pixels = npt.NDArray[np.uint8]


def once_per_take(
    path: Path, *, seconds: int, starts_s: Sequence[int], threads: int
) -> list[Pixels]:
    """Return each window's frames (50, 224, 224, 3), views of the take's grid frames."""
    video = open_video(path, decoder="auto")
    step_ns = STEP_MS * NS_PER_MS
    grid = grid_ns(Interval(0, seconds * NS_PER_S), step_ns=step_ns)
    matched = match_frames(video.pts_ns, grid=grid, tolerance_ns=TOLERANCE_MS * NS_PER_MS)
    frames = np.empty((len(grid), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    done = 0
    for some in video.read(matched, chunk=CHUNK, short_side=IMAGE_SIZE, threads=threads):
        square = crop_frames(some, image_size=IMAGE_SIZE).numpy().transpose(0, 2, 3, 1)
        frames[done : done + len(some)] = square
        done += len(some)
    firsts = [start * NS_PER_S // step_ns for start in starts_s]
    return [frames[a : a + FRAMES_KEPT] for a in firsts]


def decord_window(path: Path, *, first_frame: int, threads: int) -> Pixels:
    """Return a window's kept frames in their own size, asked of decord by their numbers."""
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=threads)
    wanted = range(first_frame, first_frame + WINDOW_S * FPS, KEEP_EVERY)
    frames: Pixels = reader.get_batch(list(wanted)).asnumpy()
    return frames


def compare(
    path: Path,
    *,
    name: str,
    seconds: int,
    every: int,
    threads: int,
    repeats: int,
    rivals: bool,
) -> Case:
    """Time the ways on one video and check that their pictures agree.

    Of the windows every ``every``-th is timed where each is read by itself.
    """
    starts_s = list(range(0, seconds - WINDOW_S + 1, EVERY_S))
    some_s = starts_s[::every]

    def published() -> list[Pixels]:
        return [read_published_window(path, first_frame=s * FPS) for s in some_s]

    def published_unscaled() -> list[Pixels]:
        for start in some_s:
            read_published_window(path, first_frame=start * FPS, scale=False)
        return []

    def decord_windows() -> list[Pixels]:
        for start in some_s:
            decord_window(path, first_frame=start * FPS, threads=threads)
        return []

    def ours() -> list[Pixels]:
        return once_per_take(path, seconds=seconds, starts_s=starts_s, threads=threads)

    ways: dict[str, Callable[[], Any]] = {
        "published": published,
        "ours": ours,
        "decode_only": lambda: decode_only(path, frames=seconds * FPS, threads=threads),
    }
    if rivals:
        ways |= {"published_unscaled": published_unscaled, "decord_windows": decord_windows}
    once = ("ours", "decode_only")
    per = {way: len(starts_s) if way in once else len(some_s) for way in ways}
    # What is long needs no rehearsal, and what is short is warm after its first round.
    measured = measure_cpu(ways, repeats=repeats, per=per, rehearse=False)
    answers = measured.answers
    off = read_published_window(path, first_frame=starts_s[0] * FPS + 1)
    agreement = {
        "windows": len(starts_s),
        "windows_sampled": len(some_s),
        "frames_a_window": len(answers["ours"][0]),
        "frames_in_take": answers["decode_only"],
        **picture_difference(answers["ours"][::every], answers["published"]),
        # What being one frame off would look like.
        "mean_difference_one_frame_off": _mean_difference(answers["ours"][0], off),
        **ratios(measured, way="published", over="ours"),
        **ratios(measured, way="ours", over="decode_only"),
    }
    return Case(
        name=name, unit="ms_per_window", runs=measured.wall, cpu=measured.cpu, agreement=agreement
    )


def picture_difference(ours: Sequence[Pixels], published: Sequence[Pixels]) -> dict[str, float]:
    """Return how far the windows' pictures differ, in grey levels of 0 to 255.

    Raises:
        ValueError: if they are not equally many of one size.
    """
    shapes = [[w.shape for w in windows] for windows in (ours, published)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"both ways must give equal shapes, got {shapes[0]} and {shapes[1]}")
    means = [_mean_difference(a, b) for a, b in zip(ours, published, strict=True)]
    return {"mean_difference": float(np.mean(means)), "worst_window_difference": max(means)}


def _mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument(
        "--seconds", type=int, default=150, help="length of the take; Ego-Exo4D's mean is 158"
    )
    parser.add_argument(
        "--every", type=int, default=8, help="of the windows the published way is timed on"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[448, 1408], help="sides, px")
    parser.add_argument("--threads", type=int, default=2, help="of ours and of decode_only")
    parser.add_argument("--rivals", action="store_true", help="two more ways to compare with")
    args = parser.parse_args(argv)
    seconds, sizes, every, repeats = args.seconds, args.sizes, args.every, args.repeats
    if args.quick:
        seconds, sizes, every, repeats = 7, [240], 1, 1
    if seconds < WINDOW_S:
        parser.error(f"--seconds must be at least {WINDOW_S}, got {seconds}")
    require_opencv(parser)
    cases, rates = [], {}
    for size_px in sizes:
        for kind, b_frames in B_FRAMES.items():
            name = f"{size_px}_{kind}"
            with tempfile.TemporaryDirectory() as folder:
                piece = write_moving_video(
                    Path(folder) / "piece.mp4",
                    frames=min(seconds * FPS, PIECE_FRAMES),
                    size_px=size_px,
                    b_frames=b_frames,
                )
                path = loop_video(piece, Path(folder) / "take.mp4", seconds=seconds)
                rates[name] = megabits_a_second(path)
                cases.append(
                    compare(
                        path,
                        name=name,
                        seconds=seconds,
                        every=every,
                        threads=args.threads,
                        repeats=repeats,
                        rivals=args.rivals,
                    )
                )
    settings = {
        "seconds": seconds,
        "window_s": WINDOW_S,
        "every_s": EVERY_S,
        "threads": args.threads,
        "megabits_a_second": rates,
        "pyav": av.__version__,
        "decord": decord.__version__,
        **describe_opencv(),
    }
    return report("frames", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
