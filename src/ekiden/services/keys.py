"""Secrets at rest: the master key of an installation, and what is sealed with it; making keys for DKIM and their records.

What is secret lies in the store encrypted (AES-256-GCM), so that a copy of the database alone signs nothing. The master key is one
line in a file that only its owner may read: data_dir/master.key, made when the first secret is, or a file that the operator names.
Each sealed secret says which master key it needs and what it is for, so that a wrong key and damage are told apart and no secret
can stand in for another.
Source: NIST SP 800-38D (GCM), RFC 6376 §3.6.1, RFC 8463 §4.2, RFC 8301 §3.2; docs/adr/0012-signing-and-forwarding.md.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ekiden.base.errors import Damaged, EkidenError
from ekiden.dns.questions import Finding, Lookup, ask_anyhow, records_of
from ekiden.dns.records import Txt
from ekiden.store.dkim_keys import DkimKey

ALGORITHMS = ("rsa", "ed25519")
FILE = "master.key"
"""The master key within data_dir."""

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MARK_BYTES = 8
_FORM = b"\x01"
_FILE_BYTES = 1024
_RSA_BITS = 2048  # RFC 8301 §3.2: at least 1024, should be 2048; a longer one needs more than one UDP packet without EDNS
_STRING_OCTETS = 255  # RFC 1035 §3.3: one string of a TXT record


class KeysUnusable(EkidenError):
    """The master key is missing, open to others, malformed, or not the one that sealed a secret. Nothing is signed then."""


class Vault:
    """Seals and opens secrets with the master key of file. made_here: the file may be made if it is not there."""

    def __init__(self, file: Path, *, made_here: bool, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._file = file
        self._made_here = made_here
        self._random = random
        self._read: tuple[tuple[int, int, int], bytes] | None = None

    def is_there(self) -> bool:
        """Whether there is a master key, fit for use or not."""
        return self._file.exists()

    def make(self) -> None:
        """Make the master key unless there is one. Only where nothing has been sealed yet. Raises KeysUnusable."""
        if self._file.exists():
            return
        if not self._made_here:
            raise KeysUnusable(f"the master key {self._file} is not there")
        line = base64.b64encode(self._random(_KEY_BYTES)) + b"\n"
        draft = self._file.with_name(f".{self._file.name}.{self._random(8).hex()}")
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, line)
                os.fsync(fd)
            finally:
                os.close(fd)
            with suppress(FileExistsError):  # another process was faster, and its key is the one
                os.link(draft, self._file)
            _sync(self._file.parent)
        except OSError as error:
            raise KeysUnusable(f"the master key {self._file} cannot be made: {error.strerror}") from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """The secret encrypted. purpose: what it is for; open() must name the same. Raises KeysUnusable."""
        key = self._key()
        nonce = self._random(_NONCE_BYTES)
        return _FORM + _mark(key) + nonce + AESGCM(key).encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What seal() was given. Raises KeysUnusable for another master key, Damaged for what was changed or is for something else."""
        key = self._key()
        if sealed[:1] != _FORM or len(sealed) < 1 + _MARK_BYTES + _NONCE_BYTES + 16:
            raise Damaged(f"the secret of {purpose} is damaged")
        if sealed[1 : 1 + _MARK_BYTES] != _mark(key):
            raise KeysUnusable(f"{self._file} is not the master key that sealed the secret of {purpose}")
        at = 1 + _MARK_BYTES
        try:
            return AESGCM(key).decrypt(sealed[at : at + _NONCE_BYTES], sealed[at + _NONCE_BYTES :], purpose.encode())
        except InvalidTag as error:
            raise Damaged(f"the secret of {purpose} is damaged") from error

    def _key(self) -> bytes:
        """The master key, read again when its file is another one."""
        try:
            status = self._file.stat()
        except OSError as error:
            raise KeysUnusable(f"the master key {self._file} cannot be read: {error.strerror}") from error
        is_now = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._read is not None and self._read[0] == is_now:
            return self._read[1]
        # Credentials of a service manager belong to root and are readable by an ACL, which shows as the group's right to read.
        others = 0o077 if status.st_uid == os.geteuid() else 0o037
        if status.st_mode & others:
            raise KeysUnusable(f"the master key {self._file} is open to others (mode {status.st_mode & 0o777:04o}); make it 0600")
        try:
            with self._file.open("rb") as file:
                line = file.read(_FILE_BYTES).strip()
            key = base64.b64decode(line, validate=True)
        except OSError as error:
            raise KeysUnusable(f"the master key {self._file} cannot be read: {error.strerror}") from error
        except binascii.Error:
            key = b""
        if len(key) != _KEY_BYTES:
            raise KeysUnusable(f"the master key {self._file} is not one line of base64 with {_KEY_BYTES} bytes in it")
        self._read = is_now, key
        return key


