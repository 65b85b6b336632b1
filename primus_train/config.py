"""Everything that decides a pretraining run's result, frozen and closed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from schemas.errors import UsageError
from schemas.store import canonical_json, sha256_hex

__all__ = [
    "OBJECTIVES",
    "DataConfig",
    "EncoderConfig",
    "FitConfig",
    "ModalityName",
    "ObjectiveConfig",
    "ObjectiveKind",
    "OptimConfig",
    "TermName",
    "TransformName",
    "ViewConfig",
    "make_fit_config",
    "parse_objective",
]

TermName = Literal["ss", "mm", "nn"]
TransformName = Literal[
    "scaling",
    "time_reversal",
    "jitter",
    "segment_permutation",
    "rotation",
    "inversion",
    "channel_permutation",
    "time_warp",
]

ObjectiveKind = Literal["contrastive", "multitask", "supervised"]
ModalityName = Literal["video", "text"]

_TERMS: Final[tuple[TermName, ...]] = ("ss", "mm", "nn")
OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "primus": {"terms": _TERMS},
    "simclr": {"terms": ("ss",)},
    "imu2clip": {"terms": ("mm",)},
    "imu2clip-video": {"terms": ("mm",), "modalities": ("video",)},
    "imu2clip-text": {"terms": ("mm",), "modalities": ("text",)},
    "multitask": {"kind": "multitask"},
    "supervised": {"kind": "supervised"},
}
"""Named objectives by the fields they set; any other subset of PRIMUS's terms is written with plus
signs, such as ``ss+mm``."""


TRAINER_VERSION: Final = 3
"""Raised when the same config gives other bits: runs of different numbers are never mixed."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderConfig(_Closed):
    """The IMU encoder."""

    gru_axis: Literal["channel", "time"] = Field(
        default="channel",
        description="axis the GRU runs over; published weights need channel",
    )


class ViewConfig(_Closed):
    """The view h of the self-supervised term."""

    transforms: tuple[TransformName, ...] = Field(
        default=("scaling", "time_reversal"), min_length=1, description="applied in this order"
    )
    scaling_sigma: float = Field(
        default=0.25, ge=0, description="standard deviation of the factor about 1"
    )
    reversal_probability: float = Field(default=1.0, ge=0, le=1)
    jitter_sigma: float = Field(default=0.1, ge=0, description="m/s2 and rad/s")
    pieces: int = Field(default=4, ge=1, description="of a segment permutation")
    warp_knots: int = Field(default=4, ge=1, description="of the speed curve of a time warp")
    warp_sigma: float = Field(
        default=0.2, ge=0, lt=1, description="standard deviation of a time warp's speed about 1"
    )


class ObjectiveConfig(_Closed):
    """L = alpha SS + beta MM + gamma NN (Das et al. 2025, eq. 5), or another kind of loss."""

    kind: ObjectiveKind = Field(
        default="contrastive",
        description="contrastive: PRIMUS and its subsets; multitask: which of eight "
        "transformations a window went through; supervised: its label. The other fields are the "
        "first's alone",
    )
    terms: tuple[TermName, ...] = Field(default=("ss", "mm", "nn"), min_length=1)
    alpha: float = Field(default=1.0, gt=0, description="weight of SS")
    beta: float = Field(default=1.0, gt=0, description="weight of MM")
    gamma: float = Field(default=1.0, gt=0, description="weight of NN")
    modalities: tuple[ModalityName, ...] = Field(
        default=("video", "text"), min_length=1, description="targets of MM and NN"
    )
    direction: Literal["one_way", "symmetric"] = Field(
        default="one_way", description="symmetric adds the term with keys and queries exchanged"
    )
    neighbours: Literal["auto", "video", "imu"] = Field(
        default="auto",
        description="what neighbours are found by; imu reads no video and gives NN its IMU term "
        "alone; auto is video where MM is a term, else imu",
    )
    masked_neighbours: Literal["none", "by_imu"] = Field(
        default="none",
        description="segments without video: no NN term, or neighbours found by IMU",
    )
    bank_size: int = Field(default=8192, ge=1, description="K, slots")

    @field_validator("terms", "modalities")
    @classmethod
    def _no_repeats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"must not repeat, got {', '.join(value)}")
        return value

    @property
    def finds_by(self) -> Literal["video", "imu"]:
        """What neighbours are found by, ``auto`` resolved."""
        if self.neighbours == "auto":
            return "video" if "mm" in self.terms else "imu"
        return self.neighbours

    @property
    def representation(self) -> Literal["multimodal", "backbone"]:
        """What the objective's encoder is used by downstream unless asked otherwise."""
        aligned = self.kind == "contrastive" and "mm" in self.terms
        return "multimodal" if aligned else "backbone"

    @property
    def name(self) -> str:
        """What the objective is called in results: its terms, or its kind."""
        return "+".join(self.terms) if self.kind == "contrastive" else self.kind


