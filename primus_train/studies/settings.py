"""What decides a study's points, besides the methods that it compares."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from primus_train.probes.config import ProbeConfig
from schemas.errors import UsageError

__all__ = ["STUDIES", "Metric", "StudyName", "StudySettings", "make_settings"]

StudyName = Literal["baselines", "ablation", "data-efficiency", "augmentations"]
Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]

STUDIES: Final[tuple[StudyName, ...]] = get_args(StudyName)
_SHOTS: Final[dict[StudyName, tuple[int, ...]]] = {
    "baselines": (1, 5, 10, 50, 100, 500),
    "ablation": (1, 5, 10, 50, 100, 500),
    "data-efficiency": (500,),
    "augmentations": (10,),
}
_SHORT_EPOCHS: Final = 3


class StudySettings(BaseModel):
    """A study and all that its results depend on, but for code and data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: StudyName
    stores: tuple[str, ...] = Field(
        min_length=1, description="URI[@REF]; the first is trained on, all are tested on"
    )
    panel_names: tuple[str, ...] = Field(
        default=(), description="of the stores, in figures; empty for their datasets' names"
    )
    probe: ProbeConfig = Field(description="protocol, shots, trials and split of every point")
    metric: Metric = Field(default="accuracy", description="drawn, and shown in the tables")
    shares: tuple[float, ...] = Field(
        default=(0.1, 0.25, 0.5, 1.0),
        min_length=2,
        description="data-efficiency: of train segments that keep their video and text",
    )
    masks: dict[str, float] = Field(
        default={},
        description="data-efficiency: name of a mask: the share it stands for; shares without one "
        "are looked for among the store's masks",
    )
    prompts: Path | None = Field(
        default=None,
        description="file of primus-prep embed-prompts, where the heads of published and finetune "
        "start if the encoder was aligned with text; None starts them at random",
    )
    config_file: Path | None = Field(default=None, description="YAML, as of fit")
    overrides: tuple[str, ...] = Field(default=(), description="field=value, as of fit --set")

    @model_validator(mode="after")
    def _check(self) -> "StudySettings":
        if self.panel_names and len(self.panel_names) != len(self.stores):
            raise ValueError(
                f"panel_names must be one a store, {len(self.stores)}, got {len(self.panel_names)}"
            )
        for share in (*self.shares, *self.masks.values()):
            if not 0 < share <= 1:
                raise ValueError(f"a share must lie in (0, 1], got {share}")
        if list(self.shares) != sorted(set(self.shares)):
            raise ValueError(f"shares must rise and not repeat, got {self.shares}")
        return self

    @property
    def fit_overrides(self) -> tuple[str, ...]:
        """The overrides of every run; the pairs' pretraining is short unless they say otherwise."""
        if self.study != "augmentations" or self.config_file is not None:
            return self.overrides
        # The first, so that those given win.
        return (f"epochs={_SHORT_EPOCHS}", *self.overrides)


def make_settings(
    study: StudyName,
    *,
    stores: Sequence[str],
    shots: Sequence[int] | None = None,
    trials: int | None = None,
    probe: Sequence[str] = (),
    **fields: Any,  # noqa: ANN401 - pydantic checks them
) -> StudySettings:
    """Return a study's settings.

    Args:
        study: which.
        stores: ``URI[@REF]``; the first is trained on.
        shots: per class; the paper's where None (augmentations: 10).
        trials: redraws of the shots; 5 where None.
        probe: ``field=YAML value`` of `ProbeConfig`, such as ``protocol=published``.
        fields: of `StudySettings`, None for its default.

    Raises:
        UsageError: with field and rule.
    """
    values: dict[str, Any] = {"shots": _SHOTS[study]}
    for setting in probe:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--probe must be field=value, got {setting!r}")
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--probe {name} must have a YAML value, got {text!r}") from error
    given = {"shots": None if shots is None else tuple(shots), "trials": trials}
    values |= {name: value for name, value in given.items() if value is not None}
    asked = {name: value for name, value in fields.items() if value is not None}
    try:
        config = ProbeConfig.model_validate(values)
        # Each once, from few to many: that is how they are drawn.
        config = config.model_copy(update={"shots": tuple(sorted(set(config.shots)))})
        return StudySettings.model_validate(
            {"study": study, "stores": tuple(stores), "probe": config, **asked}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"study {study}: {where + ': ' if where else ''}{first['msg']}, got {first['input']!r}"
        ) from error
