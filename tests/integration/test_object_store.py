"""Whole runs whose dataset, parts and store lie in an object store, on good days and bad ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.prepare import prepare
from pipelines import prepare as preparation
from pipelines.config import PrepConfig, load_config
from pipelines.storage.places import open_place
from pipelines.stores.verify import verify_version
from pipelines.synthetic.egoexo4d import write_egoexo4d
from pipelines.synthetic.realworld import write_realworld
from schemas.errors import StorageError
from tests.integration.conftest import make_config
from tests.object_folders import objects_below, put_folder
from tests.storage_server import Fault, S3Server

STAND_IN = b"primus: not fetched from the object store yet\n"


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings without picture: quickly prepared."""
    root = tmp_path_factory.mktemp("phones")
    write_realworld(root / "data", takes=3, seconds=12.0, seed=5, participants=3)
    return root / "data"


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cameras")
    write_egoexo4d(root / "data", takes=2, seconds=6.0, seed=5, participants=2)
    return root / "data"


def phone_config(root: str, *, store: str, scratch: Path, **overrides: Any) -> PrepConfig:
    given = {
        "dataset.name": "realworld",
        "dataset.root": root,
        "store.uri": store,
        "execution.executor": "inline",
        "execution.scratch": str(scratch),
    }
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, overrides={**given, **dotted})


def whole(objects: dict[str, bytes]) -> dict[str, bytes]:
    """Return what is the same wherever a version was made: parts and versions, not their logs."""
    return {
        name: data
        for name, data in objects.items()
        if name.startswith(("parts/imu/", "parts/frames/", "parts/text/", "versions/"))
        and not name.endswith("run.json")
    }


@pytest.mark.slow
def test_store_in_memory_is_the_same(phones: Path, tmp_path: Path) -> None:
    here = phone_config(str(phones), store=str(tmp_path / "store"), scratch=tmp_path)
    there = phone_config(str(phones), store=f"memory://store{tmp_path}", scratch=tmp_path)
    first, second = prepare(here), prepare(there)
    assert second.version == first.version
    assert second.stored == first.stored > 0
    objects = whole(objects_below(there.store.place))
    assert objects == whole(objects_below(here.store.place))
    again = prepare(there)
    assert (again.version, again.computed_takes) == (first.version, 0)


@pytest.mark.slow
def test_all_in_an_ill_object_store_is_the_same_and_tells_no_secret(
    phones: Path,
    tmp_path: Path,
    s3_server: S3Server,
    s3_store: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    here = phone_config(str(phones), store=str(tmp_path / "store"), scratch=tmp_path)
    reference = prepare(here)
    data = s3_store.replace("/store", "/data")
    put_folder(phones, data)
    there = phone_config(data, store=s3_store, scratch=tmp_path)
    s3_server.fail(
        Fault(kind="500", every=11),
        Fault(kind="503", every=13),
        Fault(kind="cut", every=7),
        Fault(kind="cut_after", every=17, methods=("PUT",)),
    )
    run = prepare(there)
    counts = s3_server.counts()
    s3_server.fail()
    assert counts["faults"]["cut"] >= 5
    assert counts["faults"]["500"] >= 1
    assert run.version == reference.version
    place = open_place(s3_store)
    assert verify_version(place, run.version) == []
    objects = objects_below(place)
    assert whole(objects) == whole(objects_below(here.store.place))
    assert not [name for name in objects if ".tmp" in name]
    record = json.loads(objects[f"versions/{run.version}/run.json"])
    assert (record["dataset_root"], record["store_uri"]) == (data, s3_store)
    said = "".join(capfd.readouterr()) + caplog.text
    for secret in (s3_server.access_key, s3_server.secret_key):
        assert secret not in said
        assert not [name for name, content in objects.items() if secret.encode() in content]


@pytest.mark.slow
def test_dataset_with_picture_is_the_same_and_takes_little_room(
    cameras: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = prepare(make_config(cameras, encoder=tiny_encoder, store=tmp_path / "store"))
    uri = f"memory://cameras{tmp_path}"
    put_folder(cameras, uri)
    config = make_config(
        Path("unused"),
        encoder=tiny_encoder,
        store=tmp_path / "far",
        dataset__root=uri,
        execution__scratch=str(tmp_path / "scratch"),
    )
    root = config.dataset.root
    seen: list[set[str]] = []

    def watched(do: Callable[..., Any]) -> Callable[..., Any]:
        def look(*args: Any, **kwargs: Any) -> Any:
            done = do(*args, **kwargs)
            files = [p for p in root.rglob("*") if p.is_file() and p.suffix in (".mp4", ".vrs")]
            seen.append({p.parts[-2] for p in files if p.read_bytes() != STAND_IN})
            seen[-1] |= {str(len([p for p in files if p.read_bytes() != STAND_IN]))}
            return done

        return look

    monkeypatch.setattr(preparation, "prepare_take", watched(preparation.prepare_take))
    run = prepare(config)
    assert run.version == reference.version
    manifest = f"versions/{run.version}/manifest.json"
    assert (tmp_path / "far" / manifest).read_bytes() == (
        tmp_path / "store" / manifest
    ).read_bytes()
    # Of two takes one at a time: its video and its VRS file.
    assert len(seen) == 2
    assert all("2" in names for names in seen)
    left = [p for p in root.rglob("*") if p.suffix in (".mp4", ".vrs", ".csv")]
    assert left
    assert all(p.read_bytes() == STAND_IN for p in left)


@pytest.mark.slow
def test_store_that_goes_away_is_one_sentence_and_the_run_goes_on_later(
    phones: Path,
    tmp_path: Path,
    s3_server: S3Server,
    s3_store: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    monkeypatch.setattr("time.sleep", lambda _: None)
    config = phone_config(str(phones), store=s3_store, scratch=tmp_path)
    s3_server.fail(Fault(kind="500", path="versions"))
    with pytest.raises(StorageError, match=r"must answer, got .*finished work is kept"):
        prepare(config)
    s3_server.fail()
    assert not [n for n in objects_below(open_place(s3_store)) if n.endswith("manifest.json")]
    run = prepare(config)
    assert run.computed_takes == 0
    assert verify_version(open_place(s3_store), run.version) == []