class DataConfig(_Closed):
    """Which rows meet which."""

    batch_size: int = Field(default=64, ge=2)
    permute_video: Literal["none", "takes", "label"] = Field(
        default="none",
        description="control experiment: give train rows the video of another row, of another "
        "take (takes) or of any row of the same label (label)",
    )
    load: Literal["auto", "memory", "mapped"] = Field(
        default="auto",
        description="arrays in memory, or memory-mapped on disk; auto maps what does not fit. The "
        "result is the same to the bit",
    )
    place: Literal["auto", "host", "device"] = Field(
        default="auto",
        description="arrays stay where load put them, or lie on the training device; auto places "
        "them on a GPU with room for them. The result is the same to the bit",
    )


class OptimConfig(_Closed):
    """Adam, constant rate, no decay; and in which arithmetic a step is done."""

    learning_rate: float = Field(default=2e-4, gt=0)
    precision: Literal["float32", "tf32", "bf16"] = Field(
        default="float32",
        description="of matrix products while training: tf32 (CUDA only) in all of them, bf16 in "
        "the encoder; losses, weights, optimiser and every evaluation stay float32",
    )
    compile: Literal["off", "compile", "graphs"] = Field(
        default="off",
        description="compile: torch.compile fuses the losses (needs a compiler); graphs (CUDA "
        "only): a step is recorded once as a CUDA graph and replayed",
    )


class FitConfig(_Closed):
    """One pretraining run."""

    objective: ObjectiveConfig = ObjectiveConfig()
    view: ViewConfig = ViewConfig()
    encoder: EncoderConfig = EncoderConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    epochs: int = Field(default=15, ge=1)
    seed: int = Field(default=0, ge=0)
    log_every_steps: int = Field(default=10, ge=1, description="a line in metrics.jsonl")
    checkpoint_every_steps: int = Field(
        default=1000, ge=1, description="besides the one at each epoch's end"
    )

    def key(self, *, version: str, mask_sha256: str | None) -> str:
        """Return the SHA-256 that names a run of this config on a version and mask.

        Where the arrays lie while it runs does not count: the result is the same.
        """
        config = self.model_dump(mode="json", exclude={"data": {"load", "place"}})
        identity = {
            "trainer": TRAINER_VERSION,
            "version": version,
            "mask": mask_sha256,
            "config": config,
        }
        return sha256_hex(canonical_json(identity))


def parse_objective(name: str) -> dict[str, Any]:
    """Return the fields that a named objective sets, or a sum such as ``ss+nn``.

    Raises:
        UsageError: if the name is neither.
    """
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    asked = name.split("+")
    terms = tuple(term for term in _TERMS if term in asked)
    if len(terms) != len(asked):
        raise UsageError(
            f"objective must be {', '.join(OBJECTIVES)} or a sum of different terms "
            f"{'+'.join(_TERMS)}, got {name!r}"
        )
    return {"terms": terms}


def _merge(base: dict[str, Any], path: Sequence[str], value: object) -> None:
    for part in path[:-1]:
        inner = base.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"config field {'.'.join(path)} lies under {part}, which is no group")
        base = inner
    base[path[-1]] = value


def make_fit_config(
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
) -> FitConfig:
    """Return the config: defaults, then ``file`` (YAML), then ``flags``, then ``overrides``.

    Args:
        file: YAML mapping with the fields of `FitConfig`.
        flags: dotted field: value, from the command line's own options.
        overrides: ``dotted.field=YAML value``, such as ``data.batch_size=32``.

    Raises:
        UsageError: if a field is unknown or a value is out of its range, with field and rule.
    """
    values: dict[str, Any] = {}
    if file is not None:
        if not file.is_file():
            raise UsageError(f"config file must exist, none found [file={file}]")
        try:
            loaded = yaml.safe_load(file.read_text()) or {}
        except yaml.YAMLError as error:
            raise UsageError(f"config file must be YAML: {error} [file={file}]") from error
        if not isinstance(loaded, dict):
            raise UsageError(f"config file must hold a mapping [file={file}]")
        values = loaded
    for field, value in (flags or {}).items():
        _merge(values, field.split("."), value)
    for override in overrides:
        field, equals, text = override.partition("=")
        if not equals or not field:
            raise UsageError(f"--set must be field=value, got {override!r}")
        try:
            _merge(values, field.split("."), yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise UsageError(f"--set {field} must have a YAML value, got {text!r}") from error
    try:
        return FitConfig.model_validate(values)
    except ValidationError as error:
        problems = [
            f"config field {'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}"
            for e in error.errors()
        ]
        raise UsageError("; ".join(problems)) from error
