import copy
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from primus_train.config import FitConfig, make_fit_config
from primus_train.data.facts import unknown_facts
from primus_train.data.triplets import Batch
from primus_train.distributed import Ranks
from primus_train.objectives.base import Objective
from primus_train.objectives.registry import make_objective
from primus_train.optimizer import make_optimizer
from primus_train.recording import RecordedStep
from primus_train.seeds import make_generator
from primus_train.step import Step, make_step
from schemas.errors import UsageError

CPU = torch.device("cpu")
# What makes the host wait for a device: reading a value back, or a shape that depends on values.
WAITING = {
    "aten._local_scalar_dense",
    "aten.item",
    "aten.equal",
    "aten.is_nonzero",
    "aten.masked_select",
    "aten.nonzero",
    "aten.unique",
    "aten._unique2",
}


class NoWaiting(TorchDispatchMode):
    """Refuse every operation that would make the host wait."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func.overloadpacket)
        if name in WAITING:
            raise AssertionError(f"{name} makes the host wait")
        if name in {"aten.index", "aten.index_put", "aten.index_put_"}:
            indices = [index for index in args[1] if index is not None]
            assert all(index.dtype != torch.bool for index in indices), f"{name} with a mask"
        return func(*args, **(kwargs or {}))


def make(*overrides: str) -> tuple[FitConfig, Objective, torch.optim.Adam]:
    config = make_fit_config(overrides=["objective.bank_size=24", *overrides])
    objective = make_objective(config, channels=6, video_width=9, text_width=7).train()
    return config, objective, make_optimizer(objective, config=config, device=CPU)


def batches(count: int, *, rows: int = 8) -> list[tuple[Batch, Tensor]]:
    generator = make_generator(0, "batches")
    found = []
    for _ in range(count):
        valid = torch.ones(rows, 3, dtype=torch.bool)
        valid[:, 1:] = torch.rand(rows, 1, generator=generator) < 0.7
        batch = Batch(
            imu=torch.randn(rows, 6, 250, generator=generator),
            video=torch.randn(rows, 9, generator=generator),
            text=torch.randn(rows, 7, generator=generator),
            valid=valid,
            facts=unknown_facts(rows),
        )
        found.append((batch, torch.randn(rows, 6, 250, generator=generator)))
    return found


def state(objective: Objective) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in objective.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param((), id="primus"),
        pytest.param(("objective.terms=[ss, nn]",), id="ss+nn"),
        pytest.param(
            ("objective.masked_neighbours=by_imu", "optim.clip_norm=1"), id="by_imu_clipped"
        ),
        pytest.param(("optim.micro_batches=2", "optim.schedule=cosine"), id="micro_batches"),
        pytest.param(("objective.neighbours=text",), id="by_text"),
        pytest.param(("objective.drop_false_negatives=[overlap, sentence]",), id="false_negatives"),
        pytest.param(("objective.direction=symmetric", "objective.bank_size=3"), id="small_bank"),
        pytest.param(
            ("view.transforms=[jitter, segment_permutation, rotation, inversion, scaling]",),
            id="views",
        ),
        pytest.param(
            ("view.transforms=[time_warp, channel_permutation, step_scaling, time_reversal]",),
            id="other_views",
        ),
        pytest.param(("objective.kind=multitask",), id="multitask"),
    ],
)
def test_the_host_waits_for_nothing_inside_a_step(overrides: tuple[str, ...]) -> None:
    config, objective, optimizer = make(*overrides)
    step = make_step(objective, optimizer, config=config, device=CPU)
    generator = torch.Generator()
    losses = []
    with NoWaiting():
        for number, (batch, _) in enumerate(batches(4)):
            generator.manual_seed(number)
            view = objective.make_view(batch.imu, generator=generator)
            losses.append(step(batch, view=view)["loss"])
    assert all(torch.isfinite(loss) for loss in losses)


@pytest.mark.parametrize(
    "wait",
    [
        pytest.param(lambda x: float(x.sum()), id="value"),
        pytest.param(lambda x: x[x > 0], id="mask"),
        pytest.param(lambda x: (x > 0).nonzero(), id="nonzero"),
    ],
)
def test_waiting_would_be_noticed(wait: Callable[[Tensor], object]) -> None:
    with NoWaiting(), pytest.raises(AssertionError, match=r"host wait|with a mask"):
        wait(torch.ones(3))


def test_a_step_is_adam_on_the_loss_it_returns() -> None:
    config, objective, optimizer = make()
    plain = copy.deepcopy(objective)
    slow = torch.optim.Adam(plain.parameters(), lr=config.optim.learning_rate, foreach=False)
    step = Step(objective, optimizer, config=config, device=CPU)
    for batch, view in batches(4):
        got = step(batch, view=view)
        slow.zero_grad()
        losses = plain(batch, view=view)
        losses.total.backward()
        slow.step()
        assert float(got["loss"]) == pytest.approx(float(losses.total.detach()), rel=1e-5)
        assert set(got) == {"loss", *losses.parts}
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(objective.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_clipping_shortens_all_gradients_together() -> None:
    norms = []
    for overrides in ((), ("optim.clip_norm=0.5",), ("optim.clip_norm=1000",)):
        config, objective, optimizer = make(*overrides)
        step = Step(objective, optimizer, config=config, device=CPU)
        ((batch, view),) = batches(1)
        outcome = step(batch, view=view)
        gradients = [w.grad for w in objective.parameters() if w.grad is not None]
        norm = torch.cat([g.flatten() for g in gradients]).double().norm()
        norms.append((float(norm), outcome.get("gradient_norm")))
    (plain, none), (clipped, before), (left, its) = norms
    assert none is None
    assert clipped == pytest.approx(0.5, rel=1e-4)
    assert plain > 1
    assert left == pytest.approx(plain, rel=1e-6)
    # What is told is the length before.
    assert float(before or 0) == pytest.approx(plain, rel=1e-5)
    assert float(its or 0) == pytest.approx(plain, rel=1e-5)


class FakeRecorder:
    """Records on the CPU: what it replays is the work again, into the tensors it gave out."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def warm_up(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        self.log.append("warm")
        return work()

    def record(
        self, work: Callable[[], dict[str, Tensor]]
    ) -> tuple[Callable[[], None], dict[str, Tensor]]:
        self.log.append("record")
        outcome: dict[str, Tensor] = {
            name: torch.full((), torch.nan)
            for name in ("loss", "ss", "mm_video", "mm_text", "nn_imu", "nn_video", "nn_text")
        }

        def replay() -> None:
            self.log.append("replay")
            for name, value in work().items():
                outcome[name].copy_(value)

        return replay, outcome


