"""The whole frames stage against its two halves, each alone with all cores.

``ours`` decodes a take's grid frames, measures their motion, embeds them and writes the part.
``encoder_alone`` embeds as many frames from memory, by several torch threads a call or by several
calls side by side, whichever is faster here; ``decode_alone`` decodes and scales the same frames.
On a CPU both want the same cores: the stage can do no better than their sum, and
``ours_over_sum`` says how near it comes. A ViT-B/32 of random weights, each size and precision.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from moving_video import FPS, GOP_FRAMES, loop_video, megabits_a_second, write_moving_video
from side_by_side import Case, make_parser, measure_cpu, median_of, report

from pipelines.config import EncoderConfig, VideoConfig
from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.clip4clip import open_clip4clip
from pipelines.encoders.make_encoder import PRESETS, make_encoder
from pipelines.encoders.torch_threads import one_torch_thread, use_one_torch_thread
from pipelines.parts.frames import SMALLEST_SIDE, write_frames_part
from pipelines.parts.store import PartStore
from pipelines.video.decode import open_video
from pipelines.video.grid import match_frames
from schemas.time import NS_PER_S, Interval, grid_ns

__all__ = ["main"]

SEED: Final = 0
CONFIG: Final = VideoConfig()
PRECISIONS: Final = ("float32", "bfloat16")
Pixels = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]


def read_frames(
    path: Path, *, seconds: int, encoder: FrozenEncoder, threads: int
) -> Iterator[Pixels]:
    """Yield the take's grid frames as the frames stage reads them, a batch at a time."""
    video = open_video(path, decoder=CONFIG.decoder)
    grid = grid_ns(Interval(0, seconds * NS_PER_S), step_ns=CONFIG.step_ns)
    wanted = match_frames(video.pts_ns, grid=grid, tolerance_ns=CONFIG.tolerance_ns)
    side = max(encoder.spec.image_size, SMALLEST_SIDE)
    return video.read(wanted, chunk=encoder.spec.batch_size, short_side=side, threads=threads)


