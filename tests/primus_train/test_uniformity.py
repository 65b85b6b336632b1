import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.objectives.registry import make_objective
from primus_train.seeds import make_generator
from primus_train.uniformity import alignment, measure_sphere, uniformity


def slow_alignment(one: Tensor, other: Tensor) -> float:
    total = 0.0
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        na, nb = math.hypot(*a), math.hypot(*b)
        total += sum((x / na - y / nb) ** 2 for x, y in zip(a, b, strict=True))
    return total / len(one)


def slow_uniformity(x: Tensor) -> float:
    unit = [[v / math.hypot(*row) for v in row] for row in x.tolist()]
    kernel = [
        math.exp(-2 * sum((a - b) ** 2 for a, b in zip(unit[i], unit[j], strict=True)))
        for i in range(len(unit))
        for j in range(i)
    ]
    return math.log(sum(kernel) / len(kernel))


@pytest.mark.parametrize("block", [1, 7, 23, 1024])
def test_uniformity_is_that_of_a_double_loop_whatever_the_block(block: int) -> None:
    x = 3 * torch.randn(23, 5, generator=make_generator(0, "u"))
    assert uniformity(x, block=block) == pytest.approx(slow_uniformity(x), rel=1e-9)
    # Features and rows are not the same thing.
    assert uniformity(x.T.contiguous()) != pytest.approx(slow_uniformity(x), abs=1e-3)


def test_uniformity_of_known_vectors() -> None:
    assert uniformity(torch.ones(9, 4)) == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.eye(6)) == pytest.approx(-4)
    assert uniformity(torch.tensor([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(-8)
    spread = torch.randn(400, 512, generator=make_generator(1, "u"))
    assert uniformity(spread) == pytest.approx(-4, abs=0.05)
    assert uniformity(spread + 3) > uniformity(spread + 1) > uniformity(spread)


def test_alignment_is_that_of_a_loop_and_worse_when_pairs_are_shuffled() -> None:
    one = torch.randn(17, 6, generator=make_generator(2, "u"))
    other = 2 * one + torch.randn(17, 6, generator=make_generator(3, "u"))
    got = alignment(one, other)
    assert got == pytest.approx(slow_alignment(one, other), rel=1e-9)
    assert alignment(one, other.roll(1, 0)) > got + 0.5
    assert alignment(one, 5 * one) == pytest.approx(0, abs=1e-12)
    assert alignment(one, -one) == pytest.approx(4)
    assert alignment(torch.eye(3), torch.eye(3).roll(1, 0)) == pytest.approx(2)


def test_one_row_has_no_pair_and_sides_must_match() -> None:
    assert alignment(torch.ones(1, 2), torch.ones(1, 2)) == 0
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        uniformity(torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"equal shapes and rows, got \(2, 2\) and \(3, 2\)"):
        alignment(torch.ones(2, 2), torch.ones(3, 2))
    with pytest.raises(ValueError, match="equal shapes and rows"):
        alignment(torch.ones(0, 2), torch.ones(0, 2))


def embedded(count: int) -> Embeddings:
    drawn = torch.randn(3, count, 512, generator=make_generator(5, "u"))
    return Embeddings(backbone=drawn[0], unimodal=drawn[1], multimodal=drawn[2])


def objective_of(*overrides: str, width: int) -> Any:
    config = make_fit_config(overrides=["objective.bank_size=8", *overrides])
    return make_objective(config, channels=6, video_width=width, text_width=8).eval()


def test_a_version_is_measured_on_segments_that_do_not_overlap(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    def hide(data: dict[str, Any]) -> None:
        data["valid"][44, 1] = False
        data["rows"][44]["has_video"] = False

    # Every other segment overlaps the one before it.
    store_writer(tmp_path, video_width=8, step_ns=3_000_000_000, change=hide)
    store = open_store(str(tmp_path))
    objective = objective_of(width=8)
    rows = store.rows(splits=("test",))
    values = embedded(len(rows))
    got = measure_sphere(objective, store, rows, embeddings=values, most=100, frozen=True)
    chosen = torch.tensor([0, 2, 4, 6, 8, 10])
    assert rows[chosen[1]] == 38
    assert got["n"] == 6
    assert set(got["alignment"]) == {"imu_video", "imu_text", "video_text"}
    assert set(got["uniformity"]) == {"imu", "imu_in_video", "imu_in_text", "video", "text"}
    assert got["uniformity"]["imu"] == pytest.approx(slow_uniformity(values.multimodal[chosen]))
    with torch.no_grad():
        words = objective.project(values.multimodal[chosen], name="text")
        looks = objective.project(values.multimodal[chosen[[0, 1, 2, 3, 5]]], name="video")
    at = torch.from_numpy(rows)[chosen]
    seen = at[[0, 1, 2, 3, 5]]  # row 44 shows no video
    assert got["alignment"]["imu_text"] == pytest.approx(slow_alignment(words, store.text[at]))
    assert got["alignment"]["imu_video"] == pytest.approx(slow_alignment(looks, store.video[seen]))
    assert got["alignment"]["video_text"] == pytest.approx(
        slow_alignment(store.video[seen], store.text[seen])
    )
    assert got["uniformity"]["imu_in_text"] == pytest.approx(slow_uniformity(words))
    assert got["uniformity"]["video"] == pytest.approx(slow_uniformity(store.video[seen]))


def test_of_many_segments_the_same_ones_are_drawn_each_time(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    rows = store.rows(splits=("train",))
    values = embedded(len(rows))
    objective = objective_of("objective.terms=[ss]", width=16)
    few = measure_sphere(objective, store, rows, embeddings=values, most=9)
    again = measure_sphere(objective, store, rows, embeddings=values, most=9)
    whole = measure_sphere(objective, store, rows, embeddings=values, most=24)
    assert few == again
    assert (few["n"], whole["n"]) == (9, 24)
    # The representation of an objective without targets is the backbone's.
    assert whole == {
        "n": 24,
        "alignment": {},
        "uniformity": {"imu": pytest.approx(slow_uniformity(values.backbone))},
    }
    assert few["uniformity"] != whole["uniformity"]


def test_rows_too_few_to_measure_are_left_out(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    objective = objective_of(width=16)
    got = measure_sphere(objective, store, np.array([3]), embeddings=embedded(1), most=9)
    assert got["uniformity"] == {}
    assert set(got["alignment"]) == {"imu_video", "imu_text"}
    nothing = measure_sphere(
        objective, store, np.array([], dtype=np.int64), embeddings=embedded(0), most=9
    )
    assert nothing == {"n": 0, "alignment": {}, "uniformity": {}}
