from pathlib import Path

import pytest

from primus_train.config import make_fit_config, parse_objective
from primus_train.interchange.import_run import import_checkpoint
from primus_train.runs import fit
from tests.primus_train.interchange.published_encoders import make_published, write_lightning


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of an imported PRIMUS checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("imported")
    write_lightning(folder / "primus.ckpt", make_published("primus"))
    import_checkpoint(folder / "primus.ckpt", out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="session")
def trained(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SimCLR on the toy store under the mask ``half``."""
    out = tmp_path_factory.mktemp("trained") / "run"
    flags = {f"objective.{name}": value for name, value in parse_objective("simclr").items()}
    config = make_fit_config(flags=flags, overrides=["epochs=1", "data.batch_size=12", "seed=4"])
    fit(str(toy_store), config=config, out=out, mask="half", device="cpu")
    return out
