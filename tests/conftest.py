"""Where the real recordings lie, and what happens when they do not."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED_DATA = Path(os.environ.get("PRIMUS_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; skips where it is absent, but never in CI."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    if os.environ.get("CI"):
        pytest.fail(f"real recordings must lie in {SHARED_DATA} when CI is set")
    pytest.skip(f"no real recordings in {SHARED_DATA}; set PRIMUS_SHARED_DATA to their folder")
