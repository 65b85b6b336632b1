"""The PRIMUS objective and its subsets (Das et al. 2025, II, eq. 1-5).

Queries are always embeddings of the untouched window. SS contrasts them with the batch's
augmented views, MM with the segments' own frozen video and text embeddings, NN with all
modalities of the bank's segment whose video is nearest.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from primus_train.bank import Bank
from primus_train.config import FitConfig
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import WIDTH, Embeddings, StackedRnn
from primus_train.losses.info_nce import info_nce
from primus_train.losses.temperature import Temperature

__all__ = ["Losses", "PrimusObjective"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Losses:
    """The weighted sum to minimise, and its unweighted parts by name (detached)."""

    total: Tensor
    parts: dict[str, Tensor]


def _projection(width: int) -> nn.Module:
    return nn.Identity() if width == WIDTH else nn.Linear(WIDTH, width, bias=False)


class PrimusObjective(nn.Module):
    """Encoder, projections, temperatures and bank, and the loss of a batch.

    Targets stay frozen and as long as they are: where a target's length is not 512, a linear
    layer takes the multimodal embedding into its space.

    Args:
        config: the run's config.
        channels: C of the windows.
        video_width: Dv; 0 where the store has no video.
        text_width: Dt; 0 where the store has no text.
    """

    def __init__(
        self, config: FitConfig, *, channels: int, video_width: int, text_width: int
    ) -> None:
        super().__init__()
        self.config = config.objective
        self.encoder = StackedRnn(channels=channels, gru_axis=config.encoder.gru_axis)
        widths = {"video": video_width, "text": text_width}
        self.projections = nn.ModuleDict({name: _projection(w) for name, w in widths.items() if w})
        self.temperature_unimodal = Temperature()
        self.temperature_multimodal = Temperature()
        self.bank: Bank | None = None
        if "nn" in self.config.terms:
            kept = {"imu": WIDTH}
            if self.config.finds_by == "video":
                kept |= {n: w for n, w in widths.items() if n in {"video", *self.config.modalities}}
            self.bank = Bank(size=self.config.bank_size, widths=kept)

    @property
    def needs_view(self) -> bool:
        """Whether training needs augmented views: only SS does."""
        return "ss" in self.config.terms

    def forward(self, batch: Batch, *, view: Tensor | None = None) -> Losses:
        """Encode a batch, and its ``view`` (B, C, T) in the same call, and return its losses."""
        if view is None:
            return self.losses(self.encoder(batch.imu), batch=batch, view=None)
        both: Embeddings = self.encoder(torch.cat([batch.imu, view]))
        count = len(batch)
        plain = Embeddings(
            backbone=both.backbone[:count],
            unimodal=both.unimodal[:count],
            multimodal=both.multimodal[:count],
        )
        return self.losses(plain, batch=batch, view=both.unimodal[count:])

    def losses(self, embeddings: Embeddings, *, batch: Batch, view: Tensor | None) -> Losses:
        """Return the losses of embedded windows.

        In training mode the batch's complete triplets enter the bank afterwards.

        Args:
            embeddings: of the untouched windows.
            batch: the frozen targets and what is valid.
            view: (B, 512) unimodal embeddings of the augmented windows; None (validation, which
                uses no augmentation) contrasts the untouched windows with themselves.
        """
        parts: dict[str, Tensor] = {}
        weights = {"ss": self.config.alpha, "mm": self.config.beta, "nn": self.config.gamma}
        if "ss" in self.config.terms:
            keys = embeddings.unimodal if view is None else view
            parts["ss"] = self._contrast(
                embeddings.unimodal, keys, mask=None, temperature=self.temperature_unimodal()
            )
        if "mm" in self.config.terms:
            parts |= self._multimodal(embeddings.multimodal, batch=batch)
        if self.bank is not None:
            parts |= self._nearest(embeddings, batch=batch, bank=self.bank)
            if self.training:
                self._enqueue(embeddings.unimodal, batch=batch, bank=self.bank)
        total = sum(
            (weights[name.partition("_")[0]] * value for name, value in parts.items()),
            start=embeddings.backbone.new_zeros(()),
        )
        return Losses(total=total, parts={name: value.detach() for name, value in parts.items()})

    def project(self, multimodal: Tensor, *, name: str) -> Tensor:
        """Return multimodal embeddings (B, 512) in the space of ``name`` (B, Dv or Dt)."""
        out: Tensor = self.projections[name](multimodal)
        return out

    def _contrast(
        self, query: Tensor, keys: Tensor, *, mask: Tensor | None, temperature: Tensor
    ) -> Tensor:
        return info_nce(
            query, keys, temperature=temperature, mask=mask, direction=self.config.direction
        )

    def _multimodal(self, multimodal: Tensor, *, batch: Batch) -> dict[str, Tensor]:
        temperature = self.temperature_multimodal()
        targets = {"video": (batch.video, 1), "text": (batch.text, 2)}
        return {
            f"mm_{name}": self._contrast(
                self.project(multimodal, name=name),
                targets[name][0],
                mask=batch.valid[:, targets[name][1]],
                temperature=temperature,
            )
            for name in self.config.modalities
        }

    def _nearest(self, embeddings: Embeddings, *, batch: Batch, bank: Bank) -> dict[str, Tensor]:
        names = ("imu",) if self.config.finds_by == "imu" else ("imu", *self.config.modalities)
        if len(bank) == 0:
            # The first batch of a run has no past to look into.
            return {f"nn_{name}": embeddings.backbone.new_zeros(()) for name in names}
        has_video = batch.valid[:, 1]
        if self.config.finds_by == "imu":
            rows = torch.ones_like(has_video)
            slots = bank.find(embeddings.unimodal, by="imu")
        else:
            rows = has_video
            slots = bank.find(batch.video, by="video")
            if self.config.masked_neighbours == "by_imu":
                rows = torch.ones_like(has_video)
                slots = torch.where(has_video, slots, bank.find(embeddings.unimodal, by="imu"))
        parts = {
            "nn_imu": self._contrast(
                embeddings.unimodal,
                bank.get(slots, name="imu"),
                mask=rows,
                temperature=self.temperature_unimodal(),
            )
        }
        for name in names[1:]:
            parts[f"nn_{name}"] = self._contrast(
                self.project(embeddings.multimodal, name=name),
                bank.get(slots, name=name),
                mask=rows,
                temperature=self.temperature_multimodal(),
            )
        return parts

    def _enqueue(self, unimodal: Tensor, *, batch: Batch, bank: Bank) -> None:
        needed = {"imu": 0, "video": 1, "text": 2}
        complete = batch.valid[:, [needed[name] for name in bank.names]].all(dim=1)
        values = {"imu": unimodal, "video": batch.video, "text": batch.text}
        bank.enqueue({name: values[name][complete] for name in bank.names})
