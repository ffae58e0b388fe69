"""DMARC aggregate reports: read from XML of any generator, and written.

Reading is bounded and takes what is there: unknown elements are passed over, in any order and with or without the namespace. A document
type is refused before anything of it is used, so there are no entities to expand and nothing outside to fetch (row AX-25). Words that
are not those of the RFCs become "".
Source: RFC 9990 with its schema; RFC 7489 appendix C.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeVar
from xml.parsers import expat

from ekiden.base.errors import BadValue

RECORDS_MOST = 100_000
TEXT_MOST = 1000
"""Characters of one value; what is longer is cut."""
NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"

_DEPTH = 32
_EACH_MOST = 100  # signatures, reasons, errors and extensions of one place (RFC 9990 says it of signatures)
_COUNT_MOST = 10**12
_SECONDS_MOST = 10**11

_POLICIES = frozenset({"none", "quarantine", "reject"})
_MODES = frozenset({"r", "s"})
_DISPOSITIONS = _POLICIES | {"pass"}
_ALIGNED = frozenset({"pass", "fail"})
_METHODS = frozenset({"psl", "treewalk"})
_REASONS = frozenset(
    {"forwarded", "sampled_out", "trusted_forwarder", "mailing_list", "local_policy", "policy_test_mode", "other"}
)
_SCOPES = frozenset({"mfrom", "helo"})
_RESULTS = frozenset({"none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"})
_OLD_RESULTS = {"hardfail": "fail", "unknown": "temperror", "error": "permerror"}  # drafts before RFC 7489

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Published:
    """The policy that a domain had published. p, sp, np: none, quarantine, reject. adkim, aspf: r, s. method: psl, treewalk.

    "" where the report does not say it. pct: None where it does not (RFC 9990 has none). version: of the record, rarely there.
    """

    domain: str
    p: str = ""
    sp: str = ""
    np: str = ""
    adkim: str = ""
    aspf: str = ""
    testing: bool = False
    method: str = ""
    fo: str = ""
    pct: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """What became of one DKIM signature, whether aligned or not. result: as in RFC 8601 §2.7.1."""

    domain: str
    selector: str
    result: str
    human: str = ""


@dataclass(frozen=True, slots=True)
class Sender:
    """What SPF said. scope: mfrom, helo or "" where the report does not say it. result: as in RFC 8601 §2.7.2."""

    domain: str
    scope: str
    result: str
    human: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a policy was not applied. type: of RFC 9990 or of RFC 7489."""

    type: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Extension:
    """That there is something more in the report, and where it is said what."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class Record:
    """Messages that were alike. source: an IP address, "" where what stood there is none. disposition: none, pass, quarantine, reject.

    dkim, spf: pass or fail, aligned with header_from.
    """

    source: str
    count: int
    disposition: str
    dkim: str
    spf: str
    header_from: str
    envelope_from: str = ""
    envelope_to: str = ""
    reasons: tuple[Reason, ...] = ()
    signatures: tuple[Signature, ...] = ()
    senders: tuple[Sender, ...] = ()
    extensions: tuple[Extension, ...] = ()


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """One report. begin, end: seconds since 1970. version: as written, "" where it is not there."""

    organisation: str
    email: str
    report_id: str
    begin: int
    end: int
    policy: Published
    records: tuple[Record, ...]
    extra_contact: str = ""
    errors: tuple[str, ...] = ()
    generator: str = ""
    version: str = ""
    extensions: tuple[Extension, ...] = ()


# ---- reading --------------------------------------------------------------------------------------------


def parse_report(pieces: Iterable[bytes]) -> AggregateReport:
    """The report in an XML document that comes in pieces (report_archive.unpack). Raises BadValue.

    A report has a policy domain and a time; everything else may be absent. A record without a count is none.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_entity
    try:
        for piece in pieces:
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise BadValue("DMARC report", b"", f"not XML: {error}") from error
    except LookupError as error:
        raise BadValue("DMARC report", b"", "unknown encoding") from error
    return reader.report()


def _refuse_doctype(*_: object) -> None:
    raise BadValue("DMARC report", b"", "it has a document type")


