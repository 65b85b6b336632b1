from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.loop import BEST, pretrain
from primus_train.probes.fewshot import PROBE_SCHEMA
from primus_train.reports import report_zeroshot
from primus_train.representation import Pretrained, embed_rows, read_pretrained
from primus_train.seeds import make_generator
from primus_train.zeroshot import nearest_prompts, zeroshot
from schemas.errors import StoreNotFoundError, UsageError
from tests.primus_train.prompt_files import write_prompts


def run_of(toy_store: Path, out: Path, *overrides: str) -> Path:
    small = ("epochs=1", "data.batch_size=12", *overrides)
    pretrain(open_store(str(toy_store)), config=make_fit_config(overrides=small), out=out)
    return out


@pytest.fixture(scope="module")
def run(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(toy_store, tmp_path_factory.mktemp("run"), "objective.terms=[mm]")


def test_nearest_is_by_cosine_and_the_first_of_equal_ones() -> None:
    generator = make_generator(0, "z")
    features = torch.randn(40, 5, generator=generator)
    prompts = (torch.randn(3, 5, generator=generator) * torch.tensor([[1.0], [30], [0.1]])).numpy()
    wanted = []
    for x in features.double().numpy():
        cosines = [float(x @ p / np.linalg.norm(x) / np.linalg.norm(p)) for p in prompts]
        wanted.append(cosines.index(max(cosines)))
    got = nearest_prompts(features, prompts.astype(np.float64))
    assert got.tolist() == wanted
    assert set(wanted) == {0, 1, 2}
    assert got.tolist() != nearest_prompts(features.roll(1, 1), prompts.astype(np.float64)).tolist()
    assert nearest_prompts(torch.ones(2, 3), np.ones((4, 3))).tolist() == [0, 0]


def put_windows_near_their_class(monkeypatch: pytest.MonkeyPatch, found: Pretrained) -> None:
    """Let the encoder say of a window of ``cook`` what lies at the first axis of the text space."""
    weight = found.objective.projections["text"].weight.double()
    axes = (torch.linalg.pinv(weight) @ torch.eye(8, dtype=torch.float64)).T.float()

    def embed(_objective: Any, store: Any, rows: Any, **_: Any) -> Embeddings:
        labels = store.column("label")[rows]
        values = torch.stack([axes[0 if label == "cook" else 1] for label in labels])
        return Embeddings(backbone=-values, unimodal=-values, multimodal=values)

    monkeypatch.setattr("primus_train.zeroshot.embed_rows", embed)


def test_the_table_is_a_probes_with_no_shot(
    toy_store: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrained, store = read_pretrained(run / BEST), open_store(str(toy_store))
    put_windows_near_their_class(monkeypatch, pretrained)
    right = write_prompts(tmp_path / "p.json", {"cook": [[5.0, 1]], "dance": [[0, 1], [0, 2.0]]})
    got = zeroshot(pretrained, store, splits=("val", "test"), prompts=right)
    assert got["classes"] == ["cook", "dance"]
    assert (got["representation"], got["prompts"]["kind"]) == ("multimodal", "prompts")
    assert [(row["split"], row["shots"], row["trials"], row["n"]) for row in got["rows"]] == [
        ("val", 0, 1, 12),
        ("test", 0, 1, 12),
    ]
    for row in got["rows"]:
        assert (row["accuracy"], row["macro_f1"], row["near_chance"]) == (1, 1, False)
        assert row["confusion"] == [[6, 0], [0, 6]]
        assert (row["chance"], row["accuracy_se"], row["protocol"]) == (0.5, None, "zeroshot")
    swapped = write_prompts(tmp_path / "q.json", {"dance": [[5.0, 1]], "cook": [[0, 1]]})
    (row,) = zeroshot(pretrained, store, prompts=swapped)["rows"]
    assert (row["accuracy"], row["confusion"]) == (0, [[0, 6], [6, 0]])


def test_windows_are_compared_in_the_space_of_sentences(toy_store: Path, run: Path) -> None:
    pretrained, store = read_pretrained(run / BEST), open_store(str(toy_store))
    done: list[tuple[str, int, int]] = []
    got = zeroshot(pretrained, store, splits=("test",), on_progress=lambda *told: done.append(told))
    assert done[-1] == ("window", 12, 12)
    rows = store.rows(splits=("test",))
    train = store.rows(splits=("train",))
    labels = store.column("label")
    ways = np.stack(
        [
            store.text[train[labels[train] == name]].double().numpy().sum(axis=0)
            for name in ("cook", "dance")
        ]
    )
    with torch.no_grad():
        embedded = embed_rows(pretrained.objective, store, rows)
        words = pretrained.objective.project(embedded.multimodal, name="text").double().numpy()
    confusion = [[0, 0], [0, 0]]
    for word, label in zip(words, labels[rows], strict=True):
        cosines = [float(word @ way) / np.linalg.norm(way) for way in ways]
        confusion[["cook", "dance"].index(label)][cosines.index(max(cosines))] += 1
    assert got["rows"][0]["confusion"] == confusion
    assert got["prompts"]["seen_labels"] is True


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        pytest.param(["objective.terms=[ss]"], "got ss with none", id="ss"),
        pytest.param(
            ["objective.terms=[mm]", "objective.modalities=[video]"],
            "got mm with video",
            id="video",
        ),
    ],
)
def test_an_encoder_that_never_met_text_is_refused(
    toy_store: Path, tmp_path: Path, settings: list[str], what: str
) -> None:
    run = run_of(toy_store, tmp_path / "run", *settings)
    with pytest.raises(UsageError, match=f"zero-shot needs a run .* text .* {what}"):
        report_zeroshot(run, store=str(toy_store), out=tmp_path / "z")
    assert not (tmp_path / "z").exists()


