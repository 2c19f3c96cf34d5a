"""What goes over the wire about models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.flow.generate import Task
from gateway.flow.models import MODELS_BYTES_MAX


class ModelsShown(BaseModel):
    """All about models."""

    models: list[dict[str, Any]] = Field(description="Each with its options and how it is.")
    rules: list[dict[str, Any]] = Field(description="In order.")
    files: list[dict[str, Any]] = Field(description="GGUF files there are, ours first.")
    binding: str = Field(description="What runs local models; empty when nothing is installed.")
    answers: int = Field(description="Answers that are kept.")
    problem: str = Field(description="Why the list cannot be used; empty when it can.")
    text: str = Field(description="The list as text.")
    version: str = Field(description="Of the text.")


class ModelsText(BaseModel):
    """A whole list of models and rules."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=MODELS_BYTES_MAX, description="As in models.yaml.")
    base: str | None = Field(None, max_length=64, description="The version that was edited.")


class Question(BaseModel):
    """A question to try a model."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=8_000, description="What is asked.")
    task: Task = "chat"
    model: str = Field("", max_length=64, description="Which; empty leaves it to the rules.")
    language: str = Field("en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    tokens_max: int = Field(128, ge=1, le=2_048)
    deadline_s: float = Field(30.0, gt=0, le=120)
    is_private: bool = Field(True, description="Whether it holds data of the plant.")


__all__ = ["ModelsShown", "ModelsText", "Question"]
