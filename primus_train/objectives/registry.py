"""Which class stands behind each kind of objective; a new one is a file and a line here."""

from collections.abc import Sequence
from typing import Final, Protocol

from primus_train.config import FitConfig, ObjectiveKind
from primus_train.objectives.base import Objective
from primus_train.objectives.multitask import MultitaskObjective
from primus_train.objectives.primus import PrimusObjective
from primus_train.objectives.supervised import SupervisedObjective
from primus_train.seeds import seeded_init

__all__ = ["make_objective"]


class _Maker(Protocol):
    def __call__(
        self,
        config: FitConfig,
        *,
        channels: int,
        video_width: int,
        text_width: int,
        classes: Sequence[str],
    ) -> Objective: ...


_KINDS: Final[dict[ObjectiveKind, _Maker]] = {
    "contrastive": PrimusObjective,
    "multitask": MultitaskObjective,
    "supervised": SupervisedObjective,
}


def make_objective(
    config: FitConfig,
    *,
    channels: int,
    video_width: int,
    text_width: int,
    classes: Sequence[str] = (),
) -> Objective:
    """Return an objective whose first weights depend on ``config.seed`` alone.

    Args:
        config: the run's config; ``objective.kind`` decides the class.
        channels: C of the windows.
        video_width: Dv; 0 where the store has no video.
        text_width: Dt; 0 where the store has no text.
        classes: the store's labels in order; only supervised training needs them.
    """
    with seeded_init(config.seed):
        return _KINDS[config.objective.kind](
            config,
            channels=channels,
            video_width=video_width,
            text_width=text_width,
            classes=classes,
        )
