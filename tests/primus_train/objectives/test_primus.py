import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from primus_train.config import FitConfig
from primus_train.data.facts import unknown_facts
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.objectives.primus import PrimusObjective
from primus_train.objectives.registry import make_objective
from primus_train.seeds import make_generator

DV, DT = 9, 7


def config(**objective: Any) -> FitConfig:
    return FitConfig.model_validate({"objective": {"bank_size": 32, **objective}})


def make(dv: int = DV, dt: int = DT, **objective: Any) -> PrimusObjective:
    made = make_objective(config(**objective), channels=6, video_width=dv, text_width=dt)
    assert isinstance(made, PrimusObjective)
    return made.train()


def embeddings(count: int = 6, seed: int = 0) -> Embeddings:
    generator = make_generator(seed, "embeddings")
    a, b, c = torch.randn(3, count, 512, generator=generator).unbind(0)
    return Embeddings(backbone=a, unimodal=b, multimodal=c)


def batch(count: int = 6, seed: int = 0, *, hidden: tuple[int, ...] = ()) -> Batch:
    generator = make_generator(seed, "batch")
    valid = torch.ones(count, 3, dtype=torch.bool)
    valid[list(hidden), 1:] = False
    return Batch(
        imu=torch.randn(count, 6, 250, generator=generator),
        video=torch.randn(count, DV, generator=generator),
        text=torch.randn(count, DT, generator=generator),
        valid=valid,
        facts=unknown_facts(count),
    )


def views(rows: Tensor) -> Embeddings:
    """Return the embeddings of views of which only the unimodal ones are ever looked at."""
    nothing = torch.full_like(rows, torch.nan)
    return Embeddings(backbone=nothing, unimodal=rows, multimodal=nothing)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b) / a.norm() / b.norm())


def slow_nce(query: Tensor, keys: Tensor, *, rows: list[int], temperature: float = 0.1) -> float:
    total = 0.0
    for i in rows:
        weights = [math.exp(cosine(query[i], keys[j]) / temperature) for j in rows]
        total -= math.log(weights[rows.index(i)] / sum(weights))
    return total / len(rows)


@torch.no_grad()
def test_ss_contrasts_windows_with_views_through_the_unimodal_head() -> None:
    objective = make(terms=["ss"])
    e, view = embeddings(), torch.randn(6, 512, generator=make_generator(1, "view"))
    losses = objective.losses(e, batch=batch(hidden=(1, 2)), view=views(view))
    # IMU-only segments serve SS as all others do.
    wanted = slow_nce(e.unimodal, view, rows=list(range(6)))
    assert float(losses.parts["ss"]) == pytest.approx(wanted, rel=1e-4)
    assert float(losses.total) == pytest.approx(wanted, rel=1e-4)


@torch.no_grad()
def test_mm_is_the_sum_over_modalities_of_unmasked_rows_in_the_targets_spaces() -> None:
    objective = make(terms=["mm"])
    e, b = embeddings(), batch(hidden=(0, 4))
    losses = objective.losses(e, batch=b, view=None)
    rows = [1, 2, 3, 5]
    weight = objective.projections["video"].weight
    into_video = torch.stack([weight @ z for z in e.multimodal])
    into_text = torch.stack([objective.projections["text"].weight @ z for z in e.multimodal])
    video = slow_nce(into_video, b.video, rows=rows)
    text = slow_nce(into_text, b.text, rows=rows)
    assert float(losses.parts["mm_video"]) == pytest.approx(video, rel=1e-4)
    assert float(losses.parts["mm_text"]) == pytest.approx(text, rel=1e-4)
    assert float(losses.total) == pytest.approx(video + text, rel=1e-4)


