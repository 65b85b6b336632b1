"""What became of a take holds under the settings that made it, and under no others."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import PrepConfig, load_config
from pipelines.state.settings import parts_settings, plan_settings


def config(**overrides: Any) -> PrepConfig:
    base = {"dataset.name": "egoexo4d", "dataset.root": "/d", "store.uri": "/s"}
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, overrides={**base, **dotted})


@pytest.mark.parametrize(
    ("change", "parts", "plan"),
    [
        pytest.param({"splits__seed": 7}, False, False, id="split"),
        pytest.param({"store__tag": "paper"}, False, False, id="tag"),
        pytest.param({"dataset__root": "/elsewhere"}, False, False, id="another_folder"),
        pytest.param({"dataset__limit": 3}, False, False, id="limit"),
        pytest.param({"execution__workers": 9}, False, False, id="workers"),
        pytest.param({"quality__max_overlaps": 2}, False, False, id="quality"),
        pytest.param({"encoder__pooling": "seqTransf"}, False, False, id="pooling"),
        pytest.param({"segments__length_ms": 4000}, False, True, id="window"),
        pytest.param({"imu__rate_hz": 100}, True, False, id="imu"),
        pytest.param({"video__step_ms": 200}, True, False, id="frames"),
        pytest.param({"encoder__name": "a/b"}, True, False, id="encoder"),
        pytest.param({"text__cleaning": "published"}, True, True, id="sentences"),
    ],
)
def test_each_digest_knows_its_own_settings(
    change: dict[str, Any], parts: bool, plan: bool
) -> None:
    before, after = config(), config(**change)
    assert (parts_settings(before) != parts_settings(after)) is parts
    assert (plan_settings(before) != plan_settings(after)) is plan


def test_windows_decide_where_only_what_they_need_is_covered() -> None:
    before, after = (
        config(video__coverage="needed", segments__length_ms=ms) for ms in (5000, 4000)
    )
    assert parts_settings(before) != parts_settings(after)


def test_a_folder_is_the_same_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip").mkdir()
    monkeypatch.chdir(tmp_path)
    named = (config(encoder__name=name) for name in ("clip", "./clip", str(tmp_path / "clip")))
    assert len({parts_settings(one) for one in named}) == 1
