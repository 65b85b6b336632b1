"""The page on security names tests that exist, and the limits that the code has."""

import re
from pathlib import Path

from schemas import limits

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def limit_rows() -> list[str]:
    return [f"| `{name}` | {getattr(limits, name):,} |" for name in limits.__all__]


def test_each_promise_is_held_by_tests_that_exist() -> None:
    promises = re.findall(r"^\*\*(.+?)\*\*.*?(?=^\*\*|^## )", DOC, flags=re.M | re.S)
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOC)
    assert len(promises) == DOC.count("\nHeld by ") == 8
    assert len(named) >= 20
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)


def test_limits_are_those_of_the_code() -> None:
    section = DOC.split("\n## Limits\n")[1].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == limit_rows()


def test_files_named_exist() -> None:
    for name in re.findall(r"\]\((\w+\.md)\)", DOC):
        assert (ROOT / "docs" / name).is_file()
