import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from primus_train.bank import Bank
from primus_train.seeds import make_generator


def rows(count: int, *, start: int = 0) -> dict[str, Tensor]:
    """Rows that carry their number: direction (cos n, sin n) in 'imu', (n + 1) in 'video'."""
    n = torch.arange(start, start + count, dtype=torch.float32)
    imu = torch.stack([torch.cos(n), torch.sin(n)], dim=1)
    video = torch.stack([n + 1, torch.ones_like(n), torch.zeros_like(n)], dim=1)
    return {"imu": 7 * imu, "video": video}


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


def test_an_empty_bank_refuses_to_be_searched() -> None:
    with pytest.raises(ValueError, match="at least one embedding"):
        make(3).find(torch.ones(1, 2), by="imu")


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
    assert set(bank.state_dict()) == {"slots_imu", "slots_video", "position", "filled"}
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
