"""TLS as we speak it: 1.2 and 1.3, forward secrecy and authenticated encryption only (RFC 9325), and the throwaway
certificate of `limena dev --tls`.

Refuses a key that everyone on the machine may read, a certificate that has expired, and a key of another certificate.
"""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from limena.config import SecretFileError, read_secret_file

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all good ones."""
THROWAWAY_DAYS: Final = 30


class TlsError(Exception):
    """Why TLS cannot be spoken, as a sentence."""


def create_context(cert: Path, key: Path) -> ssl.SSLContext:
    """For a server. Raises `TlsError`."""
    try:
        read_secret_file(key)
    except SecretFileError as error:
        raise TlsError(f"LIMENA_TLS_KEY names {key}, which {error}.") from None
    try:
        leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no PEM certificate"
        raise TlsError(f"LIMENA_TLS_CERT names {cert}, which cannot be used ({reason}).") from None
    if leaf.not_valid_after_utc <= datetime.now(UTC):
        raise TlsError(f"LIMENA_TLS_CERT names {cert}, which expired on {leaf.not_valid_after_utc:%Y-%m-%d}.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError):
        raise TlsError(
            f"LIMENA_TLS_KEY names {key}, which is not the unencrypted key of {cert}, or a weak one."
        ) from None
    return context


def _no_password() -> str:
    """Instead of a prompt on the terminal."""
    raise ValueError("the key is encrypted")


def is_fresh(certificate: str) -> bool:
    """Whether a throwaway certificate is good for another day."""
    not_after = x509.load_pem_x509_certificate(certificate.encode("ascii")).not_valid_after_utc
    return not_after > datetime.now(UTC) + timedelta(days=1)


def throwaway_certificate() -> tuple[str, str]:
    """Certificate and key as PEM, for `localhost` and the loopback addresses and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "limena dev")])
    now = datetime.now(UTC)
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=THROWAWAY_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode("ascii"), pem.decode("ascii")
