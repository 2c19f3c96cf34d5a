"""Operators' actions: from an event to a stimulus, and the sentence that records it."""

from __future__ import annotations

from typing import Final, cast, get_args

from gateway import Event, OperatorAction, OverlayAction, Stimulus, amount

_ACTIONS: Final = (*get_args(OperatorAction), *get_args(OverlayAction))
_SAID: Final = {
    "acked": "{actor} acknowledged occurrence {number} of {what}",
    "reset": "{actor} reset {what}",
    "shelved": "{actor} shelved {what} for {amount}: {reason}",
    "unshelved": "{actor} unshelved {what}",
    "suppressed": "{actor} suppressed {what}",
    "unsuppressed": "{actor} no longer suppresses {what}",
    "removed_from_service": "{actor} took out of service {what}",
    "returned_to_service": "{actor} returned to service {what}",
}


def stimulus_of(event: Event, occurrence: int, now: int) -> Stimulus | str:
    """What an operator's event asks for, or one sentence on why it cannot be understood.

    Args:
        event: Topic ``alarm/<action>``; data as the action needs it.
        occurrence: The current one, which is meant when the event names none.
        now: Processing time [ns], from which shelving counts.
    """
    action = event.topic.removeprefix("alarm/")
    if action not in _ACTIONS:
        return f"There is no action {action!r}; there is {', '.join(_ACTIONS)}."
    if action == "ack":
        meant = event.data.get("occurrence", occurrence)
        if not isinstance(meant, int) or isinstance(meant, bool):
            return "`occurrence` must be a whole number."
        return Stimulus("ack", occurrence=meant)
    if action == "shelve":
        until = _nanoseconds(event.data.get("until_s"))
        lasts = _nanoseconds(event.data.get("for_s"))
        if until is None and lasts is not None:
            until = now + lasts
        if until is None:
            return "Shelving needs `for_s` or `until_s`, in seconds."
        reason = str(event.data.get("reason") or "")
        return Stimulus("shelve", now=now, until=until, reason=reason)
    return Stimulus(cast(OverlayAction, action))


def action_text(what: str, change: str, actor: str, stimulus: Stimulus, event: Event) -> str:
    """The sentence for a change that an operator or a rule made; `what` names the alarm."""
    reason = str(event.data.get("reason") or "").strip()
    values = {"actor": actor, "what": what, "number": stimulus.occurrence}
    if change == "shelved":
        lasts = amount((stimulus.until - stimulus.now) / 1e9, "s")
        return _SAID[change].format(**values, amount=lasts, reason=stimulus.reason.strip())
    whole = _SAID[change].format(**values)
    return f"{whole}: {reason}" if reason else whole


def _nanoseconds(seconds: object) -> int | None:
    if isinstance(seconds, int | float) and abs(seconds) < 9e9:
        return round(seconds * 1e9)
    return None
