"""Small takes, parts and versions, built by hand: every test changes only what it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.encoders.base import FramePooler
from pipelines.parts.store import PartStore
from pipelines.storage.places import Place
from pipelines.stores.arrays import array_layout, array_spec
from pipelines.stores.assemble import assemble_take
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.publish import PublishedVersion, publish_version
from pipelines.stores.take_arrays import fill_rows
from schemas.embedding import EmbeddingSpec, frames_part_schema, text_part_schema
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA
from schemas.manifest import QUARANTINE_SCHEMA, RunRecord, SourceEntry
from schemas.mask import MaskSpec
from schemas.narration import Narration
from schemas.store import sha256_hex
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import NS_PER_S, Interval, grid_ns, seconds_to_ns

SPEC = EmbeddingSpec(
    name="fake-clip",
    revision=None,
    weights_sha256="0" * 64,
    meaning="random numbers",
    video_dim=8,
    text_dim=6,
    image_size=16,
    max_tokens=77,
    batch_size=4,
    device_kind="cpu",
    precision="float32",
)
_INTERVAL_NS = 5_000_000


def make_config(store: Path, **overrides: Any) -> PrepConfig:
    """Return a config of 1-s segments at 10 Hz: tiny arrays with every rule still at work.

    Args:
        store: store folder.
        overrides: ``segments={"policy": "stride"}`` and the like, laid over the defaults.
    """
    base: dict[str, dict[str, Any]] = {
        "dataset": {"name": "egoexo4d", "root": "unused"},
        "store": {"uri": str(store)},
        "imu": {"rate_hz": "10"},
        "segments": {"length_ms": 1000, "step_ms": 100, "stride_ms": 1000},
    }
    for stage, fields in overrides.items():
        base[stage] = {**base.get(stage, {}), **fields}
    return PrepConfig.model_validate(base)


def make_take(uid: str = "take-a", **overrides: Any) -> Take:
    """Return a take that has everything."""
    fields: dict[str, Any] = {
        "dataset": "egoexo4d",
        "take_uid": uid,
        "take_name": f"name of {uid}",
        "participant": f"egoexo4d:p-{uid}",
        "label": "cooking",
        "task_family": "Cooking",
        "video": VideoStream(path=f"{uid}/video.mp4", variant="448"),
        "imu": ImuStream(path=f"{uid}/imu.vrs", label="imu-right"),
    }
    return Take(**{**fields, **overrides})


def make_narration(seconds: float, text: str = "opens the door", **overrides: Any) -> Narration:
    """Return a narration at ``seconds``."""
    fields: dict[str, Any] = {
        "narration_ns": seconds_to_ns(seconds),
        "text_raw": f"C {text}.",
        "text": text,
        "text_source": "atomic_descriptions",
        "pass_uid": "pass-1",
    }
    return Narration(**{**fields, **overrides})


def imu_table(
    span: Interval,
    *,
    step_ns: int,
    rng: np.random.Generator,
    invalid: Iterable[int] = (),
) -> pa.Table:
    """Return an imu part's rows: noise; zeros and not valid at the grid points ``invalid``."""
    t_ns = grid_ns(span, step_ns=step_ns)
    valid = np.ones(len(t_ns), np.bool_)
    valid[list(invalid)] = False
    columns: dict[str, npt.NDArray[Any]] = {"t_ns": t_ns}
    for name in IMU_CHANNELS:
        columns[name] = np.where(valid, rng.normal(size=len(t_ns)), 0).astype(np.float32)
    columns["gap_ns"] = rng.integers(1, 10_000_000, size=len(t_ns))
    columns["valid"] = valid
    # As if recorded at 200 Hz without jitter.
    per_step = np.where(valid, step_ns // _INTERVAL_NS, 0)
    columns["samples"] = columns["intervals"] = per_step.astype(np.int32)
    columns["invalid_samples"] = columns["saturated_samples"] = np.zeros(len(t_ns), np.int32)
    columns["interval_sum_ns"] = per_step * _INTERVAL_NS
    columns["interval_sum_us2"] = per_step * (_INTERVAL_NS / 1000) ** 2
    return pa.table(columns, schema=IMU_PART_SCHEMA)


def frames_table(
    span: Interval,
    *,
    step_ns: int,
    dim: int,
    rng: np.random.Generator,
    missing: Iterable[int] = (),
) -> pa.Table:
    """Return a frames part's rows; grid frames at indices ``missing`` are left out."""
    grid = np.delete(grid_ns(span, step_ns=step_ns), list(missing))
    embedding = rng.normal(size=(len(grid), dim)).astype(np.float16)
    shift = rng.normal(scale=0.01, size=(len(grid), 2)).astype(np.float32)
    blank = np.arange(len(grid)) == 0
    return pa.table(
        {
            "t_ns": grid,
            "pts_ns": grid + rng.integers(-16_000_000, 16_000_000, size=len(grid)),
            "frame_index": np.arange(len(grid)),
            "embedding": pa.FixedSizeListArray.from_arrays(embedding.reshape(-1), dim),
            "motion_dx": pa.array(shift[:, 0], mask=blank),
            "motion_dy": pa.array(shift[:, 1], mask=blank),
            "motion_peak": pa.array(np.ones(len(grid), np.float32), mask=blank),
            "decoder": ["pyav"] * len(grid),
            "jpeg": pa.nulls(len(grid), pa.binary()),
        },
        schema=frames_part_schema(dim),
    )


def text_table(texts: Sequence[str], *, dim: int, rng: np.random.Generator) -> pa.Table:
    """Return a text part's rows."""
    embedding = rng.normal(size=(len(texts), dim)).astype(np.float16)
    return pa.table(
        {
            "text_sha256": [sha256_hex(text.encode()) for text in texts],
            "text": list(texts),
            "embedding": pa.FixedSizeListArray.from_arrays(embedding.reshape(-1), dim),
            "tokens": np.array([len(text.split()) + 2 for text in texts], np.int32),
        },
        schema=text_part_schema(dim),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeTake:
    """A prepared take, the file it stands for, and the tables its parts were written from."""

    prepared: PreparedTake
    source: SourceEntry
    imu: pa.Table
    frames: pa.Table
    text: pa.Table


def write_fake_take(
    parts: PartStore,
    *,
    config: PrepConfig,
    take: Take | None = None,
    narrations: Sequence[Narration] = (),
    seconds: float = 5.0,
    split: str | None = "train",
    seed: int = 0,
    invalid: Iterable[int] = (),
    missing: Iterable[int] = (),
    rows_per_batch: int = 16,
    spec: EmbeddingSpec = SPEC,
) -> FakeTake:
    """Write the three parts of a take of random numbers.

    Args:
        parts: where to.
        config: for the grids.
        take: default ``make_take()``.
        narrations: cleaned; each unique sentence that is not empty gets an embedding.
        seconds: length of the take.
        split: of the take.
        seed: of the numbers.
        invalid: grid points without IMU.
        missing: grid frames without a picture.
        rows_per_batch: of the parts' record batches.
        spec: dimensions of the embeddings.
    """
    take = take if take is not None else make_take()
    rng = np.random.default_rng(seed)
    span = Interval(0, round(seconds * NS_PER_S))
    texts = sorted({n.text for n in narrations if n.text})
    tables = {
        "imu": imu_table(span, step_ns=config.imu.step_ns, rng=rng, invalid=invalid),
        "frames": frames_table(
            span, step_ns=config.video.step_ns, dim=spec.video_dim, rng=rng, missing=missing
        ),
        "text": text_table(texts, dim=spec.text_dim, rng=rng),
    }
    metadata = {"imu": {"imu_stream": "imu-right", "imu_frame": "device"}}
    keys: dict[str, str] = {}
    for kind, table in tables.items():
        keys[kind] = sha256_hex(f"{kind} {take.take_uid} {seed}".encode())
        parts.write(
            kind,  # type: ignore[arg-type]
            keys[kind],
            schema=table.schema,
            batches=table.to_batches(max_chunksize=rows_per_batch),
            metadata=metadata.get(kind),
        )
    prepared = PreparedTake(
        take=take,
        narrations=tuple(narrations),
        span=span,
        clock_uncertainty_ns=33_333_333,
        split=split,
        imu_key=keys["imu"],
        frames_key=keys["frames"],
        text_key=keys["text"] if texts else None,
    )
    source = SourceEntry(
        take_uid=take.take_uid,
        path=f"{take.take_uid}/video.mp4",
        size=10,
        fingerprint=sha256_hex(take.take_uid.encode()),
    )
    return FakeTake(prepared=prepared, source=source, **tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledTake:
    """A take's stored rows with their arrays, as a version would hold them."""

    table: pa.Table
    planned: int
    drops: Mapping[str, int]
    arrays: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def imu(self) -> npt.NDArray[np.float32]:
        """(N, 6, T)"""
        return self.arrays["imu"]

    @property
    def video(self) -> npt.NDArray[np.float16]:
        """(N, Dv)"""
        return self.arrays["video"]

    @property
    def text(self) -> npt.NDArray[np.float16]:
        """(N, Dt)"""
        return self.arrays["text"]

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(N, 3)"""
        return self.arrays["valid"]


def fill_take(
    prepared: PreparedTake,
    *,
    parts: PartStore,
    config: PrepConfig,
    spec: EmbeddingSpec | None = SPEC,
    pooler: FramePooler | None = None,
) -> FilledTake:
    """Assemble one take and fill the arrays of its rows, without a version."""
    rows = assemble_take(prepared, parts=parts, config=config, encoder=spec)
    layout = array_layout(array_spec(config), encoder=spec)
    arrays = {name: np.zeros((len(rows), *row), dtype) for name, (dtype, row) in layout.items()}
    if rows.windows is not None:
        assert not rows.windows[~rows.table["has_imu"].to_numpy()].any()
        arrays["imu"][:] = rows.windows
    else:
        for batch in rows.table.combine_chunks().to_batches():
            fill_rows(
                arrays,
                batch,
                parts=parts,
                keys={
                    "imu": prepared.imu_key,
                    "frames": prepared.frames_key,
                    "text": prepared.text_key,
                },
                step_ns=config.imu.step_ns,
                pooler=pooler,
            )
    return FilledTake(table=rows.table, planned=rows.planned, drops=rows.drops, arrays=arrays)


def make_run_record(**overrides: Any) -> RunRecord:
    """Return a run record with its identity fields still empty."""
    fields: dict[str, Any] = {
        "version": "",
        "made_at": "",
        "seconds": {"imu": 1.5},
        "executor": "inline",
        "workers": 1,
        "computed_takes": 1,
        "reused_takes": 0,
        "python": "",
        "platform": "",
        "packages": {"numpy": "2"},
        "commit": None,
        "parts": {},
        "parts_uri": "parts",
        "dataset_root": "root",
        "store_uri": "store",
        "manifest_sha256": "",
    }
    return RunRecord(**{**fields, **overrides})


def make_quarantine(rows: Sequence[Mapping[str, Any]] = ()) -> pa.Table:
    """Return a quarantine table."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=QUARANTINE_SCHEMA)


def publish_fakes(
    store: Place,
    *,
    config: PrepConfig,
    fakes: Sequence[FakeTake],
    tag: str | None = "latest",
    masks: Sequence[MaskSpec] = (),
    quarantine: pa.Table | None = None,
    spec: EmbeddingSpec | None = SPEC,
    **fields: Any,
) -> PublishedVersion:
    """Assemble and publish fake takes whose parts lie under the config's parts root.

    Args:
        store: store folder.
        config: of the run.
        fakes: in ascending take_uid.
        tag: to set.
        masks: to publish with it.
        quarantine: default an empty one.
        spec: of the encoder.
        fields: more of ``publish_version``'s arguments.
    """
    return publish_version(
        store,
        takes=[fake.prepared for fake in fakes],
        config=config,
        encoder=spec,
        sources=[f.source for f in fakes],
        quarantine=quarantine if quarantine is not None else make_quarantine(),
        run=make_run_record(),
        tag=tag,
        masks=masks,
        **fields,
    )


def publish_small_version(
    store: Path,
    *,
    takes: int = 5,
    segments: int = 8,
    masks: Sequence[MaskSpec] = (),
    **overrides: Any,
) -> PublishedVersion:
    """Publish a version of ``takes`` takes with ``segments`` narrations each, all splits in it."""
    config = make_config(store, **overrides)
    parts = PartStore(config.parts_root)
    splits = ("train", "train", "train", "val", "test")
    labels = ("cooking", "music", None)
    fakes = []
    for i in range(takes):
        narrations = [make_narration(0.5 + 0.55 * k, f"sentence {k % 5}") for k in range(segments)]
        take = replace(make_take(f"take-{i:03d}"), label=labels[i % 3])
        fakes.append(
            write_fake_take(
                parts,
                config=config,
                take=take,
                narrations=narrations,
                seconds=1.0 + 0.55 * segments,
                split=splits[i % len(splits)],
                seed=i,
            )
        )
    return publish_fakes(store, config=config, fakes=fakes, masks=masks)
