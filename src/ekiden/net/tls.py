"""TLS contexts, and TLS as a layer between a plain transport and a protocol machine.

The stdlib computes (ssl.MemoryBIO and SSLObject); the pump carries. Neither loop's own TLS is used: see house.md §14.
TLS 1.2 and 1.3 only (RFC 8996), ECDHE with AEAD suites, no renegotiation, no compression.
Source: RFC 3207, RFC 8314, reliability.md §5.5.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from ekiden.base.errors import ConfigError, ProtocolError
from ekiden.mail.envelope import Tls

_CIPHERS = ":".join(
    [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ]
)
_READ = 65_536


def _hardened(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


class Certificate:
    """One certificate and key on disk, and the contexts that serve it: one a service, so that tickets stay apart.

    Raises ConfigError if the files cannot be read, do not fit together, or the key may be read by everybody.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self.chain = chain
        self._key = key
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._seen = self._stamp()
        self._load(_hardened(ssl.PROTOCOL_TLS_SERVER))

    def context(self, service: str, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
        """The context of one service ("smtp", "imap" …); protocols: its ALPN names."""
        context = self._contexts.get(service)
        if context is None:
            context = _hardened(ssl.PROTOCOL_TLS_SERVER)
            if protocols:
                context.set_alpn_protocols(list(protocols))
            self._load(context)
            self._contexts[service] = context
        return context

    def reload_if_changed(self) -> bool:
        """Load the files again into the living contexts if they have changed on disk; True if they had.

        New handshakes use the new certificate. Raises ConfigError, and keeps the old one, if the new files are no good.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._load(_hardened(ssl.PROTOCOL_TLS_SERVER))
        for context in self._contexts.values():
            self._load(context)
        self._seen = stamp
        return True

    def _stamp(self) -> tuple[int, int, int, int]:
        try:
            chain, key = self.chain.stat(), self._key.stat()
        except OSError as error:
            raise ConfigError([f"tls: {error.filename}: {error.strerror}"]) from error
        if key.st_mode & 0o004:
            raise ConfigError([f"tls.key: {self._key} may be read by everybody (mode {key.st_mode & 0o777:04o}); make it 0600"])
        return chain.st_mtime_ns, chain.st_size, key.st_mtime_ns, key.st_size

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.chain, self._key)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError([self._what_is_wrong(error)]) from error

    def _what_is_wrong(self, error: OSError) -> str:
        """Names the one file that is no good, or both where they do not belong together."""
        reason = getattr(error, "reason", None) or str(error)
        try:
            ssl.create_default_context(cafile=self.chain)
        except (ssl.SSLError, OSError) as wrong:
            return f"tls.certificate: {self.chain} is no certificate in PEM form: {getattr(wrong, 'reason', None) or wrong}"
        if reason == "KEY_VALUES_MISMATCH":
            return f"tls.key: {self.chain} and {self._key} cannot be used together: {reason}"
        return f"tls.key: {self._key} is no private key in PEM form: {reason}"


def client_context(*, verify: bool, authorities: Path | None = None) -> ssl.SSLContext:
    """A context for outgoing connections. verify=False is opportunistic TLS (RFC 7435): any certificate is taken.

    authorities: a PEM file of the certificates to trust instead of the system's.
    """
    context = _hardened(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        if authorities is not None:
            context.load_verify_locations(authorities)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsLayer:
    """One TLS connection as bytes in, bytes out.

    `feed` what came from the socket; `take_output` what must go there; `done` once the handshake is complete;
    `read` gives plaintext, `write` takes it. Raises ProtocolError on anything that TLS does not allow.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=hostname)
        self._verified = context.verify_mode is ssl.CERT_REQUIRED and not server_side
        self._hostname = hostname
        self.done = False
        self.closed_by_peer = False

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes from the socket and go on with the handshake if it is not complete."""
        self._in.write(data)
        if not self.done:
            self.handshake()

    def handshake(self) -> None:
        """Go on with the handshake as far as the bytes at hand allow."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ValueError) as error:
            raise ProtocolError(f"TLS handshake: {_reason(error)}") from error
        self.done = True

    def read(self) -> bytes:
        """Up to 64 KiB of plaintext, b"" when more bytes are needed first or the peer has said close_notify."""
        if not self.done or self.closed_by_peer:
            return b""
        try:
            data = self._ssl.read(_READ)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            self.closed_by_peer = True
            return b""
        except ssl.SSLError as error:
            raise ProtocolError(f"TLS: {_reason(error)}") from error
        if not data:
            self.closed_by_peer = True
        return data

    def write(self, data: bytes) -> None:
        """Encrypt; the ciphertext comes with take_output."""
        try:
            self._ssl.write(data)
        except ssl.SSLError as error:
            raise ProtocolError(f"TLS: {_reason(error)}") from error

    def say_goodbye(self) -> None:
        """Put close_notify into the output; the peer's own is not waited for."""
        try:
            self._ssl.unwrap()
        except (ssl.SSLError, ValueError):
            return  # the peer's close_notify has not come: ours is in the output all the same

    def take_output(self) -> bytes:
        """Ciphertext for the socket."""
        return self._out.read()

    def about(self) -> Tls:
        """What was agreed; only after the handshake."""
        cipher = self._ssl.cipher()
        return Tls(self._ssl.version() or "", cipher[0] if cipher else "", self._hostname if self._verified else None)

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER, or None where it showed none."""
        return self._ssl.getpeercert(binary_form=True)


def _reason(error: BaseException) -> str:
    verify = getattr(error, "verify_message", None)
    return str(verify or getattr(error, "reason", None) or error)
