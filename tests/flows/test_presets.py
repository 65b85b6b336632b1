"""Presets: what they set, and that whatever is said explicitly wins over them."""

from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.presets import PRESETS, read_preset
from pipelines.config import PrepConfig, load_config
from schemas.errors import UsageError

GIVEN = {"dataset.name": "egoexo4d", "dataset.root": "d", "store.uri": "s"}


def changed(config: PrepConfig) -> dict[str, Any]:
    """Return every field, dotted, that differs from a run without a preset."""
    plain = load_config(None, overrides=GIVEN).model_dump(mode="json")
    found = {}
    for stage, fields in config.model_dump(mode="json").items():
        if isinstance(fields, dict):
            for name, value in fields.items():
                if value != plain[stage][name]:
                    found[f"{stage}.{name}"] = value
        else:
            assert fields == plain[stage]
    return found


def test_published_sets_these_fields_and_no_other() -> None:
    config = load_config(None, overrides=GIVEN, base=read_preset("published"))
    assert changed(config) == {
        "dataset.labels": "published",
        "imu.alignment": "first_sample",
        "imu.resampling": "window",
        "imu.accept_sensor_frame": True,
        "text.cleaning": "published",
        "text.passes": "first",
        "segments.policy": "published",
        "splits.kind": "official",
    }


def test_file_and_command_line_win_over_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "prep.yaml"
    path.write_text("imu: {alignment: clock, rate_hz: 100}\nsegments: {length_ms: 4000}\n")
    base = read_preset("published")
    config = load_config(path, overrides={**GIVEN, "text.passes": "all"}, base=base)
    assert config.imu.alignment == "clock"
    assert config.imu.rate_hz == "100"
    assert config.imu.resampling == "window"
    assert config.segments.policy == "published"
    assert config.segments.length_ms == 4000
    assert config.text.passes == "all"
    # What was laid over it has not changed the preset itself.
    assert base == read_preset("published")


def test_an_unknown_preset_is_refused() -> None:
    assert PRESETS == ("published",)
    with pytest.raises(UsageError, match="--preset must be among published, got fast"):
        read_preset("fast")


def test_windows_resampled_alone_need_whole_hz() -> None:
    with pytest.raises(UsageError, match="resampling window needs a rate_hz of whole Hz, got 25/2"):
        load_config(
            None,
            overrides={
                **GIVEN,
                "imu.resampling": "window",
                "imu.rate_hz": "25/2",
                "segments.step_ms": 80,
                "segments.length_ms": 4000,
            },
        )


def test_the_command_line_reads_the_profile(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # The profile's policy asks for whole seconds: the refusal shows that it was read.
    code = main(
        ["run", "--profile", "published", "--dataset", "egoexo4d", "--root", str(tmp_path),
         "--store", str(tmp_path / "s"), "--set", "segments.length_ms=4500"]
    )  # fmt: skip
    assert code == 2
    assert "policy published needs a length_ms of whole seconds" in capsys.readouterr().err
