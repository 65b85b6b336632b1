"""Peak memory of the frames stage: a long take against a short one of the same picture.

Each runs in a process of its own with a ViT-B/32 of random weights, on the CPU, and is asked for
the most memory it ever had resident; modules and weights are told apart. What grows with the
length of a take shows as ``long_over_short``.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from frames_part_once import __file__ as program
from moving_video import GOP_FRAMES, loop_video, megabits_a_second, write_moving_video
from side_by_side import Case, make_parser, median_of, report

from pipelines.encoders.make_encoder import PRESETS, make_encoder

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parents[1]
SEED: Final = 0
B_FRAMES: Final = 3


def measure_once(
    video: Path, *, seconds: float, encoder: Path, precision: str, threads: int
) -> dict[str, float]:
    """Return what a process that makes the frames part of ``video`` says of its memory.

    Raises:
        RuntimeError: if it fails, with its last words.
    """
    command = [
        sys.executable, program, str(video), "--seconds", str(seconds), "--encoder", str(encoder),
        "--precision", precision, "--threads", str(threads),
    ]  # fmt: skip
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{Path(program).name} failed: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(
    folder: Path,
    *,
    seconds: Mapping[str, float],
    size_px: int,
    encoder: Path,
    precision: str,
    threads: int,
    repeats: int,
) -> tuple[Case, float]:
    """Measure takes of all lengths in turn; return the case and the videos' bit rate."""
    piece = write_moving_video(
        folder / "piece.mp4", frames=GOP_FRAMES, size_px=size_px, b_frames=B_FRAMES
    )
    videos = {
        name: loop_video(piece, folder / f"{name}.mp4", seconds=length)
        for name, length in seconds.items()
    }
    runs: dict[str, list[float]] = {name: [] for name in seconds}
    agreement: dict[str, float] = {}
    for _ in range(repeats):
        for name, length in seconds.items():
            found = measure_once(
                videos[name],
                seconds=length,
                encoder=encoder,
                precision=precision,
                threads=threads,
            )
            runs[name].append(found["peak_mb"])
            agreement[f"rows_{name}"] = found["rows"]
            agreement["modules_and_weights_mb"] = found["peak_mb_before"]
    agreement["long_over_short"] = median_of(runs, "long") / median_of(runs, "short")
    case = Case(name=f"{size_px}_{precision}", unit="mb", runs=runs, agreement=agreement)
    return case, megabits_a_second(videos["short"])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=1)
    parser.add_argument("--short", type=float, default=120, help="length of the short take, s")
    parser.add_argument("--long", type=float, default=1200, help="length of the long take, s")
    parser.add_argument("--size", type=int, default=1408, help="side of the picture, px")
    parser.add_argument("--encoder", choices=sorted(PRESETS), default="vit-b-32")
    parser.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of it"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the stage")
    args = parser.parse_args(argv)
    short_s, long_s, size_px, preset = args.short, args.long, args.size, args.encoder
    repeats = args.repeats
    if args.quick:
        short_s, long_s, size_px, preset, repeats = 20, 140, 240, "tiny", 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_encoder(folder / "encoder", preset=preset, seed=SEED)
        case, rate = compare(
            folder,
            seconds={"short": short_s, "long": long_s},
            size_px=size_px,
            encoder=folder / "encoder",
            precision=args.precision,
            threads=args.threads,
            repeats=repeats,
        )
    settings = {
        "short_s": short_s,
        "long_s": long_s,
        "encoder": preset,
        "precision": args.precision,
        "threads": args.threads,
        "megabits_a_second": rate,
    }
    return report("memory", cases=[case], quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
