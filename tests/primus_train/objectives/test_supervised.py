import math

import pytest
import torch

from primus_train.config import make_fit_config
from primus_train.data.facts import LABEL, unknown_facts
from primus_train.data.triplets import Batch
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.objectives.registry import make_objective
from primus_train.objectives.supervised import SupervisedObjective
from primus_train.seeds import make_generator
from schemas.errors import UsageError

CLASSES = ("cook", "dance", "walk")


def make(classes: tuple[str, ...] = CLASSES) -> SupervisedObjective:
    config = make_fit_config(overrides=["objective.kind=supervised"])
    made = make_objective(config, channels=6, video_width=0, text_width=0, classes=classes)
    assert isinstance(made, SupervisedObjective)
    return made


def batch(*labels: int) -> Batch:
    facts = unknown_facts(len(labels))
    facts[:, LABEL] = torch.tensor(labels)
    generator = make_generator(0, "batch")
    return Batch(
        imu=torch.randn(len(labels), 6, 250, generator=generator),
        video=torch.full((len(labels), 3), torch.nan),
        text=torch.full((len(labels), 3), torch.nan),
        valid=torch.tensor([[True, False, False]] * len(labels)),
        facts=facts,
    )


def states(count: int) -> Embeddings:
    backbone = torch.randn(count, 512, generator=make_generator(0, "states"))
    nothing = torch.full_like(backbone, torch.nan)
    return Embeddings(backbone=backbone, unimodal=nothing, multimodal=nothing)


@torch.no_grad()
def test_loss_is_the_mean_cross_entropy_of_the_labelled_windows_by_hand() -> None:
    objective, labels = make(), (2, -1, 0, 1, -1)
    e = states(5)
    losses = objective.losses(e, batch=batch(*labels), view=None)
    values = []
    for state, label in zip(e.backbone, labels, strict=True):
        if label < 0:
            continue
        logits = (objective.classifier.weight @ state + objective.classifier.bias).tolist()
        weights = [math.exp(logit) for logit in logits]
        values.append(-math.log(weights[label] / sum(weights)))
    assert float(losses.total) == pytest.approx(sum(values) / 3, rel=1e-4)
    assert float(losses.parts["label"]) == float(losses.total)
    wrong = objective.losses(e, batch=batch(0, -1, 1, 2, -1), view=None)
    assert float(wrong.total) != pytest.approx(float(losses.total), rel=1e-2)


def test_windows_without_a_label_reach_no_gradient() -> None:
    objective = make()
    e = states(4)
    leaf = e.backbone.requires_grad_()
    objective.losses(e, batch=batch(1, -1, 2, -1), view=None).total.backward()
    assert leaf.grad is not None
    assert leaf.grad.any(dim=1).tolist() == [True, False, True, False]


def test_a_batch_without_labels_is_zero_and_differentiable() -> None:
    objective = make()
    losses = objective(batch(-1, -1))
    losses.total.backward()
    assert float(losses.total.detach()) == 0
    grad = objective.classifier.weight.grad
    assert grad is not None
    assert not grad.any()


def test_encoder_and_classifier_learn_together() -> None:
    objective = make()
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-3)
    b = batch(0, 1, 2, 0)
    found = []
    for _ in range(12):
        optimizer.zero_grad()
        losses = objective(b)
        losses.total.backward()
        optimizer.step()
        found.append(float(losses.total.detach()))
    assert found[0] == pytest.approx(math.log(3), abs=0.2)
    assert found[-1] < 0.5 * found[0]
    moved = {n for n, p in objective.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"classifier.weight", "encoder.backbone.1.net.0.weight"} <= moved


def test_it_asks_for_no_view_and_reads_labels() -> None:
    objective = make()
    assert objective.make_view(torch.zeros(2, 6, 250), generator=torch.Generator()) is None
    assert objective.reads_labels
    assert (objective.representation, objective.learns_from) == ("backbone", ())
    with pytest.raises(ValueError, match="must be aligned with video"):
        objective.project(torch.zeros(1, 512), name="video")


@pytest.mark.parametrize(("classes", "said"), [((), "none"), (("cook",), "cook")])
def test_one_class_is_nothing_to_learn(classes: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=f"at least two labels, got {said}"):
        make(classes)
