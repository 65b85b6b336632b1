"""How fast this machine does one thing alone: the limits that a run's stages are held against.

Each probe lasts about two seconds at most and is taken in the run that it judges, on its own
files: what one machine or disk could do yesterday says little about another one today. Files have
just been read, so that reading is mostly memory's speed, as it was for the stages.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from os import fsync
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import numpy as np
from av.error import FFmpegError

from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.torch_threads import use_one_torch_thread
from pipelines.video.picture_stream import open_picture
from schemas.profile import Probe
from schemas.time import NS_PER_S

__all__ = [
    "PROBE_S",
    "probe_decode",
    "probe_encode",
    "probe_encode_text",
    "probe_read",
    "probe_sha256",
    "probe_write",
]

PROBE_S: Final = 2.0
_BLOCK: Final = 1 << 20
_SOURCE_BYTES: Final = 256 << 20
_WRITTEN_BYTES: Final = 64 << 20
# Frames of a video are of this short side when they reach an encoder, if it takes smaller ones.
_SMALLEST_SIDE: Final = 160
_SENTENCE: Final = "C picks up the knife from the table and cuts the bread"


def probe_read(path: Path, *, seconds: float = PROBE_S) -> Probe | None:
    """Return how fast a file is read from its start to its end; None of an empty one."""
    done, began = 0, time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while time.perf_counter() - began < seconds and done < _SOURCE_BYTES:
            if block := file.read(_BLOCK):
                done += len(block)
            elif done:
                file.seek(0)
            else:
                return None
    return _bytes_probe("read", "a source file read in turn", done, began)


def probe_sha256(*, seconds: float = PROBE_S) -> Probe:
    """Return how fast one core hashes memory."""
    block, digest = bytes(_BLOCK), sha256()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds and done < _SOURCE_BYTES:
        digest.update(block)
        done += len(block)
    return _bytes_probe("sha256", "SHA-256 of memory on one core", done, began)


def probe_write(folder: Path, *, seconds: float = PROBE_S) -> Probe:
    """Return how fast a new file in ``folder`` is written and synced; it is removed again."""
    block = np.random.default_rng(0).bytes(_BLOCK)
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix=".tmp-probe-") as file:
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds and done < _WRITTEN_BYTES:
            done += file.write(block)
        file.flush()
        fsync(file.fileno())
        return _bytes_probe("write", "a file written and synced beside the store", done, began)


def probe_decode(
    path: Path, *, threads: int, step_ns: int, seconds: float = PROBE_S
) -> Probe | None:
    """Return how fast every frame of a video is decoded, nothing done with it.

    Counted in grid frames: all frames between two of the grid have to be gone through for one.
    None where no two frames could be decoded: a take is prepared all the same if the grid wants
    none of those that cannot be.

    Args:
        path: of the video.
        threads: of the decoder.
        step_ns: of the grid.
        seconds: to go on for, at most; a shorter video ends it.

    Raises:
        TakeError: as ``open_picture``.
    """
    with open_picture(path) as (container, stream):
        stream.thread_type = "AUTO"
        stream.thread_count = threads
        frames = 0
        began = time.perf_counter()
        with suppress(FFmpegError):
            for _ in container.decode(stream):
                frames += 1
                if time.perf_counter() - began >= seconds:
                    break
        spent = time.perf_counter() - began
        rate = stream.average_rate
    if frames < 2 or rate is None:
        return None
    # A video rarer than the grid gives each of its frames once.
    wanted = frames * min(1.0, float(NS_PER_S / step_ns / rate))
    return Probe(
        name="decode",
        what=f"every frame decoded on {threads} threads, none used",
        unit="grid frames",
        per_s=wanted / spent,
    )


def probe_encode(encoder: FrozenEncoder, *, lanes: int, seconds: float = PROBE_S) -> Probe:
    """Return how fast one lane encodes pictures, ``lanes`` of them side by side.

    Args:
        encoder: of the run.
        lanes: batches encoded at once, each on one torch thread; a GPU takes one.
        seconds: to go on for; at least one batch a lane.
    """
    side = max(encoder.spec.image_size, _SMALLEST_SIDE)
    shape = (encoder.spec.batch_size, side, side, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    lanes = 1 if encoder.spec.device_kind != "cpu" else lanes
    return Probe(
        name="encode",
        what=f"one batch of pictures encoded again and again, {lanes} side by side",
        unit="frames",
        per_s=_repeat(lambda: len(encoder.encode_frames(pictures)), lanes=lanes, seconds=seconds),
    )


def probe_encode_text(encoder: FrozenEncoder, *, seconds: float = PROBE_S) -> Probe:
    """Return how fast one lane encodes sentences of a usual length."""
    texts = [_SENTENCE] * encoder.spec.batch_size
    return Probe(
        name="encode_text",
        what="one batch of sentences encoded again and again",
        unit="sentences",
        per_s=_repeat(lambda: len(encoder.encode_texts(texts)), lanes=1, seconds=seconds),
    )


def _repeat(encode: Callable[[], int], *, lanes: int, seconds: float) -> float:
    """Return items a second and lane; the first call of all is not counted."""

    def run(_lane: int) -> float:
        use_one_torch_thread()
        encode()
        done, began = 0, time.perf_counter()
        while True:
            done += encode()
            spent = time.perf_counter() - began
            if spent >= seconds:
                return done / spent

    with ThreadPoolExecutor(max_workers=lanes) as pool:
        rates = list(pool.map(run, range(lanes)))
    return sum(rates) / lanes


def _bytes_probe(name: str, what: str, done: int, began: float) -> Probe:
    spent = max(time.perf_counter() - began, 1e-9)
    return Probe(name=name, what=what, unit="bytes", per_s=done / spent)
