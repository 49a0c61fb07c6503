"""Certificates for the tests of TLS: an authority of the test's own, and what it signs, as files.

Used by the tests of TLS here, in tests/service and tests/test_tls.py. It must never be trusted by anything but a test.
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import NamedTuple

import trustme

Signed = tuple[str, str]
"""The files of a certificate and of its key."""


class Papers(NamedTuple):
    """An authority (`authority`, and its certificate's file `ca`) with a folder for what it signs."""

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def sign(self, name: str, *identities: str, expired: bool = False) -> Signed:
        """A certificate for these names, or for this machine."""
        ends = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if expired else None
        begins = datetime.datetime(2019, 1, 1, tzinfo=datetime.UTC) if expired else None
        made = self.authority.issue_cert(*(identities or ("localhost", "127.0.0.1")), not_after=ends, not_before=begins)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        return str(cert), str(key)

    def client(self, signed: Signed | None = None) -> ssl.SSLContext:
        """What a client believes and shows."""
        context = ssl.create_default_context(cafile=self.ca)
        if signed:
            context.load_cert_chain(*signed)
        return context


def papers(folder: Path) -> Papers:
    """A new authority."""
    made = Papers(folder, trustme.CA())
    made.authority.cert_pem.write_to_path(made.ca)
    return made
