"""Frames for the windows of real narrations: each take's video once against once a window.

Sentences crowd together and second annotators repeat the first, so windows overlap: the published
way (OpenCV, all windows alike) decodes a second of video some three times. ``ours`` reads the
whole grid of each take (``coverage: all``), ``ours_needed`` only the frames that windows use
(``coverage: needed``). Times are of an ``atomic_descriptions`` file given by ``--annotations`` or
PRIMUS_ANNOTATIONS; without one they are drawn from a model fitted to such a file, and the result
says so.

Of the takes a seeded sample is measured, as dense in windows as all of them; of its windows the
published way is timed on a seeded sample, and the cost of one holds for all.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import av
import numpy as np
import numpy.typing as npt
from bench_frames import B_FRAMES, CHUNK, TOLERANCE_MS, picture_difference
from moving_video import FPS, GOP_FRAMES, loop_video, megabits_a_second, write_moving_video
from narration_times import NarratedTake, choose_takes, draw_takes, read_takes
from published_frames import (
    FRAMES_KEPT,
    IMAGE_SIZE,
    KEEP_EVERY,
    describe_opencv,
    read_published_window,
    require_opencv,
)
from side_by_side import Case, make_parser, measure_cpu, ratios, report

from pipelines.video.decode import open_video
from pipelines.video.grid import match_frames, needed_grid
from pipelines.video.preprocess import crop_frames
from schemas.time import NS_PER_MS, grid_ns

__all__ = ["main"]

SEED: Final = 0
STEP_NS: Final = 100 * NS_PER_MS
DRAWN_TAKES: Final = 60
Pixels = npt.NDArray[np.uint8]
Coverage = Literal["all", "needed"]


def wanted_frames(
    take: NarratedTake, *, pts_ns: npt.NDArray[np.int64], coverage: Coverage
) -> npt.NDArray[np.int64]:
    """Return the numbers of the frames to read, (N,) int64."""
    if coverage == "all":
        grid = grid_ns(take.span, step_ns=STEP_NS)
    else:
        start_ns = np.array([w.start_ns for w in take.windows], np.int64)
        end_ns = np.array([w.end_ns for w in take.windows], np.int64)
        grid = needed_grid(start_ns, end_ns, step_ns=STEP_NS)
    return match_frames(pts_ns, grid=grid, tolerance_ns=TOLERANCE_MS * NS_PER_MS)


def read_take(path: Path, *, take: NarratedTake, coverage: Coverage, threads: int) -> int:
    """Read and scale a take's frames as the frames stage does, and return how many there are."""
    video = open_video(path, decoder="auto")
    wanted = wanted_frames(take, pts_ns=video.pts_ns, coverage=coverage)
    return sum(
        len(crop_frames(some, image_size=IMAGE_SIZE))
        for some in video.read(wanted, chunk=CHUNK, short_side=IMAGE_SIZE, threads=threads)
    )


def window_frames(path: Path, *, first_frame: int, threads: int) -> Pixels:
    """Return a window's frames (50, 224, 224, 3) as our reader gives them."""
    video = open_video(path, decoder="auto")
    wanted = np.arange(first_frame, first_frame + FRAMES_KEPT * KEEP_EVERY, KEEP_EVERY)
    some = list(video.read(wanted, chunk=CHUNK, short_side=IMAGE_SIZE, threads=threads))
    pixels: Pixels = crop_frames(np.concatenate(some), image_size=IMAGE_SIZE).numpy()
    return pixels.transpose(0, 2, 3, 1)


