import math

import pytest
import torch

from primus_train.config import FitConfig, make_fit_config
from primus_train.data.facts import unknown_facts
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.objectives.multitask import TASKS, MultitaskObjective
from primus_train.objectives.registry import make_objective
from primus_train.seeds import make_generator
from schemas.errors import UsageError


def make(*overrides: str) -> MultitaskObjective:
    config = make_fit_config(overrides=["objective.kind=multitask", *overrides])
    made = make_objective(config, channels=6, video_width=0, text_width=0)
    assert isinstance(made, MultitaskObjective)
    return made


def batch(count: int = 4) -> Batch:
    generator = make_generator(0, "batch")
    return Batch(
        imu=torch.randn(count, 6, 250, generator=generator),
        video=torch.full((count, 3), torch.nan),
        text=torch.full((count, 3), torch.nan),
        valid=torch.tensor([[True, False, False]] * count),
        facts=unknown_facts(count),
    )


def states(count: int, seed: int) -> Embeddings:
    backbone = torch.randn(count, 512, generator=make_generator(seed, "states"))
    # The heads stand on the backbone alone.
    nothing = torch.full_like(backbone, torch.nan)
    return Embeddings(backbone=backbone, unimodal=nothing, multimodal=nothing)


def test_the_tasks_are_the_eight_of_saeed_et_al() -> None:
    assert set(TASKS) == {
        *("jitter", "scaling", "rotation", "inversion", "time_reversal"),
        *("segment_permutation", "time_warp", "channel_permutation"),
    }
    assert len(TASKS) == 8


def test_each_task_has_a_view_of_all_windows_in_the_order_of_the_heads() -> None:
    x = batch().imu
    made = make().make_view(x, generator=make_generator(0, "view"))
    assert made.shape == (8 * 4, 6, 250)
    runs = dict(zip(TASKS, made.split(4), strict=True))
    assert torch.equal(runs["inversion"], -x)
    assert torch.equal(runs["time_reversal"], x.flip(2))
    assert torch.equal(runs["channel_permutation"].sort(dim=1).values, x.sort(dim=1).values)
    assert torch.equal(runs["segment_permutation"].sort(dim=2).values, x.sort(dim=2).values)
    factors = runs["scaling"] / x
    assert torch.allclose(factors, factors[:, :, :1].expand_as(factors), rtol=1e-3)
    assert float((runs["jitter"] - x).std()) == pytest.approx(0.1, rel=0.1)
    triads = (runs["rotation"].view(4, 2, 3, 250), x.view(4, 2, 3, 250))
    assert torch.allclose(triads[0].norm(dim=2), triads[1].norm(dim=2), rtol=1e-3)
    ends = [0, 249]
    assert torch.equal(runs["time_warp"][:, :, ends], x[:, :, ends])


def test_no_transformed_window_is_an_untouched_one() -> None:
    # So many that the identity would be drawn among the permutations of 2 pieces and 3 channels.
    x = torch.randn(200, 3, 20, generator=make_generator(0, "x"))
    objective = make("view.pieces=2", "view.reversal_probability=0.1")
    made = objective.make_view(x, generator=make_generator(0, "view")).view(8, 200, 3, 20)
    assert not (made == x).all(dim=(2, 3)).any()


@torch.no_grad()
def test_losses_are_the_cross_entropies_of_the_heads_by_hand_and_their_sum() -> None:
    objective, plain, view = make(), states(4, seed=0), states(32, seed=1)
    losses = objective.losses(plain, batch=batch(), view=view)
    total = 0.0
    for k, name in enumerate(TASKS):
        hidden, _, out = objective.heads[name]
        value = 0.0
        for i in range(4):
            for state, transformed in (
                (plain.backbone[i], False),
                (view.backbone[4 * k + i], True),
            ):
                units = [max(0.0, float(u)) for u in hidden.weight @ state + hidden.bias]
                logit = float(out.weight[0] @ torch.tensor(units) + out.bias[0])
                probability = 1 / (1 + math.exp(-logit))
                value -= math.log(probability if transformed else 1 - probability) / 8
        assert float(losses.parts[name]) == pytest.approx(value, rel=1e-4), name
        total += value
    assert float(losses.total) == pytest.approx(total, rel=1e-4)
    assert list(losses.parts) == list(TASKS)


def test_views_of_other_tasks_change_the_losses() -> None:
    objective, plain, view = make(), states(4, seed=0), states(32, seed=1)
    with torch.no_grad():
        right = objective.losses(plain, batch=batch(), view=view).parts
        turned = view[torch.arange(32).roll(4)]
        wrong = objective.losses(plain, batch=batch(), view=turned).parts
    assert all(float(right[name]) != float(wrong[name]) for name in TASKS)


def test_all_weights_of_backbone_and_heads_learn() -> None:
    objective, b = make(), batch()
    view = objective.make_view(b.imu, generator=make_generator(0, "view"))
    objective(b, view=view).total.backward()
    without = {n for n, p in objective.named_parameters() if p.grad is None or not p.grad.any()}
    # The two contrastive heads have no task here.
    heads = {
        f"encoder.{head}.{p}" for head in ("ssl_head", "mmcl_head") for p in ("weight", "bias")
    }
    assert without == heads


@pytest.mark.slow
def test_it_learns_to_tell_inverted_windows() -> None:
    # Windows of positive sign: the backbone sees the sign once the input is normalised.
    generator = make_generator(0, "signs")
    objective = make()
    optimizer = torch.optim.Adam(objective.heads["inversion"].parameters(), lr=1e-2)
    x = torch.rand(6, 6, 250, generator=generator) ** 4
    b = Batch(
        imu=x,
        video=torch.zeros(6, 0),
        text=torch.zeros(6, 0),
        valid=torch.ones(6, 3, dtype=torch.bool),
        facts=unknown_facts(6),
    )
    with torch.no_grad():
        plain, view = objective.embed(x, view=objective.make_view(x, generator=generator))
    first = float(objective.losses(plain, batch=b, view=view).parts["inversion"])
    for _ in range(20):
        optimizer.zero_grad()
        losses = objective.losses(plain, batch=b, view=view)
        losses.total.backward()
        optimizer.step()
    assert first == pytest.approx(math.log(2), abs=0.1)
    assert float(losses.parts["inversion"]) < 0.1


def test_without_its_views_there_is_nothing_to_recognise() -> None:
    objective = make()
    with pytest.raises(ValueError, match="8 views of 4 windows, got 0"):
        objective.losses(states(4, 0), batch=batch(), view=None)
    with pytest.raises(ValueError, match="8 views of 4 windows, got 31"):
        objective.losses(states(4, 0), batch=batch(), view=states(31, 0))


@pytest.mark.parametrize(
    ("field", "value", "least"),
    [("scaling_sigma", 0.0, 0), ("jitter_sigma", 0.0, 0), ("warp_sigma", 0.0, 0), ("pieces", 1, 1)],
)
def test_a_transformation_that_does_nothing_is_refused(
    field: str, value: float, least: int
) -> None:
    with pytest.raises(UsageError, match=rf"view\.{field} above {least}, got {value}"):
        make(f"view.{field}={value}")


def test_it_is_served_by_the_backbone_and_aligned_with_nothing() -> None:
    objective = make()
    assert objective.view_is_task
    assert (objective.representation, objective.aligned_with) == ("backbone", ())
    assert (objective.learns_from, objective.reads_labels) == ((), False)
    assert FitConfig.model_validate({"objective": {"kind": "multitask"}}).objective.name == (
        "multitask"
    )
