"""Batches of triplets, and the order in which an epoch visits the rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from primus_train.data.store import StoreData
from primus_train.seeds import derive_seed

__all__ = ["Batch", "Triplets", "epoch_order"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """A batch of triplets.

    Attributes:
        imu: (B, C, T) float32.
        video: (B, Dv) float32; to be read only where ``valid[:, 1]``.
        text: (B, Dt) float32; to be read only where ``valid[:, 2]``.
        valid: (B, 3) bool [imu, video, text].
    """

    imu: Tensor
    video: Tensor
    text: Tensor
    valid: Tensor

    def __len__(self) -> int:
        return int(self.valid.shape[0])


class Triplets:
    """A store's rows as batches on a device.

    Args:
        store: the version in memory.
        video_of: (N,) int64, the row whose video embedding each row shows; None is its own.
        device: where batches go.
    """

    def __init__(
        self,
        store: StoreData,
        *,
        video_of: npt.NDArray[np.int64] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.store = store
        self.device = device or torch.device("cpu")
        self._video_of = None if video_of is None else torch.from_numpy(video_of)

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return the triplets of ``rows`` (B,)."""
        index = torch.from_numpy(rows)
        shown = index if self._video_of is None else self._video_of[index]
        return Batch(
            imu=self.store.imu[index].to(self.device),
            video=self.store.video[shown].to(self.device, torch.float32),
            text=self.store.text[index].to(self.device, torch.float32),
            valid=self.store.valid[index].to(self.device),
        )


def epoch_order(
    rows: npt.NDArray[np.int64], *, seed: int, epoch: int, batch_size: int
) -> npt.NDArray[np.int64]:
    """Return the rows of one epoch as whole batches (steps, batch_size).

    The order depends on ``seed`` and ``epoch`` alone. The rows left over by the last whole batch
    sit out this epoch: a short batch would be an easier contrastive task.
    """
    generator = np.random.default_rng(derive_seed(seed, "order", epoch))
    steps = len(rows) // batch_size
    return generator.permutation(rows)[: steps * batch_size].reshape(steps, batch_size)