def _mark(key: bytes) -> bytes:
    """Tells master keys apart and says nothing about them."""
    return blake2b(b"ekiden master key", key=key, digest_size=_MARK_BYTES).digest()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# ---- keys for DKIM ---------------------------------------------------------------------------------


def make_pair(algorithm: str) -> tuple[bytes, bytes]:
    """A new key: what p= of its record holds, and the private key in PKCS #8. algorithm: one of ALGORITHMS."""
    private = Ed25519PrivateKey.generate() if algorithm == "ed25519" else generate_private_key(65537, _RSA_BITS)
    if isinstance(private, Ed25519PrivateKey):
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)  # RFC 8463 §4.2
    else:
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public, private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def purpose_of(domain: str, selector: str, algorithm: str) -> str:
    """What the private key of a DKIM key is sealed for."""
    return f"dkim {selector}._domainkey.{domain} {algorithm}"


def record_name(key: DkimKey) -> str:
    """Where its record stands in the DNS (RFC 6376 §3.6.2.1), no dot at the end."""
    return f"{key.selector}._domainkey.{key.domain}"


def record_text(key: DkimKey) -> str:
    """What its record says, as one text (RFC 6376 §3.6.1)."""
    return f"v=DKIM1; k={key.algorithm}; p={base64.b64encode(key.public).decode('ascii')}"


def record_strings(text: str) -> list[str]:
    """A text as the strings of a TXT record, each at most 255 octets."""
    return [text[at : at + _STRING_OCTETS] for at in range(0, len(text), _STRING_OCTETS)]


def zone_value(text: str) -> str:
    """A text as the value of a TXT record in a zone file."""
    quoted = " ".join(f'"{each}"' for each in record_strings(text))
    return quoted if len(text) <= _STRING_OCTETS else f"( {quoted} )"


class Published(Enum):
    """What the DNS says about a key. SEVERAL: more than one record at its name, which verifiers need not understand."""

    RIGHT = "right"
    ABSENT = "absent"
    OTHER = "other"
    SEVERAL = "several"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Looked:
    """An answer about a key's record; found: what stands there, or why nobody could tell."""

    published: Published
    found: str = ""


def look_up(key: DkimKey) -> Lookup[Looked]:
    """Whether the record of a key stands in the DNS."""
    answer = yield from ask_anyhow(Txt, record_name(key))
    if answer.finding is Finding.FAILED:
        return Looked(Published.UNKNOWN, answer.because)
    found = [b"".join(each.strings).decode("utf-8", "replace") for each in records_of(Txt, answer)]
    if not found:
        return Looked(Published.ABSENT)
    if len(found) > 1:
        return Looked(Published.SEVERAL, " / ".join(found))
    tags = {name.strip(): "".join(value.split()) for name, _, value in (tag.partition("=") for tag in found[0].split(";"))}
    wanted = base64.b64encode(key.public).decode("ascii")
    is_right = tags.get("p") == wanted and tags.get("k", "rsa") == key.algorithm and tags.get("v", "DKIM1") == "DKIM1"
    return Looked(Published.RIGHT if is_right else Published.OTHER, found[0])
