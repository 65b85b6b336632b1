import math

import pytest
import torch

from primus_train.losses.temperature import Temperature


def test_starts_at_a_tenth_and_is_learned_as_its_logarithm() -> None:
    temperature = Temperature()
    assert float(temperature().detach()) == pytest.approx(0.1)
    (temperature() * 3).backward()
    # d(3 exp(l)) / dl = 3 exp(l)
    assert float(temperature.log_value.grad) == pytest.approx(0.3)  # type: ignore[arg-type]


@pytest.mark.parametrize(("sign", "bound"), [(1, 0.01), (-1, 1.0)])
def test_stops_at_its_bounds_and_comes_back(sign: int, bound: float) -> None:
    temperature = Temperature()
    optimizer = torch.optim.SGD(temperature.parameters(), lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        (sign * torch.log(temperature())).backward()
        optimizer.step()
    assert float(temperature().detach()) == pytest.approx(bound)
    optimizer.zero_grad()
    (-sign * torch.log(temperature())).backward()
    optimizer.step()
    assert float(temperature().detach()) == pytest.approx(bound * math.exp(sign))


def test_is_saved() -> None:
    assert set(Temperature().state_dict()) == {"log_value"}
