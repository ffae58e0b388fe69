"""The words of a message, for what learns from them which mail is wanted.

A word says where it was found: "s:" in the subject, "f:" in the sender's name, "from:" its domain, "link:" the host of a link, "a:" in the
name of an attachment, "ct:" a content type, "m:" the program that wrote it, "!" something odd; a word of the body has no prefix.
Text is read in its charset and made alike first (NFKC, lower case). Chinese, Japanese and Korean, which set no spaces, give every two
neighbouring characters. What readers are not shown is noted, since it is there to deceive.
Never raises; reads at most TEXT bytes of text and gives at most WORDS words, each once; linear in what it reads.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from operator import add

from ekiden.mail.encodings import decode_body, decode_text, decode_words
from ekiden.mail.fields import parse_addresses
from ekiden.mail.headers import Headers, parse_headers, unfold
from ekiden.mail.mime import Part, parse_message, walk
from ekiden.mail.parameters import parameter, parameter_text

TEXT = 32 << 10
"""How many bytes of a message's text are read, without their transfer encoding."""
WORDS = 2000
"""The most words of one message."""
_PARTS = 40
_LINKS = 100
_LONGEST = 24
_HEADER_WORDS = 40

_CJK_RANGES = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002ffff"
_CJK = re.compile(f"[{_CJK_RANGES}]+")
_WORD = re.compile(r"[^\W\d_][^\W_]+")
_ASCII_WORD = re.compile(r"[a-z][a-z0-9]+")
_URL = re.compile(r"https?://([^\s/\"'<>?#\\]{1,255})[^\s\"'<>]*")
# Characters that take no room: a word with them inside looks like itself and is another one.
_UNSEEN = re.compile("[\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufeff]+")
_MONEY = ("$", "€", "£", "¥", "₿", "円", "usd ")

# An opening that is never closed takes the rest with it, so that no search begins twice at the same place.
_DROPPED = re.compile(r"<!--(?:.*?--\s*>|.*\Z)|<(script|style|title)\b(?:.*?</\1[^>]*>|.*\Z)", re.DOTALL | re.IGNORECASE)
_INLINE = re.compile(
    r"</?(?:a|abbr|b|bdi|bdo|big|code|del|em|font|i|ins|kbd|mark|s|samp|small|span|strong|sub|sup|tt|u|wbr)(?:[\s/][^>]*)?(?:>|\Z)",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[a-zA-Z/!?][^>]*(?:>|\Z)")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,9});?")
# Each begins with a literal, which is looked for at the speed of memory.
_HIDDEN = tuple(
    re.compile(pattern)
    for pattern in (
        r"display ?: ?none",
        r"visibility ?: ?hidden",
        r"font-size ?: ?[01](?:\.[0-9]{1,4})?(?:px|pt|em|%| ?[;\"'])",
        r"opacity ?: ?0(?:[;\"' ]|\.0)",
        r"max-height ?: ?0",
        r"color ?[:=] ?[\"']?(?:#fff(?:fff)?|white)\b",
    )
)


def words_of(raw: bytes, headers: Headers | None = None, tree: Part | None = None) -> tuple[str, ...]:
    """The words of a message, in the order in which they were found.

    headers, tree: what parse_headers and parse_message gave for it, if the caller has them already.
    """
    known = parse_headers(raw) if headers is None else headers
    parts = parse_message(raw, known) if tree is None else tree
    found: dict[str, None] = {}
    _from_header(known, found)
    _from_parts(raw, parts, found)
    return tuple(found)[:WORDS]


def key_of(word: str) -> int:
    """What a word is counted under: 64 bits, signed, as a database takes them."""
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)


def keys_of(words: Iterable[str]) -> dict[int, str]:
    """The words by what they are counted under."""
    return {key_of(word): word for word in words}


def _from_header(headers: Headers, found: dict[str, None]) -> None:
    if (subject := headers.first(b"subject")) is not None:
        text = _alike(decode_words(subject)[:2000])
        _note_odd(text, found, "!s-")
        _split(text, found, "s:", _HEADER_WORDS * 4)
    else:
        found["!no-subject"] = None
    senders = parse_addresses(headers.first(b"from") or b"")[:3]
    for sender in senders:
        _split(_alike(sender.name[:500]), found, "f:", len(found) + _HEADER_WORDS)
        _add_domain(sender.domain, found, "from:")
        if sender.is_disguised:
            found["!disguised"] = None
    answers = parse_addresses(headers.first(b"reply-to") or b"")[:1]
    if answers and senders and answers[0].domain.lower() != senders[0].domain.lower():
        found["!reply-elsewhere"] = None
        _add_domain(answers[0].domain, found, "reply:")
    for name in (b"x-mailer", b"user-agent"):
        _split(_alike(decode_words((headers.first(name) or b"")[:200])), found, "m:", len(found) + 4)
    for name in (b"list-id", b"list-unsubscribe", b"in-reply-to", b"auto-submitted", b"precedence"):
        if headers.first(name) is not None:
            found[f"h:{name.decode()}"] = None
    for name in (b"message-id", b"date", b"to"):
        if not unfold(headers.first(name) or b""):
            found[f"!no-{name.decode()}"] = None


