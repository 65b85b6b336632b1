from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primus_train.studies.settings import StudySettings, make_settings
from schemas.errors import UsageError


@pytest.mark.parametrize(
    ("study", "shots"),
    [
        ("baselines", (1, 5, 10, 50, 100, 500)),
        ("ablation", (1, 5, 10, 50, 100, 500)),
        ("data-efficiency", (500,)),
        ("augmentations", (10,)),
    ],
)
def test_the_papers_numbers_are_the_defaults(study: Any, shots: tuple[int, ...]) -> None:
    settings = make_settings(study, stores=["s"])
    assert settings.probe.shots == shots
    assert (settings.probe.trials, settings.probe.protocol) == (5, "logistic")
    assert settings.shares == (0.1, 0.25, 0.5, 1.0)
    assert settings.fit_overrides == (("epochs=3",) if study == "augmentations" else ())


def test_settings_are_taken_over_defaults(cheap: Callable[..., StudySettings]) -> None:
    settings = make_settings(
        "baselines",
        stores=["a", "b"],
        shots=[5, 1, 5],
        trials=3,
        probe=["protocol=published", "shots=[9]", "trials=9"],
        panel_names=("A", "B"),
        metric="macro_f1",
    )
    assert (settings.probe.shots, settings.probe.trials) == ((1, 5), 3)
    assert settings.probe.protocol == "published"
    assert (settings.metric, settings.panel_names) == ("macro_f1", ("A", "B"))
    asked = cheap("augmentations", "a", overrides=("epochs=9",))
    # The last one wins.
    assert asked.fit_overrides == ("epochs=3", "epochs=9")
    filed = cheap("augmentations", "a", overrides=(), config_file=Path("c.yaml"))
    assert filed.fit_overrides == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stores": []}, r"stores: .*at least 1 item"),
        ({"trials": 0}, r"trials: .*greater than or equal to 1"),
        ({"probe": ["protokoll=knn"]}, r"protokoll: Extra inputs"),
        ({"probe": ["protocol"]}, r"--probe must be field=value, got 'protocol'"),
        ({"probe": ["shots=["]}, r"--probe shots must have a YAML value"),
        ({"metric": "loss"}, r"metric: .*'accuracy'"),
        ({"panel_names": ("A", "B")}, r"panel_names must be one a store, 1, got 2"),
        ({"shares": (0.0, 1.0)}, r"share must lie in \(0, 1\], got 0\.0"),
        ({"shares": (0.5, 0.5)}, r"shares must rise and not repeat"),
        ({"masks": {"m": 1.5}}, r"share must lie in \(0, 1\], got 1\.5"),
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_settings("data-efficiency", **{"stores": ["s"], **fields})
