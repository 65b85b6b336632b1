"""Augmented views of IMU windows (Tang et al. 2020's transformations), on whole batches.

Every function takes ``x`` (B, C, T), draws afresh for each sample from ``generator`` and leaves
``x`` as it was.
"""

from primus_train.augment.channels import channel_permutation, rotation
from primus_train.augment.timing import segment_permutation, time_reversal, time_warp
from primus_train.augment.values import inversion, jitter, scaling, step_scaling
from primus_train.augment.view import make_view

__all__ = [
    "channel_permutation",
    "inversion",
    "jitter",
    "make_view",
    "rotation",
    "scaling",
    "segment_permutation",
    "step_scaling",
    "time_reversal",
    "time_warp",
]
