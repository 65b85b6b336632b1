import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from primus_train.cli import main
from primus_train.config import make_fit_config
from primus_train.lineage import print_run_lineage, read_run_lineage
from primus_train.loop import BEST, LAST
from primus_train.runs import fit
from schemas.errors import StoreNotFoundError


def write_run_record(store: Path, version: str) -> None:
    """Write how the toy version came to be, as the specification has it."""
    record: dict[str, Any] = {
        "version": version,
        "made_at": "2030-01-02T03:04:05+00:00",
        "seconds": {"frames": 1.5},
        "executor": "dask",
        "workers": 3,
        "computed_takes": 8,
        "reused_takes": 0,
        "python": "3.11.0",
        "platform": "Linux",
        "packages": {"numpy": "2.0"},
        "commit": "c" * 40,
        "container_digest": "sha256:12",
        "parts": {"train-0": {"imu": "k"}},
        "parts_uri": "/parts",
        "dataset_root": "/data",
        "store_uri": "/store",
        "manifest_sha256": version,
    }
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    record["sha256"] = hashlib.sha256(canonical).hexdigest()
    (store / "versions" / version / "run.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def made(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A store, a run on it under the mask ``half``, and the version's id."""
    root = tmp_path_factory.mktemp("lineage")
    store = shutil.copytree(toy_store, root / "store")
    version: str = json.loads((store / "refs" / "latest.json").read_text())["version"]
    write_run_record(store, version)
    small = ["objective.bank_size=16", "epochs=1", "data.batch_size=12"]
    config = make_fit_config(overrides=small)
    fit(f"file://{store}@latest", config=config, out=root / "run", mask="half", device="cpu")
    return store, root / "run", version


@pytest.fixture
def copied(made: tuple[Path, Path, str], tmp_path: Path) -> tuple[Path, Path, str]:
    """The same, free to be damaged; the run names its own copy of the store."""
    store = shutil.copytree(made[0], tmp_path / "store")
    run = shutil.copytree(made[1], tmp_path / "run")
    text = (run / "run.json").read_text().replace(str(made[0]), str(store))
    (run / "run.json").write_text(text)
    return store, run, made[2]


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_leads_to_its_store_mask_encoder_and_code(made: tuple[Path, Path, str]) -> None:
    store, run, version = made
    lineage = read_run_lineage(run)
    manifest = json.loads((store / "versions" / version / "manifest.json").read_text())
    mask = store / "masks" / version / "half.parquet"
    assert (lineage.store, lineage.version) == (str(store), version)
    assert (lineage.mask, lineage.mask_sha256) == ("half", digest_of(mask))
    assert lineage.mask_spec is not None
    assert lineage.mask_spec.keep == 0.5
    assert lineage.checkpoints == {name: digest_of(run / name) for name in (BEST, LAST)}
    assert lineage.run == json.loads((run / "run.json").read_text())["key"]
    assert (lineage.finished, lineage.steps, lineage.device) == (True, 2, "cpu")
    assert lineage.code is not None
    assert {"numpy", "torch", "zarr"} <= set(lineage.code.packages)
    assert (lineage.read_from, lineage.problems) == ("store", ())
    made_from = lineage.made_from
    assert made_from is not None
    assert made_from.encoder is not None
    assert made_from.encoder.model_dump()["weights_sha256"] == manifest["encoder"]["weights_sha256"]
    assert made_from.counts.stored == 48
    assert [mask.spec.name for mask in made_from.masks] == ["half"]
    assert made_from.made_by is not None
    assert (made_from.made_by.executor, made_from.made_by.code.commit) == ("dask", "c" * 40)
    shown = print_run_lineage(lineage)
    for said in (f"run {lineage.run}", f"store {store}@{version}", "c" * 40, "sha256:12", "dask"):
        assert said in shown


def test_a_run_tells_as_much_after_its_store_is_gone(copied: tuple[Path, Path, str]) -> None:
    store, run, _ = copied
    before = read_run_lineage(run)
    shutil.rmtree(store)
    after = read_run_lineage(run / BEST)
    assert after.read_from == "run"
    assert after.problems == (
        f"store: manifest must exist, none found [file={store}/versions/{after.version}/"
        "manifest.json]",
    )
    assert before.made_from is not None
    assert after.made_from == before.made_from.model_copy(update={"masks": ()})
    assert "(as the run kept it)" in print_run_lineage(after)


def test_a_copy_that_was_altered_is_not_believed(copied: tuple[Path, Path, str]) -> None:
    store, run, version = copied
    shutil.rmtree(store)
    kept = run / "store" / "versions" / version / "manifest.json"
    kept.write_text(kept.read_text().replace('"toy"', '"other"'))
    lineage = read_run_lineage(run)
    assert (lineage.made_from, lineage.read_from) == (None, "nowhere")
    assert "manifest must hash to its version" in lineage.problems[1]
    assert "nothing is left that tells" in print_run_lineage(lineage)


def test_a_record_or_mask_that_changed_since_is_said(
    copied: tuple[Path, Path, str], mask_writer: Callable[..., None]
) -> None:
    store, run, version = copied
    mask_writer(store, version, name="half", hidden=lambda i: i % 3 == 0)
    path = store / "versions" / version / "run.json"
    path.write_text(path.read_text().replace("dask", "inline"))
    lineage = read_run_lineage(run)
    assert lineage.made_from is not None
    assert (lineage.made_from.made_by, lineage.made_from.masks) == (None, ())
    assert "run record is not there or not as written" in lineage.problems[0]
    assert "mask: half had SHA-256" in lineage.problems[1]
    (store / "masks" / version / "half.json").unlink()
    assert "no mask 'half'" in read_run_lineage(run).problems[1]


def test_the_command_prints_a_tree_or_json(
    made: tuple[Path, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lineage", str(made[1])]) == 0
    assert capsys.readouterr().out.startswith("run ")
    assert main(["lineage", str(made[1]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == made[2]
    assert main(["lineage", str(tmp_path)]) == 2
    assert "run must be a folder with run.json, none found" in capsys.readouterr().err


def test_runs_made_before_all_this_tell_what_they_can(copied: tuple[Path, Path, str]) -> None:
    _, run, version = copied
    record = json.loads((run / "run.json").read_text())
    del record["code"], record["store"]["uri"], record["store"]["mask_spec"]
    (run / "run.json").write_text(json.dumps(record))
    shutil.rmtree(run / "store")
    lineage = read_run_lineage(run)
    assert (lineage.version, lineage.store, lineage.code) == (version, None, None)
    assert lineage.read_from == "nowhere"
    with pytest.raises(StoreNotFoundError, match="none found"):
        read_run_lineage(run / "nothing")


@pytest.mark.slow
def test_a_run_on_a_remote_store_leads_there(
    toy_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PRIMUS_CACHE", str(tmp_path / "cache"))
    uri = f"memory://{tmp_path.name}/store"
    place = UPath(uri)
    place.fs.put(f"{toy_store}/", f"{place.path}/", recursive=True)
    settings = ["objective.bank_size=16", "epochs=1", "data.batch_size=12"]
    given = [word for setting in settings for word in ("--set", setting)]
    arguments = [
        "fit",
        "--store",
        f"{uri}@latest",
        "--mask",
        "half",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main([*arguments, *given, "--device", "cpu", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("fetch: 25/25 megabytes") == 1
    record = json.loads(captured.out)
    assert record["store"]["uri"] == uri
    lineage = read_run_lineage(tmp_path / "run")
    assert (lineage.store, lineage.read_from) == (uri, "store")
    assert lineage.made_from is not None
    assert [mask.spec.name for mask in lineage.made_from.masks] == ["half"]
    place.fs.rm(place.path, recursive=True)
    after = read_run_lineage(tmp_path / "run")
    assert (after.read_from, after.mask_sha256) == ("run", lineage.mask_sha256)
    assert after.made_from == lineage.made_from.model_copy(update={"masks": ()})
