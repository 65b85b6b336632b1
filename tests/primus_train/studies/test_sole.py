import os
from pathlib import Path

import pytest

from primus_train.studies.sole import sole_study
from schemas.errors import UsageError


def test_a_second_study_waits_and_is_refused(tmp_path: Path) -> None:
    waited: list[bool] = []
    with sole_study(tmp_path / "out"):
        with (
            pytest.raises(UsageError, match="one study at a time may work in a folder"),
            sole_study(tmp_path / "out", wait_s=0.3, on_wait=lambda: waited.append(True)),
        ):
            pytest.fail("it is taken")
        with sole_study(tmp_path / "elsewhere"):
            pass
    assert waited == [True]
    with sole_study(tmp_path / "out", wait_s=0):
        pass


def test_whoever_inherits_the_folder_holds_it_too(tmp_path: Path) -> None:
    with sole_study(tmp_path) as held:
        # What a process gets that is begun with these descriptors.
        kept = os.dup(held[0])
    with pytest.raises(UsageError, match="another still does"), sole_study(tmp_path, wait_s=0):
        pytest.fail("it is taken")
    os.close(kept)
    with sole_study(tmp_path, wait_s=0):
        pass
