"""A whole preparation run: every stage, and the rules between them."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from pipelines.config.closed import Closed
from pipelines.config.dataset import DATASET_DEFAULTS, DatasetConfig
from pipelines.config.embedding import EncoderConfig, TextConfig
from pipelines.config.execution import ExecutionConfig, PlanConfig
from pipelines.config.imu import ImuConfig
from pipelines.config.quality import AuditConfig, QualityConfig
from pipelines.config.segments import SegmentsConfig
from pipelines.config.splits import SplitConfig
from pipelines.config.store import StoreConfig
from pipelines.config.video import VideoConfig
from pipelines.storage.mirror_root import mirror_root
from pipelines.storage.places import Place, is_local, open_place
from schemas.errors import UsageError
from schemas.mask import MaskSpec

__all__ = ["PrepConfig"]


class PrepConfig(Closed):
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
        for stage, defaults in DATASET_DEFAULTS.get(str(name), {}).items():
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
