"""The trainer's reader and the preparation's reader tell the same of one version."""

import json
from pathlib import Path

from pipelines.stores.lineage import read_lineage
from primus_train.lineage import keep_store_files, read_run_lineage
from tests.factories import publish_small_version


def test_a_run_tells_of_its_version_what_the_store_does(tmp_path: Path) -> None:
    store, run = tmp_path / "store", tmp_path / "run"
    version = publish_small_version(store, takes=3).version
    keep_store_files(store, version, out=run)
    record = {
        "key": "k",
        "finished": False,
        "objective": "ss",
        "seed": 0,
        "config": {},
        "device": "cpu",
        "store": {"uri": str(store), "version": version, "mask": None, "mask_sha256": None},
    }
    (run / "run.json").write_text(json.dumps(record))
    told = read_lineage(store, version).model_copy(update={"tags": None, "tag_history": ()})
    assert read_run_lineage(run).made_from == told
    store.rename(tmp_path / "elsewhere")
    lineage = read_run_lineage(run)
    assert (lineage.made_from, lineage.read_from) == (told, "run")
    assert len(told.sources) == 3
