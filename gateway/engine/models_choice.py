"""Choice: which models may answer a question, in which order, and why the others may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import ConfigError, Disconnected, GatewayError
from gateway.flow.generate import Ask
from gateway.flow.models import LocalModel, Model, ModelList, ModelRule


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model now.

    Args:
        latency_s: What an answer takes usually [s]; None where there was none yet.
        cost: What this one would cost.
        budget: Why it would be too much for today; empty when it is not.
    """

    latency_s: float | None = None
    cost: float = 0.0
    budget: str = ""


@dataclass(slots=True)
class Choice:
    """Who is asked.

    Args:
        names: In order.
        why: The rule, in words.
        out: Those that are not asked, with the reason.
        is_for_now: Whether one of these reasons will pass by itself.
        is_ruled: Whether somebody has said who does this, by a rule or by a name.
    """

    names: list[str] = field(default_factory=list)
    why: str = ""
    out: dict[str, str] = field(default_factory=dict)
    is_for_now: bool = False
    is_ruled: bool = False

    def refusal(self) -> GatewayError:
        """What to say when nobody is left."""
        reasons = "; ".join(f"{name}: {why}" for name, why in self.out.items())
        text = f"No model may answer this ({self.why})"
        text += f": {reasons}." if reasons else "."
        if self.is_for_now:
            return Disconnected(text, retry_after_s=60.0)
        return ConfigError(text, hint="genba models rules")


def choose(found: ModelList, ask: Ask, known: Mapping[str, Known]) -> Choice:
    """Who is asked, by the first rule that fits.

    Args:
        found: All models and rules.
        ask: The question.
        known: By model.
    """
    rule, number = _rule(found, ask)
    said = f"rule {number}" if number else "no rule"
    choice = Choice(why=f"{ask.task} in {ask.language}: {said}")
    choice.is_ruled = bool(number or ask.model)
    if ask.model:
        names = [ask.model]
        choice.why += ", the model is named"
    else:
        names = list(rule.models or _usual(found))
    for name in names:
        if why := _against(name, found, rule, ask, known.get(name, Known()), choice):
            choice.out[name] = why
        else:
            choice.names.append(name)
    if rule.prefer == "cost":
        choice.names.sort(key=lambda name: known.get(name, Known()).cost)
        choice.why += ", the cheapest first"
    elif rule.prefer == "latency":
        choice.names.sort(key=lambda name: known.get(name, Known()).latency_s or 0.0)
        choice.why += ", the fastest first"
    return choice


def _rule(found: ModelList, ask: Ask) -> tuple[ModelRule, int]:
    for number, rule in enumerate(found.rules, 1):
        if rule.task in (ask.task, "any") and rule.language in (ask.language, ""):
            return rule, number
    return ModelRule.model_validate({}), 0


def _usual(found: ModelList) -> list[str]:
    """Without a rule: what is in this house first, and nothing that is paid for."""
    return sorted(found.models, key=lambda name: _distance(found.models[name]))


def _distance(model: Model) -> int:
    if isinstance(model, LocalModel):
        return 0
    return 1 if model.is_inside else 2


def is_inside(model: Model) -> bool:
    """Whether what it is asked stays in the plant."""
    return isinstance(model, LocalModel) or model.is_inside


def _against(
    name: str, found: ModelList, rule: ModelRule, ask: Ask, known: Known, choice: Choice
) -> str:
    """Why a model is not asked; empty when it is."""
    model = found.models.get(name)
    if model is None:
        return "there is no such model"
    if ask.is_private and not is_inside(model) and not rule.may_leave:
        return "data of the plant may not leave it (may_leave)"
    if model.tasks and ask.task not in model.tasks:
        return f"it is not for {ask.task}"
    if model.languages and ask.language not in model.languages:
        return f"it does not answer in {ask.language}"
    if known.budget:
        choice.is_for_now = True
        return known.budget
    if rule.cost_max and known.cost > rule.cost_max:
        return f"it would cost {known.cost:.4g} (cost_max is {rule.cost_max:g})"
    if rule.latency_max_s and (known.latency_s or 0.0) > rule.latency_max_s:
        return f"it takes {known.latency_s:.1f} s (latency_max_s is {rule.latency_max_s:g})"
    return ""


__all__ = ["Choice", "Known", "choose", "is_inside"]
