"""Assign takes to train, val and test: by participant, by a given list, or as the dataset says."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import floor

from pipelines.config import SplitConfig
from schemas.errors import UsageError
from schemas.segment import SPLITS
from schemas.store import canonical_json, sha256_hex
from schemas.take import Take

__all__ = ["assign_splits", "find_shared_participants"]


def assign_splits(
    takes: Sequence[Take], *, config: SplitConfig, official: Mapping[str, str]
) -> dict[str, str | None]:
    """Return each take's split by take_uid; None where it belongs to none.

    ``participant`` orders the participants by a hash of seed and name and gives each split its
    share of them; with ``test_participants`` these are test, and the others are shared out between
    train and val, by their shares alone. Named participants that the run does not hold are passed
    over, as a part of a dataset may lack them, and a run of one participant does without the list;
    but where none of several is named, the list is taken for a mistake. ``custom`` follows the
    config's list; a take it does not name has no split. Neither lets a participant into two splits.
    ``official`` follows the dataset and lets it happen; ``find_shared_participants`` tells whom. A
    take whose participant is unknown stands for a participant of its own.

    Args:
        takes: every take of the run.
        config: kind, shares, seed, list.
        official: take_uid to split, where the dataset says so.

    Raises:
        UsageError: if test participants are none, or all, of several participants; if a custom
            list is empty, names an unknown take, contradicts itself or shares a participant between
            splits; or if the dataset has no official split.
    """
    if config.kind == "participant":
        return _by_participant(takes, config=config)
    if config.kind == "custom":
        return _custom(takes, config=config)
    if not official:
        raise UsageError("splits.kind official needs a dataset with splits of its own, got none")
    unknown = sorted(set(official.values()) - set(SPLITS))
    if unknown:
        raise UsageError(f"official splits must be among {', '.join(SPLITS)}, got {unknown}")
    return {take.take_uid: official.get(take.take_uid) for take in takes}


def find_shared_participants(
    pairs: Iterable[tuple[str | None, str | None]],
) -> dict[str, tuple[str, ...]]:
    """Return the participants found in more than one split, each with its splits.

    Args:
        pairs: (participant, split) of takes or segments; unknown ones are passed over.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for participant, split in pairs:
        if participant is not None and split is not None:
            found[participant].add(split)
    return {
        name: tuple(sorted(splits, key=SPLITS.index))
        for name, splits in sorted(found.items())
        if len(splits) > 1
    }


def _participant_of(take: Take) -> str:
    return take.participant if take.participant is not None else f"take:{take.take_uid}"


def _by_participant(takes: Sequence[Take], *, config: SplitConfig) -> dict[str, str | None]:
    names = sorted(
        {_participant_of(take) for take in takes},
        key=lambda name: sha256_hex(canonical_json([config.seed, name])),
    )
    test = _find_test(names, config=config)
    shares = config.shares
    if test:
        train, val, _ = config.shares
        if train + val == 0:
            raise UsageError("splits.shares must leave train or val a share, got none")
        shares = (train / (train + val), val / (train + val), 0.0)
    others = [name for name in names if name not in test]
    counts = _largest_remainder(len(others), shares=shares)
    splits = [split for split, n in zip(SPLITS, counts, strict=True) for _ in range(n)]
    by_name = {**dict(zip(others, splits, strict=True)), **dict.fromkeys(test, "test")}
    assigned: dict[str, str | None] = {
        take.take_uid: by_name[_participant_of(take)] for take in takes
    }
    shared = find_shared_participants((_participant_of(t), assigned[t.take_uid]) for t in takes)
    assert not shared, f"participants in two splits: {shared}"
    return assigned


def _find_test(names: Sequence[str], *, config: SplitConfig) -> set[str]:
    """Return those of ``names`` that the config names, with or without the dataset before it."""
    wanted = set(config.test_participants)
    test = {name for name in names if name in wanted or name.partition(":")[2] in wanted}
    # A share of one person is nobody: such a run is a trial, or a dataset's own default misses it.
    if not wanted or len(names) == 1:
        return set()
    if not test:
        raise UsageError(
            f"splits.test_participants must name a participant of this run, got "
            f"{_some(config.test_participants)} where there are {_some(sorted(names))}"
        )
    if len(test) == len(names):
        raise UsageError(
            f"splits.test_participants must leave a participant for train, got all of "
            f"{_some(sorted(names))}"
        )
    return test


def _largest_remainder(total: int, *, shares: Sequence[float]) -> list[int]:
    """Return whole counts that sum to ``total``, at least 1 for each non-zero share if it can be.

    Ties go to the earlier split; a split that would be empty takes one from the largest.
    """
    quotas = [total * share for share in shares]
    # A sum such as 0.6 + 0.2 + 0.2 may miss a whole quota by rounding: look just above it.
    counts = [floor(quota + 1e-9) for quota in quotas]
    order = sorted(range(len(shares)), key=lambda i: (counts[i] - quotas[i], i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    for i, share in enumerate(shares):
        largest = max(range(len(counts)), key=lambda j: counts[j])
        if share > 0 and counts[i] == 0 and counts[largest] > 1:
            counts[i] += 1
            counts[largest] -= 1
    return counts


def _custom(takes: Sequence[Take], *, config: SplitConfig) -> dict[str, str | None]:
    if not config.takes:
        raise UsageError("splits.takes must name takes when splits.kind is custom, got none")
    known = {take.take_uid for take in takes} | {take.take_name for take in takes}
    strangers = sorted(set(config.takes) - known)
    if strangers:
        raise UsageError(f"splits.takes must name takes of this run, got {_some(strangers)}")
    splits: dict[str, str | None] = {}
    for take in takes:
        given = {config.takes[k] for k in (take.take_uid, take.take_name) if k in config.takes}
        if len(given) > 1:
            raise UsageError(
                f"splits.takes must give one split a take, got two for {take.take_name}"
            )
        splits[take.take_uid] = given.pop() if given else None
    shared = find_shared_participants((t.participant, splits[t.take_uid]) for t in takes)
    if shared:
        sentence = _some([f"{name} ({', '.join(where)})" for name, where in shared.items()])
        raise UsageError(f"splits.takes must keep each participant in one split, got {sentence}")
    return splits


def _some(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
