import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from primus_train.metrics import MetricsLog


def test_lines_and_tensorboard_say_the_same(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, from_step=0) as log:
        log.write("train", step=1, epoch=0, values={"loss": 2.0})
        log.write("val", step=2, epoch=0, values={"retrieval": {"video": {"mrr": 0.5}}})
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"kind": "train", "step": 1, "epoch": 0, "loss": 2.0},
        {"kind": "val", "step": 2, "epoch": 0, "retrieval": {"video": {"mrr": 0.5}}},
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    got = {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    assert got == {"train/loss": [(1, 2.0)], "val/retrieval/video/mrr": [(2, 0.5)]}


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, from_step=0) as log:
        for step in (1, 2, 3):
            log.write("train", step=step, epoch=0, values={"loss": float(step)})
    with MetricsLog(tmp_path, from_step=2) as log:
        log.write("train", step=3, epoch=0, values={"loss": 30.0})
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [1.0, 2.0, 30.0]


def test_a_silent_log_touches_nothing(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, from_step=0, silent=True) as log:
        log.write("train", step=1, epoch=0, values={"loss": 2.0})
    assert list(tmp_path.iterdir()) == []


def test_nan_is_never_written(tmp_path: Path) -> None:
    with (
        MetricsLog(tmp_path, from_step=0) as log,
        pytest.raises(ValueError, match="not JSON compliant"),
    ):
        log.write("train", step=1, epoch=0, values={"loss": float("nan")})