def _refuse_entity(*_: object) -> None:
    raise BadValue("DMARC report", b"", "it declares an entity")


@dataclass(slots=True)
class _Open:
    """A structured element that is being read: its plain values by name, and what has been made of its parts."""

    values: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)
    senders: list[Sender] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)

    def get(self, name: str) -> str:
        return self.values.get(name, "")


_PLACES = frozenset(
    {
        "feedback/report_metadata/date_range",
        "feedback/policy_published",
        "feedback/record/row/policy_evaluated/reason",
        "feedback/record/identifiers",
        "feedback/record/auth_results/dkim",
        "feedback/record/auth_results/spf",
        "feedback/record/extensions/extension",
        "feedback/extensions/extension",
    }
)
_WAYS = frozenset("/".join(place.split("/")[:depth]) for place in _PLACES for depth in range(1, place.count("/") + 2))
"""Every structured element; what lies directly in one of them and has no parts is a value."""


class _Reader:
    """Hears of a document, element by element, and makes the report."""

    def __init__(self) -> None:
        self._namespace = ""
        self._way: list[str] = []  # of structured elements that we know
        self._unknown = 0  # how deep in something that we do not know, or in a value
        self._value = ""  # the name of the value that is being read
        self._text: list[str] = []
        self._length = 0
        self._metadata = _Open()
        self._policy = _Open()
        self._top = _Open()
        self._record = _Open()
        self._part = _Open()
        self._records: list[Record] = []
        self._known: dict[object, object] = {}
        self._done = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._unknown:
            self._unknown += 1
            if self._unknown > _DEPTH:
                raise BadValue("DMARC report", b"", "too many elements in one another")
            return
        namespace, _, local = name.rpartition(" ")
        if not self._way:
            self._namespace = namespace
            if local != "feedback":
                raise BadValue("DMARC report", local, "the root is not feedback")
        way = "/".join([*self._way, local])
        if namespace not in ("", self._namespace) or way not in _WAYS:
            self._unknown = 1
            self._value = local if namespace in ("", self._namespace) else ""
            self._text.clear()
            self._length = 0
            return
        self._way.append(local)
        self._begin(way, attributes)

    def text(self, text: str) -> None:
        if self._value and self._unknown == 1 and self._length < TEXT_MOST:
            text = text.lstrip() if not self._length else text
            self._text.append(text[: TEXT_MOST - self._length])
            self._length += len(self._text[-1])

    def end(self, _: str) -> None:
        if self._unknown:
            self._unknown -= 1
            if not self._unknown and self._value:
                self._take(self._value, self._shared("".join(self._text).rstrip()))
                self._value = ""
            return
        way = "/".join(self._way)
        self._way.pop()
        self._finish(way)

    def report(self) -> AggregateReport:
        """What has been read, once the document has ended. Raises BadValue if that is no report."""
        meta, policy = self._metadata, self._policy
        begin, end = _number(meta.get("begin"), _SECONDS_MOST), _number(meta.get("end"), _SECONDS_MOST)
        if begin is None or end is None:
            raise BadValue("DMARC report", b"", "no date range")
        if not policy.get("domain"):
            raise BadValue("DMARC report", b"", "no policy domain")
        return AggregateReport(
            organisation=meta.get("org_name"),
            email=meta.get("email"),
            report_id=meta.get("report_id"),
            begin=begin,
            end=end,
            policy=_published(policy),
            records=tuple(self._records),
            extra_contact=meta.get("extra_contact_info"),
            errors=tuple(meta.errors),
            generator=meta.get("generator"),
            version=self._top.get("version"),
            extensions=tuple(self._top.extensions),
        )

    def _shared(self, value: T) -> T:
        """The same object for what is equal: a report of 100,000 records has few different values."""
        if len(self._known) > RECORDS_MOST:
            self._known.clear()
        found: T = self._known.setdefault(value, value)  # type: ignore[assignment]  # equal values have one type here
        return found

    def _begin(self, way: str, attributes: dict[str, str]) -> None:
        if way == "feedback/record":
            if len(self._records) == RECORDS_MOST:
                raise BadValue("DMARC report", b"", f"more than {RECORDS_MOST} records")
            self._record = _Open()
        elif way in _PARTS:
            self._part = _Open()
            self._part.values.update({name: value[:TEXT_MOST].strip() for name, value in attributes.items()})

    def _take(self, name: str, value: str) -> None:
        """A value, in the element that is open."""
        way = self._way
        inside = "/".join(way)
        if inside in _PARTS:
            self._part.values.setdefault(name, value)
        elif len(way) == 1:
            self._top.values.setdefault(name, value)
        elif way[1] == "report_metadata":
            if name == "error":
                _add(self._metadata.errors, value)
            else:
                self._metadata.values.setdefault(name, value)
        elif way[1] == "policy_published":
            self._policy.values.setdefault(name, value)
        elif way[1] == "record":
            self._record.values.setdefault(name, value)

    def _finish(self, way: str) -> None:
        part, record = self._part, self._record
        match way:
            case "feedback/record":
                made = _record(record, self._shared)
                if made is not None:
                    self._records.append(made)
            case "feedback/record/row/policy_evaluated/reason":
                _add(record.reasons, self._shared(Reason(_word(part.get("type"), _REASONS), part.get("comment"))))
            case "feedback/record/auth_results/dkim":
                signature = Signature(part.get("domain"), part.get("selector"), _result(part.get("result")), part.get("human_result"))
                _add(record.signatures, self._shared(signature))
            case "feedback/record/auth_results/spf":
                scope = _word(part.get("scope"), _SCOPES)
                _add(record.senders, self._shared(Sender(part.get("domain"), scope, _result(part.get("result")), part.get("human_result"))))
            case "feedback/record/extensions/extension":
                _add(record.extensions, self._shared(Extension(part.get("name"), part.get("definition"))))
            case "feedback/extensions/extension":
                _add(self._top.extensions, Extension(part.get("name"), part.get("definition")))


