"""Several publishers and a reader in one store at once, on a disk and in an object store."""

import os
import random
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from pipelines.storage.places import Place, open_place
from pipelines.stores.contents import child_names, file_sizes
from pipelines.stores.masks import list_masks, read_mask_record
from pipelines.stores.refs import list_tags, list_versions, read_ref, read_tag_log
from pipelines.stores.sealed import find_digest_problems, read_manifest
from schemas.errors import StoreNotFoundError
from schemas.store import sha256_hex
from tests.publisher import WINDOWS, publish_window, start_publisher, write_parts


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, str]]:
    """Window: digest of every object of its version, published alone; the id under ``id``."""
    folder = tmp_path_factory.mktemp("reference")
    fakes = write_parts(folder / "parts")
    found = {}
    for which in range(WINDOWS):
        store = folder / "store"
        version = publish_window(
            str(store), parts=folder / "parts", fakes=fakes, which=which, seed=None
        )
        objects = read_manifest(store, version).objects
        found[which] = {"id": version, **{entry.path: entry.sha256 for entry in objects}}
    return found


def read_everything(
    store: Place, known: dict[str, dict[str, str]], *, tagged: bool
) -> tuple[set[str], bool]:
    """Read all that a reader may; a version that is seen must be whole, byte by byte.

    Args:
        store: that others write to.
        known: digests of every object, by version.
        tagged: whether ``latest`` was seen before.

    Returns:
        The versions there are, and whether ``latest`` names one.
    """
    versions = set(list_versions(store))
    assert versions <= known.keys()
    for version in versions:
        assert find_digest_problems(store, version) == []
        objects = {e.path: e.sha256 for e in read_manifest(store, version).objects}
        assert objects == {k: v for k, v in known[version].items() if k != "id"}
        for name in list_masks(store, version):
            record = read_mask_record(store, version, name)
            data = (store / "masks" / version / f"{name}.parquet").read_bytes()
            assert sha256_hex(data) == record.sha256
    assert set(list_tags(store).values()) <= known.keys()
    try:
        assert read_ref(store) in known
    except StoreNotFoundError:
        assert not tagged
        return versions, False
    return versions, True


