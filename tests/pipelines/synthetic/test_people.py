from itertools import pairwise

import numpy as np
import pytest

from pipelines.synthetic.people import make_participant, make_people, make_schedule, split_of


def test_people_depend_on_number_and_seed_alone() -> None:
    people = make_people(5, seed=2)
    assert [person.participant_uid for person in people] == [101, 102, 103, 104, 105]
    assert people[3] == make_participant(3, seed=2) == make_people(9, seed=2)[3]
    assert len({person.tempo for person in (*people, make_participant(0, seed=3))}) == 6


def test_splits_are_by_person_where_there_are_three() -> None:
    assert [split_of(p, participants=4, index=p) for p in range(4)] == [
        "train",
        "train",
        "val",
        "test",
    ]
    assert {split_of(3, participants=4, index=i) for i in range(8)} == {"test"}
    assert [split_of(i % 2, participants=2, index=i) for i in range(4)] == [
        "train",
        "val",
        "test",
        "train",
    ]


@pytest.mark.parametrize("seconds", [1.0, 8.5, 300.0])
def test_schedules_fill_the_time(seconds: float) -> None:
    parts = make_schedule(seconds, rng=np.random.default_rng(0))
    bounds = [parts[0].start_s, *(part.end_s for part in parts)]
    assert (bounds[0], bounds[-1]) == (0, seconds)
    assert [part.start_s for part in parts] == bounds[:-1]
    assert all(a.sub_action != b.sub_action for a, b in pairwise(parts))
    # A rest of less than 4 s joins the part before it, which then lasts up to 13 s.
    assert all(4 <= part.end_s - part.start_s < 13 for part in parts) or seconds < 4


def test_no_time_has_no_schedule() -> None:
    assert make_schedule(0.0, rng=np.random.default_rng(0)) == ()
