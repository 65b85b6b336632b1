import dataclasses
import math
from collections.abc import Collection
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from primus_train.config import FitConfig
from primus_train.data.facts import END_NS, SENTENCE, START_NS, TAKE, WINDOW, unknown_facts
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


def slow_nce(
    query: Tensor,
    keys: Tensor,
    *,
    rows: list[int],
    temperature: float = 0.1,
    dropped: Collection[tuple[int, int]] = (),
) -> float:
    total = 0.0
    for i in rows:
        weights = {
            j: math.exp(cosine(query[i], keys[j]) / temperature)
            for j in rows
            if (i, j) not in dropped
        }
        total -= math.log(weights[i] / sum(weights.values()))
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


@torch.no_grad()
def test_neighbours_by_text_come_from_the_slot_of_the_nearest_text() -> None:
    objective = make(terms=["nn"], neighbours="text", modalities=["video"])
    assert objective.learns_from == ("text", "video")
    past_e, past = embeddings(8, seed=1), batch(8, seed=1, hidden=(3,))
    objective.losses(past_e, batch=past, view=None)
    e, b = embeddings(), batch()
    b.valid[2, 2] = False
    b.valid[4, 1] = False
    losses = objective.losses(e, batch=b, view=None)
    complete = [i for i in range(8) if i != 3]
    eta = [max(complete, key=lambda k: cosine(past.text[k], b.text[i])) for i in range(6)]
    # Only who lacks the text has no neighbour; the targets come from the bank.
    rows = [0, 1, 3, 4, 5]
    video = slow_nce(objective.project(e.multimodal, name="video"), past.video[eta], rows=rows)
    assert float(losses.parts["nn_video"]) == pytest.approx(video, rel=1e-4)
    imu = slow_nce(e.unimodal, past_e.unimodal[eta], rows=rows)
    assert float(losses.parts["nn_imu"]) == pytest.approx(imu, rel=1e-4)
    assert set(losses.parts) == {"nn_imu", "nn_video"}


@torch.no_grad()
def test_shuffled_views_and_neighbours_cost_more() -> None:
    e = embeddings()
    near = e.unimodal + 0.5 * torch.randn(6, 512, generator=make_generator(3, "near"))
    objective = make(terms=["ss"])
    right, wrong = (
        objective.losses(e, batch=batch(), view=views(rows)) for rows in (near, near.roll(1, 0))
    )
    assert float(right.total) < float(wrong.total)
    objective = make(terms=["nn"], neighbours="video")
    objective.losses(e, batch=batch(), view=None)
    objective.eval()
    turned = batch()
    turned.video.copy_(batch().video.roll(1, 0))
    right, wrong = (objective.losses(e, batch=b, view=None) for b in (batch(), turned))
    assert float(right.parts["nn_imu"]) < float(wrong.parts["nn_imu"])


@torch.no_grad()
def test_in_a_later_epoch_a_segment_is_not_its_own_neighbour() -> None:
    objective = make(terms=["nn"], neighbours="video")
    e, b = embeddings(), batch()
    b.facts[:, WINDOW] = torch.arange(6)
    objective.losses(e, batch=b, view=None)
    losses = objective.losses(e, batch=b, view=None)
    others = [[k for k in range(6) if k != i] for i in range(6)]
    eta = [max(others[i], key=lambda k: cosine(b.video[k], b.video[i])) for i in range(6)]
    wanted = slow_nce(e.unimodal, e.unimodal[eta], rows=list(range(6)))
    assert float(losses.parts["nn_imu"]) == pytest.approx(wanted, rel=1e-4)


@torch.no_grad()
def test_a_segment_alone_in_the_bank_has_no_neighbour() -> None:
    objective = make(terms=["nn"], neighbours="video")
    first = batch(1)
    first.facts[:, WINDOW] = 3
    objective.losses(embeddings(1), batch=first, view=None)
    e, b = embeddings(), batch()
    b.facts[:, WINDOW] = torch.arange(6)
    losses = objective.losses(e, batch=b, view=None)
    # All others find the one slot; row 3, whose window it holds, takes no part.
    keys = embeddings(1).unimodal.expand(6, 512)
    wanted = slow_nce(e.unimodal, keys, rows=[0, 1, 2, 4, 5])
    assert wanted == pytest.approx(math.log(5))
    assert float(losses.parts["nn_imu"]) == pytest.approx(wanted, rel=1e-4)


