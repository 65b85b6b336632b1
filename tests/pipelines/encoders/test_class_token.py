"""The shortened last block against transformers' own tower."""

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pipelines.encoders.class_token import ClassTokenBlock, read_class_token_alone


@pytest.mark.parametrize("layers", [1, 3])
def test_embeddings_are_those_of_the_whole_tower(layers: int) -> None:
    config = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=layers,
        num_attention_heads=3,
        image_size=16,
        patch_size=4,
        projection_dim=8,
    )
    generator = torch.Generator().manual_seed(0)
    tower = CLIPVisionModelWithProjection(config).eval().double()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
    pixels = torch.randn(5, 3, 16, 16, dtype=torch.float64, generator=generator)
    with torch.inference_mode():
        expected = tower(pixel_values=pixels).image_embeds
        read_class_token_alone(tower)
        ours = tower(pixel_values=pixels).image_embeds
    assert isinstance(tower.vision_model.encoder.layers[-1], ClassTokenBlock)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    # The patches still count: what one of them shows reaches the embedding through the last block.
    pixels[:, :, -4:, -4:] += 1.0
    with torch.inference_mode():
        assert (tower(pixel_values=pixels).image_embeds - ours).abs().min() > 1e-6
