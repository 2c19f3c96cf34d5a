"""A certificate authority of a plant, for tests."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


class Authority:
    """Signs what it is asked to."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Plant authority")])
        made = self._builder(self._name, self._key.public_key(), 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = made.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        made = made.add_extension(identifier, critical=False)
        self.pem = made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def signed(self, request: str, days: int = 10) -> str:
        """The chain for a request; negative days are past."""
        asked = x509.load_pem_x509_csr(request.encode())
        assert asked.is_signature_valid
        builder = self._builder(asked.subject, asked.public_key(), days)
        for extension in asked.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(key, critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        return made.public_bytes(Encoding.PEM).decode() + self.pem

    def other(self) -> str:
        """A certificate for some other key."""
        return self.pem

    def _builder(
        self, subject: x509.Name, key: x509.CertificatePublicKeyTypes, days: int
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)  # type: ignore[arg-type]  # any kind of key may be signed
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=20))
            .not_valid_after(now + dt.timedelta(days=days))
        )
