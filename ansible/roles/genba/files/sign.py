#!/usr/bin/env python3
"""Signs a gateway's request with your authority: sign.py CA.pem CA.key DAYS NAME... < request.

Prints the certificate and that of the authority. Only the names given here get into it, whatever
the request asks for. Uses the library that Ansible itself needs. A key that is sealed is opened
with the passphrase in GENBA_CA_PASSPHRASE.

Source: RFC 5280.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

DAY = dt.timedelta(days=1)


def signed(
    request: bytes, authority: x509.Certificate, key: object, days: int, names: Sequence[str]
) -> str:
    """The certificate and its issuer as PEM; never of longer life than the issuer's."""
    asked = x509.load_pem_x509_csr(request)
    if not asked.is_signature_valid:
        raise ValueError("the request is not signed with its own key")
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError("the key of the authority is of a kind that is not known here")
    now = dt.datetime.now(dt.timezone.utc)  # noqa: UP017 - Python 3.10 has no dt.UTC
    ends = min(now + days * DAY, end_of(authority))
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(authority.subject)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)  # The gateway's clock may be a little behind.
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(alternatives(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issued_by, critical=False)
        .sign(key, hashes.SHA256())
    )
    both = (made, authority)
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in both)


def end_of(certificate: x509.Certificate) -> dt.datetime:
    """Until when it is valid; Debian 12's library knows only the older of the two names."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=dt.timezone.utc)  # noqa: UP017 - Python 3.10 has no dt.UTC


def alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    """Names and addresses, each once; the gateway's own loopback is always among them."""
    found: dict[str, x509.GeneralName] = {}
    for name in [*names, "localhost", "127.0.0.1", "::1"]:
        try:
            found[name] = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            found[name] = x509.DNSName(name)
    return list(found.values())


def main() -> None:
    """Sign what stands on the standard input."""
    if len(sys.argv) < 4:
        sys.exit(str(__doc__))
    try:
        authority = x509.load_pem_x509_certificate(Path(sys.argv[1]).read_bytes())
        passphrase = os.environ.get("GENBA_CA_PASSPHRASE", "").encode() or None
        key = serialization.load_pem_private_key(Path(sys.argv[2]).read_bytes(), passphrase)
        if key.public_key() != authority.public_key():
            raise ValueError(f"{sys.argv[2]} is not the key of {sys.argv[1]}")
        request, days, names = sys.stdin.buffer.read(), int(sys.argv[3]), sys.argv[4:]
        print(signed(request, authority, key, days, names), end="")
    except (OSError, ValueError, TypeError) as error:
        sys.exit(f"Nothing was signed: {error}.")


if __name__ == "__main__":
    main()
