"""A take that kills its workers is told like any other bad take, in words of no one machine."""

from pathlib import Path
from typing import Any

import pytest

from flows.killed_take import killed_take
from pipelines.config import load_config
from pipelines.datasets.base import Catalogue
from schemas.narration import Narration
from tests.factories import make_take

TAKE = make_take("a", video=None, imu=None)


def catalogue_of(sentences: int) -> Catalogue:
    narrations = tuple(
        Narration(
            narration_ns=n * 1_000_000_000,
            text_raw=f"C does {n}.",
            text="",
            text_source="atomic",
            pass_uid="p",
        )
        for n in range(sentences)
    )
    return Catalogue(
        takes=(make_take("b", video=None, imu=None), TAKE), narrations={"a": narrations}
    )


@pytest.mark.parametrize(("policy", "lost"), [("narration", 5), ("stride", 0)])
def test_its_narrations_are_lost_and_the_sentence_names_the_way_out(
    policy: str, lost: int, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "dataset.name": "egoexo4d",
        "dataset.root": str(tmp_path),
        "store.uri": str(tmp_path / "store"),
        "segments.policy": policy,
    }
    config = load_config(None, overrides=given)
    outcome = killed_take("a", catalogue=catalogue_of(5), config=config)
    assert (outcome.take_uid, outcome.status, outcome.reason) == (
        "a", "quarantined", "worker_killed",
    )  # fmt: skip
    assert outcome.segments == lost
    assert "give workers more memory (execution.memory_limit, slurm.memory)" in outcome.detail
    assert outcome.detail.endswith(f"[take={TAKE.take_name}]")
    # Part of a version's identity: the same wherever and however often it happened.
    other = killed_take("a", catalogue=catalogue_of(5), config=config)
    assert other == outcome
    assert not any(character.isdigit() for character in outcome.detail)
