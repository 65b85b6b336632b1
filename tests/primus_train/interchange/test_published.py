from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from primus_train.encoders.stacked_rnn import StackedRnn
from primus_train.interchange.published import (
    LAYOUTS,
    find_layout,
    published_state,
    read_published,
)
from schemas.errors import StoreNotFoundError, UsageError
from tests.primus_train.interchange.published_encoders import (
    make_published,
    windows,
    write_lightning,
)

RAN: list[str] = []


class Payload:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (RAN.append, ("ran",))


def lightning(path: Path, layout: str) -> Path:
    return write_lightning(path, make_published(layout))


def alone(path: Path, layout: str) -> Path:
    torch.save(make_published(layout).state_dict(), path)
    return path


@pytest.mark.parametrize("write", [lightning, alone])
@pytest.mark.parametrize(
    ("layout", "samples"), [("primus", 250), ("primus-one-head", 250), ("imu2clip", 1000)]
)
def test_a_published_encoder_gives_what_it_gave_before(
    tmp_path: Path, layout: Any, samples: int, write: Callable[[Path, str], Path]
) -> None:
    tensors = read_published(write(tmp_path / "published", layout))
    encoder = StackedRnn(pooling=LAYOUTS[layout].pooling)
    encoder.load_state_dict(published_state(tensors, layout=layout))
    x = windows(samples)
    with torch.no_grad():
        wanted, got = make_published(layout)(x), encoder(x)
    for name, value in wanted.items():
        torch.testing.assert_close(getattr(got, name), value, rtol=0, atol=1e-6)
    assert wanted["multimodal"].std() > 0.01
    assert LAYOUTS[layout].samples == samples


@pytest.mark.parametrize(
    ("layout", "found"),
    [("primus", "primus"), ("imu2clip", "imu2clip"), ("primus-one-head", "imu2clip")],
)
def test_the_layout_is_told_by_the_keys_as_far_as_they_go(
    tmp_path: Path, layout: str, found: str
) -> None:
    assert find_layout(read_published(lightning(tmp_path / "x.ckpt", layout))) == found


def test_half_precision_weights_come_as_float32() -> None:
    state = {name: value.half() for name, value in make_published("primus").state_dict().items()}
    ours = published_state(state, layout="primus")
    assert {value.dtype for value in ours.values()} == {torch.float32}
    torch.testing.assert_close(ours["ssl_head.bias"], state["ssl_head.bias"].float())


def test_a_pickle_payload_is_refused_and_never_run(tmp_path: Path) -> None:
    path = write_lightning(
        tmp_path / "x.ckpt", make_published("primus"), hyper_parameters={"model": Payload()}
    )
    with pytest.raises(UsageError) as caught:
        read_published(path)
    assert RAN == []
    said = str(caught.value)
    assert "must hold tensors and plain values only, found the Python object" in said
    assert "re-save its weights alone" in said
    assert str(path) in said
    assert "\n" not in said
    assert said.count(". ") == 0


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        del state[name]

    return change


def put(name: str, value: Tensor) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        state[name] = value

    return change


@pytest.mark.parametrize(
    ("layout", "change", "said"),
    [
        pytest.param(
            "primus",
            without("mmcl_head.bias"),
            r"layout primus .*, missing are mmcl_head\.bias: other architectures",
            id="missing",
        ),
        pytest.param(
            "primus",
            put("backbone.1.net.0.bias", torch.zeros(32)),
            r"over are backbone\.1\.net\.0\.bias: ",
            id="over",
        ),
        pytest.param(
            "imu2clip",
            put("net.5.weight_hh_l0", torch.zeros(384, 128)),
            r"net\.5\.weight_hh_l0 is \(384, 128\) instead of \(1536, 512\)",
            id="narrower",
        ),
        pytest.param(
            "imu2clip",
            put("ssl_head.bias", torch.zeros(512)),
            r"over are ssl_head\.bias",
            id="head_where_there_is_none",
        ),
        pytest.param(
            "primus",
            put("ssl_head.bias", torch.full((512,), torch.nan)),
            r"weights must be finite, got NaN or infinity in ssl_head\.bias",
            id="nan",
        ),
    ],
)
def test_another_architecture_is_refused_with_what_is_other(
    layout: Any, change: Callable[[dict[str, Tensor]], None], said: str
) -> None:
    state = dict(make_published(layout).state_dict())
    change(state)
    with pytest.raises(UsageError, match=said):
        published_state(state, layout=layout)


def test_the_layout_asked_for_decides(tmp_path: Path) -> None:
    state = read_published(lightning(tmp_path / "x.ckpt", "imu2clip"))
    with pytest.raises(
        UsageError, match=r"missing are backbone\.0\.bias, .* and 9 more, over are net\.0\.bias, "
    ):
        published_state(state, layout="primus")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            {"state_dict": {"imu_encoder.encoder.0.weight": torch.zeros(6)}},
            r"an encoder under imu_encoder\.backbone or imu_encoder\.net, its keys are "
            r"imu_encoder\.encoder\.0\.weight ",
            id="another_encoder",
        ),
        pytest.param(
            {"tensors": {}, "meta": "{}"}, "its keys are meta, tensors", id="one_of_our_own"
        ),
        pytest.param({}, "its keys are none", id="empty"),
        pytest.param([torch.zeros(1)], "must hold a state dict, got list", id="a_list"),
        pytest.param({"state_dict": 3}, "must hold a state dict, got dict", id="a_number"),
        pytest.param(
            {"backbone.0.weight": 3}, r"backbone\.0\.weight must be a tensor, got int", id="value"
        ),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UsageError, match=said):
        read_published(tmp_path / "x.pt")


def test_a_cut_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    whole = alone(tmp_path / "x.pt", "imu2clip").read_bytes()
    (tmp_path / "x.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"must (be a file of torch\.save|hold tensors and)"):
        read_published(tmp_path / "x.pt")
    with pytest.raises(StoreNotFoundError, match=r"must be a file, none found .*nothing\.pt"):
        read_published(tmp_path / "nothing.pt")