@pytest.mark.parametrize("by_imu", [False, True])
@torch.no_grad()
def test_nn_takes_all_targets_from_the_slot_of_the_nearest_video(by_imu: bool) -> None:
    objective = make(
        terms=["nn"], neighbours="video", masked_neighbours="by_imu" if by_imu else "none"
    )
    past_e, past = embeddings(8, seed=1), batch(8, seed=1, hidden=(3,))
    objective.losses(past_e, batch=past, view=None)
    e, b = embeddings(), batch(hidden=(2, 5))
    losses = objective.losses(e, batch=b, view=None)
    complete = [i for i in range(8) if i != 3]
    eta = [max(complete, key=lambda k: cosine(past.video[k], b.video[i])) for i in range(6)]
    rows = [0, 1, 3, 4]
    if by_imu:
        rows = list(range(6))
        for i in (2, 5):
            eta[i] = max(complete, key=lambda k: cosine(past_e.unimodal[k], e.unimodal[i]))
    wanted = {
        "nn_imu": slow_nce(e.unimodal, past_e.unimodal[eta], rows=rows),
        "nn_video": slow_nce(
            objective.project(e.multimodal, name="video"), past.video[eta], rows=rows
        ),
        "nn_text": slow_nce(
            objective.project(e.multimodal, name="text"), past.text[eta], rows=rows
        ),
    }
    assert set(losses.parts) == set(wanted)
    for name, value in wanted.items():
        assert float(losses.parts[name]) == pytest.approx(value, rel=1e-4), name


@torch.no_grad()
def test_first_batch_has_no_past_and_is_looked_up_before_it_is_stored() -> None:
    objective = make(terms=["nn"], neighbours="video")
    e, b = embeddings(), batch(hidden=(1,))
    first = objective.losses(e, batch=b, view=None)
    assert objective.bank is not None
    assert float(first.total) == 0
    # Masked segments never enter.
    assert len(objective.bank) == 5
    assert torch.allclose(
        objective.bank.get(torch.tensor([1]), name="imu"), F.normalize(e.unimodal[2:3], dim=1)
    )
    # Each window now finds itself: the loss is that of perfect pairs, far below chance.
    again = objective.losses(e, batch=b, view=None)
    assert float(again.parts["nn_imu"]) < 0.1 < math.log(5)


@torch.no_grad()
def test_validation_leaves_the_bank_alone() -> None:
    objective = make(terms=["ss", "nn"]).eval()
    objective.losses(embeddings(), batch=batch(), view=None)
    assert objective.bank is not None
    assert len(objective.bank) == 0


@torch.no_grad()
def test_ss_nn_finds_by_imu_and_reads_no_video() -> None:
    objective = make(terms=["ss", "nn"])
    past = embeddings(8, seed=1)
    nan = Batch(
        imu=torch.zeros(8, 6, 250),
        video=torch.full((8, DV), torch.nan),
        text=torch.full((8, DT), torch.nan),
        valid=torch.tensor([[True, False, False]] * 8),
        facts=unknown_facts(8),
    )
    objective.losses(past, batch=nan, view=None)
    e = embeddings(8, seed=2)
    losses = objective.losses(e, batch=nan, view=None)
    eta = [max(range(8), key=lambda k: cosine(past.unimodal[k], e.unimodal[i])) for i in range(8)]
    wanted = slow_nce(e.unimodal, past.unimodal[eta], rows=list(range(8)))
    assert float(losses.parts["nn_imu"]) == pytest.approx(wanted, rel=1e-4)
    assert set(losses.parts) == {"ss", "nn_imu"}


