"""Structured fields: addresses, dates, message ids.

There is one reading of an address for all of the house (DMARC, ENVELOPE, the rules for senders, the web), so that no two
of them can be told different authors. Never raises, for any bytes; bounded in addresses and ids; time linear in the length.
What is no address is given too, with domain "", so that it is neither hidden nor taken for one.
Source: RFC 5322 §3.3, RFC 5322 §3.4, RFC 5322 §3.6.4, RFC 5322 §4, RFC 6532 §3.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import pairwise

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii
from ekiden.mail.address import quote_local
from ekiden.mail.encodings import decode_words
from ekiden.mail.parameters import strip_comments

ADDRESSES = 2_000
"""The most addresses and groups that are read of one field."""
MESSAGE_IDS = 100
"""The most message ids of one field: the first, and the last 99, which lie nearest in a thread."""
FIELD_READ = 256 << 10
"""How many bytes of a field are read."""


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox of an address list (RFC 5322 §3.4).

    name: the display name, decoded, for people; it may look like an address and is none. raw_name: the same as written,
    without quotes and folds, encoded words left as they are. local: the local part, unquoted. domain: as written, without
    comments and spaces, an address literal with its brackets; "" if this is not an address at all, and then local is
    what stands there. route: a source route before the address, "@one,@two", else "".
    """

    name: str
    raw_name: bytes
    local: str
    domain: str
    route: str = ""

    def __str__(self) -> str:
        """The address as SMTP writes it, without the name."""
        return f"{quote_local(self.local)}@{self.domain}" if self.domain else self.local

    @property
    def is_disguised(self) -> bool:
        """The name looks like the address of another domain, so that a reader who sees only it would be deceived."""
        shown = _LOOKS_LIKE_ADDRESS.search(self.name)
        return shown is not None and shown[1].lower() != self.domain.lower() and _as_ascii(shown[1]) != _as_ascii(self.domain)


@dataclass(frozen=True, slots=True)
class Group:
    """A named list inside an address list, "Friends: a@b.test, c@d.test;"; it may be empty. Names as in Address."""

    name: str
    raw_name: bytes
    members: tuple[Address, ...]


def parse_addresses(raw: bytes) -> tuple[Address, ...]:
    """The mailboxes of From, To, Cc …, those in groups too; at most 2,000.

    raw: the value of the field, folded or not; 256 KiB of it are read.
    """
    entries = parse_address_list(raw)
    if any(isinstance(entry, Group) for entry in entries):
        return tuple(each for entry in entries for each in (entry.members if isinstance(entry, Group) else (entry,)))
    return entries  # type: ignore[return-value]  # none of them is a Group


def parse_address_list(raw: bytes) -> tuple[Address | Group, ...]:
    """The same field with its groups, in order."""
    # Most fields come again and again; long ones are not kept, so that a hostile one costs no memory.
    return _list_cached(raw) if len(raw) <= _CACHED_LENGTH else _list(raw)


def _as_ascii(domain: str) -> str:
    """One spelling for U-labels and A-labels; what is no domain as it is."""
    try:
        return to_ascii(domain.removesuffix("."))
    except BadValue:
        return domain


_CACHED_LENGTH = 128
_ATEXT = rb"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_SPEC = rb"([%(a)s]++(?:\.[%(a)s]++)*+)@([A-Za-z0-9\-]++(?:\.[A-Za-z0-9\-]++)*+)" % {b"a": _ATEXT}
# What nearly every field looks like: one address, maybe with a name before it.
_ONE = re.compile(
    rb'[ \t]*+(?:%(s)s|(?:"([^"\\\x00-\x1f\x7f]*+)"|([%(a)s][%(a)s .]*+)?)[ \t]*+<%(s)s>)[ \t]*+' % {b"s": _SPEC, b"a": _ATEXT}
)
_NOT_PLAIN = re.compile(rb'["(:;\\]|[^ -~\t]')
_TOKEN = re.compile(
    rb'(?P<space>[ \t]++)|(?P<quoted>"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))|(?P<comma>,[, \t]*+)|(?P<literal>\[[^\[\]\\]*+\])'
    rb'|(?P<special>[<>:;@.(])|(?P<atom>[^\x00- "(),.:;<>@\[\\\]\x7f]++)|(?P<junk>.)',
    re.DOTALL,
)
_IN_COMMENT = re.compile(rb"(?:[^()\\]++|\\.)*+([()])", re.DOTALL)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_LINE_END = re.compile(rb"[\r\n]")
_LOOKS_LIKE_ADDRESS = re.compile(r"[^\s@<>]@([^\s@<>()\"',;]+\.[^\s@<>()\"',;.]+)")
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_Token = tuple[str, bytes]
"""(kind, text): "atom", "quoted" (still in its quotes), "literal", "." and "@", "space", "junk"."""


