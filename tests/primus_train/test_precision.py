import pytest
import torch

from primus_train.precision import check_precision, encoder_precision, product_precision
from schemas.errors import UsageError

CPU = torch.device("cpu")
CUDA = torch.device("cuda")  # a name alone: no such device is touched


def switches() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("tf32", True)])
def test_tensorfloat_is_allowed_or_forbidden_everywhere_and_then_as_before(
    precision: str, allowed: bool
) -> None:
    before = switches()
    seen = []

    def fail() -> None:
        with product_precision(precision, device=CUDA):  # type: ignore[arg-type]
            seen.append(switches())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [(allowed, allowed)]
    assert switches() == before


def test_on_a_cpu_the_switches_are_left_alone() -> None:
    before = switches()
    with product_precision("tf32", device=CPU):
        assert switches() == before


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_products_are_of_the_precision_asked_for(precision: str, dtype: torch.dtype) -> None:
    x = torch.ones(2, 2)
    with encoder_precision(precision, device=CPU):  # type: ignore[arg-type]
        assert (x @ x).dtype == dtype


def test_a_cpu_has_no_tensorfloat() -> None:
    with pytest.raises(UsageError, match="tf32 needs device cuda, got device cpu"):
        check_precision("tf32", device=CPU)
    check_precision("bf16", device=CPU)
    check_precision("float32", device=CPU)


def test_a_gpu_without_bfloat16_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old GPU")
    with pytest.raises(UsageError, match="bf16 needs a GPU with bfloat16, got Old GPU"):
        check_precision("bf16", device=CUDA)
    check_precision("tf32", device=CUDA)