def test_a_report_is_written_twice_and_reused(toy_store: Path, run: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"store": str(toy_store), "out": tmp_path / "z"}
    first = report_zeroshot(run, **asked)
    assert first["reused"] is False
    assert (first["splits"], first["store"]) == (["test"], str(toy_store))
    table = pq.read_table(tmp_path / "z" / "zeroshot.parquet")
    assert table.schema.equals(PROBE_SCHEMA)
    assert table.to_pylist() == first["rows"]
    assert report_zeroshot(run, **asked) == {**first, "reused": True}
    prompts = write_prompts(tmp_path / "p.json", {"cook": [[1.0]], "dance": [[0, 1.0]]})
    keys = {first["key"]}
    for more in (
        {"prompts": prompts},
        {"splits": ("val",)},
        {"classes": ("dance", "cook"), "splits": ("val", "test")},
    ):
        with pytest.raises(UsageError, match="it holds another"):
            report_zeroshot(run, **asked, **more)
        keys.add(report_zeroshot(run, **asked, **more, overwrite=True)["key"])
    assert len(keys) == 4
    # Other sentences under the same name are another result.
    write_prompts(prompts, {"cook": [[0, 1.0]], "dance": [[1.0]]})
    again = report_zeroshot(run, **asked, prompts=prompts, overwrite=True)
    assert again["key"] not in keys
    with pytest.raises(StoreNotFoundError, match="prompts must be a file, none found"):
        report_zeroshot(run, **asked, prompts=tmp_path / "absent.json")


def test_a_version_of_imu_alone_is_told_by_prompts(
    run: Path, tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path / "s", imu_only=True)
    prompts = write_prompts(tmp_path / "p.json", {"cook": [[1.0]], "dance": [[0, 1.0]]})
    report = report_zeroshot(run, store=str(tmp_path / "s"), out=tmp_path / "z", prompts=prompts)
    assert report["rows"][0]["n"] == 12
    with pytest.raises(UsageError, match="has no narrations"):
        report_zeroshot(run, store=str(tmp_path / "s"), out=tmp_path / "y")
