"""Certificates: what rproxy shows its clients and its servers, and whom it believes.

Called by `config`, which has every file tried before it is used, by the listeners and by the dialer, which take what the files hold now. It must never ask
for a passphrase, nor connect to a server whose name its certificate does not hold.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.settings import Tls

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def of_listeners(tls: Tls) -> ssl.SSLContext:
    """For the connections of clients. Raises SettingsError, which names the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    if tls.ciphers:
        try:
            context.set_ciphers(tls.ciphers)
        except ssl.SSLError:
            raise SettingsError(f"tls.ciphers = {tls.ciphers}: OpenSSL knows none of them") from None
    _show(context, tls.cert, tls.key, "tls.cert", "tls.key")
    if tls.client_ca:
        _believe(context, tls.client_ca, "tls.client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def of_server(server: Server) -> ssl.SSLContext:
    """For connections to this server. Raises SettingsError, which names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if server.ca:
        _believe(context, server.ca, "tls.server_ca")
    else:
        context.load_default_certs()
    if server.cert:
        _show(context, server.cert, server.key, "tls.server_cert", "tls.server_key")
    return context


def words(problem: ssl.SSLError) -> str:
    """Why TLS fails, in plain words."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {problem.verify_message}"
    reason = problem.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return "it speaks no TLS"
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "it shows no certificate"
    return f"TLS fails: {reason.lower().replace('_', ' ') or problem}"


def _show(context: ssl.SSLContext, cert: str, key: str, of_cert: str, of_key: str) -> None:
    _readable(cert, of_cert)
    if key:
        _readable(key, of_key)
    try:
        context.load_cert_chain(cert, key or None, password=lambda: b"")
    except (ssl.SSLError, ValueError) as problem:
        reason = getattr(problem, "reason", "") or str(problem)
        if reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"{of_key} = {key or cert}: the key is not that of the certificate in {cert}") from None
        place = f"{of_cert} = {cert}" + (f", {of_key} = {key}" if key else "")
        raise SettingsError(f"{place}: no certificate and key in PEM without a passphrase ({reason})") from None


def _believe(context: ssl.SSLContext, path: str, key: str) -> None:
    _readable(path, key)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as problem:
        raise SettingsError(f"{key} = {path}: no certificates in PEM ({problem.reason or problem})") from None


def _readable(path: str, key: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as problem:
        raise SettingsError(f"{key} = {path}: the file can't be read: {problem.strerror or problem}") from None
