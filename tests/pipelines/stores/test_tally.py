from dataclasses import replace
from pathlib import Path

from pipelines.parts.store import PartStore
from pipelines.stores.refs import read_ref
from pipelines.stores.tally import VersionTally
from pipelines.stores.verify import verify_version
from tests.factories import (
    make_config,
    make_narration,
    make_quarantine,
    make_take,
    publish_fakes,
    write_fake_take,
)


def test_counts_add_up_and_say_why(tmp_path: Path) -> None:
    config = make_config(tmp_path)
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
    }
    assert verify_version(tmp_path, read_ref(tmp_path, None)) == []


def test_participants_in_two_splits_are_counted(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    parts = PartStore(config.parts_root)
    narrations = [make_narration(0.4 * k) for k in range(12)]
    fakes = [
        write_fake_take(parts, config=config, take=make_take(uid), narrations=narrations)
        for uid in ("a", "b", "c")
    ]
    fakes = [
        replace(
            fake,
            prepared=replace(
                fake.prepared,
                split=split,
                take=replace(fake.prepared.take, participant="egoexo4d:one"),
            ),
        )
        for fake, split in zip(fakes, ("train", "test", None), strict=True)
    ]
    counts = publish_fakes(tmp_path, config=config, fakes=fakes).counts
    assert counts.shared_participants == 1
    assert counts.splits == {"train": 12, "test": 12}


def test_nothing_added_counts_nothing() -> None:
    counts = VersionTally().finish(quarantine=make_quarantine(), ignored={"rejected_pass": 2})
    assert (counts.planned, counts.stored, counts.takes) == (0, 0, 0)
    assert counts.ignored == {"rejected_pass": 2}
