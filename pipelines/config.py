"""One frozen model per stage; every field says its unit. Unknown keys are refused."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from pipelines.storage.mirror_root import mirror_root
from pipelines.storage.places import Place, check_place, is_local, open_place
from schemas.errors import UsageError
from schemas.mask import MaskSpec
from schemas.store import parse_tag
from schemas.time import NS_PER_MS, parse_rate

__all__ = [
    "AuditConfig",
    "BodyPosition",
    "DatasetConfig",
    "DatasetName",
    "EncoderConfig",
    "ExecutionConfig",
    "ImuConfig",
    "PlanConfig",
    "PrepConfig",
    "QualityConfig",
    "SegmentsConfig",
    "SlurmConfig",
    "SplitConfig",
    "StoreConfig",
    "TextConfig",
    "VideoConfig",
    "load_config",
]


_AMOUNT = re.compile(r"\d+(\.\d+)?\s*[kKMGT]i?B")

DatasetName = Literal["egoexo4d", "ego4d", "realworld", "gopro", "folder"]
BodyPosition = Literal["chest", "forearm", "head", "shin", "thigh", "upperarm", "waist"]

_DATASET_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Most of its videos have no IMU, which is no fault of theirs.
    "ego4d": {"max_quarantine": 1.0},
    # Inertial sensors alone: nothing to embed. Test subjects are our choice, as the paper names
    # none: "held-out users".
    "realworld": {
        "encoder": {"name": "none"},
        "segments": {"policy": "stride", "require": ["imu"]},
        "splits": {"test_participants": ["5", "10", "15"]},
    },
}


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetConfig(_Closed):
    """Which recordings, and how their metadata is read."""

    name: DatasetName = Field(description="reader to use")
    root: Path = Field(
        description="dataset folder, or a URI such as s3://bucket/dataset, whose mirror on this "
        "machine it then is"
    )
    uri: str | None = Field(
        default=None, description="filled in where root is given as the URI of an object store"
    )
    limit: int | None = Field(default=None, ge=1, description="first takes only, by take uid")
    labels: Literal["paper", "published"] = Field(
        default="paper",
        description="paper: basketball has no label; published: it counts as soccer",
    )
    timesync_k0: Literal[0, 1] = Field(
        default=0, description="row offset where mp4 frames = end - start leaves it open"
    )
    positions: tuple[BodyPosition, ...] = Field(
        default=("head",), min_length=1, description="realworld: where the sensor was worn"
    )
    follow_links: bool = Field(
        default=False,
        description="read files that links inside the dataset's folder lead to outside of it, for "
        "folders that are made of links",
    )

    @property
    def source(self) -> str:
        """Where the recordings come from: folder or URI."""
        return str(self.root) if self.uri is None else self.uri


class ImuConfig(_Closed):
    """Resampling of a whole take."""

    stream: str = Field(default="imu-right", description="IMU stream, by its label")
    rate_hz: str = Field(default="50", description="grid rate, a number or a fraction")
    cutoff_hz: float = Field(default=20.0, gt=0, description="anti-alias filter's -6 dB point, Hz")
    max_gap_ms: int = Field(default=100, gt=0, description="longer recording gaps are not bridged")
    block_s: int = Field(
        default=60, gt=0, description="resampled at a time, seconds; changes no value"
    )
    accept_sensor_frame: bool = Field(
        default=False, description="keep uncalibrated takes, all of them in the sensor's own frame"
    )
    alignment: Literal["clock", "first_sample"] = Field(
        default="clock",
        description="clock: by the dataset's own clocks; first_sample: the first valid sample is "
        "taken for the first frame, as the published code does",
    )
    resampling: Literal["take", "window"] = Field(
        default="take",
        description="take: once for the whole take; window: each window by itself, by the "
        "published code's sinc kernel and padding",
    )

    @field_validator("rate_hz", mode="before")
    @classmethod
    def _rate_divides_a_second(cls, value: str | float) -> str:
        rate = parse_rate(value)
        if (1_000_000_000 * rate.denominator) % rate.numerator:
            raise ValueError(f"rate_hz must give a whole number of nanoseconds a step, got {value}")
        return str(rate)

    @model_validator(mode="after")
    def _windows_are_resampled_to_whole_hz(self) -> Self:
        if self.resampling == "window" and parse_rate(self.rate_hz).denominator != 1:
            raise ValueError(f"resampling window needs a rate_hz of whole Hz, got {self.rate_hz}")
        return self

    @property
    def step_ns(self) -> int:
        """Grid step in nanoseconds."""
        rate = parse_rate(self.rate_hz)
        return 1_000_000_000 * rate.denominator // rate.numerator


class VideoConfig(_Closed):
    """Which frames are used and how they are decoded."""

    variant: Literal["auto", "448", "540ss", "full"] = Field(
        default="auto",
        description="copy of the picture; auto takes the small one where it exists: 448 for "
        "egoexo4d, 540ss for ego4d",
    )
    step_ms: int = Field(default=100, gt=0, description="frame grid step")
    tolerance_ms: int = Field(
        default=21,
        gt=0,
        description="furthest frame from its grid time; 21 is half a frame of 24 fps",
    )
    decoder: Literal["auto", "decord", "pyav"] = Field(
        default="auto",
        description="auto: PyAV, which is faster; decord only where it is asked for",
    )
    hardware: Literal["auto", "none"] = Field(
        default="auto", description="auto: the GPU decodes where there is one that can"
    )
    coverage: Literal["all", "needed"] = Field(
        default="all",
        description="all: every grid frame of a take; needed: only those that segments use, which "
        "have to be decoded again when windows change",
    )

    @field_validator("variant", mode="before")
    @classmethod
    def _may_be_written_as_a_number(cls, value: object) -> object:
        # YAML reads 448 as a number.
        return str(value) if type(value) is int else value

    @property
    def step_ns(self) -> int:
        """Grid step in nanoseconds."""
        return self.step_ms * NS_PER_MS

    @property
    def tolerance_ns(self) -> int:
        """Furthest accepted match in nanoseconds."""
        return self.tolerance_ms * NS_PER_MS


class TextConfig(_Closed):
    """How sentences are cleaned."""

    cleaning: Literal["default", "published"] = Field(
        default="default", description="published deletes every capital C, as the published code"
    )
    sources: tuple[str, ...] | None = Field(
        default=None,
        description="annotation sets to read; default the dataset's first, such as "
        "atomic_descriptions; egoexo4d also has expert_commentary",
    )
    passes: Literal["all", "first"] = Field(
        default="all",
        description="annotator passes of a take; first: only the file's first, rejected or not",
    )
    subjects: Literal["any", "wearer"] = Field(
        default="any", description="wearer: sentences known to be about others are dropped"
    )
    visibility: Literal["any", "visible"] = Field(
        default="any",
        description="visible: sentences about what the wearer's camera does not show are dropped",
    )


class EncoderConfig(_Closed):
    """The frozen video-and-text encoder."""

    name: str = Field(
        default="Searchium-ai/clip4clip-webvid150k",
        description="hub name, local folder, or none for stores of IMU alone",
    )
    revision: str | None = Field(default=None, description="hub revision; resolved and recorded")
    batch_size: int = Field(default=32, ge=1, description="rows of every encoder call")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where it runs")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 on a GPU that has it, float32 elsewhere"
    )
    pooling: Literal["mean", "seqTransf"] = Field(
        default="mean", description="from a segment's frame embeddings to one; no frame is read"
    )


class SegmentsConfig(_Closed):
    """Which stretches of a take become segments."""

    policy: Literal["narration", "stride", "published"] = Field(
        default="narration",
        description="centred on narrations, at a fixed stride, or the published window rule",
    )
    length_ms: int = Field(default=5000, gt=0, description="length of a segment")
    step_ms: int = Field(default=20, gt=0, description="starts are multiples of this")
    stride_ms: int = Field(default=5000, gt=0, description="distance of starts under stride")
    duplicates: Literal["keep", "drop"] = Field(
        default="keep", description="rows of one take with equal window, source and sentence"
    )
    require: tuple[Literal["imu", "video", "text"], ...] | None = Field(
        default=None,
        description="modalities without which a segment is dropped; default all three, "
        "imu and video under stride",
    )

    @model_validator(mode="after")
    def _starts_are_multiples_of_the_step(self) -> Self:
        if self.policy == "stride" and self.stride_ms % self.step_ms:
            raise ValueError(
                f"stride_ms must be a multiple of step_ms={self.step_ms}, got {self.stride_ms}"
            )
        if self.policy == "published" and (self.length_ms % 1000 or 1000 % self.step_ms):
            raise ValueError(
                "policy published needs a length_ms of whole seconds and a step_ms that divides "
                f"one, got {self.length_ms} and {self.step_ms}"
            )
        return self

    @property
    def length_ns(self) -> int:
        """Length of a segment in nanoseconds."""
        return self.length_ms * NS_PER_MS

    @property
    def step_ns(self) -> int:
        """Step of the starts in nanoseconds."""
        return self.step_ms * NS_PER_MS

    @property
    def stride_ns(self) -> int:
        """Stride in nanoseconds."""
        return self.stride_ms * NS_PER_MS

    @property
    def required(self) -> tuple[str, ...]:
        """Modalities a stored segment must have."""
        if self.require is not None:
            return self.require
        return ("imu", "video") if self.policy == "stride" else ("imu", "video", "text")


class SplitConfig(_Closed):
    """Which takes are train, val and test."""

    kind: Literal["participant", "official", "custom"] = Field(
        default="participant", description="by participant, the dataset's own, or a given list"
    )
    shares: tuple[float, float, float] = Field(
        default=(0.6, 0.2, 0.2), description="train, val, test shares of participants"
    )
    seed: int = Field(default=0, description="of the participants' order")
    test_participants: tuple[str, ...] = Field(
        default=(),
        description="participant: these are test, by their id in the dataset; the others are "
        "shared out between train and val",
    )
    takes: Mapping[str, Literal["train", "val", "test"]] = Field(
        default_factory=dict, description="custom: take_uid or take_name to split"
    )

    @field_validator("test_participants", mode="before")
    @classmethod
    def _ids_may_be_written_as_numbers(cls, value: object) -> object:
        # YAML reads 5 as a number, and a shell takes the quotes off "5".
        if isinstance(value, list | tuple):
            return [str(v) if type(v) is int else v for v in value]
        return value

    @field_validator("shares")
    @classmethod
    def _shares_sum_to_one(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) < 0 or abs(sum(value) - 1) > 1e-6:
            raise ValueError(f"shares must be three shares that sum to 1, got {value}")
        return value


class AuditConfig(_Closed):
    """How far gyro and picture are apart, measured from the motion both of them saw."""

    enabled: bool = Field(default=True, description="measure picture motion and lags")
    max_lag_ms: int = Field(default=1500, gt=0, description="lags up to this far are tried")
    window_s: int = Field(
        default=20, ge=10, description="stretch around a segment that its own lag is told from"
    )
    suspect_ms: int = Field(
        default=150, gt=0, description="a take whose lag is beyond this is marked sync_suspect"
    )
    correct: bool = Field(
        default=False, description="move each take's IMU by its measured lag, where one was told"
    )

    @model_validator(mode="after")
    def _corrects_only_what_is_measured(self) -> Self:
        if self.correct and not self.enabled:
            raise ValueError("correct needs enabled, got correct=true and enabled=false")
        return self


class QualityConfig(_Closed):
    """Limits beyond which a segment is dropped; None sets none."""

    min_imu_coverage: float | None = Field(default=None, ge=0, le=1, description="share")
    max_imu_gap_ms: float | None = Field(default=None, gt=0, description="longest gap in it")
    max_imu_jitter_us: float | None = Field(
        default=None, gt=0, description="standard deviation of the sample intervals"
    )
    max_imu_invalid_share: float | None = Field(default=None, ge=0, le=1, description="share")
    max_imu_saturated_share: float | None = Field(default=None, ge=0, le=1, description="share")
    max_imu_still_share: float | None = Field(default=None, ge=0, le=1, description="share")
    max_frame_error_ms: float | None = Field(
        default=None, gt=0, description="furthest used frame from its grid time"
    )
    max_frames_missing: int | None = Field(default=None, ge=0, description="grid frames")
    max_abs_lag_ms: float | None = Field(
        default=None, gt=0, description="the take's measured lag, either way"
    )
    min_lag_confidence: float | None = Field(
        default=None, ge=0, le=1, description="of the take's lag; takes it cannot be told for fall"
    )
    max_narrations_per_minute: float | None = Field(default=None, gt=0, description="density")
    max_overlaps: int | None = Field(default=None, ge=0, description="segments that meet it")
    drop_ambiguous: bool = Field(
        default=False, description="segments with more than one sentence in the window"
    )


class StoreConfig(_Closed):
    """Where parts and versions go."""

    uri: str = Field(description="store: a folder, or a URI such as s3://bucket/store")
    parts: str | None = Field(default=None, description="place of the parts; default STORE/parts")
    tag: str = Field(default="latest", description="set to the new version")

    @field_validator("uri", "parts")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return check_place(value)
        except UsageError as error:
            raise ValueError(str(error)) from error

    @property
    def place(self) -> Place:
        """Where the store lies."""
        return open_place(self.uri)

    @field_validator("tag")
    @classmethod
    def _may_name_a_tag(cls, value: str) -> str:
        return parse_tag(value)


class SlurmConfig(_Closed):
    """The jobs of a SLURM cluster that hold a run's Dask workers."""

    queue: str | None = Field(default=None, description="partition; default the cluster's own")
    account: str | None = Field(default=None, description="who pays; default the user's own")
    cores: int = Field(default=8, ge=1, description="cores a job, shared by its workers")
    memory: str = Field(default="16GB", description="memory a job, shared by its workers")
    walltime: str = Field(default="12:00:00", description="longest time of a job, as h:m:s")
    processes: int = Field(default=1, ge=1, description="workers a job")
    interface: str | None = Field(
        default=None, description="network interface that jobs and driver share, such as ib0"
    )
    prologue: tuple[str, ...] = Field(
        default=(), description="shell lines before the workers start, such as: module load ffmpeg"
    )
    extra: tuple[str, ...] = Field(
        default=(), description="further options of sbatch, such as --gres=gpu:1"
    )
    python: str | None = Field(
        default=None, description="interpreter on the nodes; default this one's path"
    )
    log_folder: Path | None = Field(default=None, description="for what the jobs write")

    @field_validator("memory")
    @classmethod
    def _is_an_amount(cls, value: str) -> str:
        return _checked_amount(value)

    @model_validator(mode="after")
    def _a_core_a_worker(self) -> Self:
        if self.cores < self.processes:
            raise ValueError(
                f"cores must be enough for processes, got {self.cores} and {self.processes}"
            )
        return self


