import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.probes.fewshot import PROBE_SCHEMA, ProbeConfig
from primus_train.reports import report_probe, report_retrieval
from primus_train.runs import fit
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def runs(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    small = ["objective.bank_size=16", "epochs=1", "data.batch_size=12"]
    for name, terms in (("primus", "[ss, mm, nn]"), ("simclr", "[ss]")):
        config = make_fit_config(overrides=[*small, f"objective.terms={terms}"])
        fit(str(toy_store), config=config, out=root / name, device="cpu")
    return root


CONFIG = ProbeConfig(shots=(2, 100), trials=2, eval_splits=("val", "test"))


@pytest.mark.slow
def test_a_probe_is_written_three_ways_and_reused(
    toy_store: Path, runs: Path, tmp_path: Path
) -> None:
    first = report_probe(runs / "primus", store=str(toy_store), out=tmp_path, config=CONFIG)
    assert first["reused"] is False
    assert [(r["split"], r["shots"]) for r in first["rows"]] == [
        ("val", 2),
        ("test", 2),
        ("val", 100),
        ("test", 100),
    ]
    written = json.loads((tmp_path / "probe.json").read_text())
    assert {**written, "reused": False} == first
    record = json.loads((runs / "primus" / "run.json").read_text())
    origin = first["pretrained_on"]
    assert (origin["run"], origin["version"]) == (record["key"], record["store"]["version"])
    assert (origin["mask"], origin["mask_sha256"]) == (None, None)
    assert (first["store"], first["version"]) == (str(toy_store), record["store"]["version"])
    assert first["code"]["packages"] == record["code"]["packages"]
    table = pq.read_table(tmp_path / "probe.parquet")
    assert table.schema.equals(PROBE_SCHEMA)
    assert table.to_pylist() == first["rows"]
    assert (tmp_path / "probe.png").read_bytes().startswith(b"\x89PNG")
    again = report_probe(runs / "primus", store=str(toy_store), out=tmp_path, config=CONFIG)
    assert again == {**written, "reused": True}


@pytest.mark.slow
def test_another_probe_in_the_folder_is_refused_unless_overwritten(
    toy_store: Path, runs: Path, tmp_path: Path
) -> None:
    report_probe(runs / "primus", store=str(toy_store), out=tmp_path, config=CONFIG)
    with pytest.raises(UsageError, match="it holds another"):
        report_probe(
            runs / "primus", store=str(toy_store), out=tmp_path, config=CONFIG, untrained=True
        )
    with pytest.raises(UsageError, match="it holds another"):
        report_probe(runs / "simclr", store=str(toy_store), out=tmp_path, config=CONFIG)
    other = report_probe(
        runs / "simclr", store=str(toy_store), out=tmp_path, config=CONFIG, overwrite=True
    )
    assert (other["objective"], other["representation"]) == ("ss", "backbone")


@pytest.mark.slow
def test_prompts_are_part_of_what_a_result_is_known_by(
    toy_store: Path, runs: Path, tmp_path: Path
) -> None:
    config = ProbeConfig(protocol="published", shots=(1,), trials=1)
    known: set[str] = set()
    for folder, text in (("none", None), ("one", 0.0), ("two", 1.0)):
        prompts = text if text is None else {n: np.arange(8) - text for n in ("cook", "dance")}
        report = report_probe(
            runs / "primus",
            store=str(toy_store),
            out=tmp_path / folder,
            config=config,
            prompts=prompts,
        )
        assert report["head"] == ("random" if text is None else "prompts")
        known.add(report["key"])
    assert len(known) == 3


def test_retrieval_counts_the_splits_asked_for(toy_store: Path, runs: Path, tmp_path: Path) -> None:
    one = report_retrieval(runs / "primus", store=str(toy_store), splits=("test",), out=tmp_path)
    both = report_retrieval(runs / "primus", store=str(toy_store), splits=("val", "test"))
    for report, n in ((one, 12), (both, 24)):
        for name in ("imu_to_video", "imu_to_text"):
            scores = report[name]
            assert scores["n"] == n
            assert scores["chance"] == pytest.approx(1 / n)
            assert 0 <= scores["r_at_1"] <= scores["r_at_5"] <= scores["r_at_10"] <= 1
            assert scores["r_at_1"] <= scores["mrr"]
        # The toy's sentences are six, said in every take.
        back = report["text_to_imu"]
        assert (back["n"], back["queries"], back["sentences"]) == (n, 6, 6)
        assert report["video_to_imu"]["queries"] == n
        assert report["sphere"]["n"] == n
        assert set(report["sphere"]["alignment"]) == {"imu_video", "imu_text"}
        assert all(0 <= value <= 4 for value in report["sphere"]["alignment"].values())
        assert all(-8 <= value <= 0 for value in report["sphere"]["uniformity"].values())
        assert report["representation"] == "multimodal"
    again = report_retrieval(runs / "primus", store=str(toy_store), splits=("test",), out=tmp_path)
    assert again == {**one, "reused": True}
    with pytest.raises(UsageError, match="it holds another"):
        report_retrieval(runs / "primus", store=str(toy_store), splits=("val",), out=tmp_path)


def test_retrieval_needs_a_multimodal_term(toy_store: Path, runs: Path) -> None:
    with pytest.raises(UsageError, match=r"pretrained with the term mm, got ss"):
        report_retrieval(runs / "simclr", store=str(toy_store), splits=("test",))


def test_retrieval_needs_targets_of_the_trained_widths(
    tmp_path: Path, store_writer: object, runs: Path
) -> None:
    assert callable(store_writer)
    store_writer(tmp_path, takes=("test-0",), video_width=17)
    with pytest.raises(UsageError, match=r"embedding widths must be as in pretraining"):
        report_retrieval(runs / "primus", store=str(tmp_path), splits=("test",))


def test_retrieval_needs_targets_of_the_same_encoder(
    tmp_path: Path, toy_store: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_store(str(toy_store))
    assert opened.manifest.encoder is not None
    other = opened.manifest.encoder.model_copy(update={"weights_sha256": "a" * 64, "name": "new"})
    manifest = opened.manifest.model_copy(update={"encoder": other})
    monkeypatch.setattr(
        "primus_train.results.open_store", lambda *_, **__: replace(opened, manifest=manifest)
    )
    with pytest.raises(UsageError, match=r"video and text must be embedded .* got new with aaaa"):
        report_retrieval(runs / "primus", store=str(toy_store), splits=("test",))


def test_splits_without_rows_are_said_so(tmp_path: Path, store_writer: object, runs: Path) -> None:
    assert callable(store_writer)
    store_writer(tmp_path, takes=("train-0",))
    with pytest.raises(UsageError, match=r"splits test must hold segments with IMU and video"):
        report_retrieval(runs / "primus", store=str(tmp_path), splits=("test",))
