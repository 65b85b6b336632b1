import numpy as np
import pytest
import torch

from primus_train.config import OptimConfig
from primus_train.schedule import learning_rate, rate_changes


def rates(config: OptimConfig, *, steps: int) -> list[float]:
    return [learning_rate(config, step=step, steps=steps) for step in range(steps)]


def test_the_default_is_constant() -> None:
    assert rates(OptimConfig(), steps=3) == [2e-4] * 3
    assert not rate_changes(OptimConfig())


@pytest.mark.parametrize("final_share", [0.0, 0.1, 1.0])
def test_cosine_is_that_of_torch(final_share: float) -> None:
    config = OptimConfig(
        learning_rate=0.5, schedule="cosine", warmup_steps=4, final_share=final_share
    )
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=16, eta_min=0.5 * final_share
    )
    wanted = []
    for _ in range(16):
        wanted.append(oracle.get_last_lr()[0])
        optimizer.step()
        oracle.step()
    np.testing.assert_allclose(rates(config, steps=20)[4:], wanted, rtol=1e-6, atol=1e-9)
    assert rate_changes(config)


def test_linear_falls_in_a_line_after_a_rise_in_a_line() -> None:
    config = OptimConfig(learning_rate=1.0, schedule="linear", warmup_steps=3, final_share=0.2)
    got = rates(config, steps=11)
    np.testing.assert_allclose(got[:4], [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(got[3:], np.linspace(1.0, 0.2, 9)[:8])


def test_a_warm_up_may_be_longer_than_the_run() -> None:
    config = OptimConfig(learning_rate=1.0, schedule="cosine", warmup_steps=9)
    np.testing.assert_allclose(rates(config, steps=3), [0.1, 0.2, 0.3])
    assert rate_changes(OptimConfig(warmup_steps=1))
