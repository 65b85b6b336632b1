"""An encoder as one graph from windows to embeddings, for runtimes without this package.

Every file is read back and compared with the encoder it came from before it is written.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from primus_train.encoders.stacked_rnn import Representation, StackedRnn
from primus_train.interchange.extra import import_extra
from schemas.errors import PrimusError

__all__ = ["INPUT", "OUTPUT", "TOLERANCE", "EncoderGraph", "dump_onnx", "dump_program"]

INPUT: Final = "imu"
OUTPUT: Final = "embedding"
TOLERANCE: Final = 1e-4
"""Largest difference from PyTorch, in any number of an embedding, that an export may have."""
_BATCHES: Final = (1, 2, 7, 64)
_GRAVITY_M_S2: Final = 9.81
_SEED: Final = 0

_Runner = Callable[[Tensor], npt.NDArray[np.float32]]


class EncoderGraph(nn.Module):
    """Windows (B, C, T) to the (B, 512) embedding that ``representation`` names."""

    def __init__(self, encoder: StackedRnn, *, representation: Representation) -> None:
        super().__init__()
        self.encoder = encoder
        self.representation: Representation = representation

    def forward(self, imu: Tensor) -> Tensor:
        """Return the embeddings (B, 512) of windows ``imu`` (B, C, T)."""
        found: Tensor = self.encoder(imu).get(self.representation)
        return found


def dump_onnx(
    graph: EncoderGraph, *, channels: int, samples: int, meta: Mapping[str, Any]
) -> tuple[bytes, float]:
    """Return an ONNX file's bytes (any batch, fixed T), and its largest difference from PyTorch.

    Args:
        graph: in eval mode.
        channels: C.
        samples: T.
        meta: JSON values for the file's own metadata, under ``primus_train``.

    Raises:
        UsageError: if onnx, onnxscript or onnxruntime are not installed.
        PrimusError: if onnxruntime gives other embeddings than PyTorch.
    """
    for name in ("onnx", "onnxscript"):
        import_extra(name)
    runtime = import_extra("onnxruntime")
    program = _capture(graph, channels=channels, samples=samples)
    with _quiet():
        exported: Any = torch.onnx.export(
            program,
            (),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    exported.model.metadata_props["primus_train"] = json.dumps(meta, sort_keys=True)
    buffer = io.BytesIO()
    exported.save(buffer)
    session = runtime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])

    def run(windows: Tensor) -> npt.NDArray[np.float32]:
        return np.asarray(session.run([OUTPUT], {INPUT: windows.numpy()})[0])

    worst = _check(graph, run, channels=channels, samples=samples, what="the ONNX file")
    return buffer.getvalue(), worst


def dump_program(
    graph: EncoderGraph, *, channels: int, samples: int, meta: Mapping[str, Any]
) -> tuple[bytes, float]:
    """Return a ``torch.export`` program's bytes, and its largest difference from the encoder.

    Raises:
        PrimusError: if the program gives other embeddings.
    """
    program = _capture(graph, channels=channels, samples=samples)
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(
            program, buffer, extra_files={"primus_train.json": json.dumps(meta, sort_keys=True)}
        )
        buffer.seek(0)
        loaded = torch.export.load(buffer).module()

    def run(windows: Tensor) -> npt.NDArray[np.float32]:
        return np.asarray(loaded(windows).detach().numpy())

    worst = _check(graph, run, channels=channels, samples=samples, what="the program")
    return buffer.getvalue(), worst


def _capture(graph: EncoderGraph, *, channels: int, samples: int) -> torch.export.ExportedProgram:
    example = torch.zeros(2, channels, samples)
    batch = torch.export.Dim("batch", min=1)
    with _quiet():
        return torch.export.export(graph.eval(), (example,), dynamic_shapes=({0: batch},))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks on themselves from the user: the result is checked."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check(graph: EncoderGraph, run: _Runner, *, channels: int, samples: int, what: str) -> float:
    generator = torch.Generator().manual_seed(_SEED)
    differences: list[float] = []
    for batch in _BATCHES:
        windows = torch.randn(batch, channels, samples, generator=generator)
        windows[:, 0] += _GRAVITY_M_S2
        with torch.inference_mode():
            wanted = graph(windows).numpy()
        got = run(windows)
        if got.shape != wanted.shape:
            raise PrimusError(
                f"{what} must give embeddings of shape {wanted.shape}, got {got.shape}: nothing "
                "is written"
            )
        differences.append(float(np.abs(got - wanted).max()))
    # NaN survives numpy's maximum, and fails the comparison.
    worst = float(np.max(differences))
    if not worst <= TOLERANCE:
        raise PrimusError(
            f"{what} must agree with PyTorch to {TOLERANCE:g}, they differ by {worst:g}: nothing "
            "is written"
        )
    return worst
