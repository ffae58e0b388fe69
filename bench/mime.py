"""What reading a message costs: microseconds for headers, part tree, Received field and stored tree.

Run: python bench/mime.py. Prints the best and the median of many rounds of one process; a quiet machine matters.
"""

from __future__ import annotations

import base64
import statistics
import time
from collections.abc import Callable
from ipaddress import IPv4Address

from ekiden.base.clock import Millis
from ekiden.mail.address import Domain, Path, parse_path
from ekiden.mail.encodings import decode_body, decode_words
from ekiden.mail.fields import first_message_id, parse_addresses, parse_date
from ekiden.mail.headers import parse_headers
from ekiden.mail.mime import decode_parts, encode_parts, find_part, parse_message
from ekiden.mail.trace import received

_HEADER = b"".join(
    [
        b"Received: from mail.remote.test (mail.remote.test [192.0.2.7])\r\n\tby mx.example.test with ESMTPS id 0f3s9\r\n"
        b"\tfor <bob@example.test>; Fri, 21 Nov 2025 09:55:06 +0000\r\n" * 2,
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=remote.test; s=sel;\r\n"
        b"\th=from:to:subject:date:message-id:mime-version;\r\n\tbh=" + b"A" * 43 + b"=;\r\n\tb=" + b"B" * 340 + b"\r\n",
        b"From: Alice <alice@remote.test>\r\nTo: Bob <bob@example.test>\r\nSubject: The plan for next week\r\n",
        b"Date: Fri, 21 Nov 2025 10:55:06 +0100\r\nMessage-ID: <20251121095506.4711@remote.test>\r\n",
        b"In-Reply-To: <a@example.test>\r\nReferences: <a@example.test>\r\n <b@example.test>\r\nReply-To: alice@remote.test\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
        b"X-Mailer: Mailer 3.1\r\nList-Id: <plans.remote.test>\r\nPrecedence: list\r\n\r\n",
    ]
)
_LINE = b"The quick brown fox jumps over the lazy dog, and then it sleeps.\r\n"


def plain_message(size: int) -> bytes:
    """A text message with a usual header, size bytes."""
    return (_HEADER + _LINE * (size // len(_LINE)))[:size]


def multipart_message(size: int) -> bytes:
    """Two alternatives and three attachments in base64, about size bytes."""
    attachment = base64.encodebytes(bytes(range(256)) * (size // 3 * 3 // 4 // 256)).replace(b"\n", b"\r\n")
    parts = [
        b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n\r\ntext\r\n"
        b"--inner\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>text</p>\r\n--inner--\r\n",
    ] + [
        b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="a.pdf"\r\n\r\n' + attachment
    ] * 3
    header = _HEADER.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="outer"')
    return header + b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts) + b"--outer--\r\n"


def measure(name: str, work: Callable[[], object], rounds: int) -> None:
    """Time each of rounds calls in 20 batches; print the best and the median batch."""
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(rounds):
            work()
        times.append((time.perf_counter() - begun) / rounds * 1e6)
    print(f"{name:46} best {min(times):9.2f} µs   median {statistics.median(times):9.2f} µs")


def main() -> None:
    """Print the table."""
    small, large = plain_message(4096), multipart_message(1 << 20)
    tree = parse_message(large)
    row = encode_parts(tree)
    small_tree = parse_message(small)
    small_row = encode_parts(small_tree)
    path = Path("bob", Domain("example.test"))
    ip = IPv4Address("192.0.2.7")
    at = Millis(1_763_718_906_000)

    date = b" Fri, 21 Nov 2025 10:55:06 +0100"
    words = b" " + b"\r\n ".join([b"=?ISO-2022-JP?B?GyRCMnE1RBsoQg==?="] * 4)
    encoded = base64.encodebytes(bytes(786_432)).replace(b"\n", b"\r\n")
    quoted = b"=E4=BC=9A text and more text =\r\n" * 32_000

    def trace() -> bytes:
        return received(
            hello="mail.remote.test", ip=ip, name=Domain("mail.remote.test"), by="mx.example.test",
            with_protocol="ESMTPS", id="0f3s9x7c2b1aa", at=at, for_recipient=path,
            tls_version="TLSv1.3", tls_cipher="TLS_AES_256_GCM_SHA384",
        )  # fmt: skip

    def both() -> object:
        headers = parse_headers(small)
        return parse_message(small, headers)

    print(f"plain message {len(small)} bytes, {len(parse_headers(small).fields)} fields; multipart {len(large)} bytes")
    measure("parse_path", lambda: parse_path(b"alice@mail.remote.test", utf8=False, what="reverse"), 5000)
    measure("headers, plain", lambda: parse_headers(small), 5000)
    measure("headers and parts, plain", both, 5000)
    measure("headers and parts, 1 MiB multipart", lambda: parse_message(large), 50)
    measure("encode parts, plain", lambda: encode_parts(small_tree), 5000)
    measure("decode parts, plain", lambda: decode_parts(small_row), 5000)
    measure("decode parts and find 1.2, multipart", lambda: find_part(decode_parts(row), (1, 2)), 5000)
    measure("Received field", trace, 5000)
    several = b" Alice <alice@remote.test>, bob@example.test, =?utf-8?B?5Lya6K2w?= <c@example.test>" + b", d@example.test" * 10
    measure("addresses, one, seen before", lambda: parse_addresses(b" Alice <alice@remote.test>"), 5000)
    measure("addresses, thirteen", lambda: parse_addresses(several), 1000)
    measure("Date and Message-ID", lambda: (parse_date(date), first_message_id(b" <20251121095506.4711@remote.test>")), 5000)
    measure("Subject, plain", lambda: decode_words(b" The plan for next week"), 5000)
    measure("Subject, four encoded words", lambda: decode_words(words), 5000)
    measure("base64, 1 MiB", lambda: decode_body(encoded, "base64"), 50)
    measure("quoted-printable, 1 MiB", lambda: decode_body(quoted, "quoted-printable"), 20)


if __name__ == "__main__":
    main()