def spoken(*facts: tuple[int, int, int, int], seed: int = 0, hidden: tuple[int, ...] = ()) -> Batch:
    """A batch of segments (take, start, end, sentence)."""
    made = batch(len(facts), seed, hidden=hidden)
    for place, column in enumerate((TAKE, START_NS, END_NS, SENTENCE)):
        made.facts[:, column] = torch.tensor([fact[place] for fact in facts])
    return made


NOW = ((0, 0, 5, 7), (0, 4, 9, 8), (0, 5, 10, 9), (1, 0, 5, 8), (1, 20, 25, 7), (2, 0, 5, -1))
OVERLAP = {(0, 1), (1, 0), (1, 2), (2, 1)}
SENTENCES = {(0, 4), (4, 0), (1, 3), (3, 1)}


@pytest.mark.parametrize(
    ("kinds", "dropped"),
    [
        pytest.param([], set(), id="none"),
        pytest.param(["overlap"], OVERLAP, id="overlap"),
        pytest.param(["sentence"], SENTENCES, id="sentence"),
        pytest.param(["overlap", "sentence"], OVERLAP | SENTENCES, id="both"),
    ],
)
@torch.no_grad()
def test_false_negatives_are_dropped_from_ss_and_mm(
    kinds: list[str], dropped: set[tuple[int, int]]
) -> None:
    objective = make(512, 512, terms=["ss", "mm"], drop_false_negatives=kinds)
    e, b = embeddings(), spoken(*NOW)
    view = torch.randn(6, 512, generator=make_generator(1, "view"))
    targets = torch.randn(6, 512, generator=make_generator(2, "targets"))
    b = dataclasses.replace(b, video=targets, text=targets.flip(1))
    losses = objective.losses(e, batch=b, view=views(view))
    wanted = {
        "ss": slow_nce(e.unimodal, view, rows=list(range(6)), dropped=dropped),
        "mm_video": slow_nce(e.multimodal, b.video, rows=list(range(6)), dropped=dropped),
        "mm_text": slow_nce(e.multimodal, b.text, rows=list(range(6)), dropped=dropped),
    }
    for name, value in wanted.items():
        assert float(losses.parts[name]) == pytest.approx(value, rel=1e-4), name


@torch.no_grad()
def test_a_hidden_sentence_makes_no_false_negative() -> None:
    objective = make(terms=["ss"], drop_false_negatives=["sentence"])
    e, view = embeddings(), torch.randn(6, 512, generator=make_generator(1, "view"))
    losses = objective.losses(e, batch=spoken(*NOW, hidden=(4,)), view=views(view))
    wanted = slow_nce(e.unimodal, view, rows=list(range(6)), dropped={(1, 3), (3, 1)})
    assert float(losses.parts["ss"]) == pytest.approx(wanted, rel=1e-4)


@torch.no_grad()
def test_of_neighbours_those_like_the_query_or_like_its_own_are_no_negatives() -> None:
    objective = make(terms=["nn"], neighbours="video", drop_false_negatives=["overlap"])
    past_facts = ((0, 3, 8, 1), (0, 7, 12, 2), (5, 0, 5, 3), (6, 0, 5, 4))
    past_e, past = embeddings(4, seed=1), spoken(*past_facts, seed=1)
    objective.losses(past_e, batch=past, view=None)
    eta = [0, 1, 2, 3, 3, 2]
    b = dataclasses.replace(spoken(*NOW), video=past.video[eta])
    losses = objective.losses(embeddings(), batch=b, view=None)

    def overlap(a: tuple[int, int, int, int], c: tuple[int, int, int, int]) -> bool:
        return a[0] == c[0] and a[1] < c[2] and c[1] < a[2]

    dropped = {
        (i, j)
        for i in range(6)
        for j in range(6)
        if i != j
        and (
            eta[i] == eta[j]
            or overlap(NOW[i], past_facts[eta[j]])
            or overlap(past_facts[eta[i]], past_facts[eta[j]])
        )
    }
    # Row 2 (5 to 10 s) shares instants with the neighbours of rows 0 (3 to 8 s) and 1 (7 to 12 s).
    assert dropped == {(0, 1), (1, 0), (2, 0), (2, 1), (2, 5), (5, 2), (3, 4), (4, 3)}
    e = embeddings()
    wanted = slow_nce(e.unimodal, past_e.unimodal[eta], rows=list(range(6)), dropped=dropped)
    assert float(losses.parts["nn_imu"]) == pytest.approx(wanted, rel=1e-4)


