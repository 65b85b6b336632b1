"""One PRIMUS training step on the CPU: ours against the same mathematics done the published way.

Ours encodes windows and views in one call, augments the batch as one tensor and finds neighbours
by one matrix product. The published way calls the encoder twice, augments sample by sample in
NumPy and looks for each sample's neighbour in a Python loop. Weights, draws, bank and losses are
the same (Das et al., ICASSP 2025, eq. 1-5). ``encoder_only`` is the floor: the encoder's forward
and backward on windows and views.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from side_by_side import Case, make_parser, measure, report
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.augment import make_view
from primus_train.bank import Bank
from primus_train.config import FitConfig, ViewConfig
from primus_train.data.triplets import Batch
from primus_train.objectives.primus import Losses, PrimusObjective
from primus_train.representation import make_objective
from primus_train.seeds import make_generator

__all__ = ["main"]

CHANNELS: Final = 6
SAMPLES: Final = 250
WIDTH: Final = 512
SEED: Final = 0


class LoopBank(Bank):
    """A bank that compares one query after the other with all slots."""

    @torch.no_grad()
    def find(self, queries: Tensor, *, by: str) -> Tensor:
        """Return for each query (B, D) the slot (B,) of the largest cosine."""
        slots = self.get_buffer(f"slots_{by}")[: len(self)]
        nearest = []
        for query in queries:
            similarity = F.cosine_similarity(query[None].float(), slots, dim=1)
            nearest.append(int(similarity.argmax()))
        return torch.tensor(nearest)


def make_view_by_sample(x: Tensor, *, config: ViewConfig, generator: torch.Generator) -> Tensor:
    """Return scaling and time reversal of windows (B, C, T), a sample at a time in NumPy.

    The draws are those of the batched transforms.
    """
    B, C, _ = x.shape
    factors = 1 + config.scaling_sigma * torch.randn(B, C, 1, generator=generator)
    chosen = torch.rand(B, 1, 1, generator=generator) < config.reversal_probability
    views = []
    for i in range(B):
        sample = x[i].numpy() * factors[i].numpy()
        if bool(chosen[i]):
            sample = np.flip(sample, axis=1)
        views.append(torch.from_numpy(np.ascontiguousarray(sample)))
    return torch.stack(views)


class Trainee:
    """An objective, its optimiser and a full bank; every step repeats from the same draws."""

    def __init__(self, objective: PrimusObjective, *, config: FitConfig) -> None:
        self.objective = objective.train()
        self.config = config
        self.optimizer = torch.optim.Adam(objective.parameters(), lr=config.optim.learning_rate)

    def our_step(self, batch: Batch) -> float:
        """Take one step and return its loss."""
        generator = make_generator(SEED, "view")
        view = make_view(batch.imu, config=self.config.view, generator=generator)
        return self._descend(self.objective(batch, view=view))

    def published_step(self, batch: Batch) -> float:
        """Take one step the published way and return its loss."""
        generator = make_generator(SEED, "view")
        view = make_view_by_sample(batch.imu, config=self.config.view, generator=generator)
        plain = self.objective.encoder(batch.imu)
        augmented = self.objective.encoder(view)
        return self._descend(self.objective.losses(plain, batch=batch, view=augmented.unimodal))

    def encoder_step(self, batch: Batch) -> float:
        """Run the encoder forward and backward on twice the batch."""
        out = self.objective.encoder(torch.cat([batch.imu, batch.imu]))
        total = out.unimodal.square().mean() + out.multimodal.square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        return float(total.detach())

    def _descend(self, losses: Losses) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        self.optimizer.step()
        return float(losses.total.detach())


def make_batch(count: int, *, purpose: str) -> Batch:
    """Return ``count`` complete triplets of noise."""
    generator = make_generator(SEED, purpose)
    return Batch(
        imu=torch.randn(count, CHANNELS, SAMPLES, generator=generator),
        video=torch.randn(count, WIDTH, generator=generator),
        text=torch.randn(count, WIDTH, generator=generator),
        valid=torch.ones(count, 3, dtype=torch.bool),
    )


def make_trainees(config: FitConfig) -> dict[str, Trainee]:
    """Return equal trainees for each way; their banks are full of the same embeddings."""
    objective = make_objective(config, channels=CHANNELS, video_width=WIDTH, text_width=WIDTH)
    bank = objective.bank
    if bank is None:
        raise ValueError("the objective must have the term nn, it keeps no bank")
    past = make_generator(SEED, "bank")
    widths = dict.fromkeys(bank.names, WIDTH)
    bank.enqueue({n: torch.randn(bank.size, w, generator=past) for n, w in widths.items()})
    published = copy.deepcopy(objective)
    looping = LoopBank(size=bank.size, widths=widths)
    looping.load_state_dict(bank.state_dict())
    published.bank = looping
    encoder = copy.deepcopy(objective)
    return {
        "published": Trainee(published, config=config),
        "ours": Trainee(objective, config=config),
        "encoder_only": Trainee(encoder, config=config),
    }


def compare(*, batch_size: int, bank_size: int, repeats: int) -> Case:
    """Time the ways at one batch size and check that their first steps agree."""
    config = FitConfig.model_validate({"objective": {"bank_size": bank_size}})
    trainees = make_trainees(config)
    batch = make_batch(batch_size, purpose="batch")
    banks = [trainees[way].objective.bank for way in ("published", "ours")]
    found = [bank.find(batch.video, by="video") for bank in banks if bank is not None]
    ways: dict[str, Callable[[], float]] = {
        "published": lambda: trainees["published"].published_step(batch),
        "ours": lambda: trainees["ours"].our_step(batch),
        "encoder_only": lambda: trainees["encoder_only"].encoder_step(batch),
    }
    # The uncounted round is each trainee's first step, from equal weights.
    first: dict[str, float] = {}
    gradients: dict[str, Tensor] = {}
    for way in ("published", "ours"):
        probe = copy.deepcopy(trainees[way])
        step = probe.published_step if way == "published" else probe.our_step
        first[way] = step(batch)
        gradients[way] = torch.cat(
            [p.grad.reshape(-1) for p in probe.objective.parameters() if p.grad is not None]
        )
    runs, _ = measure(ways, repeats=repeats, per=1)
    distance = (gradients["ours"] - gradients["published"]).norm() / gradients["ours"].norm()
    agreement = {
        "loss_published": first["published"],
        "loss_ours": first["ours"],
        "gradients_relative_distance": float(distance),
        "share_of_equal_neighbours": float((found[0] == found[1]).float().mean()),
    }
    return Case(name=f"batch_{batch_size}", unit="ms_per_step", runs=runs, agreement=agreement)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--bank", type=int, default=8192, help="slots of the bank")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64], help="batch sizes")
    args = parser.parse_args(argv)
    batches, bank_size, repeats = args.batches, args.bank, args.repeats
    if args.quick:
        batches, bank_size, repeats = [8], 64, 1
    cases = [compare(batch_size=n, bank_size=bank_size, repeats=repeats) for n in batches]
    settings = {
        "bank": bank_size,
        "channels": CHANNELS,
        "samples": SAMPLES,
        "view": list(ViewConfig().transforms),
        "torch": torch.__version__,
    }
    return report("train_step", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
