"""The layers import one way only; read from the code itself, not from what happens to be loaded."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "pipelines", "flows", "primus_train")
ALLOWED = {
    "schemas": {"schemas"},
    "pipelines": {"schemas", "pipelines"},
    "flows": {"schemas", "pipelines", "flows"},
    "primus_train": {"schemas", "primus_train"},
}
THIRD_PARTY = {
    "schemas": {"numpy", "pyarrow", "pydantic"},
    "pipelines": None,
    "flows": None,
    "primus_train": None,
}
FORBIDDEN = {
    "schemas": set(),
    "pipelines": {"prefect", "prefect_dask", "dask", "distributed"},
    "flows": set(),
    "primus_train": {
        "prefect",
        "prefect_dask",
        "dask",
        "distributed",
        "transformers",
        "decord",
        "av",
    },
}


def imported_roots(source: str) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer they cross"
            roots.add((node.module or "").partition(".")[0])
    return roots


def violations(package: str, source: str) -> set[str]:
    roots = imported_roots(source)
    ours = roots & set(PACKAGES)
    wrong = (ours - ALLOWED[package]) | (roots & FORBIDDEN[package])
    allowed = THIRD_PARTY[package]
    if allowed is not None:
        import sys

        wrong |= roots - ours - allowed - set(sys.stdlib_module_names)
    return wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {str(f.relative_to(ROOT)): violations(package, f.read_text()) for f in files}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("package", "source", "wrong"),
    [
        pytest.param("schemas", "import pandas", {"pandas"}, id="schemas_stay_small"),
        pytest.param("pipelines", "from prefect import flow", {"prefect"}, id="no_prefect_below"),
        pytest.param("pipelines", "import flows.cli", {"flows"}, id="no_upward_import"),
        pytest.param("primus_train", "from pipelines import x", {"pipelines"}, id="trainer_alone"),
        pytest.param("flows", "import prefect", set(), id="flows_may"),
    ],
)
def test_the_check_itself_catches_each_breach(package: str, source: str, wrong: set[str]) -> None:
    assert violations(package, source) == wrong


def test_prefect_is_not_imported_when_the_programs_start() -> None:
    tree = ast.parse((ROOT / "flows" / "cli.py").read_text())
    at_import = {
        name.name.partition(".")[0]
        if isinstance(node, ast.Import)
        else (node.module or "").partition(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert not at_import & {"prefect", "prefect_dask", "dask", "distributed", "torch"}


def test_docker_folder_holds_no_python_package() -> None:
    assert not (ROOT / "docker" / "__init__.py").exists()
