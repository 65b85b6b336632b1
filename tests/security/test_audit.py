"""The audit's fallback tells installed packages from their pins."""

import importlib.machinery
import importlib.util
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = importlib.util.spec_from_loader("audit", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_pins_are_read_by_one_name(audit: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "constraints.txt"
    path.write_text("# a comment\nA_b.C==1.2\nfoo[bar]==3  # why\nloose>=1\n\n")
    assert audit.read_pins(path) == {"a-b-c": "1.2", "foo": "3"}
    assert len(audit.read_pins(ROOT / "constraints.txt")) > 100


def test_a_package_of_another_version_is_told(audit: ModuleType) -> None:
    here = version("numpy")
    assert audit.find_differences({"numpy": here, "not-there-at-all": "1"}) == []
    assert audit.find_differences({"numpy": f"{here}+cpu"}) == []
    assert audit.find_differences({"numpy": "0.1"}) == [f"numpy must be 0.1 as pinned, got {here}"]
