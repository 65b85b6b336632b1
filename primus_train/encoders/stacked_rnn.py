"""The IMU encoder of PRIMUS: stacked convolutions, a GRU, and two linear heads.

Das et al., "PRIMUS: Pretraining IMU Encoders with Multimodal Self-Supervision", ICASSP 2025,
Fig. 2. The text says MLP heads; its 1.4 M parameters are one linear layer each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn

from schemas.errors import UsageError

__all__ = ["Embeddings", "GruAxis", "Pooling", "Representation", "StackedRnn"]

GruAxis = Literal["channel", "time"]
Pooling = Literal["adaptive", "max"]
Representation = Literal["multimodal", "unimodal", "backbone"]

WIDTH: Final = 512
"""Length of the backbone's state and of both heads' outputs."""
FILTERS: Final = 32
BINS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """What the encoder says of a batch of windows; none is normalised.

    Attributes:
        backbone: (B, 512) the GRU's last state.
        unimodal: (B, 512) from the head of the self-supervised terms.
        multimodal: (B, 512) from the head of the multimodal terms.
    """

    backbone: Tensor
    unimodal: Tensor
    multimodal: Tensor

    def get(self, representation: Representation) -> Tensor:
        """Return the (B, 512) embedding that ``representation`` names."""
        value: Tensor = getattr(self, representation)
        return value

    def __len__(self) -> int:
        return len(self.backbone)

    def __getitem__(self, rows: slice | Tensor) -> "Embeddings":
        return Embeddings(
            backbone=self.backbone[rows],
            unimodal=self.unimodal[rows],
            multimodal=self.multimodal[rows],
        )

    @staticmethod
    def cat(parts: Sequence["Embeddings"]) -> "Embeddings":
        """Return the rows of ``parts``, one after another."""
        return Embeddings(
            backbone=torch.cat([e.backbone for e in parts]),
            unimodal=torch.cat([e.unimodal for e in parts]),
            multimodal=torch.cat([e.multimodal for e in parts]),
        )

    def float(self) -> "Embeddings":
        """Return the same in float32."""
        return Embeddings(
            backbone=self.backbone.float(),
            unimodal=self.unimodal.float(),
            multimodal=self.multimodal.float(),
        )


class _Block(nn.Module):
    """A dilated convolution without bias, then a pooling layer, over time."""

    def __init__(self, in_channels: int, *, kernel_size: int, pool: nn.Module) -> None:
        super().__init__()
        convolution = nn.Conv1d(
            in_channels, FILTERS, kernel_size=kernel_size, dilation=2, bias=False
        )
        self.net = nn.Sequential(convolution, pool)

    def forward(self, x: Tensor) -> Tensor:  # x: (B, C, T)
        out: Tensor = self.net(x)
        return out


class StackedRnn(nn.Module):
    """Encode windows (B, 6, T) as 512 numbers a head; T = 250 is 5 s at 50 Hz.

    Args:
        channels: C, a multiple of 2: the input normalisation has one group a sensor.
        gru_axis: ``channel`` runs the GRU over the 32 filters with the 32 pooled time bins as
            features, as the published weights need; ``time`` runs it over the bins.
        pooling: of the third convolution: ``adaptive`` averages to 32 bins from a window of any
            length, ``max`` takes the largest of every three steps, as IMU2CLIP does.
    """

    def __init__(
        self, *, channels: int = 6, gru_axis: GruAxis = "channel", pooling: Pooling = "adaptive"
    ) -> None:
        super().__init__()
        self.gru_axis = gru_axis
        last = nn.AdaptiveAvgPool1d(BINS) if pooling == "adaptive" else nn.MaxPool1d(3)
        # The indices and names are those of the published checkpoints.
        self.backbone = nn.Sequential(
            nn.GroupNorm(2, channels),
            _Block(channels, kernel_size=10, pool=nn.MaxPool1d(3)),
            _Block(FILTERS, kernel_size=5, pool=nn.MaxPool1d(3)),
            _Block(FILTERS, kernel_size=5, pool=last),
            nn.GroupNorm(4, FILTERS),
            nn.GRU(input_size=BINS, hidden_size=WIDTH, batch_first=True),
        )
        self.ssl_head = nn.Linear(WIDTH, WIDTH)
        self.mmcl_head = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Embeddings:
        """Return the embeddings of windows ``x`` (B, C, T).

        Raises:
            UsageError: if max pooling leaves another number of bins than the GRU was made for.
        """
        samples = x.shape[2]
        for index in range(5):
            x = self.backbone[index](x)
        # (B, filters, bins): batch_first makes axis 1 the sequence.
        if self.gru_axis == "channel" and x.shape[2] != BINS:
            raise UsageError(
                f"a window must leave {BINS} bins after max pooling, as 978 to 1004 samples do, "
                f"got {samples} samples and {x.shape[2]} bins: set encoder.pooling=adaptive or "
                "encoder.gru_axis=time"
            )
        sequence = x if self.gru_axis == "channel" else x.transpose(1, 2)
        _, last = self.backbone[5](sequence)
        state = last[0]
        return Embeddings(
            backbone=state, unimodal=self.ssl_head(state), multimodal=self.mmcl_head(state)
        )
