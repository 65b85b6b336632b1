import pytest

from primus_train.distributed import Ranks
from primus_train.encoding import check_parts
from schemas.errors import UsageError
from tests.primus_train.rank_steps import check_equal, take_steps

EVERY_KIND = [
    pytest.param((), id="primus"),
    pytest.param(("objective.terms=[ss,nn]",), id="ss+nn"),
    pytest.param(("objective.terms=[mm]", "objective.direction=symmetric"), id="imu2clip"),
    pytest.param(("objective.terms=[ss]",), id="simclr"),
    pytest.param(("objective.kind=multitask",), id="multitask"),
    pytest.param(("objective.kind=supervised",), id="supervised"),
    pytest.param(("optim.clip_norm=0.1", "optim.weight_decay=0.1"), id="clipped"),
]


@pytest.mark.parametrize("overrides", EVERY_KIND)
def test_micro_batches_give_the_loss_and_gradients_of_the_whole_batch(
    overrides: tuple[str, ...],
) -> None:
    wanted = take_steps(overrides, rows=8)
    got = take_steps((*overrides, "optim.micro_batches=4"), rows=8)
    gradients = {name: value for name, value in wanted.items() if name.startswith("grad.")}
    assert any(float(value.abs().max()) > 0 for value in gradients.values())
    check_equal(got, wanted)


def test_an_average_of_smaller_losses_would_be_noticed() -> None:
    wanted = take_steps((), rows=8)
    smaller = take_steps((), rows=4)
    assert float(smaller["loss.0.ss"]) < float(wanted["loss.0.ss"]) - 0.3


@pytest.mark.parametrize(("batch_size", "micro_batches", "size"), [(8, 3, 1), (12, 2, 4)])
def test_a_batch_must_fall_into_equal_parts(batch_size: int, micro_batches: int, size: int) -> None:
    with pytest.raises(UsageError, match=rf"multiple of {micro_batches * size} \({size} processes"):
        check_parts(
            batch_size=batch_size, micro_batches=micro_batches, ranks=Ranks(rank=0, size=size)
        )
    check_parts(batch_size=24, micro_batches=micro_batches, ranks=Ranks(rank=0, size=size))
