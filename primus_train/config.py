"""Everything that decides a pretraining run's result, frozen and closed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.errors import UsageError
from schemas.store import canonical_json, sha256_hex

__all__ = [
    "CHAINS",
    "OBJECTIVES",
    "DataConfig",
    "EncoderConfig",
    "FalseNegative",
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
    "step_scaling",
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
FalseNegative = Literal["overlap", "sentence"]

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


CHAINS: Final[dict[str, dict[str, Any]]] = {
    "primus": {"transforms": ("scaling", "time_reversal")},
    "published": {"transforms": ("step_scaling", "segment_permutation"), "pieces": 5},
}
"""Named views by the fields they set. ``published`` is what the published PRIMUS code runs whatever
it is asked for: a gain for each instant, then a shuffle of the pieces between four cuts."""


TRAINER_VERSION: Final = 4
"""Raised when the same config gives other bits: runs of different numbers are never mixed."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderConfig(_Closed):
    """The IMU encoder."""

    gru_axis: Literal["channel", "time"] = Field(
        default="channel",
        description="axis the GRU runs over; published weights need channel",
    )
    pooling: Literal["adaptive", "max"] = Field(
        default="adaptive",
        description="of the last convolution: averaged to 32 bins, or the largest of every three "
        "steps, which IMU2CLIP's published weights need, with windows of about 1000 samples",
    )


class ViewConfig(_Closed):
    """The view h of the self-supervised term.

    ``chain``, a name in `CHAINS`, may stand for the fields that it sets; fields given beside it
    win. It is gone from the resolved config.
    """

    transforms: tuple[TransformName, ...] = Field(
        default=("scaling", "time_reversal"), min_length=1, description="applied in this order"
    )
    scaling_sigma: float = Field(
        default=0.25, ge=0, description="standard deviation of the factor about 1"
    )
    reversal_probability: float = Field(default=1.0, ge=0, le=1)
    jitter_sigma: float = Field(default=0.1, ge=0, description="m/s2 and rad/s")
    pieces: int = Field(default=4, ge=1, description="of a segment permutation")
    rotation_shared: bool = Field(
        default=True,
        description="accelerometer and gyroscope turn together, as in one housing; else one "
        "rotation each",
    )
    warp_knots: int = Field(
        default=4, ge=1, description="of a time warp's speed curve, between its two ends"
    )
    warp_sigma: float = Field(
        default=0.2, ge=0, lt=1, description="standard deviation of the logarithm of its speed"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_chain(cls, values: object) -> object:
        if not isinstance(values, dict) or "chain" not in values:
            return values
        chain, given = values["chain"], {n: v for n, v in values.items() if n != "chain"}
        if not isinstance(chain, str) or chain not in CHAINS:
            raise ValueError(f"chain must be {' or '.join(CHAINS)}, got {chain!r}")
        return {**CHAINS[chain], **given}


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
    neighbours: Literal["auto", "video", "text", "imu"] = Field(
        default="auto",
        description="what neighbours are found by; imu reads no video or text and gives NN its "
        "IMU term alone; auto is video where MM is a term, else imu",
    )
    masked_neighbours: Literal["none", "by_imu"] = Field(
        default="none",
        description="segments without what neighbours are found by: no NN term, or neighbours "
        "found by IMU",
    )
    drop_false_negatives: tuple[FalseNegative, ...] = Field(
        default=(),
        description="pairs of a batch that are no negatives of each other: overlap, two segments "
        "of one take that share an instant; sentence, two of one cleaned text. Empty, as in the "
        "paper, leaves all other samples as negatives",
    )
    bank_size: int = Field(default=8192, ge=1, description="K, slots")

    @field_validator("terms", "modalities", "drop_false_negatives")
    @classmethod
    def _no_repeats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"must not repeat, got {', '.join(value)}")
        return value

    @property
    def finds_by(self) -> Literal["video", "text", "imu"]:
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

    batch_size: int = Field(
        default=64, ge=2, description="rows a step, of all processes and micro-batches together"
    )
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
    """How weights are stepped (Adam, constant rate, no decay), and in which arithmetic."""

    optimizer: Literal["adam", "adamw"] = Field(
        default="adam",
        description="what weight_decay means: part of the gradient, or apart (adamw)",
    )
    learning_rate: float = Field(default=2e-4, gt=0, description="after warm-up; the largest one")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="how the rate falls from after warm-up to the run's end"
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="steps over which the rate rises in a line to learning_rate"
    )
    final_share: float = Field(
        default=0.0, ge=0, le=1, description="of learning_rate, where linear and cosine end"
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="of matrices and kernels; never of gains, biases, temperatures",
    )
    clip_norm: float | None = Field(
        default=None, gt=0, description="largest norm of all gradients together; null clips nothing"
    )
    micro_batches: int = Field(
        default=1,
        ge=1,
        description="parts in which a batch is encoded, for batches beyond the memory; the loss is "
        "still the whole batch's",
    )
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
    patience: int | None = Field(
        default=None,
        ge=1,
        description="epochs without a better validation metric after which a run ends early; null "
        "goes on to the last",
    )
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
