import torch

from primus_train.data.facts import FACTS, SENTENCE
from primus_train.data.triplets import Batch
from primus_train.objectives.targets import shown, shown_facts, target


def test_a_hidden_sentence_is_not_seen_and_the_batch_stays_as_it_is() -> None:
    facts = torch.arange(3 * FACTS).view(3, FACTS)
    batch = Batch(
        imu=torch.zeros(3, 6, 4),
        video=torch.ones(3, 2),
        text=torch.full((3, 5), 2.0),
        valid=torch.tensor([[True, True, False], [True, False, True], [True, True, True]]),
        facts=facts.clone(),
    )
    seen = shown_facts(batch)
    assert seen[:, SENTENCE].tolist() == [-1, *facts[1:, SENTENCE].tolist()]
    others = [place for place in range(FACTS) if place != SENTENCE]
    assert torch.equal(seen[:, others], facts[:, others])
    assert torch.equal(batch.facts, facts)
    assert shown(batch, "imu").tolist() == [True] * 3
    assert shown(batch, "video").tolist() == [True, False, True]
    assert shown(batch, "text").tolist() == [False, True, True]
    assert target(batch, "video").shape == (3, 2)
    assert target(batch, "text").shape == (3, 5)
