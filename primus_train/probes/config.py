"""What decides a probe's result, given encoder and store."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ProbeConfig", "Protocol"]

Protocol = Literal["logistic", "published", "knn", "finetune"]


class ProbeConfig(BaseModel):
    """A protocol, its settings, and the shots it is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Protocol = Field(
        default="logistic",
        description="logistic: regularised regression to convergence; published: the published "
        "code's linear head; knn: vote of the nearest by cosine; finetune: encoder and head "
        "together, which from an untrained encoder is standard training",
    )
    shots: tuple[int, ...] = Field(default=(1, 5, 10, 20), min_length=1, description="per class")
    shots_by: Literal["segment", "take"] = Field(
        default="segment",
        description="segment: each window of a class is as likely as any other; take: the shots "
        "lie in as many takes as there are, evenly",
    )
    trials: int = Field(default=5, ge=1, description="redraws of the shots and of the head's start")
    eval_splits: tuple[Literal["train", "val", "test"], ...] = Field(
        default=("test",), min_length=1
    )
    classes: tuple[str, ...] | None = Field(
        default=None, description="labels to tell apart; None for all that the splits hold"
    )
    representation: Literal["auto", "multimodal", "unimodal", "backbone"] = Field(
        default="auto",
        description="auto: multimodal where MM was a term of the pretraining, else backbone, as "
        "for an untrained encoder",
    )
    strengths: tuple[float, ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        min_length=1,
        description="logistic: lambdas to choose from on split val",
    )
    fixed_strength: float = Field(
        default=0.1, gt=0, description="logistic: lambda where val has no labels"
    )
    neighbours: int = Field(
        default=5, ge=1, description="knn: windows that vote, at most the shots per class"
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        description="published, finetune: None for the paper's, 20 on Ego-Exo4D, 50 on RealWorld, "
        "10 on Ego4D and 20 elsewhere",
    )
    min_steps: int = Field(
        default=200,
        ge=1,
        description="finetune: epochs are added up to it, as a few steps leave an encoder where "
        "it was",
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="published, finetune: of AdamW")
    weight_decay: float = Field(default=1e-4, ge=0, description="published, finetune: of AdamW")
    batch_size: int = Field(default=256, ge=1, description="published, finetune: windows a step")
    seed: int = Field(default=0, ge=0)
