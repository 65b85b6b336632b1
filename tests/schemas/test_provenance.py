import subprocess
from pathlib import Path

import pytest

from schemas.provenance import CONTAINER_DIGEST, public_uri, read_code_record


def git(root: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", *settings, "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_and_changes_of_a_checkout_are_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = read_code_record([], root=tmp_path)
    assert (clean.commit, clean.dirty) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "notes.txt").write_text("a file that git does not track changes no code\n")
    assert read_code_record([], root=tmp_path).dirty is False
    (tmp_path / "code.py").write_text("x = 2\n")
    assert read_code_record([], root=tmp_path).dirty is True


def test_without_a_checkout_no_commit_is_told(tmp_path: Path) -> None:
    record = read_code_record([], root=tmp_path)
    assert (record.commit, record.dirty) == (None, None)
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    record = read_code_record([], root=tmp_path)
    assert (record.commit, record.dirty) == (None, None)


def test_packages_and_container_are_told_where_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CONTAINER_DIGEST, raising=False)
    import numpy as np

    record = read_code_record(["numpy", "no-such-package"], root=tmp_path)
    assert record.packages == {"numpy": np.__version__}
    assert record.container_digest is None
    monkeypatch.setenv(CONTAINER_DIGEST, "sha256:12")
    assert read_code_record([], root=tmp_path).container_digest == "sha256:12"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/data/a b@home/store?x", "/data/a b@home/store?x"),
        ("store", "store"),
        ("s3://bucket/store", "s3://bucket/store"),
        ("s3://KEY:SECRET@bucket/store", "s3://bucket/store"),
        ("https://host:8080/store?sig=SECRET#SECRET", "https://host:8080/store"),
        ("memory://store", "memory://store"),
    ],
)
def test_no_secret_is_written_down(uri: str, shown: str) -> None:
    assert public_uri(uri) == shown
