"""A learnable temperature that stays positive."""

import math
from typing import Final

import torch
from torch import Tensor, nn

__all__ = ["Temperature"]

START: Final = 0.1
LOWEST: Final = 0.01
HIGHEST: Final = 1.0


class Temperature(nn.Module):
    """One temperature, learned as its logarithm and kept in [0.01, 1].

    A value that a step pushed past a bound is put back on it at the next use, so the gradient
    never vanishes there and it can come back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_value = nn.Parameter(torch.tensor(math.log(START)))

    def forward(self) -> Tensor:
        """Return the temperature, a positive scalar."""
        with torch.no_grad():
            self.log_value.clamp_(math.log(LOWEST), math.log(HIGHEST))
        return self.log_value.exp()
