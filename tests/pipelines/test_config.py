"""The config refuses what it does not know, in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import PrepConfig, QualityConfig, load_config
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


def test_identity_holds_no_path_and_no_executor() -> None:
    config = load_config(None, overrides={**BASE, "encoder.name": "/models/tiny"})
    other = load_config(
        None,
        overrides={
            **BASE,
            "dataset.root": "/x",
            "store.uri": "/y",
            "encoder.name": "/z/tiny",
            "encoder.device": "cpu",
            "imu.block_s": 7,
            "execution.executor": "dask",
            "execution.workers": 9,
            "max_quarantine": 0.9,
        },
    )
    assert config.identity() == other.identity()
    assert not {"store", "encoder", "execution", "masks"} & config.identity().keys()


@pytest.mark.parametrize(
    ("policy", "require", "required"),
    [
        ("narration", None, ("imu", "video", "text")),
        ("stride", None, ("imu", "video")),
        ("stride", ("imu",), ("imu",)),
    ],
)
def test_required_modalities_follow_the_policy(
    policy: str, require: tuple[str, ...] | None, required: tuple[str, ...]
) -> None:
    config = PrepConfig.model_validate(
        {
            "dataset": {"name": "egoexo4d", "root": "/d"},
            "store": {"uri": "/s"},
            "segments": {"policy": policy, "require": require},
        }
    )
    assert config.segments.required == required


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset.labels", "published"),
        ("dataset.limit", 3),
        ("dataset.positions", ["waist"]),
        ("imu.alignment", "first_sample"),
        ("imu.resampling", "window"),
        ("text.sources", ["expert_commentary"]),
        ("text.passes", "first"),
        ("text.subjects", "wearer"),
        ("text.visibility", "visible"),
        ("splits.test_participants", ["1"]),
        ("audit.enabled", False),
        ("audit.max_lag_ms", 900),
        ("audit.window_s", 30),
        ("audit.suspect_ms", 30),
        ("audit.correct", True),
        *((f"quality.{name}", 1) for name in QualityConfig.model_fields),
    ],
)
def test_identity_holds_what_decides_the_content(field: str, value: object) -> None:
    before = load_config(None, overrides=BASE).identity()
    after = load_config(None, overrides={**BASE, field: value}).identity()
    stage, name = field.split(".")
    assert before[stage].pop(name) != after[stage].pop(name)
    assert before == after


def test_a_broken_rule_of_ours_is_told_without_the_rest_of_the_config() -> None:
    with pytest.raises(UsageError) as caught:
        load_config(None, overrides={**BASE, "imu.resampling": "window", "imu.rate_hz": 12.5})
    assert str(caught.value) == (
        "imu: resampling window needs a rate_hz of whole Hz, got 25/2 [command line]"
    )


def test_names_of_digits_may_be_written_as_yaml_reads_them() -> None:
    config = load_config(
        None,
        overrides={**BASE, "video.variant": 448, "splits.test_participants": [5, "10"]},
    )
    assert config.video.variant == "448"
    assert config.splits.test_participants == ("5", "10")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            {},
            r"encoder\.name none needs segments\.require \[imu\], since nothing is embedded, "
            r"got video and text required",
        ),
        ({"segments.policy": "stride"}, r"got video required"),
        (
            {"segments.require": ["imu"], "masks": [{"name": "m", "keep": 0.1}]},
            r"masks hide video and text, which a version under encoder\.name none lacks, got m",
        ),
    ],
)
def test_without_an_encoder_nothing_embedded_may_be_asked_for(
    overrides: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_config(None, overrides={**BASE, "encoder.name": "none", **overrides})
    whole = {**BASE, "encoder.name": "none", "segments.require": ["imu"]}
    assert load_config(None, overrides=whole).segments.required == ("imu",)


@pytest.mark.parametrize("value", [50, 50.0, "50"])
def test_a_rate_may_be_written_as_a_number(value: object) -> None:
    assert load_config(None, overrides={**BASE, "imu.rate_hz": value}).imu.rate_hz == "50"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"store.tag": "No Tag"}, r"tag must match .* got 'No Tag'"),
        ({"store.uri": "floppy://a"}, r"store\.uri: .*of a kind that fsspec knows"),
        ({"store.parts": ""}, r"store\.parts: .*must be a folder or a URI"),
        (
            {"masks": [{"name": "m", "keep": 0.1}, {"name": "m", "keep": 0.2}]},
            r"masks: .*a name each, got m, m",
        ),
    ],
)
def test_what_publishing_would_refuse_is_refused_before_the_work(
    overrides: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_config(None, overrides={**BASE, **overrides})


def test_a_config_that_is_no_text_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="config file must be readable"):
        load_config(tmp_path, overrides={})
    (tmp_path / "prep.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="config file must be readable"):
        load_config(tmp_path / "prep.yaml", overrides={})


def test_datasets_have_defaults_of_their_own_that_what_is_given_wins_over() -> None:
    def read(**given: Any) -> PrepConfig:
        return load_config(None, overrides={"dataset.root": "d", "store.uri": "s", **given})

    ego4d = read(**{"dataset.name": "ego4d"})
    assert (ego4d.max_quarantine, ego4d.segments.policy) == (1.0, "narration")
    assert read(**{"dataset.name": "ego4d", "max_quarantine": 0.1}).max_quarantine == 0.1
    realworld = read(**{"dataset.name": "realworld", "segments.stride_ms": 2500})
    assert realworld.max_quarantine == 0.25
    assert realworld.encoder.name == "none"
    assert (realworld.segments.policy, realworld.segments.stride_ms) == ("stride", 2500)
    assert realworld.segments.required == ("imu",)
    assert realworld.splits.test_participants == ("5", "10", "15")
    own = read(**{"dataset.name": "realworld", "splits.test_participants": ["1"]})
    assert own.splits.test_participants == ("1",)
