"""A message's journey for people: one line a step, with its time, its layer, a sentence and the section that explains it.

The sentences are in the catalogue under "journey.<step>"; the program's own form is as_json().
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from ekiden.base.clock import Millis, moment
from ekiden.base.texts import has_text, text
from ekiden.base.units import duration_text
from ekiden.mail.journey import (
    Amended,
    Authenticated,
    ContentReceived,
    Deferred,
    Dialled,
    DnsAnswered,
    Failed,
    Fetched,
    Judged,
    Queued,
    Refused,
    RemoteReplied,
    Secured,
    SenderGiven,
    Step,
)
from ekiden.services.reasons import reason_in

_TIME_COLUMN = 12
_GAP = "  "
_NARROWEST = 40
_SECTIONS = {
    "": "RFC 5321 §3.1",
    "EHLO": "RFC 5321 §4.1.1.1",
    "HELO": "RFC 5321 §4.1.1.1",
    "MAIL": "RFC 5321 §4.1.1.2",
    "RCPT": "RFC 5321 §4.1.1.3",
    "DATA": "RFC 5321 §4.1.1.4",
    ".": "RFC 5321 §4.1.1.4",
    "RSET": "RFC 5321 §4.1.1.5",
    "QUIT": "RFC 5321 §4.1.1.10",
    "STARTTLS": "RFC 3207 §4",
    "AUTH": "RFC 4954 §4",
}
_METHODS = {
    "spf": ("SPF", "RFC 7208 §2.6"),
    "dkim": ("DKIM", "RFC 6376 §3.9"),
    "dmarc": ("DMARC", "RFC 9989"),
    "arc": ("ARC", "RFC 8617 §5.2"),
    "iprev": ("iprev", "RFC 8601 §3"),
}
_NO_BREAK = "\0"  # no sentence holds it: steps hold printable text


@dataclass(frozen=True, slots=True)
class Line:
    """One step, in the words of one language. time: "12:34:56.789", UTC. day: "2026-01-31"."""

    at: Millis
    day: str
    time: str
    layer: str
    sentence: str
    rfc: str


def lines(steps: Sequence[Step], lang: str = "en") -> list[Line]:
    """The steps in the order of their times; steps of the same millisecond stay in the order that they were given in.

    Each reason of a judgement that adds up has a line of its own below it, without time and layer.
    """
    result: list[Line] = []
    for step in sorted(steps, key=lambda step: step.at):
        result.append(_line(step, lang))
        if isinstance(step, Judged):
            result += [replace(result[-1], time="", layer="", sentence=told, rfc="") for told in _reasons(step, lang)]
    return result


def sentence(step: Step, lang: str = "en") -> str:
    """What a step means, with its fields filled in."""
    fields = dict(_fields(step))
    for name in ("verdict", "kind", "action"):
        if name in fields and has_text(f"timeline.word.{fields[name]}"):
            fields[name] = text(f"timeline.word.{fields[name]}", lang)
    if isinstance(step, Deferred):
        fields["due_at"] = moment(step.due_at).strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(step, ContentReceived):
        fields["size"] = f"{step.size:,}"
    if isinstance(step, Authenticated):
        fields["about"] = step.about or "-"
        fields["method"] = _METHODS.get(step.method, (step.method, ""))[0]
    if isinstance(step, (Authenticated, Judged)):
        fields["because"] = reason_in(step.because, lang)
    if isinstance(step, Amended):
        fields["what"] = _amendments(step.what, lang)
    if isinstance(step, Judged):
        fields["points"] = sum(reason.points for reason in step.reasons)
    return text(f"journey.{_tag(step)}{_variant(step)}", lang, **fields)


def render(steps: Sequence[Step], lang: str = "en", width: int = 120) -> str:
    """A table of the steps for a terminal of that many columns; wide characters count as two."""
    shown = lines(steps, lang)
    if not shown:
        return text("timeline.none", lang) + "\n"
    layer_width = max(columns(line.layer) for line in shown)
    rfc_width = max(columns(line.rfc) for line in shown)
    room = width - _TIME_COLUMN - layer_width - rfc_width - 3 * len(_GAP)
    beside = room >= _NARROWEST  # else the section follows the sentence, as more of its text
    if not beside:
        room = max(_NARROWEST, room + rfc_width + len(_GAP))
    out: list[str] = []
    day = ""
    for line in shown:
        if line.day != day:
            day = line.day
            out.append(f"{day} UTC")
        told = line.sentence if beside or not line.rfc else f"{line.sentence} [{line.rfc.replace(' ', _NO_BREAK)}]"
        for number, piece in enumerate(wrap(told, room)):
            first = number == 0
            cells = [
                pad(line.time if first else "", _TIME_COLUMN),
                pad(line.layer if first else "", layer_width),
                pad(piece, room),
                line.rfc if first and beside else "",
            ]
            out.append(_GAP.join(cells).rstrip(" "))
    out.append(text("timeline.took", lang, duration=_span(shown[-1].at - shown[0].at)))
    return "\n".join(out).replace(_NO_BREAK, " ") + "\n"


def as_json(steps: Sequence[Step], lang: str = "en") -> list[dict[str, object]]:
    """Each step with its fields, and its layer, protocol, sentence and section, for programs."""
    result: list[dict[str, object]] = []
    for step in sorted(steps, key=lambda step: step.at):
        told: dict[str, object] = {"step": _tag(step), "at": step.at, **dict(_fields(step))}
        if isinstance(step, Judged):
            told["reasons"] = [
                {**reason._asdict(), "sentence": words} for reason, words in zip(step.reasons, _reasons(step, lang), strict=True)
            ]
        told |= {"layer": step.LAYER, "protocol": _protocol(step), "rfc": _rfc(step), "sentence": sentence(step, lang)}
        result.append(told)
    return result


def columns(shown: str) -> int:
    """How many columns a text takes in a terminal: wide and full-width characters two, combining ones none."""
    if shown.isascii():
        return len(shown)
    return sum(_column(character) for character in shown)


def pad(shown: str, width: int) -> str:
    """The text with spaces behind it up to that many columns."""
    return shown + " " * (width - columns(shown))


def wrap(shown: str, width: int) -> list[str]:
    """Break a text into lines of at most that many columns: at spaces, and beside wide characters."""
    result: list[str] = []
    line, used = "", 0
    for piece in _pieces(shown):
        size = columns(piece)
        if used + columns(piece.rstrip(" ")) > width and line:
            result.append(line.rstrip(" "))
            line, used = "", 0
        while size > width:  # one word longer than a line
            head = _fitting(piece, width)
            result.append(head)
            piece = piece[len(head):]
            size = columns(piece)
        line += piece
        used += size
    return [*result, line.rstrip(" ")]


def _line(step: Step, lang: str) -> Line:
    at = moment(step.at)
    return Line(
        at=step.at,
        day=at.strftime("%Y-%m-%d"),
        time=at.strftime("%H:%M:%S.") + f"{step.at % 1000:03d}",
        layer=text(f"timeline.{step.LAYER}", lang, protocol=_protocol(step)).strip(" "),
        sentence=sentence(step, lang),
        rfc=_rfc(step),
    )


def _variant(step: Step) -> str:
    """Which of the sentences of a step fits its fields."""
    match step:
        case Secured():
            return ("-outgoing" if step.outgoing else "") + ("-verified" if step.verified else "")
        case SenderGiven(path=""):
            return "-null"
        case ContentReceived(message_id=""):
            return "-nameless"
        case Judged() if step.reasons:
            return "-points"
        case Judged() | Authenticated() if step.because:
            return "-because"
        case Queued(status="held"):
            return "-held"
        case Dialled() if step.error:
            return "-error"
        case RemoteReplied(command=""):
            return "-greeting"
        case RemoteReplied(command="."):
            return "-end"
        case Failed(expired=True):
            return "-expired"
        case Refused() if step.reply.startswith("4"):
            return "-later"
        case Fetched() if step.client:
            return "-client"
    return ""


def _reasons(step: Judged, lang: str) -> list[str]:
    """"+30 spf-fail: the domain of the sender …", in the words of one language."""
    told = []
    for name, points, about in step.reasons:
        kind, _, rest = name.partition("-")
        key = f"spam.finding.{'listed' if kind == 'listed' else name}"
        words = text(key, lang, list=rest) if has_text(key) else ""
        form = "spam.reason" + ("-words" if words else "") + ("-about" if about else "")
        told.append(text(form, lang, name=name, points=points, words=words, about=about))
    return told


def _amendments(what: str, lang: str) -> str:
    """"+Date, -Bcc" in words."""
    told = []
    for word in what.split(", "):
        key = {"+": "timeline.added", "-": "timeline.removed"}.get(word[:1])
        told.append(text(key, lang, field=word[1:]) if key is not None else word)
    return ", ".join(told)


def _protocol(step: Step) -> str:
    return step.protocol if isinstance(step, Fetched) else step.PROTOCOL


def _rfc(step: Step) -> str:
    """Where a step is explained: often the section of the very command."""
    if isinstance(step, Fetched) and step.protocol == "POP3":
        return "RFC 1939 §5"
    if isinstance(step, RemoteReplied):
        return _SECTIONS.get(step.command.partition(" ")[0].upper(), step.RFC)
    if isinstance(step, DnsAnswered) and not step.question.endswith((" MX", " A", " AAAA")):
        return "RFC 1034 §3.7"
    if isinstance(step, Authenticated):
        return _METHODS.get(step.method, ("", step.RFC))[1]
    return step.RFC


def _fields(step: Step) -> Iterator[tuple[str, object]]:
    for field in msgspec.structs.fields(step):
        if field.name != "at":
            yield field.name, getattr(step, field.name)


def _tag(step: Step) -> str:
    return str(step.__struct_config__.tag)


def _span(millis: int) -> str:
    if millis < 10_000:
        return f"{millis} ms"
    seconds = millis // 1000
    rest = [(seconds // 86_400 * 86_400), (seconds % 86_400 // 3600 * 3600), (seconds % 3600 // 60 * 60), seconds % 60]
    return " ".join(duration_text(part) for part in rest if part)


def _column(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _pieces(shown: str) -> Iterator[str]:
    """Words with the spaces that follow them; each wide character is a piece of its own, unless it must not begin a line."""
    piece = ""
    for character in shown:
        ends_word = piece.endswith(" ") and character != " "
        wide = _column(character) == 2 or (piece[-1:] and _column(piece[-1]) == 2)
        if piece and (ends_word or (wide and character not in "、。）」』: ")):
            yield piece
            piece = ""
        piece += character
    if piece:
        yield piece


def _fitting(shown: str, width: int) -> str:
    used = 0
    for length, character in enumerate(shown):
        used += _column(character)
        if used > width:
            return shown[:max(1, length)]
    return shown