def _list(raw: bytes) -> tuple[Address | Group, ...]:
    value = raw[:FIELD_READ]
    if b"\n" in value or b"\r" in value:
        value = _LINE_END.sub(b" ", _FOLD.sub(b"", value).strip(b"\r\n"))
    if one := _ONE.fullmatch(value):
        return (_one(one),)
    if not _NOT_PLAIN.search(value):
        ones = [_ONE.fullmatch(each) for each in value.split(b",", ADDRESSES)[:ADDRESSES]]
        if None not in ones:
            return tuple([_one(one) for one in ones if one is not None])
    return _Reader().read(value)


def _one(match: re.Match[bytes]) -> Address:
    plain_local, plain_domain, quoted, words, local, domain = match.groups()
    if plain_local:
        return Address("", b"", plain_local.decode("ascii"), plain_domain.decode("ascii"))
    name = quoted or (words or b"").rstrip(b" ")
    return Address(decode_words(name) if name else "", name, local.decode("ascii"), domain.decode("ascii"))


_list_cached = lru_cache(maxsize=1024)(_list)


@dataclass(slots=True)
class _Reader:
    """Reads an address list token by token; each character is looked at a bounded number of times, nothing nests.

    words: the tokens before an angle bracket, or all of them where there is none. angle: those inside, None before it.
    after: those behind it. open_group: the tokens of the name of the group we are in.
    """

    words: list[_Token] = field(default_factory=list)
    angle: list[_Token] | None = None
    inside: bool = False
    after: list[_Token] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    open_group: bytes | None = None
    members: list[Address] = field(default_factory=list)
    entries: list[Address | Group] = field(default_factory=list)
    count: int = 0

    def read(self, value: bytes) -> tuple[Address | Group, ...]:
        position = 0
        while self.count < ADDRESSES and (match := _TOKEN.match(value, position)):
            kind, text = match.lastgroup or "", match[0]
            position = match.end()
            if text == b"(":
                start, position = position, _comment_end(value, position)
                self.comments.append(value[start : position - 1] if position > start else b"")
                kind, text = "space", b" "
            if kind == "comma":
                if self._in_route():
                    self._put("junk", b",")
                else:
                    self._flush()
            elif kind == "special":
                self._special(text)
            else:
                self._put(kind, text)
        self._close_group()
        return tuple(self.entries[:ADDRESSES])

    def _special(self, text: bytes) -> None:
        if text == b"<":
            self._open_angle()
        elif text == b">":
            if self.inside:
                self.inside = False
            elif self.angle is None:
                self._put("junk", text)
        elif text == b";":
            if self._in_route():
                self._put("junk", text)
            elif self.open_group is None:
                self._flush()
            else:
                self._close_group()
        elif text == b":":
            self._colon()
        else:
            if text == b"@" and self.angle is not None and not self.inside:
                # A second address without a comma: it is shown as one, so that whoever wants one author sees two.
                words, self.after = self.after, []
                self._flush()
                self.words = words
            self._put(text.decode("ascii"), text)

    def _open_angle(self) -> None:
        if self.inside:
            if self.angle:
                self._put("junk", b"<")
            return
        if self.angle is not None:
            words, self.after = self.after, []
            self._flush()
            self.words = words
        self.angle, self.inside = [], True

    def _colon(self) -> None:
        if self.inside:
            if self._in_route():
                self._put(":", b":")
            else:
                self._put("junk", b":")
        elif self.angle is not None:
            self._flush()
        elif any(kind == "@" for kind, _ in self.words):
            self._put("junk", b":")
        elif any(kind != "space" for kind, _ in self.words):
            words = self.words
            self.words = []
            self._close_group()  # groups do not nest (RFC 5322 §3.4): the last one that was opened counts
            self.open_group = _phrase(words)
            self.count += 1

    def _in_route(self) -> bool:
        """Inside angle brackets that begin with "@": commas and a colon belong to a source route (RFC 5322 §4.4)."""
        if not self.inside or not self.angle:
            return False
        first = self.angle[0] if self.angle[0][0] != "space" else self.angle[1] if len(self.angle) > 1 else ("", b"")
        return first[0] == "@" and self.angle[-1][0] != ":" and len(self.angle) < 100

    def _put(self, kind: str, text: bytes) -> None:
        if self.inside and self.angle is not None:
            self.angle.append((kind, text))
        elif self.angle is not None:
            self.after.append((kind, text))
        else:
            self.words.append((kind, text))

    def _flush(self) -> None:
        """What has been read since the last comma is one mailbox, if it is anything."""
        words, angle, after, comments = self.words, self.angle, self.after, self.comments
        self.words, self.angle, self.after, self.comments, self.inside = [], None, [], [], False
        if angle is None:
            if all(kind == "space" for kind, _ in words):
                return  # RFC 5322 §4.4 allows empty members
            name, spec = _name_and_spec(words)
        else:
            name, spec = words, angle
            if after:
                name = [*words, ("space", b" "), *after]
        raw_name = _phrase(name)
        if not raw_name and comments:
            raw_name = _PAIR.sub(rb"\1", comments[-1]).strip(b" \t")  # the name as it was written before RFC 822
        address = _mailbox(spec, raw_name)
        (self.entries if self.open_group is None else self.members).append(address)
        self.count += 1

    def _close_group(self) -> None:
        self._flush()
        if self.open_group is not None:
            name = self.open_group
            self.entries.append(Group(decode_words(name), name, tuple(self.members)))
            self.open_group, self.members = None, []


