import json
from collections.abc import Callable
from pathlib import Path

import pytest

from primus_train.data.version import identify_store
from primus_train.studies.masks import find_masks, list_masks
from schemas.errors import StoreNotFoundError, UsageError


@pytest.fixture
def store(
    tmp_path: Path, store_writer: Callable[..., str], mask_writer: Callable[..., None]
) -> tuple[Path, str]:
    """Masks: ``tenth`` (0.1), ``half`` and ``other`` (0.5), ``text`` (0.25, text alone)."""
    version = store_writer(tmp_path)
    wanted = {"tenth": 0.1, "half": 0.5, "other": 0.5, "text": 0.25}
    for name, keep in wanted.items():
        mask_writer(tmp_path, version, name=name, hidden=lambda i, keep=keep: i >= 24 * keep)
        path = tmp_path / "masks" / version / f"{name}.json"
        record = json.loads(path.read_text())
        record["spec"]["keep"] = keep
        if name == "text":
            record["spec"]["modalities"] = ["text"]
        path.write_text(json.dumps(record))
    return tmp_path, version


def test_masks_are_listed_and_found_by_their_recipe(store: tuple[Path, str]) -> None:
    root, version = store
    assert list_masks(root, version) == ("half", "other", "tenth", "text")
    assert list_masks(root, "0" * 16) == ()
    found = find_masks(identify_store(str(root)), shares=(0.1, 0.5, 1.0), named={"other": 0.5})
    names = {share: None if mask is None else mask.spec.name for share, mask in found.items()}
    assert names == {0.1: "tenth", 0.5: "other", 1.0: None}


def test_a_name_may_stand_for_any_share(store: tuple[Path, str]) -> None:
    found = find_masks(identify_store(str(store[0])), shares=(0.3, 1.0), named={"half": 0.3})
    assert found[0.3] is not None
    assert found[0.3].spec.name == "half"


def test_missing_masks_are_refused_with_the_commands_that_make_them(
    store: tuple[Path, str],
) -> None:
    root, version = store
    with pytest.raises(UsageError, match=r"shares 0\.25, 0\.75 must have a mask") as caught:
        find_masks(identify_store(str(root)), shares=(0.1, 0.25, 0.75, 1.0), named={})
    assert (
        f"primus-prep mask {root}@{version} --name keep25 --keep 0.25 "
        "--modalities video,text --unit segment --seed 0; primus-prep mask" in str(caught.value)
    )
    assert "--name keep75 --keep 0.75 " in str(caught.value)


def test_two_masks_of_a_share_are_refused(store: tuple[Path, str]) -> None:
    with pytest.raises(UsageError, match=r"half and other fit: name one, such as --masks half=0.5"):
        find_masks(identify_store(str(store[0])), shares=(0.5,), named={})


def test_a_name_must_be_of_a_mask(store: tuple[Path, str]) -> None:
    with pytest.raises(StoreNotFoundError, match="no mask 'absent'"):
        find_masks(identify_store(str(store[0])), shares=(0.5,), named={"absent": 0.5})