@torch.no_grad()
def test_total_weighs_the_terms() -> None:
    weights = {"alpha": 2.0, "beta": 3.0, "gamma": 5.0}
    objective = make(**weights)
    objective.losses(embeddings(8, 1), batch=batch(8, 1), view=None)
    losses = objective.losses(embeddings(), batch=batch(), view=None)
    p = {name: float(value) for name, value in losses.parts.items()}
    assert set(p) == {"ss", "mm_video", "mm_text", "nn_imu", "nn_video", "nn_text"}
    wanted = (
        2 * p["ss"]
        + 3 * (p["mm_video"] + p["mm_text"])
        + 5 * (p["nn_imu"] + p["nn_video"] + p["nn_text"])
    )
    assert float(losses.total) == pytest.approx(wanted, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("modality", ["video", "text"])
def test_one_modality_alone_never_reads_the_other(modality: str) -> None:
    objective = make(terms=["mm"], modalities=[modality])
    b = batch()
    (b.text if modality == "video" else b.video).fill_(torch.nan)
    losses = objective.losses(embeddings(), batch=b, view=None)
    assert set(losses.parts) == {f"mm_{modality}"}
    assert math.isfinite(float(losses.total))


@torch.no_grad()
def test_symmetric_adds_the_other_direction() -> None:
    e, b = embeddings(), batch()
    view = torch.randn(6, 512, generator=make_generator(1, "view"))
    both = make(terms=["ss"], direction="symmetric").losses(e, batch=b, view=views(view))
    rows = list(range(6))
    wanted = slow_nce(e.unimodal, view, rows=rows) + slow_nce(view, e.unimodal, rows=rows)
    assert float(both.total) == pytest.approx(wanted, rel=1e-4)


@torch.no_grad()
def test_shuffled_targets_cost_more() -> None:
    objective = make(512, 512, terms=["mm"])
    e = embeddings()
    noise = torch.randn(6, 512, generator=make_generator(2, "noise"))
    targets = e.multimodal + noise
    valid = torch.ones(6, 3, dtype=torch.bool)
    known = {"imu": torch.zeros(0), "valid": valid, "facts": unknown_facts(len(valid))}
    right = Batch(**known, video=targets, text=targets)
    wrong = Batch(**known, video=targets.roll(1, 0), text=targets)
    assert float(objective.losses(e, batch=right, view=None).total) < float(
        objective.losses(e, batch=wrong, view=None).total
    )


def test_hidden_targets_reach_no_gradient_whatever_they_hold() -> None:
    objective = make(terms=["mm"])
    b = batch(hidden=(1, 4))
    b.video[1], b.text[4] = torch.nan, torch.inf
    losses = objective(b)
    losses.total.backward()
    grads = [p.grad for p in objective.parameters() if p.grad is not None]
    assert math.isfinite(float(losses.total.detach()))
    assert all(torch.isfinite(grad).all() for grad in grads)


@torch.no_grad()
def test_a_past_of_masked_segments_alone_is_no_past() -> None:
    objective = make(terms=["nn"], neighbours="video")
    objective.losses(embeddings(8, 1), batch=batch(8, 1, hidden=tuple(range(8))), view=None)
    losses = objective.losses(embeddings(), batch=batch(), view=None)
    assert objective.bank is not None
    assert len(objective.bank) == 6
    assert [float(value) for value in losses.parts.values()] == [0.0] * 3


def test_one_encoder_call_serves_both_views() -> None:
    objective = make(terms=["ss"]).eval()
    calls = []
    objective.encoder.register_forward_hook(lambda *a: calls.append(a[1][0].shape))
    b = batch()
    view = b.imu.flip(2)
    losses = objective(b, view=view)
    assert calls == [torch.Size([12, 6, 250])]
    with torch.no_grad():
        apart = objective.losses(objective.encoder(b.imu), batch=b, view=objective.encoder(view))
    assert float(losses.total.detach()) == pytest.approx(float(apart.total), rel=1e-4)


def test_targets_of_512_need_no_projection_and_others_a_linear_one() -> None:
    assert sum(p.numel() for p in make(512, 512).projections.parameters()) == 0
    assert sum(p.numel() for p in make(64, 128).projections.parameters()) == 512 * (64 + 128)
    inside = sum(p.numel() for p in make(64, 128).encoder.parameters())
    assert inside == 1_376_204


def test_every_trained_part_gets_a_gradient_and_targets_get_none() -> None:
    objective = make()
    objective(batch(8, 1), view=batch(8, 1).imu.flip(2))
    b = batch()
    b.video.requires_grad_()
    objective(b, view=b.imu.flip(2)).total.backward()
    without = [n for n, p in objective.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_all_rows_masked_leaves_ss_alone() -> None:
    objective = make()
    objective(batch(8, 1), view=batch(8, 1).imu)
    losses = objective(batch(hidden=tuple(range(6))), view=batch().imu.flip(2))
    others = [float(v) for n, v in losses.parts.items() if n != "ss"]
    assert others == [0.0] * 5
    losses.total.backward()
    assert float(losses.parts["ss"]) > 0
