"""The hard store in small: what is in it, and that it depends on its seed alone."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.stores.verify import verify_version
from primus_train.config import make_fit_config
from primus_train.data.store import open_store

ROOT = Path(__file__).parents[1]
SMALL = ("--participants", "3", "--takes", "1", "--windows", "2")

Publish = Callable[..., dict[str, Any]]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Publish:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    program = importlib.import_module("hard_store")

    def run(store: Path, *options: str) -> dict[str, Any]:
        program.main([str(store), *options])
        made: dict[str, Any] = json.loads(capsys.readouterr().out)
        return made

    return run


@pytest.mark.slow
def test_a_small_store_is_sound_whole_and_seeded(tmp_path: Path, publish: Publish) -> None:
    made = publish(tmp_path / "a", *SMALL)
    assert made["segments"] == 3 * 8 * 2
    assert made["participants"] == {"train": 1, "val": 1, "test": 1}
    assert verify_version(tmp_path / "a", made["version"]) == []
    store = open_store(f"{tmp_path / 'a'}@latest")
    assert store.version == made["version"]
    assert tuple(store.imu.shape) == (48, 6, 250)
    assert bool(store.valid.all())
    labels, splits = store.column("label"), store.column("split")
    people = store.column("participant")
    assert {label: int((labels == label).sum()) for label in set(labels)} == dict.fromkeys(
        set(labels), 6
    )
    assert len(set(labels)) == 8
    assert len(set(zip(people, splits, strict=True))) == 3
    for name in ("video", "text"):
        norms = getattr(store, name).float().norm(dim=1).numpy()
        np.testing.assert_allclose(norms, 1, atol=2e-3)
    # Windows lie end to end: the second goes on where the first one ended, in body and in time.
    starts = store.column("start_ns").reshape(-1, 2)
    assert (starts == [0, 5_000_000_000]).all()
    assert publish(tmp_path / "b", *SMALL)["version"] == made["version"]
    assert publish(tmp_path / "c", *SMALL, "--seed", "1")["version"] != made["version"]


def test_too_few_people_for_three_splits_are_wrong_usage(
    tmp_path: Path, publish: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        publish(tmp_path, "--participants", "2")
    assert "--participants must be at least 3, got 2" in capsys.readouterr().err


def test_the_hard_study_s_settings_are_settings() -> None:
    config = make_fit_config(file=ROOT / "benchmarks" / "hard_study.yaml")
    assert config.epochs > 1
    assert config.objective.terms == ("ss", "mm", "nn")
