import json
from collections.abc import Callable
from pathlib import Path

import pytest

from primus_train.cli import main
from primus_train.commands.study import KINDS
from primus_train.studies.settings import STUDIES

CHEAP = [
    *("--set", "objective.bank_size=16", "--set", "epochs=1", "--set", "data.batch_size=12"),
    *("--probe", "epochs=1", "--probe", "min_steps=1", "--probe", "strengths=[0.1]"),
    *("--shots", "1", "--trials", "2", "--device", "cpu"),
]


def test_every_study_is_a_kind() -> None:
    assert STUDIES == KINDS


@pytest.mark.slow
def test_what_fails_is_told_and_the_rest_is_made(
    tmp_path: Path, store_writer: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    store_writer(tmp_path / "store", imu_only=True)
    out = tmp_path / "out"
    words = ["study", "baselines", "--store", str(tmp_path / "store"), "--out", str(out), *CHEAP]
    assert main([*words, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = {row["title"]: row["reason"] for row in report["rows"] if row["failed"]}
    assert set(failed) == {"PRIMUS", "IMU2CLIP"}
    for reason in failed.values():
        assert reason.startswith("its run failed: objective learns from video and text")
    assert report["runs"] == {"computed": 2, "reused": 0, "failed": 2}
    assert report["probes"] == {"computed": 3, "reused": 0, "failed": 2}
    assert (report["points"], report["failed"], report["not_available"]) == (5, 2, 2)
    text = (out / "baselines.md").read_text()
    assert "- PRIMUS, toy, 1 shots (failed): its run failed: objective learns" in text
    # Once more, in words and beside another study: what was made is there, what failed is tried
    # again.
    words.insert(2, "ablation")
    assert main([*words, "--names", "Toys"]) == 1
    said = capsys.readouterr()
    assert "## Toys\n" in said.out
    assert "runs: 0 computed, 2 reused, 2 failed" in said.out
    assert "failed: IMU2CLIP: objective learns from video and text" in said.out
    assert str(out / "baselines.pdf") in said.out
    assert str(out / "ablation.pdf") in said.out
    assert "runs: 2 computed, 1 reused, 4 failed" in said.out
    assert "baselines, ablation: 9/9 points" in said.err

    assert main([*words, "--json"]) == 1
    both = json.loads(capsys.readouterr().out)
    assert both["failed"] == 2 + 4
    assert list(both["studies"]) == ["baselines", "ablation"]
    assert both["studies"]["baselines"]["rows"] == report["rows"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ablation", "--shares", "0.5,1"], "--shares is of study data-efficiency alone"),
        (["ablation", "--masks", "half=0.5"], "--masks is of study data-efficiency alone"),
        (["data-efficiency", "--masks", "half"], "must be NAME=SHARE"),
        (["data-efficiency", "--shares", "a"], "must be numbers, got 'a'"),
        (["data-efficiency"], "shares 0.1, 0.25 must have a mask of video and text, found none"),
        (["data-efficiency", "--shares", "0.5,1"], "allhidden and half fit: name one"),
        (["ablation", "ablation"], "each study must be named once"),
        (["everything"], "invalid choice: 'everything'"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(
    toy_store: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = ["--store", str(toy_store), "--out", str(tmp_path / "o")]
    if words == ["data-efficiency"]:
        base += ["--masks", "half=0.5"]
    assert main(["study", *words, *base]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
