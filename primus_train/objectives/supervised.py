"""Standard supervised training: encoder and classifier together, from labels alone."""

from collections.abc import Sequence
from typing import ClassVar

from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.config import FitConfig
from primus_train.data.facts import LABEL
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import WIDTH, Embeddings
from primus_train.objectives.base import Losses, Objective
from schemas.errors import UsageError

__all__ = ["SupervisedObjective"]


class SupervisedObjective(Objective):
    """Encoder and one linear layer on its backbone's state; cross-entropy over labelled windows.

    Args:
        config: the run's config.
        channels: C of the windows.
        video_width: of no use here, like the next.
        text_width: of no use.
        classes: K labels, in the order of the layer's outputs.

    Raises:
        UsageError: with fewer than two classes.
    """

    reads_labels: ClassVar[bool] = True

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
        del video_width, text_width
        if len(classes) < 2:
            raise UsageError(
                f"objective supervised needs a store of at least two labels, got "
                f"{', '.join(classes) or 'none'}"
            )
        self.classes = tuple(classes)
        self.classifier = nn.Linear(WIDTH, len(classes))

    def losses(self, plain: Embeddings, *, batch: Batch, view: Embeddings | None) -> Losses:
        """Return the mean cross-entropy over the batch's labelled windows; 0 if there are none."""
        del view
        label = batch.facts[:, LABEL]
        known = (label >= 0).sum().clamp(min=1)
        summed = F.cross_entropy(
            self.classifier(plain.backbone), label, ignore_index=-1, reduction="sum"
        )
        total = summed / known
        return Losses(total=total, parts={"label": total.detach()})
