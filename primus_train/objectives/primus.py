"""The PRIMUS objective and its subsets (Das et al. 2025, II, eq. 1-5).

Queries are always embeddings of the untouched window. SS contrasts them with the batch's
augmented views, MM with the segments' own frozen video and text embeddings, NN with all
modalities of the bank's segment whose video (or, by config, text or IMU) is nearest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.augment import make_view
from primus_train.bank import Bank
from primus_train.config import FitConfig
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import WIDTH, Embeddings
from primus_train.losses.false_negatives import false_negatives, false_neighbours
from primus_train.losses.info_nce import info_nce_of_unit
from primus_train.losses.temperature import Temperature
from primus_train.objectives.base import Losses, Objective
from primus_train.objectives.targets import shown, shown_facts, target
from schemas.modality import MODALITIES

__all__ = ["PrimusObjective"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Queries:
    """What all terms ask with: computed once a batch, of unit norm."""

    unimodal: Tensor
    multimodal: dict[str, Tensor]
    temperature_unimodal: Tensor
    temperature_multimodal: Tensor


def _projection(width: int) -> nn.Module:
    return nn.Identity() if width == WIDTH else nn.Linear(WIDTH, width, bias=False)


class PrimusObjective(Objective):
    """Encoder, projections, temperatures and bank, and the loss of a batch.

    Targets stay frozen and as long as they are: where a target's length is not 512, a linear
    layer takes the multimodal embedding into its space.

    Args:
        config: the run's config.
        channels: C of the windows.
        video_width: Dv; 0 where the store has no video.
        text_width: Dt; 0 where the store has no text.
        classes: of no use here.
    """

    def __init__(
        self,
        config: FitConfig,
        *,
        channels: int,
        video_width: int,
        text_width: int,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__(config, channels=channels)
        del classes
        self.config = config.objective
        self._view = config.view
        widths = {"video": video_width, "text": text_width}
        self.projections = nn.ModuleDict({name: _projection(w) for name, w in widths.items() if w})
        self.temperature_unimodal = Temperature()
        self.temperature_multimodal = Temperature()
        if "nn" in self.config.terms:
            kept = {"imu": WIDTH}
            if self.config.finds_by != "imu":
                wanted = {self.config.finds_by, *self.config.modalities}
                kept |= {name: width for name, width in widths.items() if name in wanted}
            self.bank = Bank(size=self.config.bank_size, widths=kept)
        terms, modalities = set(self.config.terms), self.config.modalities
        self.aligned_with = modalities if "mm" in terms else ()
        finds_by = self.config.finds_by
        sought = (finds_by, *modalities) if "nn" in terms and finds_by != "imu" else ()
        self.learns_from = tuple(dict.fromkeys((*self.aligned_with, *sought)))
        self.representation = self.config.representation

    def teaching(self, valid: Tensor) -> Tensor:
        """Return which rows of ``valid`` (N, 3) it can learn from, (N,) bool.

        SS learns from every window, and so does NN where it looks for neighbours by IMU; MM, and NN
        otherwise, only from those with a video or text that they read.
        """
        nn_by_imu = self.config.finds_by == "imu" or self.config.masked_neighbours == "by_imu"
        if "ss" in self.config.terms or ("nn" in self.config.terms and nn_by_imu):
            return super().teaching(valid)
        return valid[:, [MODALITIES.index(name) for name in self.learns_from]].any(dim=1)

    def make_view(self, x: Tensor, *, generator: torch.Generator) -> Tensor | None:
        """Return the view h(x) of windows (B, C, T), which only SS needs."""
        if "ss" not in self.config.terms:
            return None
        return make_view(x, config=self._view, generator=generator)

    def losses(self, plain: Embeddings, *, batch: Batch, view: Embeddings | None) -> Losses:
        """Return the losses of embedded windows.

        In training mode the batch's complete triplets enter the bank afterwards. Without ``view``
        SS contrasts the untouched windows with themselves.
        """
        parts: dict[str, Tensor] = {}
        weights = {"ss": self.config.alpha, "mm": self.config.beta, "nn": self.config.gamma}
        queries = self._queries(plain)
        facts = shown_facts(batch)
        dropped = false_negatives(facts, kinds=self.config.drop_false_negatives)
        if "ss" in self.config.terms:
            keys = queries.unimodal if view is None else F.normalize(view.unimodal, dim=1)
            parts["ss"] = self._contrast(queries, keys, name="imu", mask=None, dropped=dropped)
        if "mm" in self.config.terms:
            parts |= self._multimodal(queries, batch=batch, dropped=dropped)
        if self.bank is not None:
            parts |= self._nearest(queries, batch=batch, facts=facts, bank=self.bank)
            if self.training:
                self._enqueue(plain.unimodal, batch=batch, facts=facts, bank=self.bank)
        total = plain.backbone.new_zeros(())
        for name, value in parts.items():
            total = total + weights[name.partition("_")[0]] * value
        return Losses(total=total, parts={name: value.detach() for name, value in parts.items()})

    def project(self, multimodal: Tensor, *, name: str) -> Tensor:
        """Return multimodal embeddings (B, 512) in the space of ``name`` (B, Dv or Dt)."""
        out: Tensor = self.projections[name](multimodal)
        return out

    def _queries(self, embeddings: Embeddings) -> _Queries:
        reads_targets = bool(self.learns_from)
        return _Queries(
            unimodal=F.normalize(embeddings.unimodal, dim=1),
            multimodal={
                name: F.normalize(self.project(embeddings.multimodal, name=name), dim=1)
                for name in (self.config.modalities if reads_targets else ())
            },
            temperature_unimodal=self.temperature_unimodal(),
            temperature_multimodal=self.temperature_multimodal(),
        )

    def _contrast(
        self,
        queries: _Queries,
        keys: Tensor,
        *,
        name: str,
        mask: Tensor | None,
        dropped: Tensor | None,
    ) -> Tensor:
        of_imu = name == "imu"
        return info_nce_of_unit(
            queries.unimodal if of_imu else queries.multimodal[name],
            keys,
            temperature=queries.temperature_unimodal if of_imu else queries.temperature_multimodal,
            mask=mask,
            dropped=dropped,
            direction=self.config.direction,
        )

    def _multimodal(
        self, queries: _Queries, *, batch: Batch, dropped: Tensor | None
    ) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        for name in self.config.modalities:
            values, rows = target(batch, name), shown(batch, name)
            # Whatever lies in hidden rows must not reach a gradient, not even times zero.
            keys = F.normalize(torch.where(rows[:, None], values, 0), dim=1)
            parts[f"mm_{name}"] = self._contrast(
                queries, keys, name=name, mask=rows, dropped=dropped
            )
        return parts

    def _nearest(
        self, queries: _Queries, *, batch: Batch, facts: Tensor, bank: Bank
    ) -> dict[str, Tensor]:
        by = self.config.finds_by
        names = ("imu",) if by == "imu" else ("imu", *self.config.modalities)
        slots = self._neighbours(queries, batch=batch, facts=facts, bank=bank)
        # A row without a neighbour is no row of the term. The first batch of a run has no past to
        # look into, and as long as all segments seen are masked there is none either: the terms
        # are then 0, with gradients of zero.
        rows, slots = slots >= 0, slots.clamp(min=0)
        kinds = self.config.drop_false_negatives
        dropped = false_neighbours(slots, facts=facts, past=bank.facts, kinds=kinds)
        return {
            f"nn_{name}": self._contrast(
                queries, bank.get(slots, name=name), name=name, mask=rows, dropped=dropped
            )
            for name in names
        }

    def _neighbours(self, queries: _Queries, *, batch: Batch, facts: Tensor, bank: Bank) -> Tensor:
        """Return the slot of each row's neighbour (B,); -1 where it has none."""
        by = self.config.finds_by
        if by == "imu":
            return bank.find(queries.unimodal, by="imu", facts=facts)
        slots = bank.find(target(batch, by), by=by, facts=facts)
        otherwise: Tensor | int = -1
        if self.config.masked_neighbours == "by_imu":
            otherwise = bank.find(queries.unimodal, by="imu", facts=facts)
        return torch.where(shown(batch, by), slots, otherwise)

    def _enqueue(self, unimodal: Tensor, *, batch: Batch, facts: Tensor, bank: Bank) -> None:
        values = {"imu": unimodal, "video": batch.video, "text": batch.text}
        complete = torch.stack([shown(batch, name) for name in bank.names]).all(dim=0)
        kept = {name: values[name] for name in bank.names}
        bank.enqueue(kept, facts=facts, keep=complete)
