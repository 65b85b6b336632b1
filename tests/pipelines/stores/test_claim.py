from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.storage.places import Place, open_place
from pipelines.stores.claim import claim
from tests.storage_server import Fault, S3Server


@pytest.fixture(params=["disk", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        return open_place(request.getfixturevalue("s3_store")) / "claim"
    uri = str(tmp_path) if request.param == "disk" else f"memory://{tmp_path.name}"
    return open_place(uri) / "masks" / "claim"


def test_the_first_one_stays(place: Place) -> None:
    assert claim(place, b"one") == b"one"
    assert claim(place, b"two") == b"one"
    assert place.read_bytes() == b"one"


def test_of_many_at_once_all_learn_of_the_same_winner(place: Place) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda n: claim(place, f"{n}".encode()), range(16)))
    assert len(found) == 1
    assert found == {place.read_bytes()}


def test_no_litter_on_a_disk(tmp_path: Path) -> None:
    claim(tmp_path / "c", b"one")
    claim(tmp_path / "c", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.slow
def test_a_claim_whose_answer_was_lost_is_still_ours(s3_server: S3Server, s3_store: str) -> None:
    place = open_place(s3_store) / "claim"
    s3_server.fail(Fault(kind="cut_after", methods=("PUT",), at_most=1))
    assert claim(place, b"one") == b"one"
    assert s3_server.counts()["faults"] == {"cut_after": 1}
    assert claim(place, b"two") == b"one"
