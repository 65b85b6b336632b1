"""Rates kept for the next time, and when they no longer hold."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import PrepConfig
from pipelines.pricing.kept_rates import find_rates, keep_rates, rates_identity
from pipelines.pricing.rates import Line, Rates
from tests.factories import SPEC, make_config

RATES = Rates(stages={"imu": Line(per_item=0.5)}, fixed={"start": 3.0}, takes=2, seconds=1.5)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def identity(config: PrepConfig, **given: Any) -> str:
    return rates_identity(config, **{"spec": SPEC, "variants": ["448"], **given})


def test_kept_rates_are_found_again_beside_the_parts(tmp_path: Path) -> None:
    config = make_config(tmp_path / "store")
    name = identity(config)
    assert find_rates(config, identity=name) is None
    path = keep_rates(config, identity=name, rates=RATES)
    assert path == config.parts_root / "state" / "rates" / f"{name}.json"
    assert find_rates(config, identity=name) == (RATES, path)


def test_a_user_without_rights_keeps_them_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder can be made here")
    config = make_config(tmp_path / "store")
    path = keep_rates(config, identity="0" * 16, rates=RATES)
    assert path == tmp_path / "cache" / "primus-prep" / "rates" / f"{'0' * 16}.json"
    found = find_rates(config, identity="0" * 16)
    assert found is not None
    assert found[0] == RATES


def test_nothing_is_kept_where_nothing_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    config = make_config(tmp_path / "file")
    assert keep_rates(config, identity="0" * 16, rates=RATES) is None


def test_a_file_of_something_else_is_passed_over(tmp_path: Path) -> None:
    config = make_config(tmp_path / "store")
    path = keep_rates(config, identity="a" * 16, rates=RATES)
    assert path is not None
    path.write_text('{"stages": 3}')
    assert find_rates(config, identity="a" * 16) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"video": {"step_ms": 200}}, id="grid"),
        pytest.param({"video": {"coverage": "needed"}}, id="coverage"),
        pytest.param({"imu": {"rate_hz": "20"}}, id="imu"),
        pytest.param({"audit": {"enabled": False}}, id="audit"),
        pytest.param({"execution": {"executor": "inline"}}, id="executor"),
        pytest.param({"execution": {"workers": 7}}, id="workers"),
        pytest.param({"execution": {"threads": 5}}, id="threads"),
    ],
)
def test_what_changes_the_cost_changes_the_name(change: dict[str, Any], tmp_path: Path) -> None:
    plain = make_config(tmp_path / "store")
    assert identity(make_config(tmp_path / "store", **change)) != identity(plain)


def test_encoder_picture_and_machine_are_part_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path / "store")
    other = SPEC.model_copy(update={"precision": "bfloat16"})
    names = {identity(config), identity(config, spec=other), identity(config, variants=["full"])}
    assert identity(make_config(tmp_path / "elsewhere")) in names
    monkeypatch.setattr("platform.node", lambda: "another-machine")
    assert len(names | {identity(config)}) == 4
