"""Rates by hand: words, files, and every way to get them wrong."""

from pathlib import Path

import pytest

from pipelines.pricing.given_rates import lay_over, parse_rates, read_rates
from pipelines.pricing.rates import Line, Rates
from schemas.errors import UsageError


def test_words_and_files_are_laid_over_each_other(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text("frames: 20\nstart: 15\n")
    assert read_rates([str(path), "frames=40", "storage=1e9"]) == {
        "frames": 40.0,
        "start": 15.0,
        "storage": 1e9,
    }
    assert read_rates([]) == {}


@pytest.mark.parametrize(
    ("word", "match"),
    [
        pytest.param("pictures=3", "must name one of take, .*, got 'pictures'", id="name"),
        pytest.param("frames=fast", "items a second, above 0, got 'fast'", id="word"),
        pytest.param("frames=0", "above 0, got '0'", id="zero"),
        pytest.param("imu=-1", "above 0, got '-1'", id="below_zero"),
        pytest.param("text=inf", "above 0, got 'inf'", id="infinite"),
        pytest.param("start=-1", "start must be seconds, 0 or more, got '-1'", id="fixed"),
        pytest.param("{tmp}/gone.yaml", "NAME=VALUE or a YAML file, got", id="no_file"),
        pytest.param("{tmp}/list.yaml", "must map names to values", id="no_mapping"),
        pytest.param("{tmp}/broken.yaml", "must be YAML", id="no_yaml"),
    ],
)  # fmt: skip
def test_bad_words_are_one_sentence(word: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    with pytest.raises(UsageError, match=match):
        read_rates([word.format(tmp=tmp_path)])


def test_a_list_is_no_rate() -> None:
    with pytest.raises(UsageError, match=r"imu must be items a second, above 0, got \[1\]"):
        parse_rates({"imu": [1]})


def test_given_rates_replace_measured_ones_of_every_picture() -> None:
    measured = Rates(
        stages={
            "frames": Line(per_item=1.0, per_take=5.0),
            "frames:full": Line(per_item=2.0),
            "frames.decode": Line(per_item=0.5),
            "imu": Line(per_item=0.1),
        },
        fixed={"start": 9.0, "task": 0.1},
    )
    laid = lay_over(measured, {"frames": 4.0, "start": 2.0, "storage": 100.0})
    assert laid.line("frames", variant="full") == Line(per_item=0.25)
    assert laid.line("frames.decode") == Line(per_item=0.5)
    assert laid.line("imu") == Line(per_item=0.1)
    assert laid.fixed == {"start": 2.0, "task": 0.1}
    assert laid.storage_bytes_s == 100.0
    assert laid.by_hand == ("frames", "start", "storage")
    assert measured.line("frames", variant="full") == Line(per_item=2.0)


def test_zero_seconds_may_be_given() -> None:
    assert parse_rates({"start": 0, "task": 0.0}) == {"start": 0.0, "task": 0.0}