@torch.no_grad()
def test_one_neighbour_of_two_rows_is_no_negative_though_nothing_is_known_of_it() -> None:
    objective = make(terms=["nn"], neighbours="video", drop_false_negatives=["sentence"])
    past_e, past = embeddings(4, seed=1), batch(4, seed=1)
    objective.losses(past_e, batch=past, view=None)
    eta = [0, 1, 0, 3, 2, 3]
    e, b = embeddings(), dataclasses.replace(batch(), video=past.video[eta])
    losses = objective.losses(e, batch=b, view=None)
    twice = {(0, 2), (2, 0), (3, 5), (5, 3)}
    wanted = slow_nce(e.unimodal, past_e.unimodal[eta], rows=list(range(6)), dropped=twice)
    assert float(losses.parts["nn_imu"]) == pytest.approx(wanted, rel=1e-4)


def leaves(e: Embeddings) -> Embeddings:
    return Embeddings(
        backbone=e.backbone,
        unimodal=e.unimodal.clone().requires_grad_(),
        multimodal=e.multimodal.clone().requires_grad_(),
    )


def rows_of(b: Batch, rows: list[int]) -> Batch:
    parts = {f.name: getattr(b, f.name)[rows] for f in dataclasses.fields(Batch)}
    return Batch(**parts)


def gradient(e: Tensor) -> Tensor:
    assert e.grad is not None
    return e.grad


@pytest.mark.parametrize("direction", ["one_way", "symmetric"])
@pytest.mark.parametrize("shown", [[1, 4], [0, 2, 5], [0, 1, 2, 3, 4]])
def test_masking_all_but_k_is_the_batch_of_those_k_in_mm_and_all_rows_in_ss(
    shown: list[int], direction: str
) -> None:
    hidden = [i for i in range(6) if i not in shown]
    objective = make(terms=["ss", "mm"], direction=direction)
    # Hidden rows hold no numbers, so that whatever reaches a loss shows.
    b = batch(hidden=tuple(hidden))
    b.video[hidden] = torch.nan
    b.text[hidden] = torch.nan
    e = leaves(embeddings())
    objective.losses(e, batch=b, view=views(embeddings(seed=5).unimodal)).total.backward()
    assert torch.isfinite(gradient(e.multimodal)).all()
    # SS goes through the unimodal head, MM through the multimodal one.
    assert bool((gradient(e.unimodal) != 0).any(dim=1).all())
    assert torch.equal(gradient(e.multimodal)[hidden], torch.zeros(len(hidden), 512))
    small_objective = make(terms=["mm"], direction=direction)
    small = leaves(embeddings()[torch.tensor(shown)])
    parts = small_objective.losses(small, batch=rows_of(b, shown), view=None)
    parts.total.backward()
    assert torch.allclose(
        gradient(e.multimodal)[shown], gradient(small.multimodal), rtol=1e-4, atol=1e-7
    )
    ours, theirs = (
        objective.projections["video"].weight,
        small_objective.projections["video"].weight,
    )
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)
    again = objective.losses(e, batch=b, view=views(embeddings(seed=5).unimodal))
    for name, value in parts.parts.items():
        assert float(again.parts[name]) == pytest.approx(float(value), rel=1e-5)


def test_the_weights_learn_from_a_masked_batch_what_they_learn_from_its_shown_rows() -> None:
    shown = [1, 3, 4]
    whole, small = make(terms=["mm"]), make(terms=["mm"])
    b = batch(hidden=(0, 2, 5))
    whole(b).total.backward()
    small(rows_of(b, shown)).total.backward()
    for (name, a), c in zip(whole.named_parameters(), small.parameters(), strict=True):
        assert (a.grad is None) == (c.grad is None), name
        if a.grad is not None and c.grad is not None:
            # All windows look nearly alike to a random encoder: entries are small differences.
            assert float((a.grad - c.grad).norm() / c.grad.norm()) < 1e-3, name