class ExecutionConfig(_Closed):
    """How the work is carried out; no part of a version's identity."""

    executor: Literal["inline", "threads", "dask"] = Field(
        default="threads", description="who runs"
    )
    workers: int = Field(default=2, ge=1, description="threads or worker processes")
    threads: int | None = Field(
        default=None,
        ge=1,
        description="threads a worker may keep busy with decoding and encoding; default this "
        "machine's cores shared among the workers, and all of them inline; changes no value",
    )
    dask_address: str | None = Field(default=None, description="an existing scheduler's address")
    dask_processes: bool = Field(
        default=True, description="a process a Dask worker of this machine; false: a thread"
    )
    cluster: Literal["local", "slurm"] = Field(
        default="local", description="where Dask workers are started: here, or as SLURM jobs"
    )
    slurm: SlurmConfig = SlurmConfig()
    memory_limit: str | None = Field(
        default=None,
        description="of a Dask worker process of this machine, such as 4GB: one that needs more is "
        "started anew; default its share of the machine",
    )
    worker_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="longest time without any Dask worker before the run gives up; longer where "
        "jobs wait in a queue",
    )
    batch_takes: int = Field(default=4, ge=1, description="takes a task")
    scratch: Path | None = Field(
        default=None,
        description="folder of this machine for what is fetched of a dataset in an object store; "
        "default the system's folder for temporary files",
    )
    profile: bool = Field(
        default=False, description="measure each stage's limit beside it and report both"
    )
    dask_report: Path | None = Field(
        default=None, description="HTML file for Dask's own performance report; needs bokeh"
    )

    @field_validator("memory_limit")
    @classmethod
    def _is_an_amount(cls, value: str | None) -> str | None:
        return value if value is None else _checked_amount(value)

    @model_validator(mode="after")
    def _reports_of_dask_alone(self) -> Self:
        if self.dask_report is not None and self.executor != "dask":
            raise ValueError(f"dask_report needs executor dask, got executor {self.executor}")
        return self

    @model_validator(mode="after")
    def _one_kind_of_cluster(self) -> Self:
        if self.cluster == "slurm" and (self.executor != "dask" or self.dask_address is not None):
            raise ValueError(
                "cluster slurm needs executor dask and no dask_address, got executor "
                f"{self.executor} and dask_address {self.dask_address}"
            )
        started_here = self.executor == "dask" and self.cluster == "local" and not self.dask_address
        if self.memory_limit is not None and not (started_here and self.dask_processes):
            raise ValueError(
                "memory_limit is of worker processes that are started on this machine: a SLURM "
                "job's is slurm.memory, those of a scheduler at dask_address have their own, and "
                "threads have none"
            )
        return self

    @property
    def threads_per_worker(self) -> int:
        """Threads a worker may keep busy on this machine."""
        if self.threads is not None:
            return self.threads
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return max(1, (cores or os.cpu_count() or 1) // self.local_workers)

    @property
    def local_workers(self) -> int:
        """Workers that share this machine; those of a cluster elsewhere have one to themselves."""
        if self.cluster == "slurm":
            return self.slurm.processes
        alone = self.executor == "inline" or self.dask_address is not None
        return 1 if alone else self.workers


class PlanConfig(_Closed):
    """How a run is priced; no part of a version's identity."""

    rates: Mapping[str, float] = Field(
        default_factory=dict,
        description="in place of measured ones: a stage's items a second of one worker, start in "
        "seconds, storage in bytes a second",
    )


class PrepConfig(_Closed):
    """A whole preparation run."""

    dataset: DatasetConfig
    store: StoreConfig
    encoder: EncoderConfig = EncoderConfig()
    imu: ImuConfig = ImuConfig()
    video: VideoConfig = VideoConfig()
    text: TextConfig = TextConfig()
    segments: SegmentsConfig = SegmentsConfig()
    splits: SplitConfig = SplitConfig()
    audit: AuditConfig = AuditConfig()
    quality: QualityConfig = QualityConfig()
    masks: tuple[MaskSpec, ...] = Field(default=(), description="published with the version")
    execution: ExecutionConfig = ExecutionConfig()
    plan: PlanConfig = PlanConfig()
    max_quarantine: float = Field(
        default=0.25, ge=0, le=1, description="share of takes that may be quarantined"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_datasets_own_defaults(cls, raw: Any) -> Any:  # noqa: ANN401
        dataset = raw.get("dataset") if isinstance(raw, Mapping) else None
        name = dataset.get("name") if isinstance(dataset, Mapping) else None
        filled = dict(raw) if isinstance(raw, Mapping) else raw
        for stage, defaults in _DATASET_DEFAULTS.get(str(name), {}).items():
            given = filled.get(stage, {} if isinstance(defaults, Mapping) else defaults)
            nested = isinstance(defaults, Mapping) and isinstance(given, Mapping)
            filled[stage] = {**defaults, **given} if nested else given
        return filled

    @model_validator(mode="before")
    @classmethod
    def _mirror_an_object_store(cls, raw: Any) -> Any:  # noqa: ANN401
        dataset = raw.get("dataset") if isinstance(raw, Mapping) else None
        root = dataset.get("root") if isinstance(dataset, Mapping) else None
        if not (isinstance(raw, Mapping) and isinstance(dataset, Mapping)):
            return raw
        if not isinstance(root, str) or "://" not in root:
            return raw
        try:
            place = open_place(root)
        except UsageError as error:
            raise ValueError(str(error)) from error
        if is_local(place):
            return {**raw, "dataset": {**dataset, "root": place}}
        execution = raw.get("execution")
        scratch = execution.get("scratch") if isinstance(execution, Mapping) else None
        folder = mirror_root(root, scratch=Path(scratch or tempfile.gettempdir()))
        return {**raw, "dataset": {**dataset, "root": folder, "uri": root}}

    @model_validator(mode="after")
    def _windows_are_slices_of_the_imu_grid(self) -> Self:
        step_ns = self.imu.step_ns
        if self.segments.step_ns % step_ns or self.segments.length_ns % step_ns:
            raise ValueError(
                f"segments.step_ms and segments.length_ms must be multiples of the imu step of "
                f"{step_ns} ns, got {self.segments.step_ms} and {self.segments.length_ms}"
            )
        return self

    @model_validator(mode="after")
    def _asks_for_no_embeddings_without_an_encoder(self) -> Self:
        if self.encoder.name != "none":
            return self
        lacking = [name for name in self.segments.required if name != "imu"]
        if lacking:
            raise ValueError(
                f"encoder.name none needs segments.require [imu], since nothing is embedded, "
                f"got {' and '.join(lacking)} required"
            )
        if self.masks:
            raise ValueError(
                "masks hide video and text, which a version under encoder.name none lacks, "
                f"got {', '.join(spec.name for spec in self.masks)}"
            )
        return self

    @field_validator("masks")
    @classmethod
    def _masks_have_names_of_their_own(cls, value: tuple[MaskSpec, ...]) -> tuple[MaskSpec, ...]:
        names = [spec.name for spec in value]
        if len(set(names)) < len(names):
            raise ValueError(f"masks must have a name each, got {', '.join(names)}")
        return value

    @property
    def parts_root(self) -> Place:
        """Where the parts lie."""
        return open_place(self.store.parts) if self.store.parts else self.store.place / "parts"

    def identity(self) -> dict[str, Any]:
        """Return the config as a manifest holds it: no paths, URIs, executor or workers.

        The encoder is left out too: its spec, resolved, stands beside the config.
        """
        full = self.model_dump(
            mode="json",
            exclude={"store", "encoder", "execution", "plan", "masks", "max_quarantine"},
        )
        # Where bytes lie is no part of what they are.
        for field in ("root", "uri", "follow_links"):
            del full["dataset"][field]
        del full["imu"]["block_s"]
        return full


def load_config(
    path: Path | None, *, overrides: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> PrepConfig:
    """Read a YAML config and lay dotted ``overrides`` over it.

    Args:
        path: YAML file, or None for overrides alone.
        overrides: such as ``{"segments.length_ms": 5000}``; later keys win over the file.
        base: fields by stage, such as a profile's; file and overrides win over them.

    Raises:
        UsageError: one sentence for every unknown key, missing field or broken rule.
    """
    raw: Any = {}
    place = str(path) if path is not None else "command line"
    if path is not None:
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UsageError(f"config file must exist, got {path}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"config file must be readable, got {error} [{path}]") from error
        except yaml.YAMLError as error:
            raise UsageError(f"config file must be YAML, got {path}: {error}") from error
        except RecursionError as error:
            raise UsageError(f"config file must not nest so deep [{path}]") from error
    if not isinstance(raw, dict):
        raise UsageError(f"config must be a mapping of stages, got {type(raw).__name__} [{place}]")
    raw = _laid_over(base or {}, raw)
    for dotted, value in overrides.items():
        node = raw
        *parents, leaf = dotted.split(".")
        for name in parents:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise UsageError(f"{dotted} must name a field of a stage, but {name} is a value")
        node[leaf] = value
    try:
        return PrepConfig.model_validate(raw)
    except ValidationError as error:
        sentences = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'config'}: {_print_rule(e)}" for e in error.errors()
        )
        raise UsageError(f"{sentences} [{place}]") from error


def _checked_amount(value: str) -> str:
    if _AMOUNT.fullmatch(value) is None:
        raise ValueError(f"an amount of memory must look like 4GB or 512MiB, got {value!r}")
    return value


def _print_rule(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        rule = str(error["ctx"]["error"])
        # A rule of ours tells what it got, and of several fields only those that break it.
        return rule if ", got " in rule else f"{rule}, got {error['input']!r:.80}"
    return f"{error['msg']}, got {error['input']!r:.80}"


def _laid_over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both; what is given wins, stage by stage and field by field."""
    # Copied all the way down: overrides are written into what comes out.
    laid = {k: _laid_over(v, {}) if isinstance(v, Mapping) else v for k, v in base.items()}
    for name, value in given.items():
        below = laid.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            laid[name] = _laid_over(below, value)
        else:
            laid[name] = value
    return laid
