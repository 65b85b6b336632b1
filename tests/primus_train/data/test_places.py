import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from upath import UPath

from primus_train.data.places import PassingError, ask, open_root, read_whole
from schemas.errors import StorageError, UsageError

PLACE = Path("somewhere")


def failing(*errors: Exception) -> Callable[[], int]:
    """Return what raises each of ``errors`` in turn and then gives 7."""
    left = list(errors)

    def do() -> int:
        if left:
            raise left.pop(0)
        return 7

    return do


def test_folders_stay_paths_and_uris_become_places(tmp_path: Path) -> None:
    for uri in (str(tmp_path), f"file://{tmp_path}"):
        root = open_root(uri)
        assert isinstance(root, Path)
        assert root == tmp_path
    assert open_root("file:///a%20b") == Path("/a b")
    remote = open_root("memory://bucket/store")
    assert isinstance(remote, UPath)
    assert str(remote / "refs") == "memory://bucket/store/refs"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "s3://KEY:SECRET@bucket/store",
            "store must hold no credentials and no query, got some in s3://",
        ),
        ("https://host/store?sig=SECRET", "no credentials and no query, got some in https://"),
        ("floppy://a/store", r"store must be .* such as s3:// or gs://, got floppy://"),
        ("gs://bucket/store", r"gs:// needs a package .*primus-pipelines\[gs\]"),
    ],
)
def test_what_cannot_be_opened_is_said_without_secrets(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        open_root(uri)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ConnectionResetError("cut"), id="connection"),
        pytest.param(TimeoutError("slow"), id="timeout"),
        pytest.param(OSError(errno.EIO, "InternalError"), id="server"),
        pytest.param(OSError(errno.EBUSY, "SlowDown"), id="throttled"),
        pytest.param(PassingError("half"), id="short"),
    ],
)
def test_faults_that_may_pass_are_tried_again_ever_later(error: Exception) -> None:
    waits: list[float] = []
    assert ask(failing(error, error, error), place=PLACE, wait=waits.append) == 7
    assert len(waits) == 3
    assert all(0.1 * 2**i <= wait <= 0.2 * 2**i for i, wait in enumerate(waits, start=1))


def test_faults_that_stay_are_one_sentence_with_the_place() -> None:
    waits: list[float] = []
    with pytest.raises(StorageError, match=r"^somewhere must answer, got TimeoutError: slow; run"):
        ask(failing(*[TimeoutError("slow")] * 9), place=PLACE, wait=waits.append)
    assert len(waits) == 4


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "full", "/cache/x"), r"^/cache/x must have room: .* PRIMUS_CACHE"),
        (PermissionError(errno.EACCES, "no", "/cache/x"), r"^/cache/x must be writable: set PRIM"),
        (PermissionError("Access Denied"), r"^somewhere must allow reading with the credentials"),
    ],
)
def test_what_the_user_must_mend_is_said_at_once(error: Exception, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        ask(failing(error), place=PLACE, wait=lambda _: pytest.fail("must not wait"))


@pytest.mark.parametrize("error", [FileNotFoundError("x"), KeyError("x"), ValueError("x")])
def test_answers_and_mistakes_are_not_tried_again(error: Exception) -> None:
    with pytest.raises(type(error), match="x"):
        ask(failing(error), place=PLACE, wait=lambda _: pytest.fail("must not wait"))


def test_a_small_file_comes_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = UPath(f"memory://{tmp_path.name}/tag.json")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"0123456789")
    assert read_whole(place) == b"0123456789"
    cuts = iter([b"01234", b"", b"0123456789"])
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    monkeypatch.setattr(type(place.fs), "cat_file", lambda *_: next(cuts))
    assert read_whole(place) == b"0123456789"
    monkeypatch.setattr(type(place.fs), "cat_file", lambda *_: b"0")
    with pytest.raises(StorageError, match="sent whole: object must have 10 bytes, got 1"):
        read_whole(place)
