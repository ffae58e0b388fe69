"""Published messages and header fields of others: the tree, the decoded leaves, and one sane reading of each field.

Each case that we read otherwise on purpose is named with the reason and skipped; if it agrees after all, the test fails.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.suites.data import conformance

from ekiden.mail.encodings import decode_body, decode_words
from ekiden.mail.fields import Address, Group, message_ids, parse_address_list, parse_date
from ekiden.mail.headers import parse_headers
from ekiden.mail.mime import Part, parse_message, walk
from ekiden.mail.parameters import parameter, parameter_text, parse_parameters

_FOLDER = conformance("mime")

Tree = tuple[str, object]


def _files(name: str) -> list[Path]:
    return sorted((_FOLDER / name).glob("*.msg")) if _FOLDER is not None else []


_SPACE_LINE = "a line of one space continues the last field (RFC 5322 §4.2); what follows is no field, so it begins the body"
_NO_FIELD_LINE = "the header ends before the first line that is no field, so that no later line can be taken for a field"
_NO_PARTS = "a multipart in which no part begins is a broken Content-Type, shown as text (RFC 2045 §5.2)"
_MBOX = "a first line 'From ' is of an mbox file, not of a message: there is no header, and the mail is refused for lack of From"
_PREFIX = "only white space may follow a boundary: boundaries that begin one another are common, lines with more text are not"

OTHERWISE = {
    "basic-plain-with-bad-header-separator": _SPACE_LINE,
    "hdr-fakeout": _SPACE_LINE,
    "malformedHeader-nocrlfcrlf": _NO_FIELD_LINE,
    "malformedHeaderStartsBody-nocrlfcrlf": "differs from the case above by a setting of that parser; " + _NO_FIELD_LINE,
    "malformedHeader-noheader": "a text without a header is a body; that parser drops its first line",
    "malformedHeaderStartsBody-noheader": "a text without a header is a body; that parser drops its first line",
    "missing-boundary": _NO_PARTS,
    "missing-inner-start-boundary": _NO_PARTS,
    "multipartnopart": _NO_PARTS,
    "badbound": _NO_PARTS,
    "ending-boundaries": _PREFIX,
    "weird-boundary": "white space at the end of a boundary is not part of it, for gateways add and remove it (RFC 2046 §5.1.1)",
    "very-very-long-boundary": "a boundary has at most 70 characters (RFC 2046 §5.1.1); we read those up to 256",
    "jt-0498": _MBOX,
    "twopart": _MBOX,
    "uu-junk": _MBOX,
    "multi-2gifs-base64": "message/rfc822 may not be in base64 (RFC 2046 §5.2.1), and offsets into what is not there cannot be",
    "frag": "its base64 ends without padding; the last two octets are in it, so we give them",
}


def _expected(path: Path) -> Tree:
    def body(node: ET.Element) -> Tree:
        for child in node:
            if child.tag == "multipart":
                return ("multipart", [body(part) for part in child if part.tag == "body-part"])
            if child.tag in ("text-body", "binary-body"):
                return ("leaf", _plain((path.parent / (child.get("name") or "")).read_bytes()))
            if child.tag == "message":
                return ("message", body(child))
        return ("leaf", b"")

    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "?", path.read_text("utf-8", "replace"))
    return body(ET.fromstring(text))


def _tree(raw: bytes, part: Part) -> Tree:
    if part.is_multipart:
        return ("multipart", [_tree(raw, child) for child in part.children])
    if part.is_message:
        return ("message", _tree(raw, part.children[0]))
    return ("leaf", _plain(decode_body(raw[part.body_at : part.end], part.encoding)))


def _plain(octets: bytes) -> bytes:
    """Line ends of one kind, none at the end: the sets mix them."""
    return octets.replace(b"\r\n", b"\n").rstrip()


def _same_tree(file: Path) -> None:
    raw = file.read_bytes()
    agrees = _tree(raw, parse_message(raw)) == _expected(file.with_name(file.stem + "_decoded.xml"))
    reason = OTHERWISE.get(file.stem)
    if reason is not None and not agrees:
        pytest.skip(reason)
    assert agrees
    assert reason is None, "agrees by now"


@pytest.mark.conformance("mime/testmsgs", 22)
@pytest.mark.parametrize("file", _files("testmsgs"), ids=lambda file: file.stem)
def test_leaves_of_mime4j(file: Path) -> None:
    _same_tree(file)


@pytest.mark.conformance("mime/mimetools-testmsgs", 36)
@pytest.mark.parametrize("file", _files("mimetools-testmsgs"), ids=lambda file: file.stem)
def test_leaves_of_mime_tools(file: Path) -> None:
    _same_tree(file)


def test_every_message_has_a_tree_whose_offsets_lie_inside() -> None:
    if _FOLDER is None:
        pytest.skip("the published cases of mime are not here")
    files = [file for file in sorted(_FOLDER.rglob("*")) if file.suffix in (".msg", ".eml")]
    assert len(files) == 157
    for file in files:
        for raw in (file.read_bytes(), _proper(file.read_bytes())):
            root = parse_message(raw)
            assert (root.header_at, root.end) == (0, len(raw)), file
            for part in walk(root):
                assert 0 <= part.header_at <= part.body_at <= part.end <= len(raw), file
                previous = part.body_at
                for child in part.children:
                    assert previous <= child.header_at <= child.end <= part.end, file
                    previous = child.end
                decode_body(raw[part.body_at : part.end], part.encoding)
                headers = parse_headers(raw, part.header_at, part.end)
                assert headers.body_at == part.body_at, file
                for _, value in headers.fields:
                    parse_address_list(value)
                    decode_words(value)
                    parse_date(value)
                    message_ids(value)


def _proper(raw: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", raw)


# ---- single fields ----

_BEYOND = "the case goes on behind the end of the field, which parse_headers has found before"
_COMMENTS = "a comment is no part of a name (RFC 5322 §3.2.2); it stands in only where there is no other"
_SPACES = "unfolding removes the line end alone (RFC 5322 §2.2.3)"
_NO_SPACE = "no space is added that the writer did not write"
FIELDS_OTHERWISE = {
    "address": {
        "A Group(Some people)": _COMMENTS,
        "(Empty list)(start)Hidden": _COMMENTS,
        "Mary Smith <@node.test:": "a source route is kept apart, and white space around dots is no part of a domain (RFC 5322 §4.4)",
        "John Doe <jdoe@machine(comment)": _COMMENTS,
        "Nathaniel Borenstein": _COMMENTS,
        "Name (comment)": _COMMENTS,
        "test@test.com\ninvalid": _BEYOND,
        '"=?ISO-8859-1?Q =?ISO': _BEYOND,
        '"  James Smythe"': "white space around a name is not shown",
    },
    "date": {
        "4 8 15 16 23 42": "a date has colons in its time",
        "Tue, 1 Jul 2003 ((invalid)": "the comment is closed, and the rest is a date",
        "by 2002:aa7": "a Received field; the date in it is the reader's of that field to cut out",
    },
    "id": {"<1234@local.machine.example>\n\n": _BEYOND},
    "unstructured": {
        "FWD: \n Saying Hello": _BEYOND,
        "from x.y.test": _SPACES,
        "=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=\nFrom": _BEYOND,
        "[SUSPECTED SPAM]": _NO_SPACE,
        "Some text =?utf-8?Q??=here": _NO_SPACE,
    },
    "content_type": {
        "application/pdf\n   filename*0*=": "only the first piece names a charset (RFC 2231 §4.1)",
        'image/jpeg;\n   name="=?iso-8859-1?B?4Q==?= =?utf-8': "white space between encoded words is dropped in quotes too",
        'inva/lid; name="   \n': "white space around a name is not shown",
        "malicious/attempt": "names with more stars than RFC 2231 has are other names",
        "text/\n": "a type without a subtype is none (RFC 2045 §5.1)",
        "text/;": "a type without a subtype is none (RFC 2045 §5.1)",
        "text/plain/format": "a slash is in no token (RFC 2045 §5.1)",
    },
}


def _cases(name: str) -> list[tuple[str, object]]:
    if _FOLDER is None:
        return []
    found = json.loads((_FOLDER / "header-vectors" / f"{name}.json").read_text("utf-8"))
    return [(case["header"], case["expected"]) for case in found]


def _judge(name: str, header: str, found: object, expected: object) -> None:
    reason = next((why for start, why in FIELDS_OTHERWISE[name].items() if header.lstrip().startswith(start)), None)
    if reason is not None and found != expected:
        pytest.skip(reason)
    assert found == expected


def _address(address: Address) -> dict[str, str | None]:
    return {"name": address.name or None, "address": str(address) or None}


def _addresses(header: str) -> object:
    entries = parse_address_list(header.encode())
    if not any(isinstance(entry, Group) for entry in entries):
        return {"List": [_address(entry) for entry in entries if isinstance(entry, Address)]}
    groups: list[tuple[str | None, list[object]]] = []
    for entry in entries:
        if isinstance(entry, Group):
            groups.append((entry.name or None, [_address(each) for each in entry.members]))
        elif groups and groups[-1][0] is None:
            groups[-1][1].append(_address(entry))
        else:
            groups.append((None, [_address(entry)]))
    return {"Group": [{"name": name, "addresses": members} for name, members in groups]}


def _content_type(header: str) -> object:
    raw = header.encode()
    head, params = parse_parameters(raw)
    delimiter = b"--" + (parameter(params, b"boundary") or b"")  # a multipart must have a part, or it is none
    field = re.sub(rb"\r?\n(?=[ \t])", b"\r\n", raw.strip(b"\r\n"))
    part = parse_message(b"Content-Type:" + field + b"\r\n\r\n" + delimiter + b"\r\n\r\n" + delimiter + b"--\r\n")
    names = list(dict.fromkeys(name.partition(b"*")[0] for name, _ in params))
    if not re.fullmatch(rb"[^/]+/.+|[^/;]+", head):
        return None
    kind = [part.type, part.subtype] if b"/" in head and not part.defective else [head.decode().lower(), None]
    return kind, [[name.decode(), parameter_text(params, name)] for name in names]


def _wanted_content_type(expected: object) -> object:
    if not isinstance(expected, dict):
        return None
    subtype = expected["c_subtype"]
    attributes = [each for each in expected.get("attributes") or [] if not each[0].endswith("-language")]
    return [expected["c_type"].lower(), subtype.lower() if subtype else None], attributes


def _instant(expected: object) -> int | None:
    if not isinstance(expected, dict):
        return None
    year, month, day, hour, minute, second = (int(expected[key]) for key in ("year", "month", "day", "hour", "minute", "second"))
    named = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    east = int(expected["tz_hour"]) * 60 + int(expected["tz_minute"])
    return (int(named.timestamp()) - (-east if expected["tz_before_gmt"] else east) * 60) * 1000


def _same(expected: object) -> object:
    return expected


_READERS: dict[str, tuple[Callable[[str], object], Callable[[object], object]]] = {
    "address": (_addresses, _same),
    "content_type": (_content_type, _wanted_content_type),
    "date": (lambda header: parse_date(header.encode()), _instant),
    "id": (lambda header: list(message_ids(header.encode())) or None, _same),
    "unstructured": (lambda header: decode_words(header.encode()), _same),
}
_ALL = [(name, header, expected) for name in _READERS for header, expected in _cases(name)]


@pytest.mark.conformance("mime/header-vectors", 175)
@pytest.mark.parametrize(("name", "header", "expected"), _ALL, ids=[f"{name}-{n}" for n, (name, _, _) in enumerate(_ALL)])
def test_header_field(name: str, header: str, expected: object) -> None:
    read, wanted = _READERS[name]
    _judge(name, header, read(header), wanted(expected))
