"""A small published version, copied for each test that damages it."""

import shutil
from pathlib import Path

import pytest

from tests.factories import publish_small_version


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("master")
    return store, publish_small_version(store, takes=3).version


@pytest.fixture
def published(master: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    shutil.copytree(master[0], tmp_path / "store")
    return tmp_path / "store", master[1]
