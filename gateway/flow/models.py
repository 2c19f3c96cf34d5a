"""Models: which language models there are and which of them does what, as a text file.

It stands as `models.yaml` beside the state and is read and written as dashboards are: YAML in one
canonical form, so a diff shows only what changed. It holds no secret, only names of secrets.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from gateway.errors import ConfigError
from gateway.flow.config import Config
from gateway.flow.generate import Task
from gateway.flow.yaml_read import read
from gateway.flow.yaml_write import write

FORMAT: Final = 1
MODELS_MAX: Final = 32
RULES_MAX: Final = 64
MODELS_BYTES_MAX: Final = 64 * 1024
OWN: Final = "own"
"""The name of the model that comes with the product, and what stands for its file."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Language: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or any(c <= " " for c in text):
        raise ValueError(f"{text!r} is no address; write https://name/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address of a model has no password, no ? and no #; name a key instead")
    if not (parts.port or 1) > 0:
        raise ValueError(f"{text!r} has no port that can be")
    return text.rstrip("/")


def _file(text: str) -> str:
    if text != OWN and (not text.endswith(".gguf") or "/" in text or text.startswith(".")):
        raise ValueError(f"{text!r} is no GGUF file in the folder of models")
    return text


class _Model(Config):
    """What all models have."""

    about: str = Field("", max_length=500, description="One sentence about it.")
    tasks: tuple[Task, ...] = Field((), description="What it is asked to do; all when empty.")
    languages: tuple[Language, ...] = Field((), description="That it answers in; any when empty.")
    queue_max: int = Field(64, ge=1, le=10_000, description="Questions that may wait for it.")


class LocalModel(_Model):
    """A model in a file, run on this machine by a process that can do nothing else."""

    kind: Literal["gguf"]
    file: Annotated[str, AfterValidator(_file)] = Field(
        max_length=200, description="Its file in the folder of models; `own` is ours."
    )
    size: int = Field(0, ge=0, description="Of the file [bytes].")
    sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = Field(
        "", description="Of the file; another file is not loaded."
    )
    context: int = Field(2_048, ge=64, le=131_072, description="Question and answer [tokens].")
    threads: int = Field(1, ge=1, le=64, description="How many calculate.")
    memory_mb: int = Field(1_024, ge=256, le=262_144, description="How much it may have [MB].")
    nice: int = Field(19, ge=5, le=19, description="How far it stands behind all else.")
    idle_s: float = Field(
        600.0, ge=0, description="Unused for so long it is stopped; 0 keeps it [s]."
    )


class ServerModel(_Model):
    """A model behind a server that speaks the protocol of OpenAI."""

    kind: Literal["server"]
    url: Annotated[str, StringConstraints(max_length=500), AfterValidator(_address)] = Field(
        description="Where `/chat/completions` is below, such as http://10.0.0.9:8080/v1."
    )
    model: str = Field(min_length=1, max_length=200, description="Its name there.")
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]*$", max_length=128)] = Field(
        "", description="Name of the secret that it asks for."
    )
    ca: str = Field("", max_length=200, description="File of the authority, below the state.")
    is_inside: bool = Field(False, description="Whether it stands in the plant.")
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="How it calls the longest answer."
    )
    form: Literal["json_schema", "json_object", "none"] = Field(
        "none", description="How it can be held to JSON; what comes is checked in any case."
    )
    is_streaming: bool = Field(True, description="Whether it gives answers piece by piece.")
    tells_usage: bool = Field(True, description="Whether it counts tokens when it streams.")
    takes_seed: bool = Field(True, description="Whether it knows the field `seed`.")
    at_once: int = Field(2, ge=1, le=64, description="Questions at one time.")
    timeout_s: float = Field(30.0, gt=0, le=600, description="Longest silence [s].")
    tries: int = Field(3, ge=1, le=10, description="How often one question is sent.")
    requests_per_min: int = Field(0, ge=0, description="0 is no bound.")
    tokens_per_min: int = Field(0, ge=0, description="0 is no bound.")
    tokens_per_day: int = Field(0, ge=0, description="0 is no bound.")
    cost_per_day: float = Field(0.0, ge=0, description="0 is no bound.")
    price_in: float = Field(0.0, ge=0, description="Of a million tokens asked.")
    price_out: float = Field(0.0, ge=0, description="Of a million tokens answered.")


