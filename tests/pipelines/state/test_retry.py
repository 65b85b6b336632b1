"""A retry touches what was quarantined for its reasons, and nothing else that is quarantined."""

from pathlib import Path

import pytest

from pipelines.state.records import write_record
from pipelines.state.retry import choose_retries
from schemas.errors import UsageError
from tests.pipelines.state.runs import bad, make_config, ready

UIDS = ["a", "b", "c", "d"]


def test_other_reasons_are_kept_and_done_takes_are_no_business_of_it(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_record(config, bad("a", "source_unreadable"), run="r", seconds=1.0)
    write_record(config, bad("b", "vrs_missing"), run="r", seconds=1.0)
    write_record(config, ready("c"), run="r", seconds=1.0)
    choice = choose_retries(config, UIDS, reasons=["source_unreadable"])
    assert choice.retried == ("a",)
    assert choice.kept == (bad("b", "vrs_missing"),)
    assert choice.quarantined == {"source_unreadable": 1, "vrs_missing": 1}
    both = choose_retries(config, UIDS, reasons=["vrs_missing", "source_unreadable"])
    assert (both.retried, both.kept) == (("a", "b"), ())


def test_an_outcome_of_other_windows_is_not_kept(tmp_path: Path) -> None:
    # It counts segments that this config does not plan.
    write_record(make_config(tmp_path), bad("b"), run="r", seconds=1.0)
    other = make_config(tmp_path, segments__length_ms=4000)
    choice = choose_retries(other, UIDS, reasons=["source_unreadable"])
    assert (choice.retried, choice.kept) == ((), ())


def test_a_reason_that_none_has_finds_nothing(tmp_path: Path) -> None:
    assert choose_retries(make_config(tmp_path), UIDS, reasons=["vrs_missing"]).retried == ()


def test_a_reason_that_there_is_not_is_refused_with_those_on_record(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_record(config, bad("b", "vrs_missing"), run="r", seconds=1.0)
    with pytest.raises(UsageError, match=r"got vrs_mising; on record: vrs_missing \(1\)"):
        choose_retries(config, UIDS, reasons=["vrs_mising"])
    # An older release's own reason may still be retried.
    write_record(config, bad("a", "odd_reason"), run="r", seconds=1.0)
    assert choose_retries(config, UIDS, reasons=["odd_reason"]).retried == ("a",)
