"""The file of a report, whatever it is packed in, and never more of it than there may be (row AX-25)."""

from __future__ import annotations

import base64
import gzip
import io
import random
import struct
import time
import zipfile
import zlib

import pytest

from ekiden.base.errors import BadValue
from ekiden.mailauth.report_archive import ENTRIES_MOST, FILES_MOST, PIECE_BYTES, UNPACKED_MOST, Packed, files_of, unpack, whole

XML = b"<feedback>" + bytes(range(32, 127)) * 300 + b"</feedback>"


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return made.getvalue()


@pytest.mark.parametrize("packed", [
    XML,
    gzip.compress(XML),
    gzip.compress(XML[:1000]) + gzip.compress(XML[1000:]),                           # RFC 1952 §2.2: members
    gzip.compress(XML) + b"what some programs append",
    zipped(("a!b!1!2.xml", XML)),
    zipped(("a.xml", XML), method=zipfile.ZIP_STORED),
    zipped(("readme.txt", b"not this"), ("a.xml", XML), ("b.xml", b"nor this")),
    zipped(("folder/", b""), ("report", XML)),
    zipped(("a.xml", XML)) + b"a comment behind the directory",
])
def test_whatever_it_is_packed_in_the_report_comes_out(packed: bytes) -> None:
    assert whole(packed) == XML


@pytest.mark.parametrize("packed", [
    gzip.compress(XML)[:-20],
    gzip.compress(XML)[:40] + b"\0" * 40 + gzip.compress(XML)[80:],
    zipped(("a.xml", XML))[:-30],
    zipped(("a.xml", XML))[:200] + zipped(("a.xml", XML))[260:],
    zipped(),
    zipped(("a.xml", XML), method=zipfile.ZIP_LZMA),
    b"PK\x03\x04",
    b"\x1f\x8b",
])
def test_what_is_broken_or_unknown_is_refused(packed: bytes) -> None:
    if packed == zipped():
        packed = b"PK\x03\x04" + b"\0" * 26 + packed
    with pytest.raises(BadValue):
        whole(packed)


def test_an_encrypted_zip_is_refused() -> None:
    raw = bytearray(zipped(("a.xml", XML)))
    raw[raw.rfind(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadValue, match="encrypted"):
        whole(bytes(raw))


def test_ax_25_a_gzip_bomb_ends_at_the_limit() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    bomb = b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()
    assert len(bomb) < 100_000
    sizes: list[int] = []
    with pytest.raises(BadValue, match="more than"):
        sizes.extend(len(piece) for piece in unpack(bomb))
    assert max(sizes) <= PIECE_BYTES
    assert sum(sizes) <= UNPACKED_MOST


def test_ax_25_a_gzip_file_of_a_million_empty_members_is_refused_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(BadValue, match="too many members"):
        whole(gzip.compress(b"") * 1_000_000)
    assert time.monotonic() - began < 5


def test_ax_25_a_zip_bomb_ends_at_the_limit_whatever_sizes_it_claims() -> None:
    raw = bytearray(zipped(("a.xml", bytes(30_000_000))))
    at = raw.rfind(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<L", 10)  # the size that the directory claims
    with pytest.raises(BadValue, match="more than"):
        whole(bytes(raw))


def test_ax_25_a_zip_of_ten_thousand_files_is_refused_before_one_is_read() -> None:
    with pytest.raises(BadValue, match="10000 files"):
        whole(zipped(*((f"{number}.xml", b"<a/>") for number in range(10_000))))
    assert whole(zipped(*((f"{number}.xml", b"<a/>") for number in range(ENTRIES_MOST)))) == b"<a/>"


@pytest.mark.parametrize("name", ["../../etc/cron.d/x.xml", "/etc/passwd.xml", "C:\\x.xml", "a\0b.xml", "~/x.xml"])
def test_ax_25_the_name_of_a_file_leads_nowhere(name: str) -> None:
    assert whole(zipped((name, XML))) == XML


def test_noise_behind_the_magic_of_either_kind_never_does_more_than_raise() -> None:
    noise = random.Random(7)
    good = zipped(("a.xml", XML))
    for _ in range(2000):
        raw = bytearray(good)
        for _ in range(noise.randrange(1, 6)):
            raw[noise.randrange(4, len(raw))] = noise.randrange(256)
        try:
            assert len(whole(bytes(raw))) <= UNPACKED_MOST
        except BadValue:
            pass


def mail(*parts: bytes) -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return b'From: a@one.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n' + body + b"--b--\r\n"


def attachment(kind: bytes, name: bytes, raw: bytes) -> bytes:
    head = b'Content-Type: %s; name="%s"\r\nContent-Transfer-Encoding: base64\r\n\r\n' % (kind, name)
    return head + base64.encodebytes(raw).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(("kind", "name"), [
    (b"application/gzip", b"r.test!one.test!1!2.xml.gz"),
    (b"application/zip", b""),
    (b"application/octet-stream", b"Report.XML.GZ"),
    (b"application/tlsrpt+gzip", b""),
    (b"text/xml", b""),
])
def test_a_mail_is_looked_through_for_what_may_be_a_report(kind: bytes, name: bytes) -> None:
    raw = mail(b"Content-Type: text/plain\r\n\r\nhello", attachment(kind, name, gzip.compress(XML)))
    (found,) = files_of(raw)
    assert (whole(found.raw), found.name) == (XML, name.decode())


def test_a_mail_that_is_the_report_itself_is_found_too() -> None:
    raw = b"From: a@one.test\r\nContent-Transfer-Encoding: base64\r\nContent-Type: application/gzip\r\n\r\n"
    (found,) = files_of(raw + base64.encodebytes(gzip.compress(XML)))
    assert whole(found.raw) == XML


@pytest.mark.parametrize("raw", [XML, b"\xef\xbb\xbf\r\n <feedback/>", b'{"a": 1}', gzip.compress(XML), zipped(("a.xml", XML))])
def test_a_bare_file_is_taken_as_it_is(raw: bytes) -> None:
    assert files_of(raw) == [Packed("", raw)]


def test_a_mail_with_a_thousand_attachments_is_looked_into_only_a_little() -> None:
    assert len(files_of(mail(*[attachment(b"text/xml", b"", XML)] * 1000))) == FILES_MOST
    assert files_of(mail(b"Content-Type: text/plain\r\n\r\nhello")) == []
    assert files_of(b"") == []