def _comment_end(value: bytes, position: int) -> int:
    """Where the comment ends whose inside begins at position; one that is never closed goes to the end."""
    depth = 1
    while depth and (match := _IN_COMMENT.match(value, position)):
        depth += 1 if match[1] == b"(" else -1
        position = match.end()
    return len(value) + 1 if depth else position


def _phrase(tokens: list[_Token]) -> bytes:
    """A display name as written, without quotes, with one space for each white space."""
    pieces: list[bytes] = []
    for kind, text in tokens:
        if kind == "space":
            if pieces[-1:] != [b" "]:
                pieces.append(b" ")
        elif kind == "quoted":
            pieces.append(_unquoted(text))
        else:
            pieces.append(text)
    if tokens and tokens[0][0] != "quoted":
        return b"".join(pieces).strip(b" ")
    return b"".join(pieces).rstrip(b" ") if tokens and tokens[-1][0] == "space" else b"".join(pieces)


def _unquoted(text: bytes) -> bytes:
    inside = text[1:-1] if len(text) > 1 and text.endswith(b'"') else text[1:]
    return _PAIR.sub(rb"\1", inside) if b"\\" in inside else inside


def _name_and_spec(words: list[_Token]) -> tuple[list[_Token], list[_Token]]:
    """Splits "name a@b.test", without angle brackets: the name ends at the last white space that no dot or "@" touches.

    Without any "@" a single word is the address (local), more words are a name.
    """
    ats = [index for index, (kind, _) in enumerate(words) if kind == "@"]
    if not ats:
        solid = [token for token in words if token[0] != "space"]
        if all(kind in ("atom", ".") for kind, _ in solid) and not _has_gap(words):
            return [], words
        return (words, []) if all(kind in ("atom", ".", "quoted") for kind, _ in words if kind != "space") else ([], words)
    if len(ats) > 1:
        return [], words
    for index in range(ats[0] - 1, 0, -1):
        if words[index][0] == "space" and words[index - 1][0] not in (".", "@") and words[index + 1][0] not in (".", "@"):
            return words[:index], words[index + 1 :]
    return [], words


