from pathlib import Path

import pytest

from pipelines.config import PrepConfig
from pipelines.parts.store import PartStore
from pipelines.stores.refs import read_ref
from pipelines.stores.tally import VersionTally
from pipelines.stores.verify import verify_version
from schemas.errors import PrimusError
from tests.factories import (
    SPEC,
    FakeTake,
    make_config,
    make_narration,
    make_quarantine,
    make_take,
    publish_fakes,
    write_fake_take,
)


def test_counts_add_up_and_say_why(tmp_path: Path) -> None:
    config = make_config(tmp_path, splits={"kind": "official"})
    parts = PartStore(config.parts_root)
    narrations = [make_narration(s) for s in (0.5, 1.5, 2.5, 3.5, 7.0)]
    fakes = [
        write_fake_take(
            parts, config=config, take=make_take("a"), narrations=narrations, missing=range(5)
        ),
        write_fake_take(
            parts,
            config=config,
            take=make_take("b", participant="egoexo4d:p-a", label=None),
            narrations=narrations,
            split="test",
            invalid=[12],
        ),
        write_fake_take(
            parts,
            config=config,
            take=make_take("c", label="music"),
            narrations=narrations[4:],
            split=None,
        ),
    ]
    quarantine = make_quarantine(
        [
            {"dataset": "egoexo4d", "take_uid": "d", "reason": "x", "detail": "", "segments": 4},
            {"dataset": "egoexo4d", "take_uid": "e", "reason": "y", "detail": "", "segments": 0},
        ]
    )
    counts = publish_fakes(tmp_path, config=config, fakes=fakes, quarantine=quarantine).counts
    assert counts.model_dump() == {
        "planned": 15,
        "stored": 6,
        "dropped": {"frames_missing": 1, "imu_gap": 1, "narration_outside_take": 3},
        "quarantined": {"x": 4},
        "quarantined_takes": {"x": 1, "y": 1},
        "ignored": {},
        "takes": 2,
        "splits": {"train": 3, "test": 3},
        "labels": {"cooking": 3},
        "shared_participants": 1,
        "shared_names": ("egoexo4d:p-a (train, test)",),
        "split_participants": {"train": 1, "test": 1},
        "long_sentences": 0,
    }
    assert verify_version(tmp_path, read_ref(tmp_path, None)) == []


def test_participants_in_two_splits_are_counted_under_official(tmp_path: Path) -> None:
    config = make_config(tmp_path, splits={"kind": "official"})
    counts = publish_fakes(tmp_path, config=config, fakes=shared_takes(config)).counts
    assert counts.shared_participants == 1
    assert counts.shared_names == ("egoexo4d:one (train, test)",)
    assert counts.splits == {"train": 12, "test": 12}
    assert counts.split_participants == {"train": 1, "test": 1}


@pytest.mark.parametrize("kind", ["participant", "custom"])
def test_participants_in_two_splits_are_refused_elsewhere(tmp_path: Path, kind: str) -> None:
    config = make_config(tmp_path, splits={"kind": kind})
    with pytest.raises(PrimusError, match=r"in one split each, got egoexo4d:one \(train, test\)"):
        publish_fakes(tmp_path, config=config, fakes=shared_takes(config))
    assert not (tmp_path / "refs").exists()


def test_a_take_of_an_unknown_person_counts_as_a_participant(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    parts = PartStore(config.parts_root)
    fakes = [
        write_fake_take(
            parts,
            config=config,
            take=make_take(uid, participant=participant),
            narrations=[make_narration(1.0)],
        )
        for uid, participant in (("a", None), ("b", None), ("c", "egoexo4d:p"), ("d", "egoexo4d:p"))
    ]
    counts = publish_fakes(tmp_path, config=config, fakes=fakes).counts
    assert counts.split_participants == {"train": 3}
    assert counts.shared_names == ()


def shared_takes(config: PrepConfig) -> list[FakeTake]:
    parts = PartStore(config.parts_root)
    narrations = [make_narration(0.4 * k) for k in range(12)]
    return [
        write_fake_take(
            parts,
            config=config,
            take=make_take(uid, participant="egoexo4d:one"),
            narrations=narrations,
            split=split,
        )
        for uid, split in (("a", "train"), ("b", "test"), ("c", None))
    ]


def test_sentences_the_encoder_cuts_are_counted(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    # Fake sentences have two tokens more than words.
    narrations = [make_narration(0.5 + k, "word " * n) for k, n in enumerate((3, 4, 5, 6))]
    take = write_fake_take(PartStore(config.parts_root), config=config, narrations=narrations)
    spec = SPEC.model_copy(update={"max_tokens": 6})
    counts = publish_fakes(tmp_path, config=config, fakes=[take], spec=spec).counts
    assert counts.long_sentences == 2


def test_nothing_added_counts_nothing() -> None:
    counts = VersionTally().finish(quarantine=make_quarantine(), ignored={"rejected_pass": 2})
    assert (counts.planned, counts.stored, counts.takes) == (0, 0, 0)
    assert counts.ignored == {"rejected_pass": 2}
