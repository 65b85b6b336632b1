import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primus_train.files import write_json
from primus_train.studies.methods import make_method_config
from primus_train.studies.plan import make_plan
from primus_train.studies.settings import StudySettings
from schemas.errors import StoreNotFoundError, UsageError

Cheap = Callable[..., StudySettings]


@pytest.fixture(scope="module")
def other_store(tmp_path_factory: pytest.TempPathFactory, store_writer: Callable[..., str]) -> Path:
    root = tmp_path_factory.mktemp("other")
    store_writer(root, seed=7)
    return root


@pytest.mark.parametrize(
    ("study", "fits", "probes", "points"),
    [
        # Per store: four encoders' probes of all shots at once, and one a number of shots from
        # scratch, whose encoder is SimCLR's as it starts.
        ("baselines", 4, 2 * (4 + 3), 5 * 2 * 3),
        ("ablation", 7, 2 * 7, 7 * 2 * 3),
        ("augmentations", 28, 2 * 28, 28 * 2 * 3),
    ],
)
def test_a_plan_has_as_many_points_as_methods_stores_and_shots(
    toy_store: Path,
    other_store: Path,
    cheap: Cheap,
    study: str,
    fits: int,
    probes: int,
    points: int,
) -> None:
    settings = cheap(study, toy_store, other_store, shots=(1, 3, 5))
    plan = make_plan(settings, out=Path("out"))
    assert (len(plan.fits), len(plan.probes), plan.points) == (fits, probes, points)
    assert {task.store for task in plan.fits.values()} == {plan.panels[0].store.pinned}
    assert plan.panels[0].store.uri == str(toy_store)
    twice = make_plan(
        settings.model_copy(
            update={"probe": settings.probe.model_copy(update={"eval_splits": ("val", "test")})}
        ),
        out=Path("out"),
    )
    assert twice.points == 2 * points


def test_shares_are_masks_of_the_store_that_is_trained_on(
    tmp_path: Path, store_writer: Callable[..., str], mask_writer: Callable[..., None], cheap: Cheap
) -> None:
    version = store_writer(tmp_path)
    mask_writer(tmp_path, version, name="half", hidden=lambda i: i % 2 == 1)
    plan = make_plan(cheap("data-efficiency", tmp_path, shares=(0.5, 1.0)), out=tmp_path / "out")
    assert (len(plan.fits), len(plan.probes), plan.points) == (4, 4, 2 * 2 * 2)
    record = json.loads((tmp_path / "masks" / version / "half.json").read_text())
    for line in plan.lines:
        config = make_method_config(line.method, overrides=plan.settings.fit_overrides)
        masked = line.share == 0.5
        digest = record["sha256"] if masked else None
        assert line.fit == config.key(version=version, mask_sha256=digest)
        assert plan.fits[line.fit].mask == ("half" if masked else None)
    assert [(line.method.name, line.share) for line in plan.lines] == [
        ("primus", 0.5),
        ("primus", 1.0),
        ("imu2clip", 0.5),
        ("imu2clip", 1.0),
    ]


def test_studies_share_runs_and_probes(toy_store: Path, cheap: Cheap) -> None:
    out = Path("out")
    one, other = (make_plan(cheap(s, toy_store), out=out) for s in ("baselines", "ablation"))
    # PRIMUS, IMU2CLIP and SimCLR are subsets of the terms.
    assert len(one.fits.keys() & other.fits.keys()) == 3
    assert len(one.probes.keys() & other.probes.keys()) == 3
    for key in one.fits.keys() & other.fits.keys():
        assert one.fits[key].folder == other.fits[key].folder == out / "runs" / key[:16]


def test_what_a_probe_is_known_by(toy_store: Path, cheap: Cheap, tmp_path: Path) -> None:
    def keys(**fields: Any) -> set[str]:
        settings = cheap("ablation", toy_store, **fields)
        return set(make_plan(settings, out=tmp_path).probes)

    base = keys()
    assert keys() == base
    for changed in (
        {"trials": 3},
        {"shots": (1,)},
        {"probe": ("seed=1",)},
        {"overrides": ("epochs=2",)},
    ):
        assert not keys(**changed) & base
    # Names and metrics are words, not results.
    assert keys(metric="macro_f1", panel_names=("P",)) == base


def test_wrong_prompts_are_refused_before_anything_is_made(
    toy_store: Path, cheap: Cheap, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(UsageError, match="prompts must be as primus-prep embed-prompts writes"):
        make_plan(cheap("ablation", toy_store, prompts=tmp_path / "p.json"), out=tmp_path)
    with pytest.raises(StoreNotFoundError, match="prompts must be a file"):
        make_plan(cheap("ablation", toy_store, prompts=tmp_path / "q.json"), out=tmp_path)


def test_training_from_scratch_is_one_probe_a_number_of_shots(
    toy_store: Path, cheap: Cheap
) -> None:
    plan = make_plan(cheap("baselines", toy_store), out=Path("out"))
    line = plan.lines[-1]
    tasks = [plan.probes[key] for key in line.probes]
    assert line.method.title == "Standard training"
    assert [task.config.shots for task in tasks] == [(1,), (3,)]
    assert {(task.untrained, task.config.protocol) for task in tasks} == {(True, "finetune")}
    assert {task.config.protocol for task in plan.probes.values() if not task.untrained} == {
        "logistic"
    }


def test_finished_runs_from_elsewhere_are_used_where_their_key_is_wanted(
    toy_store: Path, cheap: Cheap, tmp_path: Path
) -> None:
    settings = cheap("baselines", toy_store)
    wanted = next(iter(make_plan(settings, out=tmp_path).fits))
    mine, strange = tmp_path / "mine", tmp_path / "strange"
    write_json(mine / "run.json", {"key": wanted, "finished": True})
    write_json(strange / "run.json", {"key": "0" * 64, "finished": True})
    plan = make_plan(settings, out=tmp_path, reuse=[mine, strange])
    folders = {key: task.folder for key, task in plan.fits.items()}
    assert folders[wanted] == mine
    assert strange not in folders.values()
    write_json(mine / "run.json", {"key": wanted, "finished": False})
    with pytest.raises(UsageError, match="must be the folder of a finished run"):
        make_plan(settings, out=tmp_path, reuse=[mine])


def test_panels_are_named_by_data_set_or_as_asked(
    toy_store: Path, other_store: Path, cheap: Cheap
) -> None:
    plan = make_plan(cheap("ablation", toy_store), out=Path("out"))
    assert [(panel.name, panel.dataset) for panel in plan.panels] == [("toy", "toy")]
    both = make_plan(cheap("ablation", toy_store, other_store), out=Path("out"))
    assert [p.name for p in both.panels] == [f"toy {p.store.version[:6]}" for p in both.panels]
    named = cheap("ablation", toy_store, other_store, panel_names=("A", "B"))
    assert [p.name for p in make_plan(named, out=Path("out")).panels] == ["A", "B"]
    with pytest.raises(UsageError, match="stores must be of different versions"):
        make_plan(cheap("ablation", toy_store, f"{toy_store}@latest"), out=Path("out"))


def test_the_key_of_a_probe_is_a_digest_of_all_it_is_of(toy_store: Path, cheap: Cheap) -> None:
    plan = make_plan(cheap("ablation", toy_store), out=Path("out"))
    task = next(iter(plan.probes.values()))
    identity = {
        "run": task.fit,
        "version": plan.panels[0].store.version,
        "untrained": False,
        "config": task.config.model_dump(mode="json"),
        "prompts": None,
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert task.key == hashlib.sha256(text.encode()).hexdigest()
    assert task.folder == Path("out/probes") / task.key[:16]
