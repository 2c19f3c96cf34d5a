"""An OpenID Connect provider in a process of its own, that can be told to lie.

Run as a program it serves on a free port of this machine, which it prints. ``POST /told`` changes
who logs in (``claims``), what it does wrong (``wrong``) and whether it asks in a page (``asks``).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import html
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "genba-1"
SECRET = "a secret/with + signs: é"
NONE = b'{"alg":"none"}'


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class World:
    """What the provider knows."""

    def __init__(self) -> None:
        self.issuer = ""
        self.claims: dict[str, Any] = {}
        self.wrong = ""
        self.asks = False
        self.redirect = ""
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[dict[str, str]] = []
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.foreign = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.discovered = 0

    def token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "auth_time": now,
            **self.claims,
        }
        claims |= changes(now).get(self.wrong, {})
        if self.wrong == "no_proof":
            del claims["auth_time"]
        number = "nobody's" if self.wrong == "unknown_key" else self.key.kid
        key = self.foreign if self.wrong == "foreign_key" else self.key
        token = jwt.encode({"alg": "RS256", "kid": number}, claims, key, algorithms=["RS256"])
        head, _, tail = token.split(".")
        body = b64(json.dumps({**claims, "sub": "boss"}).encode())
        forged = {
            "none": f"{b64(NONE)}.{b64(json.dumps(claims).encode())}.",
            "hs256": _hs256(claims, self.key.as_pem(private=False)),
            "client_secret_hs256": _hs256(claims, SECRET.encode()),
            "changed": f"{head}.{body}.{tail}",
            "no_token": "",
        }
        return forged.get(self.wrong, token)


def changes(now: int) -> dict[str, dict[str, Any]]:
    """Claims that are wrong, by what is wrong."""
    return {
        "aud": {"aud": "genba-2"},
        "azp": {"aud": [CLIENT, "genba-2"]},
        "iss": {"iss": "https://evil.example"},
        "nonce": {"nonce": secrets.token_urlsafe(16)},
        "expired": {"exp": now - 3600, "iat": now - 7200},
        "future": {"iat": now + 3600, "exp": now + 7200},
        "nbf": {"nbf": now + 3600},
        "skewed": {"iat": now + 40, "nbf": now + 40},
        "sub": {"sub": 7},
        "old_proof": {"auth_time": now - 3600},
        "text_time": {"exp": "tomorrow"},
    }


def _hs256(claims: dict[str, Any], secret: bytes) -> str:
    head = b64(b'{"alg":"HS256","kid":"one"}')
    text = f"{head}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), 'sha256').digest())}"


WORLD = World()


class Handler(BaseHTTPRequestHandler):
    """The endpoints."""

    def log_message(self, *words: object) -> None:
        pass

    def answer(self, status: int, value: Any, **headers: str) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header(
            "Content-Type", "text/html" if isinstance(value, str) else "application/json"
        )
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        match path:
            case "/plant/.well-known/openid-configuration":
                WORLD.discovered += 1
                self.answer(200, self.discovery())
            case "/plant/keys":
                self.answer(200, {"keys": [WORLD.key.as_dict(private=False)]})
            case "/plant/authorize" if WORLD.asks:
                link = html.escape(f"/plant/approve?{query}")
                self.answer(200, f'<h1>Company</h1><a href="{link}">Let me in</a>')
            case "/plant/authorize" | "/plant/approve":
                self.approve(asked)
            case "/plant/me":
                is_known = self.headers.get("Authorization") == "Bearer access-1"
                more = {"groups": ["fitters"], "sub": WORLD.claims["sub"]}
                if WORLD.wrong == "userinfo":
                    more["sub"] = "boss"
                self.answer(200 if is_known else 401, more)
            case "/told":
                self.answer(200, {"asked": WORLD.asked, "discovered": WORLD.discovered})
            case _:
                self.answer(404, {})

    def discovery(self) -> dict[str, Any]:
        wrong = WORLD.wrong
        own = WORLD.issuer
        found: dict[str, Any] = {
            "issuer": "https://evil.example" if wrong == "discovery" else own,
            "authorization_endpoint": f"{own}/authorize",
            "token_endpoint": f"{own}/token",
            "jwks_uri": f"{own}/keys",
            "userinfo_endpoint": f"{own}/me",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return found

    def approve(self, asked: dict[str, str]) -> None:
        WORLD.asked.append(asked)
        if asked["redirect_uri"] != WORLD.redirect or asked["client_id"] != CLIENT:
            self.answer(400, "This address is not known here.")
            return
        code = secrets.token_urlsafe(16)
        WORLD.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": WORLD.issuer}
        match WORLD.wrong:
            case "denied":
                answer = {"error": "access_denied", "state": asked["state"], "iss": WORLD.issuer}
            case "mixed_up":
                answer["iss"] = "https://evil.example"
            case "no_iss":
                del answer["iss"]
        self.answer(303, "", Location=f"{asked['redirect_uri']}?{urlencode(answer)}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/told":
            for name, value in json.loads(body).items():
                setattr(WORLD, name, value)
            if WORLD.wrong == "rotated":
                new = {"kid": "two", "use": "sig", "alg": "RS256"}
                WORLD.key, WORLD.wrong = RSAKey.generate_key(2048, new), ""
            self.answer(200, {})
            return
        if WORLD.wrong == "moved":
            self.answer(307, {}, Location="http://127.0.0.1:9/")
            return
        if WORLD.wrong == "endless":
            self.answer(200, {"id_token": "a" * 1_000_000})
            return
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        asked = WORLD.codes.pop(form.get("code", ""), None)
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        is_right = (
            self.is_client()
            and asked is not None
            and asked["code_challenge"] == challenge
            and asked["code_challenge_method"] == "S256"
            and form["redirect_uri"] == asked["redirect_uri"]
        )
        if not is_right or asked is None:
            self.answer(400, {"error": "invalid_grant"})
            return
        token = WORLD.token(asked)
        self.answer(200, {"id_token": token, "access_token": "access-1", "token_type": "Bearer"})

    def is_client(self) -> bool:
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        name, _, secret = base64.b64decode(text or "").decode().partition(":")
        return kind == "Basic" and (unquote_plus(name), unquote_plus(secret)) == (CLIENT, SECRET)


def serve() -> None:
    """Serve until the standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Another site than 127.0.0.1, so that browsers treat its answers as they do a company's.
    WORLD.issuer = f"http://localhost:{server.server_port}/plant"
    print(WORLD.issuer, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


class Provider:
    """The process, from outside."""

    def __init__(self, issuer: str, process: subprocess.Popen[str]) -> None:
        self.issuer = issuer
        self.process = process

    @property
    def url(self) -> str:
        return self.issuer.removesuffix("/plant")

    def told(self, **what: Any) -> None:
        """From now on it does so."""
        assert httpx.post(f"{self.url}/told", json=what, trust_env=False).status_code == 200

    def seen(self) -> dict[str, Any]:
        """What it was asked."""
        return dict(httpx.get(f"{self.url}/told", trust_env=False).json())

    def stop(self) -> None:
        """It is away."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@contextlib.contextmanager
def provider() -> Iterator[Provider]:
    """Run one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.api.provider"],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = Provider(process.stdout.readline().strip(), process)
    try:
        yield found
    finally:
        with contextlib.suppress(BrokenPipeError, ValueError):
            found.stop()
        process.stdout.close()


if __name__ == "__main__":
    serve()
