from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from primus_train.seeds import make_generator


@pytest.fixture(scope="session")
def windows() -> Callable[..., Tensor]:
    def make(B: int = 3, C: int = 6, T: int = 250) -> Tensor:
        return torch.randn(B, C, T, generator=make_generator(0, "windows"))

    return make


@pytest.fixture(scope="session")
def g() -> Callable[..., torch.Generator]:
    def make(seed: int = 0) -> torch.Generator:
        return make_generator(seed, "augment")

    return make
