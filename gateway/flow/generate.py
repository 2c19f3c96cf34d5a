"""Generate: what is asked of a language model, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

Task = Literal["explain", "summarise", "classify", "chat", "flow"]
"""What a model is asked to do; which model does it is decided by rules per task."""
TASKS: Final[tuple[Task, ...]] = get_args(Task)
Role = Literal["system", "user", "assistant"]
OnChunk: TypeAlias = Callable[[str], None]
"""Called with each piece of the answer as it comes, on the event loop's thread.

Pieces are provisional: when a model breaks off, the next one's answer comes whole and only in what
is returned, which is what counts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a model.

    Args:
        task: What for; chooses the model where `model` names none.
        messages: Pairs of role and text, in order.
        model: The model's name; empty leaves the choice to the rules.
        language: BCP 47 code of the answer, such as ``en`` or ``ja``.
        schema: JSON Schema of the answer; None for plain text.
        grammar: GBNF grammar of the answer, where the model can be held to one; empty for none.
        tokens_max: The longest answer [tokens].
        deadline_s: The answer is useless after this long [s].
        temperature: 0 gives the same answer for the same question where the model can.
        seed: Of the sampling.
        priority: Of several that wait the highest goes first.
        is_private: Whether the question holds data of the plant. Unless an administrator has said
            that it may leave, only a model in this house is asked then.
        key: Names the event that is asked about, for logs and idempotency.
    """

    task: Task
    messages: tuple[tuple[Role, str], ...]
    model: str = ""
    language: str = "en"
    schema: Mapping[str, Any] | None = None
    grammar: str = ""
    tokens_max: int = 256
    deadline_s: float = 30.0
    temperature: float = 0.0
    seed: int = 1
    priority: int = 0
    is_private: bool = True
    key: str = ""


@dataclass(frozen=True, slots=True)
class Generated:
    """A model's answer.

    Args:
        text: The answer; it has passed the schema where one was asked for.
        model: Which model gave it.
        reason: Why this model, in words for people.
        tokens_in: Length of the question [tokens].
        tokens_out: Length of the answer [tokens].
        cost: What it cost, in the currency of the model's price list.
        first_s: Time to the first piece [s].
        took_s: Time to the last piece [s].
        is_cached: Whether it was answered before.
    """

    text: str
    model: str
    reason: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    first_s: float = 0.0
    took_s: float = 0.0
    is_cached: bool = False