def _from_parts(raw: bytes, root: Part, found: dict[str, None]) -> None:
    left = TEXT
    for number, part in enumerate(walk(root)):
        if number == _PARTS or left <= 0 or len(found) >= WORDS:
            break
        if part.children:
            continue
        found[f"ct:{part.type}/{part.subtype}"[:60]] = None
        name = parameter_text(part.disposition_params, b"filename") or parameter_text(part.params, b"name")
        if name:
            text = _alike(name[:300])
            found["ext:" + text.rpartition(".")[2][:12]] = None
            _split(text, found, "a:", len(found) + _HEADER_WORDS)
        if part.type != "text" or part.disposition == "attachment":
            continue
        # base64 and quoted-printable are longer than what they hold
        body = decode_body(raw[part.body_at : min(part.end, part.body_at + 3 * left)], part.encoding)
        if len(body) > left:
            # at the end of a line, so that no character is cut: ISO-2022-JP is back in ASCII there
            body = body[: body.rfind(b"\n", 0, left) + 1 or left]
        left -= len(body)
        _from_text(decode_text(body, parameter(part.params, b"charset") or b""), part.subtype == "html", found)


def _from_text(text: str, is_html: bool, found: dict[str, None]) -> None:
    if is_html:
        text = _shown(text, found)
    elif text.startswith("%PDF"):
        return
    text = _alike(text)
    _note_odd(text, found, "!")
    for number, match in enumerate(_URL.finditer(text)):
        if number < _LINKS:
            _add_host(match[1], found)
    _split(_URL.sub(" ", text) if "://" in text else text, found, "", WORDS)


def _shown(text: str, found: dict[str, None]) -> str:
    """HTML as its reader sees it, about; links and what is hidden are noted."""
    lower = text.lower()
    if any(pattern.search(lower) for pattern in _HIDDEN):
        found["!hidden"] = None
    for number, match in enumerate(_URL.finditer(text)):
        if number == _LINKS:
            break
        _add_host(match[1], found)
    for tag in ("img", "form", "iframe", "svg"):
        if "<" + tag in lower:
            found["!" + tag] = None
    text = _DROPPED.sub(" ", text)
    text = _TAG.sub(" ", _INLINE.sub("", text))
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _alike(text: str) -> str:
    """One form for what looks the same."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()


def _note_odd(text: str, found: dict[str, None], prefix: str) -> None:
    if not text.isascii() and _UNSEEN.search(text):
        found[prefix + "unseen"] = None
    if any(each in text for each in _MONEY):
        found[prefix + "money"] = None


def _split(text: str, found: dict[str, None], prefix: str, most: int) -> None:
    """Add the words of a text until there are so many."""
    if text.isascii():
        words = _ASCII_WORD.findall(text)
    else:
        text = _UNSEEN.sub("", text)
        for run in _CJK.findall(text):
            if len(found) >= most:
                return
            pairs = map(add, run, run[1:]) if len(run) > 1 else (run,)
            found.update(dict.fromkeys([prefix + pair for pair in pairs] if prefix else pairs))
        words = _WORD.findall(_CJK.sub(" ", text))
    for word in dict.fromkeys(words):
        if len(found) >= most:
            return
        if len(word) <= _LONGEST:
            found[prefix + word] = None
        else:
            found[prefix + "!long"] = None


def _add_domain(domain: str, found: dict[str, None], prefix: str) -> None:
    labels = domain.lower()[:253].split(".")
    for first in range(max(0, len(labels) - 3), len(labels) - 1):
        found[prefix + ".".join(labels[first:])] = None


def _add_host(host: str, found: dict[str, None]) -> None:
    name = host.rpartition("@")[2].partition(":")[0].strip(".").lower()
    if name != host.lower():
        found["!odd-link"] = None
    if name.replace(".", "").isdigit():
        found["link:number"] = None
    elif "xn--" in name or not name.isascii():
        found["!link-idn"] = None
    _add_domain(name, found, "link:")