_PARTS = frozenset(
    {
        "feedback/record/row/policy_evaluated/reason",
        "feedback/record/auth_results/dkim",
        "feedback/record/auth_results/spf",
        "feedback/record/extensions/extension",
        "feedback/extensions/extension",
    }
)
"""What may stand in one place several times."""


def _add(some: list[T], one: T) -> None:
    if len(some) < _EACH_MOST:
        some.append(one)


def _published(policy: _Open) -> Published:
    return Published(
        domain=policy.get("domain").lower(),
        p=_word(policy.get("p"), _POLICIES),
        sp=_word(policy.get("sp"), _POLICIES),
        np=_word(policy.get("np"), _POLICIES),
        adkim=_word(policy.get("adkim"), _MODES),
        aspf=_word(policy.get("aspf"), _MODES),
        testing=policy.get("testing").lower() == "y",
        method=_word(policy.get("discovery_method"), _METHODS),
        fo=policy.get("fo"),
        pct=_number(policy.get("pct"), 100),
        version=policy.get("version_published"),
    )


def _record(record: _Open, shared: Callable[[tuple[object, ...]], tuple[object, ...]]) -> Record | None:
    count = _number(record.get("count"), _COUNT_MOST)
    if count is None:
        return None
    return Record(
        source=_ip(record.get("source_ip")),
        count=count,
        disposition=_word(record.get("disposition"), _DISPOSITIONS),
        dkim=_word(record.get("dkim"), _ALIGNED),
        spf=_word(record.get("spf"), _ALIGNED),
        header_from=record.get("header_from").lower(),
        envelope_from=record.get("envelope_from").lower(),
        envelope_to=record.get("envelope_to").lower(),
        reasons=shared(tuple(record.reasons)),  # type: ignore[arg-type]  # what comes back is equal to what is given
        signatures=shared(tuple(record.signatures)),  # type: ignore[arg-type]
        senders=shared(tuple(record.senders)),  # type: ignore[arg-type]
        extensions=shared(tuple(record.extensions)),  # type: ignore[arg-type]
    )


def _word(value: str, known: frozenset[str]) -> str:
    lowered = value.lower()
    return lowered if lowered in known else ""