def compare(
    paths: Sequence[Path],
    *,
    name: str,
    takes: Sequence[NarratedTake],
    sampled: int,
    threads: int,
    repeats: int,
) -> Case:
    """Time the ways on the takes' videos and check that their pictures agree."""
    windows = [
        # The first grid frame of a window; 30 frames a second have one at every grid time.
        (path, -(-window.start_ns // STEP_NS) * KEEP_EVERY)
        for path, take in zip(paths, takes, strict=True)
        for window in take.windows
    ]
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(len(windows), size=min(sampled, len(windows)), replace=False)
    sample = [windows[k] for k in sorted(chosen.tolist())]

    def published() -> list[Pixels]:
        return [read_published_window(path, first_frame=first) for path, first in sample]

    def ours(coverage: Coverage) -> int:
        return sum(
            read_take(path, take=take, coverage=coverage, threads=threads)
            for path, take in zip(paths, takes, strict=True)
        )

    ways: dict[str, Callable[[], Any]] = {
        "published": published,
        "ours": lambda: ours("all"),
        "ours_needed": lambda: ours("needed"),
    }
    measured = measure_cpu(
        ways,
        repeats=repeats,
        per={"published": len(sample), "ours": len(windows), "ours_needed": len(windows)},
        rehearse=False,
    )
    answers = measured.answers
    pictures = [window_frames(path, first_frame=k, threads=threads) for path, k in sample]
    seconds = sum(take.seconds for take in takes)
    frames = {"all": answers["ours"], "needed": answers["ours_needed"]}
    agreement = {
        "takes": len(takes),
        "take_seconds": seconds,
        "windows": len(windows),
        "windows_sampled": len(sample),
        "windows_a_second": len(windows) / seconds,
        "frames_all": frames["all"],
        "frames_needed": frames["needed"],
        "frames_of_windows": FRAMES_KEPT * len(windows),
        **picture_difference(pictures, answers["published"]),
        **ratios(measured, way="published", over="ours"),
        **ratios(measured, way="published", over="ours_needed"),
    }
    return Case(
        name=name, unit="ms_per_window", runs=measured.wall, cpu=measured.cpu, agreement=agreement
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=2)
    parser.add_argument(
        "--annotations",
        type=Path,
        default=os.environ.get("PRIMUS_ANNOTATIONS") or None,
        help="atomic_descriptions file; default PRIMUS_ANNOTATIONS, else drawn times",
    )
    parser.add_argument("--seconds", type=float, default=240, help="takes measured, in all")
    parser.add_argument("--windows", type=int, default=16, help="timed by the published way")
    parser.add_argument("--size", type=int, default=1408, help="side of the picture, px")
    parser.add_argument("--threads", type=int, default=2, help="of ours")
    args = parser.parse_args(argv)
    seconds, size_px, repeats, sampled = args.seconds, args.size, args.repeats, args.windows
    kinds = B_FRAMES
    if args.quick:
        seconds, size_px, repeats, sampled = 60, 240, 1, 2
        kinds = {"b_frames": B_FRAMES["b_frames"]}
    require_opencv(parser)
    if args.annotations is None:
        takes = draw_takes(DRAWN_TAKES, seed=SEED)
    elif args.annotations.is_file():
        takes = read_takes(args.annotations)
    else:
        parser.error(f"--annotations must be a file, got {args.annotations}")
    if seconds < min(take.seconds for take in takes):
        parser.error(f"--seconds must hold the shortest take, got {seconds}")
    chosen = choose_takes(takes, seconds=seconds, seed=SEED)
    cases, rates = [], {}
    for kind, b_frames in kinds.items():
        name = f"{size_px}_{kind}"
        with tempfile.TemporaryDirectory() as folder:
            piece = write_moving_video(
                Path(folder) / "piece.mp4", frames=GOP_FRAMES, size_px=size_px, b_frames=b_frames
            )
            rates[name] = megabits_a_second(piece)
            paths = [
                loop_video(piece, Path(folder) / f"{number}.mp4", seconds=take.seconds)
                for number, take in enumerate(chosen)
            ]
            cases.append(
                compare(
                    paths,
                    name=name,
                    takes=chosen,
                    sampled=sampled,
                    threads=args.threads,
                    repeats=repeats,
                )
            )
    settings = {
        "times": "drawn" if args.annotations is None else "real",
        "takes_in_all": len(takes),
        "windows_a_second_in_all": sum(len(t.windows) for t in takes)
        / sum(t.seconds for t in takes),
        "threads": args.threads,
        "fps": FPS,
        "megabits_a_second": rates,
        "pyav": av.__version__,
        **describe_opencv(),
    }
    return report("timestamps", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
