"""Files of prompts, written by hand."""

import json
from pathlib import Path


def write_prompts(
    path: Path, said: dict[str, list[list[float]]], *, width: int = 8, weights: str = "0"
) -> Path:
    """Write a file by hand, each embedding padded with zeros to ``width``."""
    encoder = {
        "name": "toy",
        "revision": None,
        "weights_sha256": weights * 64,
        "video_dim": 16,
        "text_dim": width,
        "image_size": 32,
        "max_tokens": 16,
        "batch_size": 4,
        "device_kind": "cuda",
        "precision": "bfloat16",
    }
    prompts = [
        {"label": label, "prompt": f"p{i}", "embedding": [*vector, *[0.0] * (width - len(vector))]}
        for label, vectors in said.items()
        for i, vector in enumerate(vectors)
    ]
    path.write_text(json.dumps({"encoder": encoder, "prompts": prompts}))
    return path
