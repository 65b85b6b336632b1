"""The learning rate as a pure function of the step: nothing to save, nothing to lose."""

import math

from primus_train.config import OptimConfig

__all__ = ["learning_rate", "rate_changes"]


def rate_changes(config: OptimConfig) -> bool:
    """Whether the rate is ever another than ``learning_rate``."""
    return config.schedule != "constant" or config.warmup_steps > 0


def learning_rate(config: OptimConfig, *, step: int, steps: int) -> float:
    """Return the rate of the step after ``step`` steps are done.

    It rises in a line over ``warmup_steps``, the first step already above 0, and falls from there
    to ``final_share`` of itself, which a step after the last would have.

    Args:
        config: the run's optimiser settings.
        step: steps done, 0 <= step < steps.
        steps: of the whole run, whether or not it ends early.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / (steps - config.warmup_steps)
    left = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (config.final_share + (1 - config.final_share) * left)
