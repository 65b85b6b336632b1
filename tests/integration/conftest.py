"""One small synthetic dataset and one tiny encoder for all integration tests."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import PrepConfig, load_config
from pipelines.encoders.make_encoder import make_encoder
from pipelines.synthetic.egoexo4d import write_egoexo4d


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight takes of 12 s, one an activity, two participants."""
    root = tmp_path_factory.mktemp("egoexo4d")
    write_egoexo4d(root, takes=8, seconds=12.0, seed=11, participants=2, workers=2)
    return root


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the real folder layout."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(folder, preset="tiny", seed=3)
    return folder


def make_config(root: Path, *, encoder: Path, store: Path, **overrides: Any) -> PrepConfig:
    """Return a run of ``root`` into ``store``; keys of ``overrides`` use ``__`` for a dot."""
    given = {
        "dataset.name": "egoexo4d",
        "dataset.root": str(root),
        "encoder.name": str(encoder),
        # The same on machines with bfloat16 and without.
        "encoder.precision": "float32",
        "store.uri": str(store),
        "execution.executor": "inline",
        "splits.shares": [0.5, 0.0, 0.5],
    }
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, overrides={**given, **dotted})
