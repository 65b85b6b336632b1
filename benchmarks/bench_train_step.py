"""One PRIMUS training step: ours against the same mathematics done the published way.

Ours encodes windows and views in one call, augments the batch as one tensor, finds neighbours by
one matrix product and updates the weights in one fused pass. The published way calls the encoder
twice, augments sample by sample in NumPy and looks for each sample's neighbour in a Python loop.
Weights, draws, bank and losses are the same (Das et al., ICASSP 2025, eq. 1-5). ``encoder_only``
is the floor: the encoder's forward and backward on windows and views.

With ``--device cuda`` the published way, which works on arrays of the host, is left out, and ours
is also done in other arithmetic (``ours_tf32``, ``ours_bf16``) and recorded (``ours_graphs``,
``ours_bf16_graphs``); every step then waits for its loss, so that its time is its own.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from side_by_side import Case, make_parser, measure_cpu, ratios, report
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.augment import make_view
from primus_train.bank import Bank
from primus_train.config import FitConfig, ViewConfig
from primus_train.data.facts import unknown_facts
from primus_train.data.triplets import Batch
from primus_train.objectives.base import Losses, Objective
from primus_train.objectives.registry import make_objective
from primus_train.optimizer import make_optimizer
from primus_train.precision import product_precision
from primus_train.runs import pick_device
from primus_train.seeds import make_generator
from primus_train.step import make_step

__all__ = ["main"]

CHANNELS: Final = 6
SAMPLES: Final = 250
WIDTH: Final = 512
SEED: Final = 0
ON_CUDA: Final = {
    "ours_tf32": ("tf32", "off"),
    "ours_bf16": ("bf16", "off"),
    "ours_graphs": ("float32", "graphs"),
    "ours_bf16_graphs": ("bf16", "graphs"),
}
"""Further ways there: precision, and how a step is launched."""


class LoopBank(Bank):
    """A bank that compares one query after the other with all slots."""

    @torch.no_grad()
    def find(self, queries: Tensor, *, by: str, facts: Tensor | None = None) -> Tensor:
        """Return for each query (B, D) the slot (B,) of the largest cosine, its own among them."""
        del facts
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

    def __init__(self, objective: Objective, *, config: FitConfig, device: torch.device) -> None:
        self.objective = objective.train().to(device)
        self.config = config
        self.device = device
        self.optimizer = make_optimizer(self.objective, config=config, device=device)
        self._take = make_step(self.objective, self.optimizer, config=config, device=device)

    def our_step(self, batch: Batch) -> float:
        """Take one step and return its loss."""
        generator = make_generator(SEED, "view")
        view = make_view(batch.imu, config=self.config.view, generator=generator)
        with product_precision(self.config.optim.precision, device=self.device):
            return float(self._take(batch, view=view)["loss"])

    def published_step(self, batch: Batch) -> float:
        """Take one step the published way and return its loss."""
        generator = make_generator(SEED, "view")
        view = make_view_by_sample(batch.imu, config=self.config.view, generator=generator)
        plain = self.objective.encoder(batch.imu)
        augmented = self.objective.encoder(view)
        return self._descend(self.objective.losses(plain, batch=batch, view=augmented))

    def encoder_step(self, batch: Batch) -> float:
        """Run the encoder forward and backward on twice the batch."""
        with product_precision(self.config.optim.precision, device=self.device):
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


def make_batch(count: int, *, purpose: str, device: torch.device) -> Batch:
    """Return ``count`` complete triplets of noise."""
    generator = make_generator(SEED, purpose)
    return Batch(
        imu=torch.randn(count, CHANNELS, SAMPLES, generator=generator).to(device),
        video=torch.randn(count, WIDTH, generator=generator).to(device),
        text=torch.randn(count, WIDTH, generator=generator).to(device),
        valid=torch.ones(count, 3, dtype=torch.bool, device=device),
        facts=unknown_facts(count, device=device),
    )


def make_trainees(config: FitConfig, *, device: torch.device) -> dict[str, Trainee]:
    """Return equal trainees for each way; their banks are full of the same embeddings."""
    objective = make_objective(config, channels=CHANNELS, video_width=WIDTH, text_width=WIDTH)
    bank = objective.bank
    if bank is None:
        raise ValueError("the objective must have the term nn, it keeps no bank")
    past = make_generator(SEED, "bank")
    widths = dict.fromkeys(bank.names, WIDTH)
    bank.enqueue({n: torch.randn(bank.size, w, generator=past) for n, w in widths.items()})
    found: dict[str, Trainee] = {}
    if device.type == "cpu":
        published = copy.deepcopy(objective)
        looping = LoopBank(size=bank.size, widths=widths)
        looping.load_state_dict(bank.state_dict())
        published.bank = looping
        found["published"] = Trainee(published, config=config, device=device)
    for way in ("ours", "encoder_only"):
        found[way] = Trainee(copy.deepcopy(objective), config=config, device=device)
    if device.type == "cuda":
        for way, (precision, compiled) in ON_CUDA.items():
            optim = {"precision": precision, "compile": compiled}
            other = FitConfig.model_validate({**config.model_dump(), "optim": optim})
            found[way] = Trainee(copy.deepcopy(objective), config=other, device=device)
    return found


def _agreement(trainees: dict[str, Trainee], batch: Batch) -> dict[str, float]:
    """Compare our first step with the published one, from equal weights."""
    banks = [trainees[way].objective.bank for way in ("published", "ours")]
    found = [bank.find(batch.video, by="video") for bank in banks if bank is not None]
    first: dict[str, float] = {}
    gradients: dict[str, Tensor] = {}
    for way in ("published", "ours"):
        model = copy.deepcopy(trainees[way].objective)
        probe = Trainee(model, config=trainees[way].config, device=trainees[way].device)
        step = probe.published_step if way == "published" else probe.our_step
        first[way] = step(batch)
        gradients[way] = torch.cat(
            [p.grad.reshape(-1) for p in probe.objective.parameters() if p.grad is not None]
        )
    distance = (gradients["ours"] - gradients["published"]).norm() / gradients["ours"].norm()
    return {
        "loss_published": first["published"],
        "loss_ours": first["ours"],
        "gradients_relative_distance": float(distance),
        "share_of_equal_neighbours": float((found[0] == found[1]).float().mean()),
    }


def compare(*, batch_size: int, bank_size: int, repeats: int, device: torch.device) -> Case:
    """Time the ways at one batch size and check that their first steps agree."""
    config = FitConfig.model_validate({"objective": {"bank_size": bank_size}})
    trainees = make_trainees(config, device=device)
    batch = make_batch(batch_size, purpose="batch", device=device)
    agreement = _agreement(trainees, batch) if "published" in trainees else {}

    def way_of(name: str) -> Callable[[], float]:
        trainee = trainees[name]
        if name == "published":
            return lambda: trainee.published_step(batch)
        if name == "encoder_only":
            return lambda: trainee.encoder_step(batch)
        return lambda: trainee.our_step(batch)

    ways = {name: way_of(name) for name in trainees}
    for name, step in ways.items():
        if name.endswith("graphs"):
            # Warm-up and recording are none of the steps that are timed.
            for _ in range(4):
                step()
    measured = measure_cpu(ways, repeats=repeats, per=1)
    agreement |= ratios(measured, way="ours", over="encoder_only")
    return Case(
        name=f"batch_{batch_size}",
        unit="ms_per_step",
        runs=measured.wall,
        agreement=agreement,
        cpu=measured.cpu,
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--bank", type=int, default=8192, help="slots of the bank")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256], help="batch sizes")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda (default cpu)")
    args = parser.parse_args(argv)
    device = pick_device(args.device)
    batches, bank_size, repeats = args.batches, args.bank, args.repeats
    if args.quick:
        batches, bank_size, repeats = [8], 64, 1
    cases = [
        compare(batch_size=n, bank_size=bank_size, repeats=repeats, device=device) for n in batches
    ]
    settings = {
        "bank": bank_size,
        "device": device.type,
        "channels": CHANNELS,
        "samples": SAMPLES,
        "view": list(ViewConfig().transforms),
        "torch": torch.__version__,
    }
    return report("train_step", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
