"""Windows as vectors: run an encoder over rows of a store, a block at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from primus_train.checkpoint import read_checkpoint
from primus_train.config import FitConfig
from primus_train.data.store import StoreData
from primus_train.encoders.stacked_rnn import WIDTH, Embeddings
from primus_train.files import file_sha256
from primus_train.objectives.base import Objective
from primus_train.objectives.registry import make_objective
from primus_train.precision import product_precision
from schemas.embedding import EmbeddingSpec
from schemas.errors import UsageError

__all__ = ["Pretrained", "embed_rows", "embedding_spec", "imu_spec", "read_pretrained"]

BLOCK = 256
"""Windows encoded at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pretrained:
    """A trained (or, on request, untrained) objective read from a checkpoint, in eval mode."""

    objective: Objective
    config: FitConfig
    meta: dict[str, Any]
    sha256: str
    untrained: bool

    def origin(self) -> dict[str, Any]:
        """Return where the encoder comes from: its run, store version, mask, seed and step."""
        names = ("run", "version", "mask", "mask_sha256", "mask_spec", "step", "imported")
        # A checkpoint written before some of these were kept does not tell them.
        return {**{name: self.meta.get(name) for name in names}, "seed": self.config.seed}

    def check_fits(self, store: StoreData) -> None:
        """Refuse a store whose windows are not like those the encoder was trained on.

        Raises:
            UsageError: if channels, units or rate differ.
        """
        trained, given = self.meta["imu"], imu_spec(store)
        for field in ("channels", "units", "rate_hz"):
            if trained[field] != given[field]:
                raise UsageError(
                    f"imu {field} must be as in pretraining, {trained[field]}, got {given[field]} "
                    f"[version={store.version}]"
                )

    def check_embedded(self, spec: EmbeddingSpec, *, what: str, place: str) -> None:
        """Refuse embeddings of another encoder than that of the pretraining's.

        An imported run does not know which that was, nor do checkpoints written before it was kept.

        Args:
            spec: the encoder that made them.
            what: they are.
            place: where they are.

        Raises:
            UsageError: if its weights differ.
        """
        trained = self.meta.get("embedding")
        if trained is not None and trained["weights_sha256"] != spec.weights_sha256:
            raise UsageError(
                f"{what} must be embedded by the encoder of the pretraining, {trained['name']} "
                f"with weights {trained['weights_sha256'][:12]}, got {spec.name} with "
                f"{spec.weights_sha256[:12]}: embed them with that one [{place}]"
            )


def embedding_spec(store: StoreData) -> dict[str, Any] | None:
    """Return which encoder made the store's embeddings, as JSON; None in one of IMU alone."""
    spec = store.manifest.encoder
    return None if spec is None else spec.model_dump(mode="json")


def imu_spec(store: StoreData) -> dict[str, Any]:
    """Return what the store's IMU windows are, as JSON."""
    spec: dict[str, Any] = store.manifest.imu.model_dump(mode="json")
    return spec


def read_pretrained(path: Path, *, untrained: bool = False) -> Pretrained:
    """Return the encoder of a checkpoint; ``untrained`` gives it its first weights back.

    Args:
        path: a checkpoint file.
        untrained: build the encoder of the same config and seed, and leave it as it starts.
    """
    checkpoint = read_checkpoint(path)
    config = FitConfig.model_validate(checkpoint.meta["config"])
    widths = checkpoint.meta["widths"]
    objective = make_objective(
        config,
        channels=len(checkpoint.meta["imu"]["channels"]),
        video_width=widths["video"],
        text_width=widths["text"],
        classes=checkpoint.meta.get("classes", ()),
    )
    objective.bank = None  # of use in training only, and left out of the best checkpoint
    if not untrained:
        state = {n: t for n, t in checkpoint.part("model").items() if not n.startswith("bank.")}
        objective.load_state_dict(state)
    return Pretrained(
        objective=objective.eval(),
        config=config,
        meta=checkpoint.meta,
        sha256=file_sha256(path),
        untrained=untrained,
    )


@torch.no_grad()
def embed_rows(
    objective: Objective,
    store: StoreData,
    rows: npt.NDArray[np.int64],
    *,
    on_rows: Callable[[int], None] | None = None,
) -> Embeddings:
    """Return the embeddings of the IMU windows of ``rows`` (n,), on the objective's device.

    Args:
        objective: in eval mode.
        store: the version, in memory or on disk.
        rows: rows with a valid IMU window.
        on_rows: called with the number of rows done so far.
    """
    device = next(objective.parameters()).device
    done: list[Embeddings] = []
    for start in range(0, len(rows), BLOCK):
        windows = store.imu[torch.from_numpy(rows[start : start + BLOCK])].to(device)
        with product_precision("float32", device=device):
            done.append(objective.encoder(windows))
        if on_rows is not None:
            on_rows(start + len(windows))

    if not done:
        nothing = torch.empty(0, WIDTH, device=device)
        return Embeddings(backbone=nothing, unimodal=nothing, multimodal=nothing)
    return Embeddings.cat(done)
