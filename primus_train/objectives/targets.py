"""What a batch lets an objective see of its segments."""

from typing import Literal

from torch import Tensor

from primus_train.data.facts import SENTENCE
from primus_train.data.triplets import Batch
from schemas.modality import MODALITIES

__all__ = ["shown", "shown_facts", "target"]


def target(batch: Batch, name: Literal["video", "text"]) -> Tensor:
    """Return the frozen embeddings (B, Dv or Dt) of a modality; of no meaning where not `shown`."""
    return batch.video if name == "video" else batch.text


def shown(batch: Batch, name: str) -> Tensor:
    """Return which segments show a modality: (B,) bool."""
    places: tuple[str, ...] = MODALITIES
    return batch.valid[:, places.index(name)]


def shown_facts(batch: Batch) -> Tensor:
    """Return the facts (B, FACTS) of the segments without the sentences that a mask hides."""
    facts = batch.facts.clone()
    facts[:, SENTENCE].masked_fill_(~shown(batch, "text"), -1)
    return facts
