"""A blueprint gives back what a version was made from, or says that it is none."""

from pathlib import Path

import pytest

from pipelines.parts.store import PartStore
from pipelines.stores.blueprint import blueprint_path, open_blueprint
from schemas.errors import StoreDamagedError
from tests.factories import (
    make_config,
    make_narration,
    make_quarantine,
    make_take,
    publish_fakes,
    write_fake_take,
)


def test_all_that_a_version_was_made_from_comes_back(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    parts = PartStore(config.parts_root)
    fakes = [
        write_fake_take(
            parts,
            config=config,
            take=make_take(f"take-{i}"),
            narrations=[make_narration(1.0 + k, f"says é {k}", subject="other") for k in range(i)],
            seed=i,
        )
        for i in range(3)
    ]
    row = {
        "dataset": "egoexo4d",
        "take_uid": "bad",
        "take_name": None,
        "reason": "video_missing",
        "detail": "no file",
        "segments": 4,
    }
    made = publish_fakes(tmp_path, config=config, fakes=fakes, quarantine=make_quarantine([row]))
    folder = tmp_path / "versions" / made.version
    with open_blueprint(tmp_path / "parts", made.version) as blueprint:
        assert list(blueprint.takes()) == [fake.prepared for fake in fakes]
        assert blueprint.quarantine.to_pylist() == [row]
        assert blueprint.manifest == (folder / "manifest.json").read_bytes()
        assert blueprint.run == (folder / "run.json").read_bytes()
        assert blueprint.config == config.model_dump(mode="json")


def test_what_is_no_blueprint_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        open_blueprint(tmp_path, "0" * 16),
    ):
        pass
    path = blueprint_path(tmp_path, "0" * 16)
    path.parent.mkdir()
    path.write_bytes(b"ARROW1 and nothing more")
    with (
        pytest.raises(StoreDamagedError, match="blueprint must be whole"),
        open_blueprint(tmp_path, "0" * 16),
    ):
        pass
