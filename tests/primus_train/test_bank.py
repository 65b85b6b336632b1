import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from primus_train.bank import Bank
from primus_train.data.facts import FACTS, WINDOW, unknown_facts
from primus_train.seeds import make_generator


def rows(count: int, *, start: int = 0) -> dict[str, Tensor]:
    """Rows that carry their number: direction (cos n, sin n) in 'imu', (n + 1) in 'video'."""
    n = torch.arange(start, start + count, dtype=torch.float32)
    imu = torch.stack([torch.cos(n), torch.sin(n)], dim=1)
    video = torch.stack([n + 1, torch.ones_like(n), torch.zeros_like(n)], dim=1)
    return {"imu": 7 * imu, "video": video}


def facts(windows: list[int]) -> Tensor:
    """Facts of segments of which only the window is known; -1 is not."""
    values = unknown_facts(len(windows))
    values[:, WINDOW] = torch.tensor(windows)
    return values


def numbers(bank: Bank) -> list[int]:
    """The numbers of the rows in the filled slots, slot by slot."""
    video = bank.get(torch.arange(len(bank)), name="video")
    return [round(float(v[0] / v[1])) - 1 for v in video]


def make(size: int) -> Bank:
    return Bank(size=size, widths={"imu": 2, "video": 3})


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [5, 5], [1] * 12, [4, 7], [5, 1, 6], [13], [0, 4]])
def test_holds_the_latest_rows_whatever_the_batches(sizes: list[int]) -> None:
    bank, ring, place, start = make(5), [-1] * 5, 0, 0
    for size in sizes:
        bank.enqueue(rows(size, start=start))
        for number in range(start, start + size):
            ring[place] = number
            place = (place + 1) % 5
        start += size
        assert len(bank) == min(start, 5)
        assert numbers(bank) == ring[: len(bank)]
    assert set(numbers(bank)) == set(range(max(0, start - 5), start))


def test_finds_the_nearest_filled_slot_by_slow_search() -> None:
    bank = make(20)
    bank.enqueue(rows(11))
    queries = torch.randn(50, 2, generator=make_generator(0, "q"))
    stored = F.normalize(rows(11)["imu"], dim=1)
    wanted = [max(range(11), key=lambda k: float(torch.dot(query, stored[k]))) for query in queries]
    assert bank.find(queries, by="imu").tolist() == wanted


def test_empty_slots_are_never_found() -> None:
    bank = make(8)
    bank.enqueue(rows(2))
    # Every stored row points away from the query: a zero slot would score higher.
    query = -bank.get(torch.tensor([0, 1]), name="video").sum(dim=0, keepdim=True)
    assert int(bank.find(query, by="video")) in {0, 1}


def test_an_empty_bank_has_nothing_to_find() -> None:
    bank = make(3)
    assert bank.find(torch.ones(2, 2), by="imu").tolist() == [-1, -1]
    assert int(bank.filled) == 0


def test_all_modalities_of_a_slot_are_one_segment() -> None:
    bank = make(6)
    bank.enqueue(rows(4))
    bank.enqueue(rows(4, start=4))
    slot = bank.find(rows(1, start=6)["imu"], by="imu")
    assert numbers(bank)[int(slot)] == 6


def test_everything_is_in_the_state_dict() -> None:
    bank = make(4)
    bank.enqueue(rows(6))
    other = make(4)
    other.load_state_dict(bank.state_dict())
    names = {"slots_imu", "slots_video", "facts", "position", "filled"}
    assert set(bank.state_dict()) == names
    assert len(other) == 4
    bank.enqueue(rows(1, start=6))
    other.enqueue(rows(1, start=6))
    assert numbers(other) == numbers(bank) == [4, 5, 6, 3]


def test_stored_rows_are_unit_and_detached() -> None:
    bank = make(4)
    data = rows(3)
    data["imu"].requires_grad_()
    bank.enqueue(data)
    stored = bank.get(torch.arange(3), name="imu")
    assert not stored.requires_grad
    assert torch.allclose(stored.norm(dim=1), torch.ones(3))


def test_rows_that_do_not_match_are_refused() -> None:
    data = rows(3)
    data["video"] = data["video"][:2]
    with pytest.raises(ValueError, match=r"equally many rows of imu, video, got .*'video': 2"):
        make(4).enqueue(data)
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        make(0)


@pytest.mark.parametrize("size", [1, 3, 5, 8, 40])
def test_only_kept_rows_enter_whatever_is_kept(size: int) -> None:
    generator = make_generator(0, "keep")
    bank, ring, place, start = make(size), [-1] * size, 0, 0
    for offered in (1, 4, 7, 12, 2, 7):
        keep = torch.rand(offered, generator=generator) < 0.6
        bank.enqueue(rows(offered, start=start), keep=keep)
        for i, enters in enumerate(keep.tolist()):
            if enters:
                ring[place % size] = start + i
                place += 1
        start += offered
        assert len(bank) == min(place, size)
        assert int(bank.position) == place % size
        assert numbers(bank) == ring[: len(bank)]


