"""seqTransf against an independent forward pass through torch's own attention modules."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipelines.encoders.random_seq_transf import make_seq_transf
from pipelines.encoders.seq_transf import SeqTransf, read_seq_transf
from pipelines.stores.pool_frames import unit_rows
from schemas.errors import TakeError, UsageError
from tests.pipelines.encoders.openai_clip import DIM, Clip4Clip, make_model

PATH = Path("checkpoint.bin")


@pytest.fixture(scope="module")
def model() -> Clip4Clip:
    return make_model(5)


@pytest.fixture(scope="module")
def pooler(model: Clip4Clip) -> SeqTransf:
    return read_seq_transf(model.state_dict(), dim=DIM, path=PATH)


def make_frames(count: int, *, seed: int = 0) -> npt.NDArray[np.float16]:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float16)


@pytest.mark.parametrize("count", [1, 2, 50, 60])
def test_vectors_are_those_of_an_independent_forward_pass(
    count: int, model: Clip4Clip, pooler: SeqTransf
) -> None:
    frames = make_frames(count)
    # As CLIP4Clip calls it: a batch, padded to one length and masked.
    batch = torch.zeros(2, 60, DIM)
    batch[0, :count] = torch.from_numpy(frames.astype(np.float32))
    batch[1] = 1.0
    present = torch.zeros(2, 60, dtype=torch.bool)
    present[0, :count] = True
    present[1] = True
    with torch.no_grad():
        expected = model.pool(batch, present)[0].numpy()
    pooled = pooler(frames)
    assert np.abs(pooled / np.linalg.norm(pooled) - expected).max() < 1e-5


def test_order_and_every_frame_matter(pooler: SeqTransf) -> None:
    frames = make_frames(20)
    pooled = pooler(frames)
    assert np.abs(pooler(frames[::-1].copy()) - pooled).max() > 1e-3
    assert np.abs(pooler(frames[:19]) - pooled).max() > 1e-3
    unit = frames.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    assert np.abs(unit.mean(axis=0) - pooled).max() > 1e-2


def test_number_of_threads_does_not_change_bits_and_is_left_alone(pooler: SeqTransf) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(pooler(make_frames(50)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])


def test_digest_follows_the_weights_of_the_head_alone(model: Clip4Clip, pooler: SeqTransf) -> None:
    state = model.state_dict()
    other = {**state, "clip.visual.proj": torch.zeros(1)}
    assert read_seq_transf(other, dim=DIM, path=PATH).sha256 == pooler.sha256
    name = "transformerClip.resblocks.1.ln_2.bias"
    other = {**state, name: state[name] + 1e-3}
    assert read_seq_transf(other, dim=DIM, path=PATH).sha256 != pooler.sha256


def test_too_many_frames_are_refused(pooler: SeqTransf) -> None:
    with pytest.raises(UsageError, match="at most 60 frames a segment, got 61"):
        pooler(make_frames(61))


def test_frames_that_are_not_finite_are_a_fault_of_the_take(pooler: SeqTransf) -> None:
    frames = make_frames(5)
    frames[2, 3] = np.inf
    with pytest.raises(TakeError, match="embedding_not_finite"):
        unit_rows(pooler(frames)[None], present=np.array([True]))


def test_incomplete_and_unfitting_heads_are_refused(model: Clip4Clip) -> None:
    state = model.state_dict()
    clip = {name: value for name, value in state.items() if name.startswith("clip.")}
    with pytest.raises(UsageError, match=r"holds frame_position_embeddings\.weight and .* without"):
        read_seq_transf(clip, dim=DIM, path=PATH)
    name = "transformerClip.resblocks.0.attn.in_proj_bias"
    with pytest.raises(UsageError, match=rf"1 are not, such as {name}"):
        read_seq_transf({k: v for k, v in state.items() if k != name}, dim=DIM, path=PATH)
    with pytest.raises(UsageError, match=r"must have shape \(60, 128\), as .* 128 values, got"):
        read_seq_transf(state, dim=2 * DIM, path=PATH)
    wrong = {**state, name: torch.zeros(DIM)}
    with pytest.raises(UsageError, match=r"in_proj_bias must have shape \(192,\)"):
        read_seq_transf(wrong, dim=DIM, path=PATH)


def test_random_heads_follow_their_generator() -> None:
    def make(seed: int) -> SeqTransf:
        generator = torch.Generator().manual_seed(seed)
        weights = make_seq_transf(DIM, positions=9, blocks=3, generator=generator)
        return read_seq_transf(weights, dim=DIM, path=PATH)

    assert make(1).sha256 == make(1).sha256 != make(2).sha256
    assert make(1).positions == 9
    assert np.isfinite(make(1)(make_frames(9))).all()