def _has_gap(words: list[_Token]) -> bool:
    """White space between two words."""
    solid = [index for index, (kind, _) in enumerate(words) if kind != "space"]
    return any(
        after - before > 1 and words[before][0] not in (".", "@") and words[after][0] not in (".", "@")
        for before, after in pairwise(solid)
    )


def _mailbox(spec: list[_Token], raw_name: bytes) -> Address:
    """An address from its tokens; with domain "" where they are none."""
    name = decode_words(raw_name) if raw_name else ""
    tokens = spec
    route = ""
    colon = next((index for index, (kind, _) in enumerate(tokens) if kind == ":"), -1)
    if colon >= 0:
        route = _utf8(b"".join(text for kind, text in tokens[:colon] if kind != "space"))
        tokens = tokens[colon + 1 :]
    gap = _has_gap(tokens)
    solid = [token for token in tokens if token[0] != "space"]
    at = next((index for index, (kind, _) in enumerate(solid) if kind == "@"), -1)
    if at > 0 and not gap:
        local, domain = _local(solid[:at]), _domain(solid[at + 1 :])
        if local is not None and domain:
            return Address(name, raw_name, local, domain, route)
    if not solid:
        return Address(name, raw_name, "", "")
    shown = _utf8(b"".join(text for _, text in spec).strip(b" \t"))
    return Address(name, raw_name, _UNFIT.sub("\ufffd", shown), "")


def _local(tokens: list[_Token]) -> str | None:
    """The local part of these tokens, or None. Dots anywhere are taken: some Japanese carriers once gave such names out."""
    kinds = [kind for kind, _ in tokens]
    if any(kind not in ("atom", "quoted", ".") for kind in kinds):
        return None
    if any(a != "." and b != "." for a, b in pairwise(kinds)) or kinds[0] == ".":
        return None
    text = _utf8(b"".join(_unquoted(text) if kind == "quoted" else text for kind, text in tokens))
    return None if _UNFIT.search(text) else text


def _domain(tokens: list[_Token]) -> str:
    """The domain of these tokens, or "". One dot at its end is dropped."""
    if len(tokens) == 1 and tokens[0][0] == "literal":
        text = _utf8(tokens[0][1]).replace(" ", "")
        return "" if _UNFIT.search(text) else text
    if tokens and tokens[-1][0] == ".":
        tokens = tokens[:-1]
    # atom, dot, atom …: atoms at the even places and nowhere else
    if len(tokens) % 2 == 0 or any(kind != ("." if index % 2 else "atom") for index, (kind, _) in enumerate(tokens)):
        return ""
    text = _utf8(b"".join(text for _, text in tokens))
    return "" if _UNFIT.search(text) else text


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


_MONTHS = {name: n for n, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(b" "), 1)}
# RFC 5322 §4.3; every other name of a zone is taken for +0000, as the RFC asks.
_ZONES = {
    b"est": -300, b"edt": -240, b"cst": -360, b"cdt": -300, b"mst": -420, b"mdt": -360, b"pst": -480, b"pdt": -420,
    b"jst": 540,
}  # fmt: skip
_DATE = re.compile(
    rb"(?:[A-Za-z]{1,9}\.?,?)?+[ \t]*+([0-9]{1,2})[ \t-]++([A-Za-z]{3,9}|[0-9]{1,2})\.?[ \t,-]++([0-9]{2,4})[ \t,]++"
    rb"([0-9]{1,2})[:.]([0-9]{1,2})(?:[:.]([0-9]{1,2})(?:\.[0-9]{1,9})?)?"
    rb"(?:[ \t]*+(?:GMT|UTC?)?([+-])([0-9]{2}):?([0-9]{2})(?![0-9])"
    rb"|[ \t]*+([A-Za-z]{1,5})(?![+-])|(?=[ \t]*+(?:\Z|[\"(])))"
)
# Wed Jun 27 04:11:00 1999, as ctime has it.
_CTIME = re.compile(
    rb"[A-Za-z]{3,9},?[ \t]++([A-Za-z]{3,9})[ \t]++([0-9]{1,2})[ \t]++([0-9]{1,2}):([0-9]{2}):([0-9]{2})"
    rb"[ \t]++(?:([A-Za-z]{1,5})[ \t]++)?([0-9]{4})(?![0-9])"
)
_DATE_READ = 1000
_CACHED_DATE = 64
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def parse_date(raw: bytes) -> Millis | None:
    """The instant that a Date field names; None where it names none (then the time of receipt must do).

    raw: the value, folded or not; 1,000 bytes of it are read. Years of two and three digits and the old names of zones are
    understood (RFC 5322 §4.3); a zone that is not known counts as UTC. A date before 1970 is negative.
    """
    return _date_cached(raw) if len(raw) <= _CACHED_DATE else _date(raw[:_DATE_READ])


