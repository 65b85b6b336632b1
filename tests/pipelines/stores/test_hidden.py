import time
from pathlib import Path

import pytest

from pipelines.storage.places import open_place
from pipelines.stores.contents import child_names
from pipelines.stores.hidden import ALIVE, hidden_folder
from schemas.errors import StorageError


@pytest.mark.parametrize("remote", [False, True])
def test_folder_is_there_for_the_time_and_is_no_version(tmp_path: Path, remote: bool) -> None:
    store = open_place(f"memory://{tmp_path.name}" if remote else str(tmp_path / "store"))
    with hidden_folder(store) as hidden:
        assert child_names(store / "versions") == [hidden.name]
        assert hidden.name.startswith(".tmp-")
        assert (hidden / ALIVE).exists()
        with hidden_folder(store) as other:
            assert other.name != hidden.name
    assert child_names(store / "versions") == []


def test_alive_is_written_again_as_long_as_it_lives(tmp_path: Path) -> None:
    with hidden_folder(tmp_path, beat_s=0.01) as hidden:
        first = (hidden / ALIVE).stat().st_mtime_ns
        until = time.monotonic() + 10
        while (hidden / ALIVE).stat().st_mtime_ns == first and time.monotonic() < until:
            time.sleep(0.01)
        assert (hidden / ALIVE).stat().st_mtime_ns > first
    time.sleep(0.05)
    assert not hidden.exists()


def test_it_is_gone_after_a_failure_too(tmp_path: Path) -> None:
    def stop() -> None:
        with hidden_folder(tmp_path) as hidden:
            (hidden / "x").write_bytes(b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list((tmp_path / "versions").iterdir()) == []


def test_one_that_others_removed_does_not_come_back(tmp_path: Path) -> None:
    with hidden_folder(tmp_path, beat_s=0.01) as hidden:
        (hidden / ALIVE).unlink()
        hidden.rmdir()
        time.sleep(0.1)
        assert not hidden.exists()


def test_store_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StorageError, match=r"file.* must lie in a folder"),
        hidden_folder(tmp_path / "file" / "store"),
    ):
        pass


@pytest.mark.slow
def test_bucket_must_be_there(s3_store: str) -> None:
    store = open_place(f"{s3_store.rpartition('/')[0]}-none/store")
    with (
        pytest.raises(StorageError, match="must lie in a bucket that exists"),
        hidden_folder(store),
    ):
        pass
