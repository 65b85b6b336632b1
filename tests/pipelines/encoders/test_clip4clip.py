import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from pipelines.config import EncoderConfig
from pipelines.encoders import clip4clip
from pipelines.encoders.clip4clip import Clip4ClipEncoder, open_clip4clip
from pipelines.encoders.make_encoder import make_encoder
from pipelines.encoders.registry import open_encoder
from schemas.errors import UsageError

TEXTS = [
    "picks up the knife",
    "",
    "the ball " * 12,
    "pours water into the bowl with both hands slowly",
    "the guitar " * 60,
    "the cup " * 7,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(path, preset="tiny", seed=1)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Clip4ClipEncoder:
    return open_clip4clip(EncoderConfig(name=str(folder), batch_size=8, precision="float32"))


@pytest.fixture(scope="module")
def half(folder: Path) -> Clip4ClipEncoder:
    return open_clip4clip(
        EncoderConfig(name=str(folder), batch_size=8, device="cpu", precision="bfloat16")
    )


@pytest.fixture(params=["encoder", "half"])
def either(request: pytest.FixtureRequest) -> Clip4ClipEncoder:
    found: Clip4ClipEncoder = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def make_pictures(count: int, *, height: int = 270, width: int = 360) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (count, height // 10, width // 10, 3), dtype=np.uint8)
    return np.kron(cells, np.ones((1, 10, 10, 1), np.uint8))


def test_frames_are_those_of_plain_transformers(folder: Path, encoder: Clip4ClipEncoder) -> None:
    pictures = make_pictures(5)
    model = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
    with torch.no_grad():
        pixels = CLIPImageProcessorPil()(list(pictures), return_tensors="pt")["pixel_values"]
        expected = model(pixel_values=pixels).image_embeds.numpy()
    ours = encoder.encode_frames(pictures)
    assert (ours.dtype, ours.shape) == (np.float32, (5, 64))
    error = np.linalg.norm(ours - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 6e-4


def test_texts_are_those_of_plain_transformers(folder: Path, encoder: Clip4ClipEncoder) -> None:
    model = CLIPTextModelWithProjection.from_pretrained(folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    rows = []
    for text in TEXTS:
        tokens = tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**tokens).text_embeds[0].numpy())
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), np.stack(rows), rtol=1e-4, atol=2e-6)


def test_frames_depend_on_their_own_content_alone(either: Clip4ClipEncoder) -> None:
    pictures = make_pictures(11)
    together = either.encode_frames(pictures)
    alone = np.concatenate([either.encode_frames(p[None]) for p in pictures])
    np.testing.assert_array_equal(alone, together)
    order = np.random.default_rng(3).permutation(11)
    np.testing.assert_array_equal(either.encode_frames(pictures[order]), together[order])


def test_sentences_depend_on_their_own_content_alone(either: Clip4ClipEncoder) -> None:
    texts = [f"{text} {i}" for i in range(2) for text in TEXTS]
    together = either.encode_texts(texts)
    alone = np.concatenate([either.encode_texts([text]) for text in texts])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(either.encode_texts(texts[::-1]), together[::-1])


@pytest.mark.usefixtures("two_threads")
def test_number_of_threads_does_not_change_bits(either: Clip4ClipEncoder) -> None:
    pictures = make_pictures(8)
    two = either.encode_frames(pictures), either.encode_texts(TEXTS)
    torch.set_num_threads(1)
    one = either.encode_frames(pictures), either.encode_texts(TEXTS)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_threads_may_share_the_encoder(encoder: Clip4ClipEncoder) -> None:
    expected = encoder.encode_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: encoder.encode_texts(TEXTS), range(12)))
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_every_call_has_one_of_four_shapes(
    encoder: Clip4ClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    inner = encoder._call

    def record(model: object, *inputs: torch.Tensor) -> npt.NDArray[np.float32]:
        shapes.extend({tuple(clip4clip._pad_rows(x, 8).shape) for x in inputs})
        return inner(model, *inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "_call", record)
    encoder.encode_frames(make_pictures(9))
    encoder.encode_texts(TEXTS)
    assert shapes == [(8, 3, 224, 224)] * 2 + [(8, 16), (8, 32), (8, 77)]


def test_nothing_gives_no_rows(encoder: Clip4ClipEncoder) -> None:
    assert encoder.encode_frames(make_pictures(0)).shape == (0, 64)
    assert encoder.encode_texts([]).shape == (0, 64)
    assert encoder.count_tokens([]) == []


def test_tokens_are_counted_before_truncation(encoder: Clip4ClipEncoder) -> None:
    assert encoder.count_tokens(TEXTS) == [6, 2, 26, 11, 122, 16]
    a, b = encoder.encode_texts(["the guitar " * 60, "the guitar " * 61])
    np.testing.assert_array_equal(a, b)


def test_batch_size_is_part_of_the_identity(folder: Path) -> None:
    a = open_clip4clip(EncoderConfig(name=str(folder), batch_size=4)).spec
    b = open_clip4clip(EncoderConfig(name=str(folder), batch_size=5)).spec
    assert (a.batch_size, b.batch_size) == (4, 5)
    assert a.model_copy(update={"batch_size": 5}) == b


def test_registry_loads_each_config_once(folder: Path) -> None:
    config = EncoderConfig(name=str(folder), batch_size=2)
    assert open_encoder(config) is open_encoder(EncoderConfig(name=str(folder), batch_size=2))
    assert open_encoder(config) is not open_encoder(EncoderConfig(name=str(folder), batch_size=3))


def test_missing_weight_is_refused_not_filled_in(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"1 are not, such as text_projection\.weight"):
        open_clip4clip(EncoderConfig(name=str(copy)))


def test_cut_weights_are_refused(copy: Path) -> None:
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[:1000])
    with pytest.raises(UsageError, match=r"encoder weights must be a file of tensors .*, got "):
        open_clip4clip(EncoderConfig(name=str(copy)))


def test_bfloat16_is_near_and_another_identity(
    half: Clip4ClipEncoder, encoder: Clip4ClipEncoder
) -> None:
    assert (half.spec.precision, encoder.spec.precision) == ("bfloat16", "float32")
    assert half.spec.weights_sha256 == encoder.spec.weights_sha256
    for found, exact in (
        (half.encode_frames(make_pictures(9)), encoder.encode_frames(make_pictures(9))),
        (half.encode_texts(TEXTS), encoder.encode_texts(TEXTS)),
    ):
        assert found.dtype == np.float32
        error = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)
        # Eight bits of mantissa through two layers; equal vectors would mean it was not used.
        assert 1e-4 < error.max() < 3e-2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_absent_device_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="must be a device this machine has, got cuda"):
        open_clip4clip(EncoderConfig(name=str(folder), device="cuda"))
    assert open_clip4clip(EncoderConfig(name=str(folder))).spec.device_kind == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees_with_cpu_and_is_another_identity(
    folder: Path, encoder: Clip4ClipEncoder
) -> None:
    cuda = open_clip4clip(
        EncoderConfig(name=str(folder), batch_size=8, device="cuda", precision="float32")
    )
    assert cuda.spec.device_kind == "cuda"
    pictures = make_pictures(11)
    expected = encoder.encode_frames(pictures)
    error = np.abs(cuda.encode_frames(pictures) - expected).max() / np.abs(expected).max()
    assert error < 1e-4