def encode_split(batches: Sequence[Pixels], *, encoder: FrozenEncoder, threads: int) -> int:
    """Embed one batch after the other, each by all threads; return the number of frames."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return sum(len(encoder.encode_frames(batch)) for batch in batches)
    finally:
        torch.set_num_threads(before)


def encode_side_by_side(batches: Sequence[Pixels], *, encoder: FrozenEncoder, threads: int) -> int:
    """Embed batches side by side, each by one thread; return the number of frames."""
    # Torch's number of threads belongs to the thread that sets it.
    with (
        one_torch_thread(),
        ThreadPoolExecutor(threads, initializer=use_one_torch_thread) as pool,
    ):
        return sum(map(len, pool.map(encoder.encode_frames, batches)))


def faster_encoding(
    batches: Sequence[Pixels], *, encoder: FrozenEncoder, threads: int
) -> tuple[Callable[[Sequence[Pixels]], int], dict[str, float]]:
    """Return the faster of the two ways to encode here, and the frames a second of both."""
    ways = {"split": encode_split, "side_by_side": encode_side_by_side}
    rates: dict[str, float] = {}
    for name, encode in ways.items():
        encode(batches[:threads], encoder=encoder, threads=threads)
        start = time.perf_counter()
        frames = encode(batches, encoder=encoder, threads=threads)
        rates[f"encoder_frames_a_second_{name}"] = frames / (time.perf_counter() - start)
    best = max(ways, key=lambda name: rates[f"encoder_frames_a_second_{name}"])
    return lambda some: ways[best](some, encoder=encoder, threads=threads), rates


def compare(
    path: Path, *, name: str, seconds: int, encoder: FrozenEncoder, threads: int, repeats: int
) -> tuple[Case, Embeddings]:
    """Time the stage and its halves on one video; return the case and the embeddings made."""
    size = encoder.spec.batch_size
    # Content costs no time: one piece's frames stand for the whole take's.
    piece_s = min(seconds, GOP_FRAMES // FPS)
    some = list(read_frames(path, seconds=piece_s, encoder=encoder, threads=threads))
    frames_in_all = seconds * NS_PER_S // CONFIG.step_ns
    held = np.concatenate(some)
    held = np.resize(held, (max(size, len(held) // size * size), *held.shape[1:]))
    firsts = range(0, frames_in_all, size)
    batches = [held[a % len(held) :][: min(size, frames_in_all - a)] for a in firsts]
    encode, rates = faster_encoding(batches[: 2 * threads], encoder=encoder, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        parts, numbers = PartStore(Path(folder)), count()

        def ours() -> Path:
            key = f"{next(numbers):064x}"
            write_frames_part(
                parts,
                key,
                paths=[path],
                span=Interval(0, seconds * NS_PER_S),
                config=CONFIG,
                encoder=encoder,
                threads=threads,
            )
            return parts.path("frames", key)

        def decode_alone() -> int:
            pictures = read_frames(path, seconds=seconds, encoder=encoder, threads=threads)
            return sum(map(len, pictures))

        ways: dict[str, Callable[[], Any]] = {
            "ours": ours,
            "encoder_alone": lambda: encode(batches),
            "decode_alone": decode_alone,
        }
        measured = measure_cpu(ways, repeats=repeats, per=frames_in_all, rehearse=False)
        column = parts.read_table("frames", f"{0:064x}")["embedding"].combine_chunks()
        embeddings = np.asarray(column.flatten()).reshape(len(column), -1).astype(np.float32)
    wall, answers = measured.wall, measured.answers
    over_sum = {
        f"ours_over_sum{kind}": median_of(runs, "ours")
        / (median_of(runs, "encoder_alone") + median_of(runs, "decode_alone"))
        for kind, runs in (("", wall), ("_cpu", measured.cpu))
    }
    agreement = {
        "frames": len(embeddings),
        "frames_encoded_alone": answers["encoder_alone"],
        "frames_decoded_alone": answers["decode_alone"],
        **over_sum,
        **{f"{way}_frames_a_second": 1e3 / median_of(wall, way) for way in wall},
        **rates,
    }
    case = Case(name=name, unit="ms_per_frame", runs=wall, agreement=agreement, cpu=measured.cpu)
    return case, embeddings


def precision_error(ours: Embeddings, exact: Embeddings) -> float:
    """Return the worst frame's error over the difference that one grid step makes there."""
    steps = np.linalg.norm(np.diff(exact, axis=0), axis=1)
    return float((np.linalg.norm(ours - exact, axis=1)[:-1] / steps).max())


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--seconds", type=int, default=60, help="length of the take")
    parser.add_argument("--sizes", type=int, nargs="+", default=[448, 1408], help="sides, px")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--encoder", choices=sorted(PRESETS), default="vit-b-32")
    parser.add_argument("--threads", type=int, default=2, help="of every way")
    args = parser.parse_args(argv)
    seconds, sizes, repeats, preset = args.seconds, args.sizes, args.repeats, args.encoder
    if args.quick:
        seconds, sizes, repeats, preset = 4, [240], 1, "tiny"
    cases: list[Case] = []
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_encoder(folder / "encoder", preset=preset, seed=SEED)
        encoders = {
            precision: open_clip4clip(
                EncoderConfig(name=str(folder / "encoder"), device="cpu", precision=precision)
            )
            for precision in args.precisions
        }
        for size_px in sizes:
            piece = write_moving_video(
                folder / f"piece-{size_px}.mp4", frames=GOP_FRAMES, size_px=size_px, b_frames=0
            )
            path = loop_video(piece, folder / f"take-{size_px}.mp4", seconds=seconds)
            rates[str(size_px)] = megabits_a_second(path)
            exact = None
            for precision, encoder in encoders.items():
                case, embeddings = compare(
                    path,
                    name=f"{size_px}_{precision}",
                    seconds=seconds,
                    encoder=encoder,
                    threads=args.threads,
                    repeats=repeats,
                )
                if precision == "float32":
                    exact, plain = embeddings, case
                elif exact is not None:
                    case.agreement["float32_over_this"] = median_of(plain.runs, "ours") / median_of(
                        case.runs, "ours"
                    )
                    case.agreement["worst_error_over_grid_step"] = precision_error(
                        embeddings, exact
                    )
                cases.append(case)
    settings = {
        "seconds": seconds,
        "encoder": preset,
        "threads": args.threads,
        "batch": EncoderConfig().batch_size,
        "megabits_a_second": rates,
        "torch": torch.__version__,
    }
    return report("frames_stage", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
