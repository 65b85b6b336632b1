"""Independent random streams from one seed, without any global generator."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import torch

from schemas.store import canonical_json

__all__ = ["derive_seed", "make_generator", "seeded_init"]


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends on ``seed`` and on every part of ``purpose``."""
    digest = sha256(canonical_json([seed, *purpose])).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator for one purpose: the same draws on every device and after a resume."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


@contextmanager
def seeded_init(seed: int) -> Iterator[None]:
    """Let modules made inside draw their first weights from ``seed``; torch's state is kept.

    torch initialises layers from its global generator and offers no other way.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "init"))
        yield
