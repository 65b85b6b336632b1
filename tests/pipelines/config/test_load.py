"""A file and what is laid over it are read, or refused in one sentence."""

from pathlib import Path

import pytest

from pipelines.config import load_config
from schemas.errors import UsageError

BASE = {"dataset.name": "egoexo4d", "dataset.root": "/data", "store.uri": "/store"}


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "prep.yaml"
    path.write_text(
        "dataset: {name: egoexo4d, root: /d}\nstore: {uri: /s}\nsegments: {length_ms: 4000}\n"
    )
    config = load_config(path, overrides={"segments.length_ms": 3000})
    assert config.segments.length_ns == 3_000_000_000
    assert config.parts_root == Path("/s/parts")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"segments.lenght_ms": 1}, r"segments\.lenght_ms: Extra inputs are not permitted"),
        ({"imu.rate_hz": "0"}, r"imu\.rate_hz: .*rate must be positive, got '0'"),
        ({"imu.rate_hz": "30000/1001"}, r"whole number of nanoseconds a step"),
        ({"splits.shares": [0.5, 0.2, 0.2]}, r"splits\.shares: .*sum to 1"),
        ({"max_quarantine": 2}, r"max_quarantine: .*less than or equal to 1"),
        ({"dataset": 3}, r"dataset: "),
        (
            {"audit.correct": True, "audit.enabled": False},
            r"audit: .*correct needs enabled, got correct=true and enabled=false",
        ),
    ],
)
def test_a_wrong_field_is_named(overrides: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_config(None, overrides={**BASE, **overrides})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("- a\n", "must be a mapping", id="list"),
        pytest.param("a: [\n", "must be YAML", id="broken"),
        pytest.param("a: " + "[" * 1500, "must not nest so deep", id="deep"),
        pytest.param("dataset: {name: egoexo4d}\n", r"dataset\.root: Field required", id="missing"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "prep.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        load_config(path, overrides={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"config file must exist, got .*gone\.yaml"):
        load_config(tmp_path / "gone.yaml", overrides={})


def test_a_broken_rule_of_ours_is_told_without_the_rest_of_the_config() -> None:
    with pytest.raises(UsageError) as caught:
        load_config(None, overrides={**BASE, "imu.resampling": "window", "imu.rate_hz": 12.5})
    assert str(caught.value) == (
        "imu: resampling window needs a rate_hz of whole Hz, got 25/2 [command line]"
    )


def test_a_config_that_is_no_text_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="config file must be readable"):
        load_config(tmp_path, overrides={})
    (tmp_path / "prep.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="config file must be readable"):
        load_config(tmp_path / "prep.yaml", overrides={})
