"""The page of faults says of each what the table that plants them says."""

import re
from pathlib import Path

import pytest

from pipelines.synthetic.arguments import parse_faults
from pipelines.synthetic.faults import FAULTS, faults_of
from pipelines.synthetic.registry import SYNTHETIC
from schemas.errors import UsageError

DOC = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", DOC, flags=re.MULTILINE | re.DOTALL))


def documented(dataset: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[dataset].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("dataset", SYNTHETIC)
def test_every_fault_is_documented_with_its_outcome(dataset: str) -> None:
    rows = documented(dataset)
    assert [row[0] for row in rows] == [f"`{name}`" for name in faults_of(dataset)]
    for row, fault in zip(rows, faults_of(dataset).values(), strict=True):
        code = fault.reason or fault.shown_by
        assert row[1:] == [fault.what, fault.outcome, f"`{code}`" if code else ""], fault.name


def test_only_faults_of_datasets_that_can_be_written_are_listed() -> None:
    assert set(SECTIONS) == {fault.dataset for fault in FAULTS} <= set(SYNTHETIC)
    assert len({(fault.dataset, fault.name) for fault in FAULTS}) == len(FAULTS)


def test_all_stands_for_every_fault_and_each_needs_a_take() -> None:
    names = tuple(faults_of("realworld"))
    parsed = parse_faults(["all"], dataset="realworld", takes=len(names))
    assert tuple(fault.name for fault in parsed) == names
    with pytest.raises(UsageError, match=rf"no more than takes={len(names) - 1}, got {len(names)}"):
        parse_faults(["all"], dataset="realworld", takes=len(names) - 1)
    with pytest.raises(UsageError, match=r"faults of realworld must be among .*, got video_av1"):
        parse_faults(["video_av1"], dataset="realworld", takes=3)
    with pytest.raises(UsageError, match="named once each"):
        parse_faults(["imu_gap", "imu_gap"], dataset="realworld", takes=3)
