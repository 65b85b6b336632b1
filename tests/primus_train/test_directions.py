from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from primus_train.config import make_fit_config
from primus_train.data.store import StoreData, open_store
from primus_train.directions import (
    DIRECTIONS,
    find_places,
    retrieve_everywhere,
    retrieve_targets,
    show,
)
from primus_train.objectives.registry import make_objective


def objective_of(*overrides: str, text_width: int = 8) -> Any:
    config = make_fit_config(overrides=["objective.bank_size=8", *overrides])
    made = make_objective(config, channels=6, video_width=16, text_width=text_width)
    return made.eval()


def toward(objective: Any, store: StoreData, rows: Any, *, name: str) -> torch.Tensor:
    """Multimodal embeddings that the projection takes exactly onto the targets."""
    weight = objective.projections[name].weight.double()
    targets = getattr(store, name)[torch.from_numpy(rows)].double()
    return (torch.linalg.pinv(weight) @ targets.T).T.float()


def test_each_modality_has_its_own_gallery_of_shown_rows(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    objective = objective_of().eval()
    rows = store.rows(splits=("test",))
    store.valid[rows[:3], 1] = False
    targets = torch.randn(len(rows), 512)
    got = retrieve_targets(objective, store, rows, multimodal=targets)
    assert got["imu_to_video"]["n"] == 9
    assert got["imu_to_text"]["n"] == 12
    assert got["imu_to_text"]["chance"] == pytest.approx(1 / 12)


def test_queries_meet_their_own_targets(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    objective = objective_of().eval()
    rows = store.rows(splits=("test",))[::-1].copy()
    wanted = toward(objective, store, rows, name="video")
    got = retrieve_targets(objective, store, rows, multimodal=wanted)
    assert got["imu_to_video"]["r_at_1"] == 1
    wrong = retrieve_targets(objective, store, rows, multimodal=wanted.roll(1, 0))
    assert wrong["imu_to_video"]["r_at_1"] == 0


def test_modalities_hidden_everywhere_are_left_out(toy_store: Path) -> None:
    store = open_store(str(toy_store), mask="allhidden")
    objective = objective_of().eval()
    rows = store.rows(splits=("test",))
    assert retrieve_targets(objective, store, rows, multimodal=torch.ones(12, 512)) == {}


def test_places_are_those_of_the_rows_in_any_order() -> None:
    rows = np.array([9, 2, 7, 4])
    assert find_places(rows, chosen=np.array([4, 9, 7])).tolist() == [3, 0, 2]


def test_only_rows_that_show_all_names_are_shown(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    store.valid[3, 1] = store.valid[5, 2] = False
    rows = np.arange(2, 8)
    assert show(store, rows, names=("video",)).tolist() == [2, 4, 5, 6, 7]
    assert show(store, rows, names=("video", "text")).tolist() == [2, 4, 6, 7]


def test_both_ways_use_the_same_pairs(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    objective = objective_of()
    rows = store.rows(splits=("test",))
    right = toward(objective, store, rows, name="video")
    got = retrieve_everywhere(objective, store, rows, multimodal=right)
    # Video and text of different lengths never meet.
    assert list(got) == ["imu_to_video", "imu_to_text", "video_to_imu", "text_to_imu"]
    assert got["imu_to_video"]["r_at_1"] == got["video_to_imu"]["r_at_1"] == 1
    wrong = retrieve_everywhere(objective, store, rows, multimodal=right.roll(1, 0))
    assert wrong["imu_to_video"]["r_at_1"] == wrong["video_to_imu"]["r_at_1"] == 0
    alone = retrieve_targets(objective, store, rows, multimodal=right)
    assert got["imu_to_video"] == alone["imu_to_video"]


@pytest.mark.parametrize("modality", ["video", "text"])
def test_an_objective_of_one_modality_goes_its_ways_alone(toy_store: Path, modality: str) -> None:
    store = open_store(str(toy_store))
    objective = objective_of("objective.terms=[mm]", f"objective.modalities=[{modality}]")
    rows = store.rows(splits=("test",))
    got = retrieve_everywhere(objective, store, rows, multimodal=torch.randn(12, 512))
    assert list(got) == [f"imu_to_{modality}", f"{modality}_to_imu"]


def ranks_of_sentences(store: StoreData, rows: Any, windows: torch.Tensor) -> list[int]:
    """For each different sentence the rank of its best segment, by sorting."""
    texts = store.column("text")[rows]
    ranks = []
    for sentence in sorted(set(texts)):
        asked = store.text[int(rows[list(texts).index(sentence)])].double()
        cosine = [float(torch.dot(asked, w) / asked.norm() / w.norm()) for w in windows.double()]
        order = sorted(range(len(rows)), key=lambda j: -cosine[j])
        ranks.append(1 + min(order.index(j) for j, text in enumerate(texts) if text == sentence))
    return ranks


def test_a_sentence_asks_once_and_any_of_its_segments_is_right(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    def repeat(data: dict[str, Any]) -> None:
        for i, row in enumerate(data["rows"]):
            row["text"] = f"sentence {i % 7}"
            data["text"][i] = data["text"][i % 7]

    store_writer(tmp_path, video_width=8, change=repeat)
    store = open_store(str(tmp_path))
    config = make_fit_config(overrides=["objective.bank_size=8"])
    objective = make_objective(config, channels=6, video_width=8, text_width=8).eval()
    rows = store.rows(splits=("val", "test"))
    embedded = toward(objective, store, rows, name="text")
    embedded = embedded + 0.5 * torch.randn(24, 512, generator=torch.Generator().manual_seed(1))
    got = retrieve_everywhere(objective, store, rows, multimodal=embedded)
    assert list(got) == list(DIRECTIONS)
    with torch.no_grad():
        windows = objective.project(embedded, name="text")
    ranks = ranks_of_sentences(store, rows, windows)
    found = got["text_to_imu"]
    assert (found["n"], found["queries"], found["sentences"]) == (24, 7, 7)
    assert found["chance"] == pytest.approx(1 / 7)
    assert found["mrr"] == pytest.approx(np.mean([1 / r for r in ranks]))
    assert found["r_at_1"] == pytest.approx(np.mean([r == 1 for r in ranks]))
    assert len(set(ranks)) > 1
    assert ranks_of_sentences(store, rows, windows.roll(1, 0)) != ranks
    # The other way a copy of the own sentence is as good as the own one, and they share its place.
    there = got["imu_to_text"]
    assert (there["n"], there["queries"], there["sentences"]) == (24, 24, 7)
    assert there["r_at_1"] <= 7 / 24 + 1e-9


def test_video_and_text_meet_as_the_frozen_encoder_left_them(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    def same(data: dict[str, Any]) -> None:
        data["video"] = data["text"].copy()
        for i, row in enumerate(data["rows"]):
            row["text"] = f"sentence {i}"
        data["valid"][40:42, 1] = False
        for row in data["rows"][40:42]:
            row["has_video"] = False

    store_writer(tmp_path, video_width=8, change=same)
    store = open_store(str(tmp_path))
    config = make_fit_config(overrides=["objective.bank_size=8"])
    objective = make_objective(config, channels=6, video_width=8, text_width=8).eval()
    rows = store.rows(splits=("test",))
    got = retrieve_everywhere(objective, store, rows, multimodal=torch.randn(12, 512))
    for name in ("video_to_text", "text_to_video"):
        assert (got[name]["r_at_1"], got[name]["n"]) == (1, 10), name
    assert got["imu_to_text"]["n"] == 12
