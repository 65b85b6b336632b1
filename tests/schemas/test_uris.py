from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.uris import check_uri, local_path, uri_scheme


def find_kind(scheme: str) -> type:
    """Know s3 and abfs; lack gs."""
    if scheme == "gs":
        raise ImportError(scheme)
    if scheme not in {"s3", "abfs"}:
        raise ValueError(scheme)
    return object


@pytest.mark.parametrize(
    ("uri", "scheme", "path"),
    [
        ("a/b c", "", "a/b c"),
        ("/a%20b", "", "/a%20b"),
        ("file:///a%20b", "file", "/a b"),
        ("LOCAL:///a", "local", "/a"),
        ("S3://bucket/a", "s3", None),
    ],
)
def test_a_uri_tells_its_kind_and_its_path_on_this_machine(
    uri: str, scheme: str, path: str | None
) -> None:
    assert uri_scheme(uri) == scheme
    assert local_path(uri) == (None if path is None else Path(path))


@pytest.mark.parametrize("uri", ["a", "file:///a?b", "s3://bucket", "abfs://box@account/x"])
def test_what_may_name_a_place_comes_back(uri: str) -> None:
    assert check_uri(uri, find_kind=find_kind) == uri


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", r"^root must be a folder or a URI such as s3://bucket/store, got ''$"),
        ("s3://KEY:SE/CRET@b", r"^root must hold no credentials and no query, got some in s3://\."),
        ("s3://bucket/x?sig=SECRET", "no credentials and no query"),
        ("s3:///", "^root must name a bucket or folder, got s3:// alone$"),
        ("gs://b/x", r"^gs:// needs a package .*: pip install 'primus-pipelines\[gs\]'$"),
        ("floppy://b/x", "^root must be of a kind that fsspec knows, .* got floppy://$"),
    ],
)
def test_what_names_no_place_is_said_without_secrets(uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        check_uri(uri, find_kind=find_kind, name="root")
    assert "SECRET" not in str(raised.value)