def test_recorded_steps_are_the_eager_ones_to_the_bit() -> None:
    config, objective, optimizer = make()
    other = copy.deepcopy(objective)
    eager = Step(objective, optimizer, config=config, device=CPU)
    again = make_optimizer(other, config=config, device=CPU)
    recorder, prepared = FakeRecorder(), []
    recorded = RecordedStep(
        Step(other, again, config=config, device=CPU),
        recorder=recorder,
        prepare=lambda: prepared.append(len(recorder.log)),
    )
    wanted, got = [], []
    for batch, view in batches(6):
        wanted.append(eager(batch, view=view))
        # The recording must not rest on the tensors of one batch.
        lent = Batch(**{f.name: getattr(batch, f.name).clone() for f in fields(Batch)})
        lent_view = view.clone()
        got.append(recorded(lent, view=lent_view))
        lent.imu.fill_(torch.nan)
        lent_view.fill_(torch.nan)
    assert recorder.log == ["warm"] * 3 + ["record"] + ["replay"] * 3
    assert prepared == [3]
    # Compared at the end: a later replay must not reach into an earlier outcome.
    assert all(same(a, b) for a, b in zip(wanted, got, strict=True))
    assert same(state(objective), state(other))


def test_bfloat16_is_the_encoder_alone_and_stays_near_float32() -> None:
    outcomes = []
    for precision in ("float32", "bf16"):
        config, objective, optimizer = make(f"optim.precision={precision}")
        kinds: list[torch.dtype] = []
        objective.encoder.register_forward_hook(lambda *a, k=kinds: k.append(a[2].unimodal.dtype))
        step = Step(objective, optimizer, config=config, device=CPU)
        losses = [step(batch, view=view)["loss"] for batch, view in batches(3)]
        assert all(loss.dtype == torch.float32 for loss in losses)
        assert {p.dtype for p in objective.parameters()} == {torch.float32}
        assert objective.bank is not None
        assert objective.bank.get(torch.tensor([0]), name="imu").dtype == torch.float32
        outcomes.append((kinds[0], torch.stack(losses)))
    assert [kind for kind, _ in outcomes] == [torch.float32, torch.bfloat16]
    assert not torch.equal(outcomes[0][1], outcomes[1][1])
    torch.testing.assert_close(outcomes[1][1], outcomes[0][1], rtol=0.05, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_the_losses_compile_as_one_graph_and_stay_the_same() -> None:
    config, objective, optimizer = make()
    other = copy.deepcopy(objective)
    graphs: list[int] = []

    def backend(module: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        graphs.append(len(list(module.graph.nodes)))
        return module.forward

    eager = Step(objective, optimizer, config=config, device=CPU)
    compiled_config = config.model_copy(
        update={"optim": config.optim.model_copy(update={"compile": "compile"})}
    )
    compiled = Step(
        other,
        make_optimizer(other, config=config, device=CPU),
        config=compiled_config,
        device=CPU,
        backend=backend,
    )
    for batch, view in batches(4):
        assert same(eager(batch, view=view), compiled(batch, view=view))
    # The first batch, which has no past, is no other graph; a break would make more.
    assert len(graphs) == 1
    assert same(state(objective), state(other))


NEIGHBOURS_ALONE = ("objective.terms=[nn]", "objective.neighbours=video")


def test_neighbours_alone_learn_from_the_second_step_on() -> None:
    config, objective, optimizer = make(*NEIGHBOURS_ALONE)
    step = Step(objective, optimizer, config=config, device=CPU)
    before = state(objective)
    losses = []
    for batch, _ in batches(2):
        losses.append(float(step(batch, view=None)["loss"]))
        if len(losses) == 1:
            weights = dict(objective.named_parameters())
            assert all(torch.equal(before[name], weight) for name, weight in weights.items())
    assert losses[0] == 0 < losses[1]
    assert not torch.equal(before["encoder.ssl_head.weight"], objective.encoder.ssl_head.weight)


def test_a_resume_before_anything_entered_the_bank_changes_no_bit() -> None:
    config, objective, optimizer = make(*NEIGHBOURS_ALONE)
    step = Step(objective, optimizer, config=config, device=CPU)
    some = [batch for batch, _ in batches(4)]
    for batch in some[:2]:
        batch.valid[:, 1:] = False
    step(some[0], view=None)
    _, other, its_optimizer = make(*NEIGHBOURS_ALONE)
    other.load_state_dict(objective.state_dict())
    its_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed = Step(other, its_optimizer, config=config, device=CPU)
    for batch in some[1:]:
        assert same(step(batch, view=None), resumed(batch, view=None))
    assert same(state(objective), state(other))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.precision=tf32", "optim.precision tf32 needs device cuda, got device cpu"),
        ("optim.compile=graphs", "optim.compile graphs needs device cuda, got device cpu"),
    ],
)
def test_what_needs_cuda_is_refused_on_a_cpu(override: str, message: str) -> None:
    config, objective, optimizer = make(override)
    with pytest.raises(UsageError, match=message):
        make_step(objective, optimizer, config=config, device=CPU)


def test_a_recorded_step_is_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    config, objective, optimizer = make("optim.compile=graphs")
    cuda = torch.device("cuda")  # a name alone: no such device is touched
    with pytest.raises(UsageError, match="graphs records one process alone, got 2"):
        make_step(objective, optimizer, config=config, device=cuda, ranks=Ranks(rank=0, size=2))


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config, objective, optimizer = make("optim.compile=compile")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UsageError, match=r"compile on device cpu needs a C\+\+"):
        make_step(objective, optimizer, config=config, device=CPU)
