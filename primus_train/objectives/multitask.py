"""Recognising which transformation a window went through (Saeed et al. 2019, MultitaskSSL).

One binary head a transformation tells untouched windows from transformed ones; what all heads
share is the encoder. The loss is the sum of the heads' binary cross-entropies (their eq. 3, all
weights 1).
"""

from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.augment import make_view
from primus_train.config import FitConfig, TransformName, ViewConfig
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import WIDTH, Embeddings
from primus_train.objectives.base import Losses, Objective
from schemas.errors import UsageError

__all__ = ["TASKS", "MultitaskObjective"]

TASKS: Final[tuple[TransformName, ...]] = (
    "jitter",
    "scaling",
    "rotation",
    "inversion",
    "time_reversal",
    "segment_permutation",
    "time_warp",
    "channel_permutation",
)
"""The paper's eight transformations, in the order of their heads."""

_HIDDEN: Final = 256
"""Units of each head's hidden layer, as in the paper's Fig. 2."""


class MultitaskObjective(Objective):
    """Encoder and one binary head a transformation.

    Args:
        config: the run's config; ``view`` gives the strengths of the transformations.
        channels: C of the windows.
        video_width: of no use here, like the next two.
        text_width: of no use.
        classes: of no use.

    Raises:
        UsageError: if a transformation is so weak that it leaves windows as they were.
    """

    view_is_task: ClassVar[bool] = True

    def __init__(
        self,
        config: FitConfig,
        *,
        channels: int,
        video_width: int = 0,
        text_width: int = 0,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__(config, channels=channels)
        del video_width, text_width, classes
        _refuse_idle(config.view)
        self._views = tuple(config.view.model_copy(update={"transforms": (t,)}) for t in TASKS)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(WIDTH, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))
                for name in TASKS
            }
        )

    def make_view(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return windows (B, C, T) under each transformation in turn: (8 B, C, T).

        None is left as it was by chance: it would count as transformed.
        """
        return torch.cat(
            [make_view(x, config=view, generator=generator, always=True) for view in self._views]
        )

    def losses(self, plain: Embeddings, *, batch: Batch, view: Embeddings | None) -> Losses:
        """Return each head's cross-entropy and their sum.

        Raises:
            ValueError: without ``view``: it is what is to be recognised.
        """
        del batch
        count = len(plain)
        if view is None or len(view) != count * len(TASKS):
            raise ValueError(
                f"view must hold {len(TASKS)} views of {count} windows, got "
                f"{0 if view is None else len(view)}"
            )
        target = torch.cat([plain.backbone.new_zeros(count), plain.backbone.new_ones(count)])
        parts: dict[str, Tensor] = {}
        for k, name in enumerate(TASKS):
            both = torch.cat([plain.backbone, view.backbone[k * count : (k + 1) * count]])
            logits = self.heads[name](both).squeeze(1)
            parts[name] = F.binary_cross_entropy_with_logits(logits, target)
        total = torch.stack(list(parts.values())).sum()
        return Losses(total=total, parts={name: value.detach() for name, value in parts.items()})


def _refuse_idle(view: ViewConfig) -> None:
    for field, least in (
        ("scaling_sigma", 0),
        ("jitter_sigma", 0),
        ("warp_sigma", 0),
        ("pieces", 1),
    ):
        value = getattr(view, field)
        if value <= least:
            raise UsageError(
                f"objective multitask needs view.{field} above {least}, got {value}: it would call "
                "untouched windows transformed"
            )
