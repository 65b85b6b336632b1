import torch

from primus_train.seeds import derive_seed, make_generator, seeded_init


def test_seeds_differ_by_every_part_of_their_purpose() -> None:
    seeds = {
        derive_seed(0, "a"),
        derive_seed(1, "a"),
        derive_seed(0, "b"),
        derive_seed(0, "a", 1),
        derive_seed(0, "a", "1"),
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_one_purpose_agree() -> None:
    first, second = (torch.rand(3, generator=make_generator(4, "x", 9)) for _ in range(2))
    assert torch.equal(first, second)


def test_first_weights_depend_on_the_seed_and_the_global_state_is_kept() -> None:
    before = torch.random.get_rng_state()
    weights = []
    for seed in (0, 0, 1):
        with seeded_init(seed):
            weights.append(torch.nn.Linear(3, 3).weight.detach())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
