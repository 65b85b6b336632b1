"""Finished parts of as many takes as hold so many segments: generated, not decoded.

Sized by Ego-Exo4D: 221 hours of 5,035 takes hold 432 thousand narrations, a fifth of them at the
instant of another one; embeddings of 512 values every 100 ms, IMU at 50 Hz, a thumbnail a second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from part_tables import frames_rows, imu_rows, text_rows

from pipelines.align.sync_audit import SyncAudit
from pipelines.config import PrepConfig, load_config
from pipelines.parts.store import PartKind, PartStore
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.sync_record import sync_record_path, write_sync_record
from schemas.embedding import EmbeddingSpec
from schemas.imu import IMU_CHANNELS
from schemas.manifest import SourceEntry
from schemas.narration import Narration
from schemas.store import sha256_hex
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import NS_PER_S, Interval, grid_ns

__all__ = ["SimulatedTakes", "simulated_config", "simulated_spec", "write_simulated_parts"]

NARRATIONS_A_SECOND: Final = 432_000 / (221 * 3600)
REPEATED: Final = 0.21
MIN_SECONDS, MAX_SECONDS = 56, 260
"""Their mean is the 158 s of 221 hours over 5,035 takes."""

_JPEG_BYTES: Final = 2_000
_POOL_SECONDS: Final = 1_200
_LABELS: Final = ("cook", "dance", "soccer", "repair bike", None)
_SPLITS: Final = ("train", "train", "train", "val", "test")
_WORDS: Final = (
    "opens",
    "closes",
    "takes",
    "drops",
    "turns",
    "cup",
    "door",
    "wheel",
    "knife",
    "ball",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTakes:
    """What the takes' preparation would hand to the publisher."""

    config: PrepConfig
    spec: EmbeddingSpec
    takes: list[PreparedTake]
    sources: list[SourceEntry]

    @property
    def segments(self) -> int:
        """Narrations, each of them a segment."""
        return sum(len(take.narrations) for take in self.takes)

    @property
    def seconds(self) -> float:
        """Length of all takes."""
        return sum(take.span.duration_ns for take in self.takes) / NS_PER_S


def simulated_config(store: Path) -> PrepConfig:
    """Return a config of the defaults: 5-s segments at 50 Hz and 10 frames a second."""
    overrides = {"dataset.name": "egoexo4d", "dataset.root": "unused", "store.uri": str(store)}
    return load_config(None, overrides=overrides)


def simulated_spec(dim: int) -> EmbeddingSpec:
    """Return the spec of an encoder that was never run."""
    return EmbeddingSpec(
        name="simulated",
        revision=None,
        weights_sha256="0" * 64,
        meaning="random numbers",
        video_dim=dim,
        text_dim=dim,
        image_size=224,
        max_tokens=77,
        batch_size=32,
        device_kind="cpu",
        precision="float32",
    )


def write_simulated_parts(
    store: Path, *, segments: int, dim: int, seed: int, make: bool = True
) -> SimulatedTakes:
    """Write the parts of takes that hold ``segments`` segments in all, and their sync audits.

    Args:
        store: folder of the store.
        segments: in all; the last take is cut short to hold what is left.
        dim: of the embeddings.
        seed: of all numbers.
        make: whether parts are written; without, only the takes are told, as they were written.
    """
    config, spec = simulated_config(store), simulated_spec(dim)
    takes = list(_draw_takes(segments, rng=np.random.default_rng([seed, 0])))
    if make:
        maker = _Maker(config, spec, rng=np.random.default_rng([seed, 1]))
        for take in takes:
            maker.write(take)
    sources = [
        SourceEntry(
            take_uid=prepared.take.take_uid,
            path=path,
            size=1,
            fingerprint=sha256_hex(path.encode()),
        )
        for prepared in takes
        for path in (f"takes/{prepared.take.take_uid}/video.mp4",)
    ]
    return SimulatedTakes(config=config, spec=spec, takes=takes, sources=sources)


def _draw_takes(segments: int, *, rng: np.random.Generator) -> Iterator[PreparedTake]:
    left, number = segments, 0
    while left:
        seconds = int(rng.integers(MIN_SECONDS, MAX_SECONDS + 1))
        count = min(left, max(1, int(rng.poisson(seconds * NARRATIONS_A_SECOND))))
        yield _make_take(number, seconds=seconds, count=count, rng=rng)
        left, number = left - count, number + 1


