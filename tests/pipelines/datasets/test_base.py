from dataclasses import dataclass

import pytest

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import Catalogue, ImuRecording, read_limited_catalogue
from schemas.errors import UsageError
from schemas.take import Take
from tests.factories import make_take


@dataclass
class Reader:
    takes: tuple[Take, ...]
    name: str = "egoexo4d"

    def read_catalogue(self) -> Catalogue:
        return Catalogue(takes=self.takes, narrations={})

    def read_clock(self, take: Take) -> TakeClock:
        raise AssertionError(take)

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        raise AssertionError(take, clock)


def test_the_first_takes_are_kept() -> None:
    reader = Reader((make_take("a"), make_take("b"), make_take("c")))
    for limit, uids in ((None, "abc"), (2, "ab"), (9, "abc")):
        catalogue = read_limited_catalogue(reader, limit=limit)
        assert "".join(take.take_uid for take in catalogue.takes) == uids


@pytest.mark.parametrize("name", ["take_uid", "take_name", "participant", "label", "task_family"])
def test_a_name_that_utf8_cannot_write_is_refused(name: str) -> None:
    take = make_take(**({"uid": "a\ud800"} if name == "take_uid" else {name: "a\ud800"}))
    with pytest.raises(UsageError, match=rf"{name} must be text .* got 'a\\ud800'"):
        read_limited_catalogue(Reader((make_take("b"), take)), limit=None)
