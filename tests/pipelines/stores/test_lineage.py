import json
from pathlib import Path

import fsspec
import pytest
from upath import UPath

from pipelines.stores.lineage import print_lineage, read_lineage
from pipelines.stores.masks import write_mask
from pipelines.stores.refs import write_tag
from pipelines.stores.sealed import read_run_record, seal_run_record
from schemas.errors import StoreDamagedError, StoreNotFoundError
from schemas.lineage import Lineage
from schemas.mask import MaskSpec
from schemas.store import canonical_json, sha256_hex


def test_lineage_tells_what_manifest_run_record_masks_and_tags_hold(
    published: tuple[Path, str],
) -> None:
    store, version = published
    write_tag(store, "paper", version=version)
    mask = write_mask(store, version, spec=MaskSpec(name="half", keep=0.5))
    lineage = read_lineage(store, version)
    data = (store / "versions" / version / "manifest.json").read_bytes()
    manifest = json.loads(data)
    assert lineage.store == str(store)
    assert lineage.version == version == sha256_hex(data)[:16]
    assert lineage.manifest_sha256 == sha256_hex(data)
    told = lineage.model_dump(mode="json")
    for field in ("dataset", "config", "encoder", "part_versions", "counts", "format_version"):
        assert told[field] == manifest[field], field
    assert told["sources"] == [{**source, "etag": None} for source in manifest["sources"]]
    assert len(lineage.sources) == 3
    assert lineage.masks == (mask,)
    assert lineage.tags == ("latest", "paper")
    assert [(e.tag, e.previous, e.version) for e in lineage.tag_history] == [
        ("latest", None, version),
        ("paper", None, version),
    ]
    assert lineage.made_by is not None
    assert lineage.made_by.code.packages == {"numpy": "2"}
    assert Lineage.model_validate_json(lineage.model_dump_json()) == lineage


def test_a_tag_that_left_stays_in_the_history(published: tuple[Path, str]) -> None:
    store, version = published
    log = store / "refs" / "log" / "latest" / f"{10**19}-0.json"
    other = "f" * 16
    log.write_text(json.dumps({"at_ns": 10**19, "previous": version, "version": other}))
    (store / "refs" / "latest.json").write_text(json.dumps({"version": other}))
    lineage = read_lineage(store, version)
    assert lineage.tags == ()
    last = lineage.tag_history[-1]
    assert (last.tag, last.previous, last.version, last.at_ns) == ("latest", version, other, 10**19)


def test_etags_stand_beside_the_sources_they_are_of(published: tuple[Path, str]) -> None:
    store, version = published
    before = read_run_record(store, version)
    path = read_lineage(store, version).sources[1].path
    changed = before.model_copy(update={"etags": {path: '"abc"'}, "dirty": True, "host": "node7"})
    (store / "versions" / version / "run.json").write_bytes(
        canonical_json(seal_run_record(changed).model_dump(mode="json"))
    )
    lineage = read_lineage(store, version)
    assert {s.path: s.etag for s in lineage.sources if s.etag is not None} == {path: '"abc"'}
    assert lineage.made_by is not None
    assert (lineage.made_by.code.dirty, lineage.made_by.code.host) == (True, "node7")


def test_the_tree_names_sources_encoder_and_code(published: tuple[Path, str]) -> None:
    store, version = published
    lineage = read_lineage(store, version)
    shown = print_lineage(lineage)
    assert shown.startswith(f"{store}@{version}\n")
    for source in lineage.sources:
        assert f"{source.path}: {source.size} bytes, fingerprint" in shown
    for word in ("weights_sha256: " + "0" * 64, "tags: latest", "length_ms: 1000", "numpy 2"):
        assert word in shown
    many = lineage.model_copy(update={"sources": lineage.sources * 4})
    assert "and 7 more: --json names them all" in print_lineage(many)


def test_a_store_in_memory_tells_the_same(published: tuple[Path, str]) -> None:
    store, version = published
    fsspec.filesystem("memory").put(str(store), "/lineage-test/store", recursive=True)
    remote = read_lineage(UPath("memory://lineage-test/store"), version)
    here = read_lineage(store, version)
    assert remote.store == "memory://lineage-test/store"
    assert remote.model_copy(update={"store": here.store}) == here


def test_what_cannot_be_trusted_is_not_told(published: tuple[Path, str]) -> None:
    store, version = published
    with pytest.raises(StoreNotFoundError, match="must exist"):
        read_lineage(store, "0" * 16)
    (store / "refs" / "log" / "latest" / "0-0.json").write_text("{}")
    with pytest.raises(StoreDamagedError, match="tag log must hold at_ns, previous and version"):
        read_lineage(store, version)
    (store / "versions" / version / "run.json").write_text("{}")
    with pytest.raises(StoreDamagedError, match="run record must be"):
        read_lineage(store, version)