def _make_take(number: int, *, seconds: int, count: int, rng: np.random.Generator) -> PreparedTake:
    uid = f"take-{number:06d}"
    single = count - int(count * REPEATED)
    instants = rng.integers(0, seconds * NS_PER_S, size=single)
    repeated = rng.choice(instants, size=count - single)
    words = rng.choice(_WORDS, size=(count, 8)).tolist()
    narrations = tuple(
        Narration(
            narration_ns=t_ns,
            text_raw=f"C {' '.join(some)} {k}.",
            text=f"{' '.join(some)} {k}",
            text_source="atomic_descriptions",
            pass_uid="pass-1" if k < single else "pass-2",
        )
        for k, (t_ns, some) in enumerate(
            zip([*instants.tolist(), *repeated.tolist()], words, strict=True)
        )
    )
    return PreparedTake(
        take=Take(
            dataset="egoexo4d",
            take_uid=uid,
            take_name=f"simulated_{number}",
            participant=f"egoexo4d:{number // 7}",
            label=_LABELS[number % len(_LABELS)],
            video=VideoStream(path=f"takes/{uid}/video.mp4", variant="448"),
            imu=ImuStream(path=f"takes/{uid}/imu.vrs", label="imu-right"),
        ),
        narrations=narrations,
        span=Interval(0, seconds * NS_PER_S),
        clock_uncertainty_ns=33_000_000,
        split=_SPLITS[(number // 7) % len(_SPLITS)],
        **{
            f"{kind}_key": sha256_hex(f"{kind} {uid}".encode())
            for kind in ("imu", "frames", "text")
        },
    )


class _Maker:
    """Cuts every take's numbers out of one pool, at a place of its own."""

    def __init__(
        self, config: PrepConfig, spec: EmbeddingSpec, *, rng: np.random.Generator
    ) -> None:
        self._config, self._spec, self._rng = config, spec, rng
        self._parts = PartStore(config.parts_root)
        frames = _POOL_SECONDS * NS_PER_S // config.video.step_ns
        samples = _POOL_SECONDS * NS_PER_S // config.imu.step_ns
        self._frames = rng.normal(size=(frames, spec.video_dim)).astype(np.float16)
        self._texts = rng.normal(size=(4096, spec.text_dim)).astype(np.float16)
        self._imu = rng.normal(size=(len(IMU_CHANNELS), samples)).astype(np.float32)
        self._jpeg = rng.bytes(_JPEG_BYTES)

    def write(self, take: PreparedTake) -> None:
        """Write the parts of one take and its audit."""
        keys: tuple[tuple[PartKind, str | None, pa.Table, int, dict[str, str]], ...] = (
            (
                "imu",
                take.imu_key,
                self._imu_table(take.span),
                self._config.imu.block_s * NS_PER_S // self._config.imu.step_ns,
                {"imu_stream": "imu-right", "imu_frame": "device"},
            ),
            ("frames", take.frames_key, self._frames_table(take.span), self._spec.batch_size, {}),
            ("text", take.text_key, self._text_table(take.narrations), 256, {}),
        )
        for kind, key, table, rows, metadata in keys:
            if key is None:
                raise ValueError(f"a simulated take has a {kind} part")
            batches = table.to_batches(max_chunksize=rows)
            self._parts.write(kind, key, schema=table.schema, batches=batches, metadata=metadata)
        self._write_audit(take)

    def _imu_table(self, span: Interval) -> pa.Table:
        step_ns = self._config.imu.step_ns
        t_ns = grid_ns(span, step_ns=step_ns)
        low = int(self._rng.integers(0, self._imu.shape[1] - len(t_ns)))
        return imu_rows(self._imu[:, low : low + len(t_ns)], t_ns=t_ns, step_ns=step_ns)

    def _frames_table(self, span: Interval) -> pa.Table:
        t_ns = grid_ns(span, step_ns=self._config.video.step_ns)
        low = int(self._rng.integers(0, len(self._frames) - len(t_ns)))
        embedding = np.ascontiguousarray(self._frames[low : low + len(t_ns)])
        return frames_rows(embedding, t_ns=t_ns, rng=self._rng, jpeg=self._jpeg)

    def _text_table(self, narrations: Sequence[Narration]) -> pa.Table:
        texts = sorted({n.text for n in narrations})
        rows = self._rng.integers(0, len(self._texts), size=len(texts))
        return text_rows(texts, embedding=self._texts[rows])

    def _write_audit(self, take: PreparedTake) -> None:
        if take.imu_key is None or take.frames_key is None:
            raise ValueError("a simulated take has an imu and a frames part")
        seconds = take.span.duration_ns // NS_PER_S
        places = seconds - self._config.audit.window_s + 1
        # Lags of the size of a good dataset's, a tenth of them not to be told.
        lags: npt.NDArray[np.int64] = self._rng.integers(-40, 40, size=places)
        audit = SyncAudit(
            lag_ns=int(lags[0]) * 1_000_000,
            r2=0.61,
            confidence=0.42,
            drift_ns=None,
            origin_ns=0,
            seconds=seconds,
            window_s=self._config.audit.window_s,
            local_lag_ms=tuple(lag if k % 10 else None for k, lag in enumerate(lags.tolist())),
            local_r2=tuple([0.5] * places),
            local_confidence=tuple([0.4] * places),
        )
        path = sync_record_path(
            self._parts,
            imu_key=take.imu_key,
            frames_key=take.frames_key,
            config=self._config.audit,
        )
        write_sync_record(path, audit)
