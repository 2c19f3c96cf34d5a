"""genba users oidc: people log in at the provider of their company."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gateway.api.client_accounts import AccountClient
from gateway.cli._keys import ROLES
from gateway.cli.words import printable
from gateway.errors import ConfigError

_TEXTS = {
    "client_id": "this gateway's name at the provider",
    "redirect": "https://NAME-OF-THIS-GATEWAY/api/openid/callback, exactly as it is known there",
    "client_secret": "name of the secret (genba secrets set NAME) that proves the gateway",
    "label": "on the button of the login page",
    "scopes": "what is asked of the provider",
    "name_claim": "the claim that accounts are called by",
    "role_claim": "the claim with a person's groups",
}


def add_openid(verbs: Any) -> None:
    """Declare the verb ``oidc``."""
    openid: argparse.ArgumentParser = verbs.add_parser(
        "oidc", help="let people log in by an OpenID Connect provider"
    )
    openid.set_defaults(what="show")
    acts = openid.add_subparsers(dest="what", metavar="ACTION")
    acts.add_parser("show", help="the settings, also without an action")
    put = acts.add_parser("set", help="change settings; those not named stay as they are")
    put.add_argument(
        "--enabled", choices=["yes", "no"], help="whether people are let in by it; kept either way"
    )
    put.add_argument("--issuer", help="the provider, exactly as it calls itself")
    for name, text in _TEXTS.items():
        put.add_argument(f"--{name.replace('_', '-')}", help=text)
    put.add_argument(
        "--role",
        action="append",
        metavar="GROUP=ROLE",
        help="what people of a group may; all groups anew, may be repeated",
    )
    put.add_argument(
        "--writers",
        action="append",
        metavar="GROUP",
        help="a group whose people may write setpoints; all anew, may be repeated",
    )
    put.add_argument(
        "--default-role", choices=["none", *ROLES], help="of people in none of the groups"
    )
    put.add_argument("--ca", help="file with the certificates of the provider's authority")
    put.add_argument("--skew-s", type=float, help="by so much clocks may differ [s]")
    acts.add_parser("check", help="ask the provider what it is, as a login would")
    acts.add_parser("remove", help="let people log in by passwords only")


def run_openid(client: AccountClient, args: argparse.Namespace) -> None:
    """Run one of the actions.

    Raises:
        ConfigError: A group without a role, or a file that cannot be read.
    """
    match args.what:
        case "set":
            now = dict(client.openid()["settings"] or {})
            print(client.set_openid({**now, **_changes(args)}))
            print("`genba users oidc check` asks whether the provider answers.")
        case "check":
            found = client.check_openid()
            print(printable(f"The provider answers, with {found['keys']} keys that can sign."))
            print(printable(f"People are sent to {found['authorize']}."))
        case "remove":
            print(client.remove_openid())
        case _:
            _show(client.openid())


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    names = ("issuer", *_TEXTS, "writers", "skew_s")
    found = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.enabled is not None:
        found["enabled"] = args.enabled == "yes"
    if args.default_role:
        found["default_role"] = "" if args.default_role == "none" else args.default_role
    if args.role is not None:
        pairs = [pair.rpartition("=") for pair in args.role]
        if wrong := [pair for pair in pairs if not pair[0] or pair[2] not in ROLES]:
            raise ConfigError(
                f"{''.join(wrong[0])!r} is no GROUP=ROLE.", hint=f"Roles: {', '.join(ROLES)}."
            )
        found["roles"] = {group: role for group, _, role in pairs}
    if args.ca is not None:
        try:
            found["ca"] = Path(args.ca).read_text("ascii") if args.ca else ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{args.ca} cannot be read: {error}.") from error
    return found


def _show(found: dict[str, Any]) -> None:
    if found["fault"]:
        print(printable(found["fault"]))
    if found["settings"] is None:
        print("People log in by their passwords here only.")
        return
    for name, value in found["settings"].items():
        match value:
            case dict():
                text = ", ".join(f"{group}={role}" for group, role in value.items())
            case list():
                text = ", ".join(value)
            case _ if name == "ca":
                text = "own" if value else ""
            case _:
                text = str(value)
        print(printable(f"{name:<14} {text or '-'}"))
