import pickle
from pathlib import Path

import pytest

from pipelines.storage import places
from pipelines.storage.places import check_place, is_local, open_place
from schemas.errors import UsageError
from tests.storage_server import S3Server


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("store", "store"),
        ("/data/store", "/data/store"),
        ("file:///data/my%20store", "/data/my store"),
        ("local:///data", "/data"),
    ],
)
def test_folder_of_this_machine_is_a_plain_path(uri: str, path: str) -> None:
    place = open_place(uri)
    assert is_local(place)
    assert type(place) is type(Path())
    assert place == Path(path)


@pytest.mark.parametrize("uri", ["s3://bucket/a/store", "memory://bucket/a/store"])
def test_remote_place_goes_on_like_a_path(uri: str) -> None:
    place = open_place(uri)
    assert not is_local(place)
    child = place / "versions" / "x.json"
    assert str(child) == f"{uri}/versions/x.json"
    assert (child.name, child.stem, str(child.parent)) == ("x.json", "x", f"{uri}/versions")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KEY:SECRET@bucket/store",
        "s3://KEY:SE/CRET@bucket/store",
        "gs://user:SECRET@bucket",
        "https://host/x?X-Amz-Signature=SECRET",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_said(uri: str) -> None:
    with pytest.raises(UsageError, match="must hold no credentials and no query") as refused:
        check_place(uri)
    assert "SECRET" not in str(refused.value)
    assert "KEY" not in str(refused.value)


@pytest.mark.parametrize("uri", ["s3://", "memory:///"])
def test_uri_must_name_something(uri: str) -> None:
    with pytest.raises(UsageError, match="must name a bucket or folder"):
        check_place(uri)


def test_empty_place_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a folder or a URI"):
        open_place("")


def test_unknown_kind_is_named() -> None:
    with pytest.raises(UsageError, match=r"of a kind that fsspec knows.* got floppy://"):
        open_place("floppy://a/b")


@pytest.mark.parametrize(
    ("uri", "extra"), [("s3://b/x", r"primus-pipelines\[s3\]"), ("gs://b/x", r"\[gs\]")]
)
def test_missing_package_is_named_with_its_extra(
    uri: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(scheme: str) -> None:
        raise ImportError(scheme)

    monkeypatch.setattr(places.fsspec, "get_filesystem_class", lacks)
    with pytest.raises(UsageError, match=f"needs a package that is not installed.*{extra}"):
        open_place(uri)


def test_place_holds_no_credentials(s3_server: S3Server, s3_store: str) -> None:
    place = open_place(s3_store)
    (place / "x").write_bytes(b"x")
    shown = f"{place} {place!r} {place.storage_options} {place.fs!r} {place.fs.storage_options}"
    assert s3_server.secret_key not in shown + str(pickle.dumps(place))
    assert s3_server.access_key not in shown + str(pickle.dumps(place))


def test_what_others_wrote_is_seen(s3_store: str) -> None:
    place = open_place(s3_store)
    (place / "x").write_bytes(b"x")
    assert [p.name for p in place.iterdir()] == ["x"]
    (open_place(s3_store) / "y").write_bytes(b"y")
    assert sorted(p.name for p in place.iterdir()) == ["x", "y"]
    assert (place / "y").exists()
