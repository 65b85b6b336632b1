"""The stages of a config, and the rules between them."""

from typing import Any

import pytest

from pipelines.config import PrepConfig, QualityConfig, load_config
from schemas.errors import UsageError

BASE = {"dataset.name": "egoexo4d", "dataset.root": "/data", "store.uri": "/store"}


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
