"""The tree of parts and its offsets."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.mail.headers import parse_headers
from ekiden.mail.mime import DEPTH, PARTS, Part, decode_parts, encode_parts, find_part, parse_message, walk

_MIXED = (
    b"Content-Type: multipart/mixed; boundary=o\r\n\r\npreamble\r\n"
    b"--o\r\n\r\nfirst\r\n"
    b"--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
    b"--i\r\n\r\nplain\r\n--i\r\nContent-Type: text/html\r\n\r\n<p>\r\n--i--\r\n"
    b"--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninside\r\n"
    b"--o--\r\nepilogue"
)


def _shape(part: Part) -> object:
    kind = f"{part.type}/{part.subtype}"
    return (kind, [_shape(child) for child in part.children]) if part.children else kind


def _body(raw: bytes, part: Part | None) -> bytes:
    assert part is not None
    return raw[part.body_at : part.end]


def test_parts_are_found_by_their_numbers() -> None:
    root = parse_message(_MIXED)
    assert _shape(root) == (
        "multipart/mixed",
        ["text/plain", ("multipart/alternative", ["text/plain", "text/html"]), ("message/rfc822", ["text/plain"])],
    )
    assert _body(_MIXED, find_part(root, (1,))) == b"first"
    assert _body(_MIXED, find_part(root, (2, 1))) == b"plain"
    assert _body(_MIXED, find_part(root, (2, 2))) == b"<p>"
    assert _body(_MIXED, find_part(root, (3,))) == b"Subject: in\r\n\r\ninside"
    assert _body(_MIXED, find_part(root, (3, 1))) == b"inside"
    for numbers in ((0,), (4,), (1, 1), (2, 3), (3, 2), (3, 1, 1)):
        assert find_part(root, numbers) is None
    assert find_part(root, ()) == root


def test_a_message_without_parts_has_part_one() -> None:
    raw = b"Subject: x\r\n\r\nbody"
    root = parse_message(raw)
    assert _body(raw, find_part(root, (1,))) == b"body"
    assert find_part(root, (2,)) is None


def test_fields_of_a_part_are_kept() -> None:
    part = parse_message(
        b"Content-Type: IMAGE/Png; Name=a.png\r\nContent-Transfer-Encoding: BASE64\r\nContent-ID: <x@y>\r\n"
        b"Content-Description: a\r\n b\r\nContent-Disposition: Attachment; FileName=b.png\r\nContent-Language: en, ja\r\n"
        b"Content-Location: http://x.test/\r\nContent-MD5: Q2hlY2s=\r\n\r\nx\r\ny"
    )
    assert (part.type, part.subtype, part.params) == ("image", "png", ((b"name", b"a.png"),))
    assert (part.encoding, part.id, part.description) == ("base64", b"<x@y>", b"a b")
    assert (part.disposition, part.disposition_params) == ("attachment", ((b"filename", b"b.png"),))
    assert (part.language, part.location, part.md5) == ((b"en", b"ja"), b"http://x.test/", b"Q2hlY2s=")
    assert (part.lines, part.size, part.defective) == (1, 4, False)


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (b"", "text/plain"),
        (b"\r\n", "text/plain"),
        (b"body alone", "text/plain"),
        (b"Content-Type: nonsense\r\n\r\nx", "text/plain"),
        (b"Content-Type: multipart/mixed\r\n\r\n--\r\nx", "text/plain"),  # no boundary
        (b"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\nx", "text/plain"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b1\r\n\r\nx\r\n--b\r\n\r\ny", ("multipart/mixed", ["text/plain"])),
        (b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--b\r\n\r\n--a\r\n\r\n--a--", ("multipart/mixed", ["text/plain"])),
        (b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n--ab\r\n\r\n--ab--", ("multipart/mixed", ["text/plain"])),
        (
            b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: 1\r\n\r\n--b--",
            ("multipart/digest", [("message/rfc822", ["text/plain"])]),
        ),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b  \n\ny\n--b--\n", ("multipart/mixed", ["text/plain", "text/plain"])),
        (b"Content-Type: message/delivery-status\r\n\r\nA: 1\r\n", "message/delivery-status"),
        (b"Content-Type: message/global\r\n\r\nA: 1\r\n\r\n", ("message/global", ["text/plain"])),
    ],
)  # fmt: skip
def test_broken_and_odd_shapes_have_one_reading(raw: bytes, shape: object) -> None:
    assert _shape(parse_message(raw)) == shape


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nnever closed",
        b"Content-Type: multipart/mixed; boundary=" + b"b" * 71 + b"\r\n\r\n--" + b"b" * 71 + b"\r\n\r\n--" + b"b" * 71 + b"--",
        b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n\r\n--a--",
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n",
    ],
)
def test_what_others_may_read_otherwise_is_marked(raw: bytes) -> None:
    assert parse_message(raw).defective


def _cover(raw: bytes, root: Part) -> None:
    """Offsets lie inside and in order; header, body and children of each part put the message together again."""
    assert (root.header_at, root.end) == (0, len(raw))
    for part in walk(root):
        assert 0 <= part.header_at <= part.body_at <= part.end <= len(raw)
        assert part.lines == raw.count(b"\n", part.body_at, part.end)
        assert parse_headers(raw, part.header_at, part.end).body_at == part.body_at
        previous = part.body_at
        for child in part.children:
            assert previous <= child.header_at <= child.end <= part.end
            previous = child.end


_PIECES = [
    b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: multipart/digest; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"\r\n", b"\n", b"--a\r\n", b"--a--\r\n", b"--b\r\n", b"--b--\r\n", b"\r\n--a", b"x", b"Subject: y\r\n", b"\xff", b"\r",
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=60).map(b"".join) | st.binary(max_size=300))
@settings(max_examples=500)
def test_any_bytes_have_a_tree_that_covers_them(raw: bytes) -> None:
    root = parse_message(raw)
    _cover(raw, root)
    assert parse_message(raw, parse_headers(raw)) == root
    assert decode_parts(encode_parts(root)) == root


def _nested(levels: int) -> bytes:
    heads = [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels)]
    return b"".join(heads) + b"\r\nx"


@pytest.mark.parametrize(
    "raw",
    [
        _nested(50), _nested(101), _nested(1_000), _nested(20_000), b"Content-Type: message/rfc822\r\n\r\n" * 2_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 50_000,
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n") * 3_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\n--b " * 500_000,
        b"Content-Type: multipart/mixed; boundary=-\r\n\r\n" + b"\n" + b"-" * 2_000_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 40 + b"\n--bx" * 500_000,
    ],
    ids=["50", "101", "1000", "20000", "messages", "parts", "cycle", "near-boundaries", "dashes", "nested-near"],
)  # fmt: skip
def test_hostile_trees_are_bounded(raw: bytes) -> None:
    begun = time.process_time()
    root = parse_message(raw)
    assert time.process_time() - begun < 2
    parts = list(walk(root))
    assert len(parts) <= PARTS
    _cover(raw, root) if len(parts) < 500 else None
    depth, level = 0, [root]
    while level:
        depth, level = depth + 1, [child for part in level for child in part.children]
    assert depth <= DEPTH + 1


def test_twice_the_input_takes_about_twice_the_time() -> None:
    def seconds(count: int) -> float:
        raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nA: 1\r\n\r\n" + b"line\r\n" * 200_000 * count + b"--b--\r\n"
        best = 9.0
        for _ in range(3):
            begun = time.process_time()
            parse_message(raw)
            best = min(best, time.process_time() - begun)
        return best

    seconds(1)
    assert seconds(4) < 2.6 * seconds(2) + 0.01


def test_a_row_of_something_else_is_refused() -> None:
    for row in (b"", b"x", b"\x90", encode_parts(parse_message(_MIXED))[:-1]):
        with pytest.raises(BadValue):
            decode_parts(row)