def _result(value: str) -> str:
    lowered = value.lower()
    return _word(_OLD_RESULTS.get(lowered, lowered), _RESULTS)


def _number(value: str, most: int) -> int | None:
    """A whole number from 0 to most, None for anything else."""
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        return None
    number = int(value)
    return number if number <= most else None


def _ip(value: str) -> str:
    try:
        return str(ip_address(value.removeprefix("[").removesuffix("]")))
    except ValueError:
        return ""


# ---- writing --------------------------------------------------------------------------------------------

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def write_report(report: AggregateReport) -> bytes:
    """The XML document, in the order that both schemas want, without extensions.

    What XML cannot hold becomes U+FFFD; long values are cut.
    """
    return "".join(_lines(report)).encode("utf-8")


def plain(value: str) -> str:
    """A value as it is after it was written and read again."""
    return _NOT_XML.sub("\ufffd", value.strip()[:TEXT_MOST]).strip()


def _lines(report: AggregateReport) -> Iterator[str]:
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<feedback xmlns="{NAMESPACE}">\n'
    yield _element("version", report.version, 1)
    yield " <report_metadata>\n"
    yield _element("org_name", report.organisation, 2, always=True) + _element("email", report.email, 2, always=True)
    yield _element("extra_contact_info", report.extra_contact, 2) + _element("report_id", report.report_id, 2, always=True)
    yield f"  <date_range>\n   <begin>{report.begin}</begin>\n   <end>{report.end}</end>\n  </date_range>\n"
    yield from (_element("error", error, 2) for error in report.errors)
    yield _element("generator", report.generator, 2) + " </report_metadata>\n"
    yield from _policy_lines(report.policy)
    for record in report.records:
        yield from _record_lines(record)
    yield "</feedback>\n"


def _policy_lines(policy: Published) -> Iterator[str]:
    yield " <policy_published>\n" + _element("domain", policy.domain, 2, always=True)
    yield _element("version_published", policy.version, 2) + _element("discovery_method", policy.method, 2)
    yield _element("adkim", policy.adkim, 2) + _element("aspf", policy.aspf, 2)
    yield _element("p", policy.p, 2) + _element("sp", policy.sp, 2) + _element("np", policy.np, 2)
    yield _element("pct", "" if policy.pct is None else str(policy.pct), 2)
    yield _element("testing", "y" if policy.testing else "n", 2) + _element("fo", policy.fo, 2) + " </policy_published>\n"


def _record_lines(record: Record) -> Iterator[str]:
    yield f" <record>\n  <row>\n{_element('source_ip', record.source, 3, always=True)}   <count>{record.count}</count>\n"
    yield "   <policy_evaluated>\n" + _element("disposition", record.disposition, 4)
    yield _element("dkim", record.dkim, 4) + _element("spf", record.spf, 4)
    for reason in record.reasons:
        yield "    <reason>\n" + _element("type", reason.type, 5) + _element("comment", reason.comment, 5) + "    </reason>\n"
    yield "   </policy_evaluated>\n  </row>\n  <identifiers>\n" + _element("envelope_to", record.envelope_to, 3)
    yield _element("envelope_from", record.envelope_from, 3, always=True) + _element("header_from", record.header_from, 3, always=True)
    yield "  </identifiers>\n  <auth_results>\n"
    for signature in record.signatures:
        yield "   <dkim>\n" + _element("domain", signature.domain, 4, always=True)
        yield _element("selector", signature.selector, 4, always=True) + _element("result", signature.result, 4)
        yield _element("human_result", signature.human, 4) + "   </dkim>\n"
    for sender in record.senders:
        yield "   <spf>\n" + _element("domain", sender.domain, 4, always=True) + _element("scope", sender.scope, 4)
        yield _element("result", sender.result, 4) + _element("human_result", sender.human, 4) + "   </spf>\n"
    yield "  </auth_results>\n </record>\n"


def _element(name: str, value: str, depth: int, *, always: bool = False) -> str:
    """One value on a line of its own, nothing for an empty one unless it has always to be there."""
    clean = plain(value)
    return f"{' ' * depth}<{name}>{clean.translate(_ESCAPES)}</{name}>\n" if clean or always else ""

