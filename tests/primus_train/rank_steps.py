"""A program of several processes: take steps on made-up batches and save what came of them.

``rank_steps.py OUT ROWS OVERRIDES...`` takes two steps for each of OVERRIDES, a list of a config's
fields with spaces between them, and saves for each ``OUT/<number>.pt``: losses, the last step's
gradients, and all weights and the bank after it. Rank 0 saves; the others compare theirs with it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from primus_train.config import make_fit_config
from primus_train.data.facts import unknown_facts
from primus_train.data.triplets import Batch
from primus_train.distributed import SOLO, Ranks, join_ranks
from primus_train.objectives.registry import make_objective
from primus_train.optimizer import make_optimizer
from primus_train.seeds import make_generator
from primus_train.step import make_step

__all__ = ["check_equal", "make_batch", "take_steps"]

CPU = torch.device("cpu")


def make_batch(count: int, *, number: int) -> Batch:
    """Return triplets of noise; some are IMU alone, labels are of three classes."""
    generator = make_generator(number, "rank steps")
    valid = torch.ones(count, 3, dtype=torch.bool)
    valid[:, 1:] = torch.rand(count, 1, generator=generator) < 0.6
    facts = unknown_facts(count)
    facts[:, 0] = torch.randint(0, 3, (count,), generator=generator)
    return Batch(
        imu=torch.randn(count, 6, 250, generator=generator),
        video=torch.randn(count, 9, generator=generator),
        text=torch.randn(count, 7, generator=generator),
        valid=valid,
        facts=facts,
    )


def take_steps(overrides: Sequence[str], *, rows: int, ranks: Ranks = SOLO) -> dict[str, Tensor]:
    """Return what two steps on batches of ``rows`` leave: loss.*, grad.* and state.*."""
    config = make_fit_config(
        overrides=["objective.bank_size=24", f"data.batch_size={rows}", *overrides]
    )
    objective = make_objective(
        config, channels=6, video_width=9, text_width=7, classes=("a", "b", "c")
    ).train()
    optimizer = make_optimizer(objective, config=config, device=CPU)
    step = make_step(objective, optimizer, config=config, device=CPU, ranks=ranks)
    found: dict[str, Tensor] = {}
    for number in range(2):
        batch = make_batch(rows, number=number)
        draws = make_generator(number, "rank views")
        outcome = step(batch, view=objective.make_view(batch.imu, generator=draws))
        found |= {f"loss.{number}.{name}": value for name, value in outcome.items()}
    for name, weight in objective.named_parameters():
        if weight.grad is not None:
            found[f"grad.{name}"] = weight.grad.clone()
    return found | {f"state.{name}": t.clone() for name, t in objective.state_dict().items()}


def check_equal(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Losses to 1e-5, gradients and bank to 1e-4 of the largest; counts and presence exactly.

    Adam divides a gradient by its own size, so weights whose gradients are nothing but rounding may
    differ by a whole step: the second step's losses and gradients tell of the weights instead.
    """
    assert set(got) == set(wanted)
    for name, value in wanted.items():
        if not value.is_floating_point():
            assert torch.equal(got[name], value), name
        elif name.startswith("loss."):
            torch.testing.assert_close(got[name], value, rtol=1e-5, atol=0, msg=name)
        elif name.startswith(("grad.", "state.bank.")):
            apart = float((got[name] - value).abs().max())
            assert apart <= 1e-4 * float(value.abs().max()), (name, apart)


def _main(out: Path, rows: int, settings: Sequence[str]) -> None:
    torch.set_num_threads(1)
    with join_ranks() as ranks:
        for number, overrides in enumerate(settings):
            found = take_steps(overrides.split(), rows=rows, ranks=ranks)
            for name, value in found.items():
                if not ranks.same(str(value.double().sum().item())):
                    raise AssertionError(f"ranks differ in {name} of {overrides}")
            if ranks.first:
                torch.save(found, out / f"{number}.pt")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
