"""Roles: who may do what, as one table that enforcement, tests and the help are made from.

Four roles, each may what the one before may, and one grant beside them: **writer** for setpoints.
It is implied by no role, so that an administrator of users is not by the way one who moves a
machine.

Source: IEC 62443-4-2:2019, CR 2.1 (authorization enforcement, least privilege).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Role = Literal["viewer", "operator", "engineer", "administrator"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From the one that may least to the one that may most."""
Need = Literal["nobody", "anybody", "viewer", "operator", "engineer", "administrator", "writer"]
"""``nobody``: also without a login; ``anybody``: every account; else the role or the grant."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one action needs.

    Args:
        need: The least role, or the grant.
        about: The action in words, as in "may not ...".
        fresh: The password must have been given within the last minutes, and a token never may.
    """

    need: Need
    about: str
    fresh: bool = False


ACTIONS: Final[Mapping[str, Rule]] = {
    "open": Rule("nobody", "see whether the gateway lives, log in and claim it"),
    "hook.call": Rule("nobody", "call a path that a node answers: the node asks who it is"),
    "me.read": Rule("anybody", "see who they are"),
    "me.edit": Rule("anybody", "see and end their own sessions, change their own password"),
    "status.read": Rule("viewer", "see how the gateway is"),
    "tag.read": Rule("viewer", "see tags and values"),
    "alarm.read": Rule("viewer", "see alarms"),
    "flow.read": Rule("viewer", "see flows and their revisions"),
    "dashboard.read": Rule("viewer", "see dashboards"),
    "letter.list": Rule("viewer", "see which dead letters there are"),
    "setpoint.read": Rule("viewer", "see write grants and the last setpoints"),
    "alarm.act": Rule("operator", "acknowledge, reset and shelve alarms"),
    "explanation.ask": Rule("operator", "have an alarm explained anew"),
    "explanation.judge": Rule("operator", "say whether an explanation was right"),
    "explanation.read": Rule("engineer", "export explanations with their facts and feedback"),
    "alarm.suppress": Rule("engineer", "suppress alarms or take them out of service"),
    "letter.read": Rule("engineer", "see what is in dead letters"),
    "letter.settle": Rule("engineer", "replay and discard dead letters"),
    "flow.edit": Rule("engineer", "deploy, roll back and remove flows"),
    "dashboard.edit": Rule("engineer", "make, change and delete dashboards and their pictures"),
    "flow.tap": Rule("engineer", "see every row that goes over a wire"),
    "catch.read": Rule("engineer", "see what was caught on wires"),
    "flow.inject": Rule("engineer", "hand values to nodes of a flow that runs"),
    "flow.shadow": Rule("engineer", "run flows in the shadow of others"),
    "secret.list": Rule("engineer", "see which secrets are set"),
    "certificate.edit": Rule("administrator", "have the certificate signed", fresh=True),
    "backup.make": Rule("administrator", "make backups", fresh=True),
    "backup.restore": Rule("administrator", "put backups in the place of the state", fresh=True),
    "update.read": Rule("administrator", "see releases and backups that were uploaded"),
    "update.install": Rule("administrator", "install other releases", fresh=True),
    "secret.edit": Rule("administrator", "set and remove secrets", fresh=True),
    "connection.test": Rule("engineer", "test connections and browse what is behind them"),
    "connection.trust": Rule("engineer", "trust and reject certificates of servers"),
    "destination.read": Rule("engineer", "see where nodes of the web may send to"),
    "destination.edit": Rule("administrator", "change where nodes may send to", fresh=True),
    "model.read": Rule("engineer", "see which language models there are"),
    "model.try": Rule("engineer", "try language models"),
    "model.edit": Rule("administrator", "change which models there are", fresh=True),
    "audit.take": Rule("administrator", "take the archive of the audit away", fresh=True),
    "audit.read": Rule("administrator", "see who did what"),
    "user.read": Rule("administrator", "see accounts, sessions and tokens"),
    "openid.read": Rule("administrator", "see how people log in by a provider"),
    "openid.edit": Rule("administrator", "change how people log in by a provider", fresh=True),
    "user.edit": Rule("administrator", "change accounts and end others' sessions", fresh=True),
    "token.edit": Rule("administrator", "make and revoke API tokens", fresh=True),
    "grant.edit": Rule("administrator", "make, change and remove write grants", fresh=True),
    "setpoint.write": Rule("writer", "write setpoints to machines"),
}
"""Every action there is. What is not in here nobody may do."""

SUPPRESSING: Final = frozenset(
    {"suppress", "unsuppress", "remove_from_service", "return_to_service"}
)
"""Actions on alarms that change what is annunciated (ISA-18.2-2016, 11.7 to 11.9)."""


def permits(action: str, role: Role | None, *, is_writer: bool = False) -> bool:
    """Whether somebody may do something.

    Args:
        action: What, from `ACTIONS`.
        role: Their role; None is nobody who has logged in.
        is_writer: They have the grant for setpoints.

    Raises:
        KeyError: There is no such action.

    >>> permits("flow.edit", "engineer"), permits("flow.edit", "operator")
    (True, False)
    >>> permits("setpoint.write", "administrator")
    False
    """
    need = ACTIONS[action].need
    if need == "nobody":
        return True
    if role is None:
        return False
    if need == "anybody":
        return True
    if need == "writer":
        return is_writer
    return ROLES.index(role) >= ROLES.index(need)
