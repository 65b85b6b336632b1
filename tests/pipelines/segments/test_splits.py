from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from pipelines.config import SplitConfig
from pipelines.segments.splits import assign_splits, find_shared_participants
from schemas.errors import UsageError
from schemas.store import canonical_json, sha256_hex
from schemas.take import Take
from tests.factories import make_take


def takes(n: int, *, per_participant: int = 2) -> list[Take]:
    return [
        make_take(f"t{i:03d}", participant=f"egoexo4d:p{i // per_participant}") for i in range(n)
    ]


def split_of_participants(found: dict[str, str | None], of: list[Take]) -> dict[str, str | None]:
    splits: dict[str, str | None] = {}
    for take in of:
        assert take.participant is not None
        assert splits.setdefault(take.participant, found[take.take_uid]) == found[take.take_uid]
    return splits


@pytest.mark.parametrize(
    ("participants", "shares", "counts"),
    [
        pytest.param(10, (0.6, 0.2, 0.2), (6, 2, 2), id="exact"),
        pytest.param(5, (0.6, 0.2, 0.2), (3, 1, 1), id="exact_five"),
        pytest.param(7, (0.6, 0.2, 0.2), (4, 2, 1), id="tie_goes_to_the_earlier"),
        pytest.param(3, (0.6, 0.2, 0.2), (1, 1, 1), id="one_each"),
        pytest.param(4, (0.9, 0.05, 0.05), (2, 1, 1), id="small_shares_get_one"),
        pytest.param(2, (0.6, 0.2, 0.2), (1, 1, 0), id="too_few_for_all"),
        pytest.param(1, (0.6, 0.2, 0.2), (1, 0, 0), id="one"),
        pytest.param(5, (0.8, 0.0, 0.2), (4, 0, 1), id="no_share_no_participant"),
    ],
)
def test_participants_are_shared_out(
    participants: int, shares: tuple[float, float, float], counts: tuple[int, int, int]
) -> None:
    of = takes(2 * participants)
    found = assign_splits(of, config=SplitConfig(shares=shares), official={})
    tally = Counter(split_of_participants(found, of).values())
    assert tuple(tally[name] for name in ("train", "val", "test")) == counts


def test_order_is_the_hash_of_seed_and_participant() -> None:
    of = takes(20)
    found = split_of_participants(assign_splits(of, config=SplitConfig(seed=7), official={}), of)
    ordered = sorted(found, key=lambda p: sha256_hex(canonical_json([7, p])))
    assert [found[p] for p in ordered] == ["train"] * 6 + ["val"] * 2 + ["test"] * 2


def test_seed_moves_participants_and_take_order_does_not() -> None:
    of = takes(40)
    found = [assign_splits(of, config=SplitConfig(seed=s), official={}) for s in (0, 1)]
    assert found[0] != found[1]
    assert assign_splits(of[::-1], config=SplitConfig(), official={}) == found[0]


def test_take_of_unknown_participant_stands_for_itself() -> None:
    of = [replace(take, participant=None) for take in takes(10)]
    found = assign_splits(of, config=SplitConfig(), official={})
    assert Counter(found.values()) == {"train": 6, "val": 2, "test": 2}


def test_no_take_no_split() -> None:
    assert assign_splits([], config=SplitConfig(), official={}) == {}


def test_custom_goes_by_uid_or_name_and_leaves_the_rest_out() -> None:
    of = takes(6)
    config = SplitConfig(
        kind="custom", takes={"t000": "train", of[1].take_name: "train", "t002": "test"}
    )
    found = assign_splits(of, config=config, official={})
    assert found == {
        "t000": "train",
        "t001": "train",
        "t002": "test",
        "t003": None,
        "t004": None,
        "t005": None,
    }


def test_custom_leak_is_refused_with_names() -> None:
    config = SplitConfig(kind="custom", takes={"t000": "train", "t001": "test", "t002": "val"})
    with pytest.raises(UsageError, match=r"got egoexo4d:p0 \(train, test\)$"):
        assign_splits(takes(4), config=config, official={})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({}, "must name takes when splits.kind is custom", id="empty"),
        pytest.param({"t9": "train"}, "must name takes of this run, got t9", id="stranger"),
        pytest.param(
            {"t000": "train", "name of t000": "val"}, "one split a take, got two", id="contradicts"
        ),
    ],
)
def test_custom_list_is_checked(given: dict[str, str], message: str) -> None:
    config = SplitConfig.model_validate({"kind": "custom", "takes": given})
    with pytest.raises(UsageError, match=message):
        assign_splits(takes(2), config=config, official={})


def test_official_follows_the_dataset_and_counts_shared_participants() -> None:
    of = takes(5)
    official = {"t000": "train", "t001": "val", "t002": "test", "t003": "test"}
    found = assign_splits(of, config=SplitConfig(kind="official"), official=official)
    assert found == {**official, "t004": None}
    shared = find_shared_participants((t.participant, found[t.take_uid]) for t in of)
    assert shared == {"egoexo4d:p0": ("train", "val")}


def test_unknown_participants_are_never_shared() -> None:
    assert find_shared_participants([(None, "train"), (None, "test"), ("p", None)]) == {}


@pytest.mark.parametrize(
    ("official", "message"),
    [({}, "needs a dataset with splits of its own"), ({"t000": "dev"}, r"among .* got \['dev'\]")],
)
def test_official_needs_splits_we_know(official: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        assign_splits(takes(2), config=SplitConfig(kind="official"), official=official)


def test_test_participants_are_test_and_the_others_shared_out() -> None:
    of = takes(20)
    config = SplitConfig(test_participants=("p3", "egoexo4d:p7"))
    found = split_of_participants(assign_splits(of, config=config, official={}), of)
    assert {p for p, split in found.items() if split == "test"} == {"egoexo4d:p3", "egoexo4d:p7"}
    # 8 others at 0.6 to 0.2: 6 and 2, in the order of the hash.
    others = sorted(
        set(found) - {"egoexo4d:p3", "egoexo4d:p7"},
        key=lambda p: sha256_hex(canonical_json([0, p])),
    )
    assert [found[p] for p in others] == ["train"] * 6 + ["val"] * 2


def test_participants_of_a_subset_may_lack_some_of_the_test_ones() -> None:
    of = takes(6)
    config = SplitConfig(test_participants=("p1", "p99"))
    found = split_of_participants(assign_splits(of, config=config, official={}), of)
    assert Counter(found.values()) == {"test": 1, "train": 1, "val": 1}
    assert found["egoexo4d:p1"] == "test"


def test_a_run_of_one_participant_does_without_the_test_list() -> None:
    of = takes(2)
    for named in ("p0", "p5"):
        config = SplitConfig(test_participants=(named,))
        assert set(assign_splits(of, config=config, official={}).values()) == {"train"}


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        pytest.param(
            {"test_participants": ("5", "10")},
            "must name a participant of this run, got 5, 10 where there are egoexo4d:p0",
            id="none_of_them",
        ),
        pytest.param(
            {"test_participants": ("p0", "p1")}, "must leave a participant for train", id="all"
        ),
        pytest.param(
            {"test_participants": ("p0",), "shares": (0.0, 0.0, 1.0)},
            "shares must leave train or val a share",
            id="no_share_left",
        ),
    ],
)
def test_test_participants_that_cannot_be(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        assign_splits(takes(4), config=SplitConfig(**fields), official={})


def test_test_participants_count_only_under_participant() -> None:
    of = takes(4)
    config = SplitConfig(kind="custom", takes={"t000": "val"}, test_participants=("p0",))
    assert assign_splits(of, config=config, official={})["t000"] == "val"
