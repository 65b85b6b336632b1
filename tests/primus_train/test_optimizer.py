import pytest
import torch
from torch import nn

from primus_train.config import FitConfig, make_fit_config
from primus_train.losses.temperature import Temperature
from primus_train.optimizer import make_optimizer, set_learning_rate

CPU = torch.device("cpu")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.GroupNorm(1, 2)
        self.temperature = Temperature()
        with torch.no_grad():
            for number, weight in enumerate(self.parameters()):
                weight.fill_(number + 1.5)


def step(config: FitConfig, *, gradient: float) -> tuple[dict[str, torch.Tensor], Small]:
    model = Small()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = make_optimizer(model, config=config, device=CPU)
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, gradient)
    optimizer.step()
    return before, model


def test_apart_from_the_gradient_only_matrices_decay() -> None:
    config = make_fit_config(
        overrides=["optim.optimizer=adamw", "optim.learning_rate=0.1", "optim.weight_decay=0.5"]
    )
    before, model = step(config, gradient=0.0)
    for name, weight in model.named_parameters():
        # Loshchilov & Hutter 2019: w - lr * decay * w, whatever the gradient.
        wanted = before[name] * (1 - 0.1 * 0.5 if name == "layer.weight" else 1)
        torch.testing.assert_close(weight.detach(), wanted)


def test_within_the_gradient_decay_is_one_more_gradient() -> None:
    config = make_fit_config(overrides=["optim.learning_rate=0.1", "optim.weight_decay=0.5"])
    before, model = step(config, gradient=0.0)
    for name, weight in model.named_parameters():
        # Adam's first step is the rate long, in the direction of any gradient there is.
        wanted = before[name] - (0.1 if name == "layer.weight" else 0.0)
        torch.testing.assert_close(weight.detach(), wanted)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_without_decay_both_step_alike(optimizer: str) -> None:
    config = make_fit_config(overrides=[f"optim.optimizer={optimizer}", "optim.learning_rate=0.1"])
    before, model = step(config, gradient=2.0)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.detach(), before[name] - 0.1)
    assert len(make_optimizer(model, config=config, device=CPU).param_groups) == 1


def test_the_rate_of_every_group_is_set_where_it_lies() -> None:
    config = make_fit_config(overrides=["optim.weight_decay=0.5"])
    optimizer = make_optimizer(Small(), config=config, device=CPU)
    held = torch.tensor(1.0)
    optimizer.param_groups[1]["lr"] = held
    set_learning_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] == 0.25
    # A recorded step reads this very tensor.
    assert optimizer.param_groups[1]["lr"] is held
    assert float(held) == 0.25
