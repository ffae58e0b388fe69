"""From bytes to text and back: encoded words, transfer encodings, charsets.

Reading never raises, for any bytes, and takes time linear in them; only charsets of a fixed list are decoded, so that no
codec can turn harmless text into something else. Text that comes out holds no surrogates, and that of header fields no
control characters.
Source: RFC 2047, RFC 2045 §6, RFC 2231 §5, RFC 6532 §3.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from codecs import lookup

WORDS_RAW = 256 << 10
"""How many bytes of a field decode_words reads."""
WORDS_TEXT = 64 << 10
"""The most characters that decode_words gives."""

_JIS, _SJIS, _EUC_JP, _WESTERN = "iso2022_jp_ext", "cp932", "euc_jp", "cp1252"

# Names that are in use, by the codec that reads them best: what is declared as a standard is decoded as the wider set
# that its writers use (WHATWG Encoding Standard). Not here on purpose: utf-7, hz, punycode, idna, unicode_escape …
_NAMES = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 utf-8-mac utf8mb4",
    _WESTERN: "iso-8859-1 iso8859-1 iso_8859-1 iso88591 latin1 latin-1 l1 windows-1252 cp1252 cp-1252 x-cp1252 ibm819 cp819",
    _JIS: "iso-2022-jp csiso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-2004 iso-2022-jp-ms iso-2022-jp-ext"
    " cp50220 cp50221 cp50222 jis",
    _SJIS: "shift_jis shift-jis shiftjis sjis x-sjis ms_kanji ms932 cp932 windows-31j windows-932 csshiftjis cswindows31j"
    " shift_jis-2004 shift_jisx0213",
    _EUC_JP: "euc-jp eucjp x-euc-jp x-euc euc_jp eucjp-ms cp51932 cseucpkdfmtjapanese euc-jis-2004",
    "gb18030": "gb18030 gbk gb2312 gb-2312 gb_2312 gb2312-80 gb_2312-80 cp936 windows-936 x-gbk euc-cn euccn csgb2312",
    "big5hkscs": "big5 big-5 big5-hkscs cn-big5 x-x-big5 csbig5",
    "cp950": "cp950 windows-950",
    "cp949": "euc-kr euckr ks_c_5601-1987 ks_c_5601 ks_c_5601-1989 ksc5601 ksc_5601 korean cp949 uhc windows-949 cseuckr",
    "iso2022_kr": "iso-2022-kr csiso2022kr",
    "iso8859_2": "iso-8859-2 iso8859-2 iso_8859-2 latin2",
    "iso8859_3": "iso-8859-3 iso8859-3 latin3",
    "iso8859_4": "iso-8859-4 iso8859-4 latin4",
    "iso8859_5": "iso-8859-5 iso8859-5 cyrillic",
    "iso8859_6": "iso-8859-6 iso8859-6 iso-8859-6-e iso-8859-6-i arabic",
    "iso8859_7": "iso-8859-7 iso8859-7 greek",
    "iso8859_8": "iso-8859-8 iso8859-8 iso-8859-8-i iso-8859-8-e hebrew",
    "cp1254": "iso-8859-9 iso8859-9 latin5 windows-1254 cp1254",
    "iso8859_10": "iso-8859-10 iso8859-10 latin6",
    "cp874": "iso-8859-11 iso8859-11 tis-620 windows-874 cp874",
    "iso8859_13": "iso-8859-13 iso8859-13",
    "iso8859_14": "iso-8859-14 iso8859-14",
    "iso8859_15": "iso-8859-15 iso8859-15 latin9 latin-9 l9",
    "iso8859_16": "iso-8859-16 iso8859-16",
    "cp1250": "windows-1250 cp1250 x-cp1250",
    "cp1251": "windows-1251 cp1251 x-cp1251",
    "cp1253": "windows-1253 cp1253",
    "cp1255": "windows-1255 cp1255",
    "cp1256": "windows-1256 cp1256",
    "cp1257": "windows-1257 cp1257",
    "cp1258": "windows-1258 cp1258",
    "koi8_r": "koi8-r koi8 koi8_r cskoi8r",
    "koi8_u": "koi8-u koi8-ru",
    "cp437": "ibm437 cp437",
    "cp850": "ibm850 cp850",
    "cp852": "ibm852 cp852",
    "cp866": "ibm866 cp866",
    "mac_roman": "macintosh mac x-mac-roman x-macroman",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
}
_CODECS = {name: codec for codec, names in _NAMES.items() for name in names.split(" ")}
_TRY_FIRST = [lookup(codec) for codec in _NAMES]  # a codec that Python lacks is found at start, not at a message

# A fold inside a word is against RFC 2047 §2 and yet seen; so "=?" … "?=" is looked for before unfolding.
_WORD = re.compile(rb"=\?([!->@-~]{1,75})\?([BbQq])\?([^?]*+)\?=")
_BETWEEN = re.compile(rb"[ \t\r\n]*+")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_FOLD_IN_WORD = re.compile(rb"\r?\n[ \t]*+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ODD_BYTE = re.compile(rb"[^\t -~]")
_NO_BASE64 = bytes(sorted(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")))
# Nothing is tried twice inside a run of spaces, so a run of any length costs its length.
_TRAILING_SPACE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_ESCAPE = re.compile(rb"\x1b(\$[@AB]|\$\([DOPQ]|\([BJHI])")
_KANA = re.compile("[ぁ-んァ-ヶー]")
_WIDE = re.compile("[ぁ-んァ-ヶー一-龠々、。「」]")
_ASCII_LETTER = re.compile("[A-Za-z]")
_HALF_WIDTH = re.compile("[｡-ﾟ]")
_HALF_TO_8BIT = bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in range(256))


def decode_words(raw: bytes) -> str:
    """The text of an unstructured field or a display name, encoded words decoded (RFC 2047), on one line.

    raw: a value, folded or not; 256 KiB of it are read. Words that follow one another are joined before their bytes become
    characters, since many writers cut a character in two. Bytes outside ASCII that are in no word are UTF-8, or else what
    they look like (guess_text). Control characters become U+FFFD, a tab a space. At most 65,536 characters.
    """
    if b"=?" not in raw and not _ODD_BYTE.search(raw):
        return raw[:WORDS_TEXT].decode("ascii").replace("\t", " ").strip(" ")
    raw = raw[:WORDS_RAW]
    pieces: list[str] = []
    pending = b""
    pending_codec = ""
    position = 0
    for match in _WORD.finditer(raw):
        charset, kind, payload = match.groups()
        gap = raw[position : match.start()]
        is_neighbour = bool(pieces or pending_codec) and position > 0 and _BETWEEN.fullmatch(gap) is not None
        codec = _word_codec(charset)
        if not is_neighbour or codec != pending_codec:
            if pending_codec:
                pieces.append(_decode(pending, pending_codec))
            pending, pending_codec = b"", codec
        if not is_neighbour:
            pieces.append(_plain(gap))
        pending += _word_bytes(kind, payload)
        position = match.end()
    if pending_codec:
        pieces.append(_decode(pending, pending_codec))
    pieces.append(_plain(raw[position:]))
    text = "".join(pieces)[:WORDS_TEXT].replace("\t", " ").strip(" ")
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)


def encode_words(text: str) -> bytes:
    """Text as a header field may hold it: as it is where it is short printable ASCII, else encoded words, one a line.

    Words are base64 of UTF-8, at most 75 characters each (RFC 2047 §2), and end on a character. Control characters become
    spaces, so that nothing can end the field. Folded with CRLF and a space; no line end at the end.
    """
    clean = _CONTROL.sub(" ", text).replace("\t", " ")
    if clean.isascii() and "=?" not in clean and len(clean) <= 900:
        return clean.encode("ascii")
    words: list[bytes] = []
    octets = b""
    for character in clean:
        more = character.encode("utf-8", "replace")
        if len(octets) + len(more) > 45:
            words.append(octets)
            octets = b""
        octets += more
    words.append(octets)
    return b"\r\n ".join(b"=?utf-8?B?" + b64encode(word) + b"?=" for word in words)


def decode_text(raw: bytes, charset: str | bytes = "") -> str:
    """The text of a body in the charset that its Content-Type names; "" where it names none.

    A charset that is not on the list, and text outside ASCII that says it is ASCII, is read as what it looks like
    (guess_text). What cannot be decoded becomes U+FFFD.
    """
    codec = codec_of(charset)
    return _decode(raw, codec) if codec else guess_text(raw)


def codec_of(charset: str | bytes) -> str:
    """The Python codec for a charset of the list, "" for every other name."""
    name = charset.decode("latin-1") if isinstance(charset, bytes) else charset
    return _CODECS.get(name.strip(" \t\"'").lower(), "") if len(name) <= 64 else ""


def guess_text(raw: bytes) -> str:
    """Text without a charset: ISO-2022-JP if it has its escapes, UTF-8 if it is that, else EUC-JP or Shift_JIS if it looks
    Japanese, else windows-1252."""
    if b"\x1b" in raw and raw.isascii() and _ESCAPE.search(raw):
        return _decode_jis(raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    for codec in (_EUC_JP, _SJIS):
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError:
            continue
        if _looks_japanese(text):
            return text
    return raw.decode(_WESTERN, "replace")


def decode_body(raw: bytes, encoding: str) -> bytes:
    """The octets of a body without its transfer encoding (RFC 2045 §6).

    encoding: lower case, as Part.encoding; every other than base64 and quoted-printable leaves the bytes as they are.
    Broken input gives what can be read of it: other characters in base64 are skipped, and it ends at its padding.
    """
    if encoding == "base64":
        return _from_base64(raw)
    if encoding == "quoted-printable":
        if b" \r" in raw or b" \n" in raw or b"\t\r" in raw or b"\t\n" in raw or raw[-1:] in (b" ", b"\t"):
            raw = _TRAILING_SPACE.sub(b"", raw)  # RFC 2045 §6.7 (3)
        return binascii.a2b_qp(raw)
    return raw


def _from_base64(raw: bytes) -> bytes:
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        digits = raw.translate(None, _NO_BASE64).partition(b"=")[0]
        if len(digits) % 4 == 1:  # six bits are no octet
            digits = digits[:-1]
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _word_codec(charset: bytes) -> str:
    """The codec of a word; the language after "*" (RFC 2231 §5) is dropped. "?" where it is to be guessed."""
    return codec_of(charset.partition(b"*")[0]) or "?"


def _word_bytes(kind: bytes, payload: bytes) -> bytes:
    if b"\n" in payload:
        payload = _FOLD_IN_WORD.sub(b"", payload)
    if kind in b"Bb":
        return _from_base64(payload)
    return binascii.a2b_qp(payload, header=True)


def _plain(raw: bytes) -> str:
    """What stands between the words."""
    if b"\n" in raw:
        raw = _FOLD.sub(b"", raw).rstrip(b"\r\n")
    return guess_text(raw) if raw else ""


def _decode(raw: bytes, codec: str) -> str:
    if codec == "?":
        return guess_text(raw)
    if codec == _JIS:
        return _decode_jis(raw)
    return raw.decode(codec, "replace")


def _looks_japanese(text: str) -> bool:
    """Kana, or more wide characters than letters: western text in windows-1252 seldom gives either."""
    wide = len(_WIDE.findall(text))
    if len(_HALF_WIDTH.findall(text)) > wide:
        return False
    return _KANA.search(text) is not None or (wide >= 2 and wide >= len(_ASCII_LETTER.findall(text)))


def _decode_jis(raw: bytes) -> str:
    """ISO-2022-JP with what its writers add: half-width kana and the characters of NEC and IBM (CP50221)."""
    try:
        return raw.decode(_JIS)
    except UnicodeDecodeError:
        pass
    if not raw.isascii():
        # The label lies, or the text is cut: 8-bit bytes are never part of ISO-2022-JP.
        return guess_text(raw) if not _ESCAPE.search(raw) else raw.decode(_JIS, "replace")
    pieces: list[str] = []
    position, mode = 0, b"(B"
    for escape in _ESCAPE.finditer(raw):
        pieces.append(_jis_run(raw[position : escape.start()], mode))
        position, mode = escape.end(), escape[1]
    pieces.append(_jis_run(raw[position:], mode))
    return "".join(pieces)


def _jis_run(run: bytes, mode: bytes) -> str:
    """A run of bytes between two escapes; CR and LF end the double-byte mode (RFC 1468)."""
    if mode == b"(I":
        return run.translate(_HALF_TO_8BIT).decode(_SJIS, "replace")
    if mode in (b"$@", b"$B"):
        line, end, rest = run.partition(b"\n")
        return _jis_to_sjis(line.rstrip(b"\r")).decode(_SJIS, "replace") + (end + rest).decode("ascii", "replace")
    if mode in (b"(B", b"(J", b"(H"):
        return run.decode("ascii", "replace")
    return (b"\x1b" + mode + run).decode(_JIS, "replace")


def _jis_to_sjis(run: bytes) -> bytes:
    """Pairs of JIS X 0208 as Shift_JIS: two rows of 94 cells lie in one row of Shift_JIS."""
    out = bytearray()
    for row, cell in zip(run[::2], run[1::2], strict=False):
        if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
            out += b"?"
            continue
        lead = ((row - 0x21) >> 1) + 0x81
        trail = cell + (0x1F if cell < 0x60 else 0x20) if row & 1 else cell + 0x7E
        out.append(lead if lead <= 0x9F else lead + 0x40)
        out.append(trail)
    return bytes(out)