def test_a_batch_of_which_nothing_enters_leaves_all_slots_alone() -> None:
    bank = make(3)
    bank.enqueue(rows(2), keep=torch.zeros(2, dtype=torch.bool))
    assert len(bank) == 0
    bank.enqueue(rows(2, start=5))
    before = {name: t.clone() for name, t in bank.state_dict().items()}
    bank.enqueue(rows(3, start=9), keep=torch.zeros(3, dtype=torch.bool))
    assert all(torch.equal(before[name], t) for name, t in bank.state_dict().items())


def test_nothing_of_rows_that_do_not_enter_is_stored() -> None:
    bank, data = make(4), rows(3)
    data["video"][1] = torch.nan
    bank.enqueue(data, keep=torch.tensor([True, False, True]))
    assert numbers(bank) == [0, 2]
    assert all(torch.isfinite(t).all() for t in bank.state_dict().values())


def test_a_querys_own_window_from_an_earlier_epoch_is_no_neighbour() -> None:
    bank = make(6)
    bank.enqueue(rows(4), facts=facts([7, 8, 7, 9]))
    queries = rows(4)["imu"]
    assert bank.find(queries, by="imu").tolist() == [0, 1, 2, 3]
    found = bank.find(queries, by="imu", facts=facts([7, 8, 9, -1]))
    imu = F.normalize(queries, dim=1)
    # Row 0 shares its window with slot 2 (another sentence about it): that one is its own as well.
    nearest = [
        max(allowed, key=lambda k: float(torch.dot(imu[i], imu[k])))
        for i, allowed in enumerate([[1, 3], [0, 2, 3], [0, 1, 2], [0, 1, 2, 3]])
    ]
    assert found.tolist() == nearest
    assert nearest[3] == 3


def test_a_bank_of_nothing_but_the_own_window_has_no_neighbour() -> None:
    bank = make(6)
    bank.enqueue(rows(3), facts=facts([7, 7, 7]))
    found = bank.find(rows(2)["imu"], by="imu", facts=facts([7, 5]))
    assert found.tolist() == [-1, 1]


def test_windows_that_are_not_known_bar_no_slot() -> None:
    bank = make(6)
    bank.enqueue(rows(3))
    assert torch.equal(bank.facts, torch.full((6, FACTS), -1))
    assert bank.find(rows(3)["imu"], by="imu", facts=unknown_facts(3)).tolist() == [0, 1, 2]


def test_a_query_that_is_no_number_has_no_neighbour() -> None:
    bank = make(6)
    bank.enqueue(rows(3))
    queries = rows(2)["imu"]
    queries[0, 1] = torch.nan
    assert bank.find(queries, by="imu").tolist() == [-1, 1]


class ListBank:
    """The same ring as a plain list of (window, imu, video), searched by a loop."""

    def __init__(self, size: int) -> None:
        self.slots: list[tuple[int, Tensor, Tensor] | None] = [None] * size
        self.place = 0

    def add(self, window: int, imu: Tensor, video: Tensor) -> None:
        self.slots[self.place] = (window, imu / imu.norm(), video / video.norm())
        self.place = (self.place + 1) % len(self.slots)

    def find(self, query: Tensor, *, window: int, by: str) -> int:
        best, slot = -2.0, -1
        for k, stored in enumerate(self.slots):
            if stored is None or (window >= 0 and stored[0] == window):
                continue
            values = stored[1] if by == "imu" else stored[2]
            cosine = sum(a * b for a, b in zip(query.tolist(), values.tolist(), strict=True))
            if cosine > best:
                best, slot = cosine, k
        return slot


@pytest.mark.slow
def test_a_thousand_random_updates_leave_what_a_plain_list_holds() -> None:
    generator = make_generator(0, "thousand")
    bank, plain, rounds = Bank(size=13, widths={"imu": 4, "video": 3}), ListBank(13), 0
    for _ in range(1000):
        count = int(torch.randint(0, 9, (), generator=generator))
        imu = torch.randn(count, 4, generator=generator)
        video = torch.randn(count, 3, generator=generator)
        # Few windows, so that banks often hold a query's own.
        windows = torch.randint(-1, 6, (count,), generator=generator).tolist()
        for by, queries in (("imu", imu), ("video", video)):
            unit = queries / queries.norm(dim=1, keepdim=True)
            wanted = [plain.find(unit[i], window=windows[i], by=by) for i in range(count)]
            assert bank.find(queries, by=by, facts=facts(windows)).tolist() == wanted
        keep = torch.rand(count, generator=generator) < 0.7
        bank.enqueue({"imu": imu, "video": video}, facts=facts(windows), keep=keep)
        for i in torch.arange(count)[keep].tolist():
            plain.add(windows[i], imu[i], video[i])
            rounds += plain.place == 0
        assert len(bank) == sum(slot is not None for slot in plain.slots)
        assert int(bank.position) == plain.place
    assert rounds > 100
    for k, stored in enumerate(plain.slots):
        assert stored is not None
        assert int(bank.facts[k, WINDOW]) == stored[0]
        for name, values in (("imu", stored[1]), ("video", stored[2])):
            assert torch.allclose(bank.get(torch.tensor([k]), name=name)[0], values)
