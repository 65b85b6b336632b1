import pytest
import torch

from pipelines.encoders.device import choose_device, choose_precision, torch_dtype
from schemas.errors import UsageError


@pytest.mark.parametrize(
    ("cuda", "native", "device", "precision", "found"),
    [
        (False, False, "auto", "auto", ("cpu", "float32")),
        (False, False, "cpu", "bfloat16", ("cpu", "bfloat16")),
        (True, True, "auto", "auto", ("cuda", "bfloat16")),
        (True, False, "auto", "auto", ("cuda", "float32")),
        (True, True, "cuda", "float32", ("cuda", "float32")),
        (True, True, "cpu", "auto", ("cpu", "float32")),
    ],
)
def test_the_machine_settles_what_is_left_open(
    cuda: bool,
    native: bool,
    device: str,
    precision: str,
    found: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    kind = choose_device(device)
    assert (kind, choose_precision(precision, device_kind=kind)) == found


def test_what_the_machine_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"encoder\.device must be a device .*, got cuda"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(UsageError, match=r"encoder\.precision must be .*, got bfloat16"):
        choose_precision("bfloat16", device_kind="cuda")


def test_names_of_precisions() -> None:
    assert torch_dtype("float32") is torch.float32
    assert torch_dtype("bfloat16") is torch.bfloat16