Model: TypeAlias = Annotated[LocalModel | ServerModel, Field(discriminator="kind")]


class ModelRule(Config):
    """Which models do a task; the first rule that fits is the one."""

    task: Task | Literal["any"] = Field("any", description="What is to be done.")
    language: Language | Literal[""] = Field("", description="Of the answer; empty is any.")
    models: tuple[Name, ...] = Field((), max_length=MODELS_MAX, description="All when empty.")
    prefer: Literal["order", "latency", "cost"] = Field("order", description="What comes first.")
    may_leave: bool = Field(False, description="Whether data of the plant may leave it.")
    latency_max_s: float = Field(0.0, ge=0, description="Slower ones are left out [s]; 0: none.")
    cost_max: float = Field(0.0, ge=0, description="Of one answer; 0 is no bound.")


class ModelList(Config):
    """All models and rules.

    Args:
        version: Of this form of file.
        models: By name.
        rules: In order.
    """

    version: Literal[1] = FORMAT
    models: dict[Name, Model] = Field(default_factory=dict, max_length=MODELS_MAX)
    rules: tuple[ModelRule, ...] = Field((), max_length=RULES_MAX)

    @model_validator(mode="after")
    def _rules_name_what_there_is(self) -> Self:
        for rule in self.rules:
            for name in rule.models:
                if name not in self.models:
                    known = ", ".join(self.models) or "none"
                    raise ValueError(f"a rule names {name!r}, and there is {known}.")
        for name, model in self.models.items():
            is_ours = isinstance(model, LocalModel) and model.file == OWN
            if isinstance(model, LocalModel) and not is_ours and not model.sha256:
                raise ValueError(f"{name} has no sha256; `genba models add` finds it.")
        return self

    @classmethod
    def parse(cls, text: str, where: str = "models.yaml") -> ModelList:
        """The list from its text.

        Raises:
            ConfigError: The text is none.
        """
        if len(text.encode()) > MODELS_BYTES_MAX:
            raise ConfigError(
                f"It may have {MODELS_BYTES_MAX:,} bytes (models_bytes_max).", where=where
            )
        return cls.of(read(text, where).value, where)

    @classmethod
    def of(cls, values: Any, where: str = "models.yaml") -> ModelList:
        """The list from plain values.

        Raises:
            ConfigError: They are none.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            text = str(first["msg"]).removeprefix("Value error, ")
            end = "" if text.endswith(".") else "."
            raise ConfigError(
                f"{place}: {text}{end}" if place else f"{text}{end}",
                where=where,
                hint="genba docs models",
            ) from error

    def text(self) -> str:
        """The canonical text."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        models = {
            name: {"kind": model.kind, **data.get("models", {}).get(name, {})}
            for name, model in self.models.items()
        }
        rules = data.get("rules", [])
        head = {"version": FORMAT, "models": models, "rules": rules}
        return write(head, sections=("models", "rules"))


USUAL: Final = ModelList.model_validate(
    {
        "models": {
            OWN: {
                "kind": "gguf",
                "file": OWN,
                "about": "Ours: it words explanations of alarms.",
                "tasks": ["explain"],
                "languages": ["en", "ja"],
                "context": 512,
                "nice": 10,
                "idle_s": 3_600,
            }
        }
    }
)
"""What there is where nobody has said anything."""

__all__ = ["NAME", "OWN", "USUAL", "LocalModel", "Model", "ModelList", "ModelRule", "ServerModel"]
