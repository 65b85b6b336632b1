from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.loop import BEST, pretrain
from primus_train.prompts import (
    average_narrations,
    average_prompts,
    class_prompts,
    file_prompts,
    read_prompts,
)
from primus_train.representation import Pretrained, read_pretrained
from schemas.errors import StoreNotFoundError, UsageError
from schemas.prompts import PromptSet
from tests.primus_train.prompt_files import write_prompts

SMALL = ("objective.terms=[mm]", "epochs=1", "data.batch_size=12")


@pytest.fixture(scope="module")
def pretrained(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    out = tmp_path_factory.mktemp("run")
    pretrain(open_store(str(toy_store)), config=make_fit_config(overrides=SMALL), out=out)
    return read_pretrained(out / BEST)


def test_prompts_count_alike_whatever_their_length(tmp_path: Path) -> None:
    file = write_prompts(tmp_path / "p.json", {"a": [[10, 0], [0, 1]], "b": [[0, 0, -2]]})
    found = average_prompts(read_prompts(file))
    assert found["a"] == pytest.approx([2**-0.5, 2**-0.5, 0, 0, 0, 0, 0, 0])
    assert found["b"] == pytest.approx([0, 0, -1, 0, 0, 0, 0, 0])


def test_prompts_that_cancel_out_are_refused(tmp_path: Path) -> None:
    file = write_prompts(tmp_path / "p.json", {"a": [[1.0], [-3.0]]})
    with pytest.raises(UsageError, match="sentences of class 'a' must not cancel out"):
        average_prompts(read_prompts(file))


def test_narrations_are_those_of_train_segments_that_show_them(
    toy_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(toy_store))
    store.valid[2, 2] = False
    labels, splits = store.column("label"), store.column("split")
    monkeypatch.setattr("primus_train.prompts._BLOCK", 5)
    found, counts = average_narrations(store, classes=("cook", "dance", "swim"))
    assert counts == {"cook": 11, "dance": 12}
    assert set(found) == {"cook", "dance"}
    for label, vector in found.items():
        total = np.zeros(8)
        for row in range(len(store)):
            if labels[row] == label and splits[row] == "train" and row != 2:
                total += store.text[row].double().numpy()
        assert vector == pytest.approx(total / np.linalg.norm(total)), label
        assert not np.allclose(vector, found["dance" if label == "cook" else "cook"])


def test_prompts_of_a_file_are_told_from_narrations(
    toy_store: Path, pretrained: Pretrained, tmp_path: Path
) -> None:
    store = open_store(str(toy_store))
    classes = ("cook", "dance")
    file = write_prompts(
        tmp_path / "p.json", {"dance": [[1.0], [2.0]], "cook": [[0, 1]], "x": [[3]]}
    )
    got = class_prompts(pretrained, store, classes=classes, file=file)
    assert list(got.embeddings) == ["cook", "dance"]
    assert got.embeddings["dance"].tolist() == [1, *[0] * 7]
    origin = got.origin
    assert (origin["kind"], origin["seen_labels"], origin["file"]) == ("prompts", False, "p.json")
    # The same encoder on another device is the same encoder.
    assert origin["encoder"]["device_kind"] == "cuda"
    assert origin["sentences"] == {"cook": 1, "dance": 2}
    told = class_prompts(pretrained, store, classes=classes).origin
    assert (told["kind"], told["seen_labels"], told["split"]) == ("narrations", True, "train")
    assert told["sentences"] == {"cook": 12, "dance": 12}


def test_a_class_without_sentences_is_named(
    toy_store: Path, pretrained: Pretrained, tmp_path: Path
) -> None:
    store = open_store(str(toy_store))
    file = write_prompts(tmp_path / "p.json", {"dance": [[1.0]]})
    with pytest.raises(UsageError, match=r"none for cook: embed some .*\[file=.*p.json\]"):
        class_prompts(pretrained, store, classes=("cook", "dance"), file=file)
    with pytest.raises(UsageError, match=r"none for swim: give --prompts FILE, or .*\[version="):
        class_prompts(pretrained, store, classes=("swim", "dance"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"width": 7}, "embedded in 8 numbers as in pretraining, got 7", id="width"),
        pytest.param(
            {"weights": "a"},
            "prompts must be embedded by the encoder of the pretraining, toy with weights 0{12}, "
            "got toy with a{12}",
            id="weights",
        ),
    ],
)
def test_sentences_of_another_encoder_are_refused(
    toy_store: Path, pretrained: Pretrained, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    file = write_prompts(tmp_path / "p.json", {"cook": [[1.0]], "dance": [[0, 1.0]]}, **given)
    with pytest.raises(UsageError, match=message):
        class_prompts(pretrained, open_store(str(toy_store)), classes=("cook",), file=file)
    with pytest.raises(UsageError, match=message):
        file_prompts(pretrained, file)


def test_a_version_of_imu_alone_needs_prompts(
    pretrained: Pretrained, tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path / "s", imu_only=True)
    store = open_store(str(tmp_path / "s"))
    with pytest.raises(UsageError, match=r"IMU alone has no narrations .*: give --prompts FILE"):
        class_prompts(pretrained, store, classes=("cook", "dance"))
    file = write_prompts(tmp_path / "p.json", {"cook": [[1.0]], "dance": [[0, 1.0]]})
    got = class_prompts(pretrained, store, classes=("cook", "dance"), file=file)
    assert set(got.embeddings) == {"cook", "dance"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "prompts must be as primus-prep embed-prompts writes them", id="json"),
        pytest.param("{}", "encoder: Field required", id="fields"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_prompts(tmp_path / "p.json")
    with pytest.raises(StoreNotFoundError, match="prompts must be a file, none found"):
        read_prompts(tmp_path / "absent.json")


def test_what_prep_writes_is_what_is_read(tmp_path: Path) -> None:
    written = PromptSet.model_validate_json(
        write_prompts(tmp_path / "p.json", {"cook": [[0.1, 1 / 3]]}).read_bytes()
    )
    (tmp_path / "q.json").write_text(written.model_dump_json())
    assert read_prompts(tmp_path / "q.json") == written