def _date(value: bytes) -> Millis | None:
    if b"\n" in value or b"\r" in value:
        value = _LINE_END.sub(b" ", value)
    if b"(" in value:
        value = strip_comments(value)
    value = value.strip(b" \t")
    if match := _DATE.match(value):
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes, zone_name = match.groups()
    elif match := _CTIME.match(value):
        month, day, hour, minute, second, zone_name, year = match.groups()
        sign = zone_hours = zone_minutes = b""
    else:
        return None
    month_number = int(month) if month[:1].isdigit() else _MONTHS.get(month[:3].lower(), 0)
    if not sign:
        offset = _ZONES.get(zone_name[:3].lower(), 0) if zone_name else 0
    else:
        if int(zone_minutes) > 59 or int(zone_hours) > 23:
            return None
        offset = int(zone_hours) * 60 + int(zone_minutes)
        offset = -offset if sign == b"-" else offset
    return _millis(_full_year(year), month_number, int(day), (int(hour), int(minute), int(second or b"0")), offset)


# A busy sender writes many messages in one second.
_date_cached = lru_cache(maxsize=512)(_date)


def _full_year(written: bytes) -> int:
    """RFC 5322 §4.3: 00 to 49 are 2000 to 2049, 50 to 999 count from 1900."""
    year = int(written)
    if len(written) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(written) == 3 else year


def _millis(year: int, month: int, day: int, time: tuple[int, int, int], offset_minutes: int) -> Millis | None:
    hour, minute, second = time
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return Millis(((days * 24 + hour) * 60 + minute - offset_minutes) * 60_000 + second * 1000)


# A quoted local part may hold spaces (RFC 5322 §4.5.4); nothing else of an id does.
_MESSAGE_ID = re.compile(rb'<[ \t]*+((?:[^\x00- "<>\x7f]++|"[^"\x00-\x1f<>\x7f]{0,256}")++)[ \t]*+>')
_ID_LONGEST = 998
_BARE_ID = re.compile(rb"[^\x00- \x7f<>]{1,998}")


def first_message_id(raw: bytes) -> str:
    """The first message id of a value, without its angle brackets; "" if there is none.

    raw: of Message-ID, In-Reply-To or References, folded or not. A value of a single word counts as an id without brackets.
    """
    value = _one_line(raw)
    for match in _MESSAGE_ID.finditer(value):
        if len(match[1]) <= _ID_LONGEST:
            return _utf8(match[1])
    value = value.strip(b" \t")
    return _utf8(value) if _BARE_ID.fullmatch(value) else ""


def message_ids(raw: bytes) -> tuple[str, ...]:
    """All message ids of a value in order, at most 100 (the first, and the last 99), each as in first_message_id."""
    found = [each for each in _MESSAGE_ID.findall(_one_line(raw)) if len(each) <= _ID_LONGEST]
    if not found:
        bare = first_message_id(raw)
        return (bare,) if bare else ()
    if len(found) > MESSAGE_IDS:
        found = [found[0], *found[1 - MESSAGE_IDS :]]
    return tuple([_utf8(each) for each in found])


def _one_line(raw: bytes) -> bytes:
    value = raw[:FIELD_READ]
    return _FOLD.sub(b"", value).rstrip(b"\r\n") if b"\n" in value else value