def environment() -> dict[str, str]:
    """Return where the object store is, and its credentials: they are told anew for every test."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def hidden(store: Place) -> set[str]:
    return {name for name in child_names(store / "versions") if name.startswith(".")}


def end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.kill()
        process.join()


def lines_of(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


def check_rounds(
    uri: str,
    *,
    tmp_path: Path,
    rounds: int,
    publishers: int,
    reference: dict[int, dict[str, str]],
    seed: int,
) -> None:
    known = {objects["id"]: objects for objects in reference.values()}
    store = open_place(uri)
    order = random.Random(seed)
    # Each a window of its own in turn, and the same as the other one's as often as not.
    commands = [
        [(order.randrange(WINDOWS), order.choice([None, 1, 2])) for _ in range(rounds)]
        for _ in range(publishers)
    ]
    logs = [tmp_path / f"{number}.log" for number in range(publishers)]
    running = [
        start_publisher(
            uri, parts=tmp_path / "parts", commands=some, environment=environment(), log=log
        )
        for some, log in zip(commands, logs, strict=True)
    ]
    try:
        seen: set[str] = set()
        tagged, reads = False, 0
        while any(process.is_alive() for process in running):
            now, tagged = read_everything(store, known, tagged=tagged)
            assert seen <= now, "a version was lost"
            seen, reads = now, reads + 1
        assert [process.exitcode for process in running] == [0] * publishers
    finally:
        end(running)
    assert reads > 3
    lines = [line for log in logs for line in lines_of(log)]
    published = [line for line in lines if line[0] == "published"]
    refused = [line for line in lines if line[0] == "refused"]
    assert len(published) + len(refused) == rounds * publishers
    assert {(int(which), version) for _, which, version in published} <= {
        (which, objects["id"]) for which, objects in reference.items()
    }
    asked = {which for some in commands for which, _ in some}
    now, _ = read_everything(store, known, tagged=True)
    assert now == {reference[which]["id"] for which in asked}
    # A mask's name is refused after the version and its tag are there.
    log = read_tag_log(store, "latest")
    assert sorted(log) == sorted(reference[which]["id"] for some in commands for which, _ in some)
    last = {reference[some[-1][0]]["id"] for some in commands}
    assert read_ref(store) in last
    assert hidden(store) == set()


def test_two_publishers_and_a_reader_on_a_disk(
    tmp_path: Path, reference: dict[int, dict[str, str]]
) -> None:
    check_rounds(
        str(tmp_path / "store"),
        tmp_path=tmp_path,
        rounds=4,
        publishers=2,
        reference=reference,
        seed=1,
    )


@pytest.mark.slow
def test_two_publishers_and_a_reader_in_an_object_store(
    tmp_path: Path, s3_store: str, reference: dict[int, dict[str, str]]
) -> None:
    check_rounds(s3_store, tmp_path=tmp_path, rounds=2, publishers=2, reference=reference, seed=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("where", ["disk", "s3"])
def test_two_publishers_for_25_rounds(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    where: str,
    seed: int,
    reference: dict[int, dict[str, str]],
) -> None:
    uri = str(tmp_path / "store") if where == "disk" else request.getfixturevalue("s3_store")
    check_rounds(uri, tmp_path=tmp_path, rounds=25, publishers=2, reference=reference, seed=seed)


def check_kills(
    uri: str,
    *,
    tmp_path: Path,
    kills: int,
    longest_s: float,
    reference: dict[int, dict[str, str]],
    seed: int,
) -> None:
    """Kill a publisher at moments of its writing; nothing half is ever seen, and another mends."""
    known = {objects["id"]: objects for objects in reference.values()}
    store = open_place(uri)
    moments = random.Random(seed)
    left = 0
    commands: list[tuple[int, int | None]] = [(which, None) for which in range(WINDOWS)]
    for number in range(kills):
        before = set(child_names(store / "versions"))
        process = start_publisher(
            uri,
            parts=tmp_path / "parts",
            commands=commands,
            environment=environment(),
            log=tmp_path / f"{number}.log",
        )
        try:
            while process.is_alive() and not hidden(store) - before:
                time.sleep(0.005)
            assert process.is_alive()
            time.sleep(moments.uniform(0, longest_s))
        finally:
            end([process])
        read_everything(store, known, tagged=False)
        left += len(hidden(store) - before)
    # Otherwise nothing was tried.
    assert left > 0
    again = start_publisher(
        uri,
        parts=tmp_path / "parts",
        commands=commands,
        environment=environment(),
        log=tmp_path / "again.log",
    )
    again.join(timeout=300)
    assert again.exitcode == 0
    published = [line[2] for line in lines_of(tmp_path / "again.log") if line[0] == "published"]
    assert published == [reference[which]["id"] for which in range(WINDOWS)]
    assert read_everything(store, known, tagged=True)[0] == set(known)
    assert read_ref(store) == published[-1]
    # What was left behind tells its age, and is no version.
    for name in hidden(store):
        assert "alive" in file_sizes(store / "versions" / name)


def test_killed_publisher_is_invisible_on_a_disk(
    tmp_path: Path, reference: dict[int, dict[str, str]]
) -> None:
    check_kills(
        str(tmp_path / "store"),
        tmp_path=tmp_path,
        kills=3,
        longest_s=0.3,
        reference=reference,
        seed=3,
    )


@pytest.mark.slow
def test_killed_publisher_is_invisible_in_an_object_store(
    tmp_path: Path, s3_store: str, reference: dict[int, dict[str, str]]
) -> None:
    check_kills(s3_store, tmp_path=tmp_path, kills=2, longest_s=1.5, reference=reference, seed=4)


@pytest.mark.long
@pytest.mark.parametrize("where", ["disk", "s3"])
def test_publisher_killed_at_20_moments(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    where: str,
    reference: dict[int, dict[str, str]],
) -> None:
    uri = str(tmp_path / "store") if where == "disk" else request.getfixturevalue("s3_store")
    check_kills(
        uri,
        tmp_path=tmp_path,
        kills=20,
        longest_s=0.4 if where == "disk" else 2.0,
        reference=reference,
        seed=5,
    )
