"""Accounts, secrets, the certificate and the audit over the local API."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.api.client import Client


class AccountClient(Client):
    """What can be asked about accounts. All raise as `Client` does."""

    def users(self) -> list[dict[str, Any]]:
        """Every account, by name."""
        return [dict(row) for row in self._ask("GET", "/api/users")]

    def claim(self, code: str, name: str, password: str) -> dict[str, Any]:
        """Make the first administrator with the code from the console."""
        body = {"code": code, "name": name, "password": password}
        return dict(self._ask("POST", "/api/claim", body))

    def add_user(
        self, name: str, password: str, role: str, *, writer: bool = False
    ) -> dict[str, Any]:
        """Make an account.

        Args:
            name: Its name.
            password: 12 to 128 characters.
            role: viewer, operator, engineer or administrator.
            writer: They may write setpoints.
        """
        body = {"name": name, "password": password, "role": role, "writer": writer}
        return dict(self._ask("POST", "/api/users", body))

    def change_user(self, name: str, **what: Any) -> dict[str, Any]:
        """Change `role`, `writer` or `disabled` of an account; its sessions end."""
        return dict(self._ask("PATCH", f"/api/users/{quote(name, safe='')}", what))

    def set_password(self, name: str, password: str) -> None:
        """Give an account a new password; its sessions end."""
        path = f"/api/users/{quote(name, safe='')}/password"
        self._ask("POST", path, {"password": password})

    def sessions(self) -> list[dict[str, Any]]:
        """Every login that has not ended."""
        return [dict(row) for row in self._ask("GET", "/api/sessions")]

    def end_session(self, id: str) -> None:
        """End a login."""
        self._ask("DELETE", f"/api/sessions/{quote(id, safe='')}")

    def tokens(self) -> list[dict[str, Any]]:
        """Every API token, without its secret."""
        return [dict(row) for row in self._ask("GET", "/api/tokens")]

    def make_token(
        self,
        name: str,
        account: str,
        role: str,
        *,
        scopes: Sequence[str] = (),
        days: int = 90,
        writer: bool = False,
    ) -> dict[str, Any]:
        """Make an API token: ``token`` is its secret, which is told this once.

        Args:
            name: What it is for.
            account: Whose it is: it ends with the account and may never more.
            role: What it may.
            scopes: Actions it is limited to; empty is all of its role.
            days: How long it is good [d].
            writer: It may write setpoints.
        """
        body = {"name": name, "account": account, "role": role, "writer": writer}
        more = {"scopes": list(scopes), "days": days}
        return dict(self._ask("POST", "/api/tokens", {**body, **more}))

    def revoke_token(self, id: str) -> None:
        """End an API token by its id."""
        self._ask("DELETE", f"/api/tokens/{quote(id, safe='')}")

    def openid(self) -> dict[str, Any]:
        """How people log in by a provider: ``settings`` or None, and ``fault``."""
        return dict(self._ask("GET", "/api/openid/settings"))

    def set_openid(self, settings: dict[str, Any]) -> str:
        """Let people log in by a provider; returns what became of it, in a sentence."""
        return str(self._ask("PUT", "/api/openid/settings", settings)["text"])

    def remove_openid(self) -> str:
        """Let people log in by passwords only; returns what became of it, in a sentence."""
        return str(self._ask("DELETE", "/api/openid/settings")["text"])

    def check_openid(self) -> dict[str, Any]:
        """Ask the provider: ``authorize``, ``token`` and how many ``keys``."""
        return dict(self._ask("POST", "/api/openid/check"))

    def audit(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest records of who did what, newest first."""
        return [dict(row) for row in self._ask("GET", f"/api/audit?limit={limit}")]

    def audit_archive(self) -> list[dict[str, Any]]:
        """Files with records that left the state file: ``name`` and ``bytes``, oldest first."""
        return [dict(row) for row in self._ask("GET", "/api/audit/archive")]

    def audit_file(self, name: str) -> bytes:
        """One file of the archive."""
        return self._get(f"/api/audit/archive/{quote(name, safe='')}")

    def take_audit_file(self, name: str) -> None:
        """Remove a file of the archive, of which there is a copy elsewhere."""
        self._ask("DELETE", f"/api/audit/archive/{quote(name, safe='')}")

    def audit_check(self) -> dict[str, Any]:
        """Whether the chain of the audit is whole: ``rows``, ``broken`` and ``head``."""
        return dict(self._ask("GET", "/api/audit/check"))

    def secrets(self) -> list[dict[str, Any]]:
        """Every secret that is set, without its value."""
        return [dict(row) for row in self._ask("GET", "/api/secrets")]

    def set_secret(self, name: str, value: str) -> str:
        """Set a secret; returns what became of it, in a sentence."""
        path = f"/api/secrets/{quote(name, safe='')}"
        return str(self._ask("PUT", path, {"value": value})["text"])

    def remove_secret(self, name: str) -> str:
        """Forget a secret; returns what became of it, in a sentence."""
        return str(self._ask("DELETE", f"/api/secrets/{quote(name, safe='')}")["text"])

    def certificate(self) -> dict[str, Any]:
        """Whose the certificate of the screens is, and until when."""
        return dict(self._ask("GET", "/api/certificate"))

    def certificate_request(self, names: list[str]) -> str:
        """A signing request as PEM."""
        return self._get("/api/certificate/request", "POST", {"names": names}).decode()

    def install_certificate(self, chain: str) -> str:
        """Take a signed certificate; returns what became of it, in a sentence."""
        return str(self._ask("PUT", "/api/certificate", {"chain": chain})["text"])

    def destinations(self) -> dict[str, Any]:
        """Where nodes of the web may send to: ``allowed`` and ``only``."""
        return dict(self._ask("GET", "/api/destinations"))

    def change_destinations(self, **what: Any) -> dict[str, Any]:
        """Allow one more (`allow`), or nothing else (`only`)."""
        return dict(self._ask("PUT", "/api/destinations", what))

    def forbid_destination(self, name: str) -> str:
        """Take back what was allowed; returns what became of it, in a sentence."""
        path = f"/api/destinations/{quote(name, safe='')}"
        return str(self._ask("DELETE", path)["text"])

    def backup(self, passphrase: str, file: Path) -> int:
        """Write a backup into a file that is there only when it is whole; returns its bytes.

        Raises:
            OSError: The file cannot be written.
        """
        fresh = file.with_name(file.name + ".part")
        written = 0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(fresh, flags, 0o600), "wb") as out:
                for part in self._stream("/api/backup", {"passphrase": passphrase}):
                    written += out.write(part)
                out.flush()
                os.fsync(out.fileno())
            fresh.rename(file)
        finally:
            fresh.unlink(missing_ok=True)
        return written


__all__ = ["AccountClient"]
