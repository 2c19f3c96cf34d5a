"""ID tokens: whether what a provider says of a person is from it, for us, for now and asked for.

Signatures are checked by joserfc; which keys and algorithms count, and every claim, is decided
here: an algorithm of the token's own choice is how such checks were got around.

Source: OpenID Connect Core 1.0, 3.1.3.7 (ID token validation); RFC 8725 (JWT best practices),
3.1, 3.2, 3.8 to 3.10; RFC 7517 (JWK).
"""

from __future__ import annotations

import hmac
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from gateway.engine.principal import Denied

ALGORITHMS: Final[Mapping[str, str]] = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "EC",
    "ES384": "EC",
    "ES512": "EC",
    "Ed25519": "OKP",
}
"""Signatures that count, with the kind of key each needs: none with a shared secret."""
TOKEN_CHARS_MAX: Final = 64 * 1024
RSA_BITS_MIN: Final = 2048
KEYS_MAX: Final = 100
_TEXT_MAX: Final = 255
_KINDS: Final[Mapping[str, type[Key]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class NotProvenError(Denied):
    """An answer of the provider that is not believed; what exactly, is for the audit."""


class UnknownKeyError(NotProvenError):
    """Signed with a key that is not among those of the provider: they may have changed."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say.

    Args:
        issuer: Who made it.
        client: For whom.
        nonce: The number that was sent along.
        now_s: The time [s since 1970].
        skew_s: By so much clocks may differ [s].
        since_s: The person must have proven themselves at the provider since [s]; 0 is any time.
    """

    issuer: str
    client: str
    nonce: str
    now_s: float
    skew_s: float
    since_s: float = 0.0


def keys_of(document: Any) -> list[Key]:
    """The public keys of a provider that can sign; others are passed over.

    Raises:
        NotProvenError: It is no set of keys.
    """
    rows = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(rows, list) or len(rows) > KEYS_MAX:
        raise NotProvenError("The provider's keys are no list of keys.")
    found: list[Key] = []
    for row in rows:
        kind = _KINDS.get(str(row.get("kty"))) if isinstance(row, dict) else None
        if kind is None or row.get("use", "sig") != "sig":
            continue
        public = {k: v for k, v in row.items() if k not in ("d", "p", "q", "dp", "dq", "qi")}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # A weak key is left out below, not warned of.
                key = kind.import_key(public)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey) and key.raw_value.key_size < RSA_BITS_MIN:
            continue
        found.append(key)
    return found


def verified(token: str, keys: Sequence[Key], expected: Expected) -> dict[str, Any]:
    """The claims of an ID token that holds.

    Raises:
        UnknownKeyError: None of the keys made it.
        NotProvenError: It does not hold; the sentence says why.
    """
    if not isinstance(token, str) or not token.isascii() or len(token) > TOKEN_CHARS_MAX:
        raise NotProvenError("The answer has no ID token.")
    claims = _opened(token, keys)
    for why in (_wrong_party(claims, expected), _wrong_time(claims, expected)):
        if why:
            raise NotProvenError(why)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode("utf-8", "surrogatepass"), expected.nonce.encode()
    ):
        raise NotProvenError("The ID token does not belong to this login (nonce).")
    return claims


def _opened(token: str, keys: Sequence[Key]) -> dict[str, Any]:
    """The claims of a token whose signature is one of these keys'."""
    try:
        header = jws.extract_compact(token.encode()).headers()
        algorithm, number = str(header.get("alg")), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise NotProvenError(f"The ID token is signed with {algorithm[:20]!r}.")
        kind = ALGORITHMS[algorithm]
        fitting = [key for key in keys if key.key_type == kind and _may_sign(key, algorithm)]
        if number is not None:
            fitting = [key for key in fitting if key.as_dict(private=False).get("kid") == number]
        if len(fitting) != 1:
            raise UnknownKeyError("The ID token is signed with a key that is not the provider's.")
        opened = jws.deserialize_compact(token, fitting[0], algorithms=[algorithm])
        claims = json.loads(opened.payload)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise NotProvenError(f"The ID token cannot be believed: {str(error)[:100]}.") from error
    if not isinstance(claims, dict):
        raise NotProvenError("The ID token has no claims.")
    return claims


def _may_sign(key: Key, algorithm: str) -> bool:
    return key.as_dict(private=False).get("alg", algorithm) == algorithm


def _wrong_party(claims: Mapping[str, Any], expected: Expected) -> str:
    """Why a token is not from whom, or not for whom, it must be; empty when it is."""
    if claims.get("iss") != expected.issuer:
        return "The ID token is from another issuer."
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or expected.client not in audiences:
        return "The ID token is for somebody else (aud)."
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != expected.client:
        return "The ID token was made for somebody else (azp)."
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _TEXT_MAX:
        return "The ID token does not say whose it is (sub)."
    return ""


def _wrong_time(claims: Mapping[str, Any], expected: Expected) -> str:
    """Why a token does not count now; empty when it does."""
    now, skew = expected.now_s, expected.skew_s
    times = {}
    for name in ("exp", "iat", "nbf", "auth_time"):
        value = claims.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not is_number:
            return f"The ID token has a time that is no number ({name})."
        times[name] = value
    if times["exp"] is None or now >= times["exp"] + skew:
        return f"The ID token has expired. Do the clocks agree? Ours says {now:.0f}."
    if times["iat"] is None or times["iat"] > now + skew:
        return f"The ID token is from the future. Do the clocks agree? Ours says {now:.0f}."
    if times["nbf"] is not None and times["nbf"] > now + skew:
        return "The ID token does not count yet (nbf)."
    proven = times["auth_time"]
    if expected.since_s and (proven is None or not expected.since_s <= proven + skew):
        return "The provider did not ask for the password again (auth_time)."
    return ""


__all__ = ["ALGORITHMS", "Expected", "NotProvenError", "UnknownKeyError", "keys_of", "verified"]
