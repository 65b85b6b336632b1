"""What every pretraining objective is: an encoder, the views it asks for, and a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from primus_train.bank import Bank
from primus_train.config import FitConfig
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import Embeddings, Representation, StackedRnn

__all__ = ["Losses", "Objective"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Losses:
    """The weighted sum to minimise, and its unweighted parts by name (detached)."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(nn.Module, ABC):
    """An encoder and the loss it learns by.

    Encoding and loss are apart, as what encodes may be split (into micro-batches, over processes)
    while a contrastive loss needs the whole batch.

    Args:
        config: the run's config; says what encoder.
        channels: C of the windows.

    Attributes:
        encoder: of the windows.
        bank: of past embeddings, where the objective keeps one.
        learns_from: modalities whose frozen embeddings it learns from; rows must have them.
        reads_labels: whether it learns from labels.
        view_is_task: whether the views are the task itself: validation then makes them too, the
            same ones each time.
        aligned_with: modalities whose embeddings its multimodal embedding was trained to be near.
        representation: which embedding serves downstream unless asked otherwise.
    """

    reads_labels: ClassVar[bool] = False
    view_is_task: ClassVar[bool] = False

    encoder: StackedRnn
    bank: Bank | None
    learns_from: tuple[str, ...] = ()
    aligned_with: tuple[str, ...] = ()
    representation: Representation = "backbone"

    def __init__(self, config: FitConfig, *, channels: int) -> None:
        super().__init__()
        self.encoder = StackedRnn(
            channels=channels, gru_axis=config.encoder.gru_axis, pooling=config.encoder.pooling
        )
        # Not on the class, where it would hide the module of an instance.
        self.bank = None

    def teaching(self, valid: Tensor) -> Tensor:
        """Return which rows of ``valid`` (N, 3) [imu, video, text] it can learn from, (N,) bool.

        The others are not visited: in a batch they would only take the places of negatives.
        """
        return valid[:, 0]

    @abstractmethod
    def losses(self, plain: Embeddings, *, batch: Batch, view: Embeddings | None) -> Losses:
        """Return the losses of embedded windows.

        Args:
            plain: of the untouched windows (B, C, T).
            batch: the frozen targets, what is valid, and what is known of the segments.
            view: of what ``make_view`` made of the windows; None (validation, which uses no
                augmentation) leaves the untouched windows to stand for it.
        """

    def make_view(self, x: Tensor, *, generator: torch.Generator) -> Tensor | None:
        """Return what is to be encoded beside windows ``x`` (B, C, T): (k B, C, T), or nothing.

        The k-th run of B rows is the k-th view of all windows.
        """
        del x, generator
        return None

    def forward(self, batch: Batch, *, view: Tensor | None = None) -> Losses:
        """Encode a batch, and its ``view`` in the same call, and return its losses."""
        plain, viewed = self.embed(batch.imu, view=view)
        return self.losses(plain, batch=batch, view=viewed)

    def embed(
        self, windows: Tensor, *, view: Tensor | None
    ) -> tuple[Embeddings, Embeddings | None]:
        """Encode windows (B, C, T) and, in the same call, their view (k B, C, T).

        Returns:
            The embeddings of both, float32 whatever the encoder computed in: the losses are too
            fine for less.
        """
        if view is None:
            alone: Embeddings = self.encoder(windows)
            return alone.float(), None
        both: Embeddings = self.encoder(torch.cat([windows, view])).float()
        count = len(windows)
        return both[:count], both[count:]

    def project(self, multimodal: Tensor, *, name: str) -> Tensor:
        """Return multimodal embeddings (B, 512) in the space of ``name`` (B, Dv or Dt).

        Raises:
            ValueError: if the objective knows no such space.
        """
        raise ValueError(f"objective must be aligned with {name}, got {self.aligned_with}")
