"""What the options of ``run`` come to in the config, and what is told at its end."""

import json
from pathlib import Path

import pytest

from flows.cli import main
from flows.summary import RunSummary
from pipelines.config import PrepConfig
from pipelines.profile.report import make_profile
from pipelines.profile.work import StageWork

SUMMARY = RunSummary(
    version="0" * 16, store="s", planned=3, stored=2, dropped={"x": 1}, quarantined={},
    quarantined_takes={}, ignored={}, computed_takes=1, reused_takes=0, seconds={"total": 1.0},
)  # fmt: skip
PROFILE = make_profile(
    {"imu": StageWork(seconds=0.75, items=3)},
    probes=(), wall_seconds=1.0, workers=1, threads=1, publish_workers=1,
)  # fmt: skip


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[PrepConfig]:
    """Configs that ``prepare`` was asked for; it does nothing."""
    asked: list[PrepConfig] = []

    def prepare(config: PrepConfig) -> RunSummary:
        asked.append(config)
        profile = PROFILE if config.execution.profile else None
        return SUMMARY.model_copy(update={"profile": profile})

    monkeypatch.setattr("flows.prepare.prepare", prepare)
    return asked


def run(*options: str) -> int:
    return main(["run", "--dataset", "egoexo4d", "--root", "d", "--store", "s", *options])


@pytest.mark.parametrize(
    ("options", "measured", "policy"),
    [
        pytest.param([], False, "narration", id="neither"),
        pytest.param(["--profile"], True, "narration", id="measure"),
        pytest.param(["--preset", "published"], False, "published", id="preset"),
        pytest.param(["--profile", "published"], False, "published", id="as_at_first"),
        pytest.param(["--preset", "published", "--profile"], True, "published", id="both"),
    ],
)
def test_profile_measures_and_preset_sets(
    prepared: list[PrepConfig], options: list[str], measured: bool, policy: str
) -> None:
    assert run(*options) == 0
    (config,) = prepared
    assert (config.execution.profile, config.segments.policy) == (measured, policy)


def test_the_profile_is_printed_above_the_summary(
    prepared: list[PrepConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--profile") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["stage", "busy"]
    assert lines[-2] == "imu fills 75% of the run's time: more workers would help"
    assert lines[-1].startswith("version 0000000000000000 in s: 2 of 3 segments stored")
    assert run("--profile", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["profile"]["bottleneck"] == "imu"
    assert len(prepared) == 2


def test_dasks_own_report_is_a_file_of_a_dask_run(
    prepared: list[PrepConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--executor", "dask", "--dask-report", "out/dask.html") == 0
    assert prepared[0].execution.dask_report == Path("out/dask.html")
    assert run("--executor", "threads", "--dask-report", "out/dask.html") == 2
    assert "dask_report needs executor dask, got executor threads" in capsys.readouterr().err
    assert len(prepared) == 1


def test_a_report_that_cannot_be_drawn_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.cluster.importlib.util.find_spec", lambda _name: None)
    assert run("--executor", "dask", "--dask-report", "dask.html") == 2
    assert capsys.readouterr().err == (
        "primus-prep: execution.dask_report needs the package bokeh: pip install bokeh\n"
    )
