from pathlib import Path

import pytest

from flows.records import make_run_record
from pipelines.datasets import mirror as mirrors
from pipelines.datasets.mirror import open_mirror
from pipelines.outcome import TakeOutcome
from pipelines.storage.places import open_place
from schemas.manifest import SourceEntry
from schemas.provenance import read_code_record
from tests.factories import make_config


def outcome(*paths: str) -> TakeOutcome:
    sources = tuple(SourceEntry(take_uid="a", path=path, size=3, fingerprint="f") for path in paths)
    return TakeOutcome(take_uid="a", status="ready", sources=sources, keys={"imu": "k"})


def test_the_record_tells_code_machine_and_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMUS_CONTAINER_DIGEST", "sha256:12")
    config = make_config(tmp_path / "store", dataset={"root": str(tmp_path / "data")})
    record = make_run_record(config, [outcome("a.vrs")], seconds={"frames": 1.23456})
    code = read_code_record([])
    assert (record.commit, record.dirty, record.host) == (code.commit, code.dirty, code.host)
    assert record.container_digest == "sha256:12"
    assert record.packages.keys() >= {"numpy", "prefect", "pyarrow", "torch", "zarr"}
    assert record.dataset_root == str(tmp_path / "data")
    assert record.seconds == {"frames": 1.235}
    assert record.parts == {"a": {"imu": "k"}}
    assert record.etags == {}


def test_sources_in_an_object_store_have_their_etags(tmp_path: Path) -> None:
    uri = f"memory://records{tmp_path}"
    (open_place(uri) / "a.vrs").write_bytes(b"abc")
    mirror = open_mirror(uri, root=tmp_path / "mirror" / "tree")
    try:
        mirror.refresh(["*.json"])
        config = make_config(tmp_path / "store", dataset={"root": str(mirror.root)})
        record = make_run_record(config, [outcome("a.vrs", "gone.mp4")], seconds={})
        listed = open_place(uri)
        assert not isinstance(listed, Path)
        (info,) = listed.fs.find(listed.path, detail=True).values()
        # Memory has no entity tags: the time stands for one.
        assert record.etags == {"a.vrs": str(info["created"])}
    finally:
        del mirrors._MIRRORS[mirror.root]


@pytest.mark.slow
def test_an_s3_source_has_the_servers_own_etag(s3_store: str, tmp_path: Path) -> None:
    from hashlib import md5

    (open_place(s3_store) / "a.vrs").write_bytes(b"abc")
    mirror = open_mirror(s3_store, root=tmp_path / "mirror" / "tree")
    try:
        mirror.refresh(["*.json"])
        assert mirror.etag("a.vrs") == md5(b"abc", usedforsecurity=False).hexdigest()
        assert mirror.etag("b.vrs") is None
    finally:
        del mirrors._MIRRORS[mirror.root]
