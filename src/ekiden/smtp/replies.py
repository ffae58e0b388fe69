"""Replies of SMTP, and the catalogue of all that Ekiden ever sends.

A reply is a value: the machine writes it, the journey shows its text, the courier judges its code. Whoever needs a new reply
adds a constant here, so that `ekiden explain` and the tests know all of them.
Source: RFC 5321 §4.2, RFC 3463 §3, RFC 2034 §4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ekiden.base.ids import EnvelopeId, id_text


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: three digits, perhaps an enhanced code, one or more lines.

    code: 200 … 599. lines: without code, enhanced code, CR or LF; at least one.
    """

    code: int
    enhanced: tuple[int, int, int] | None
    lines: tuple[str, ...]
    _wire: bytes = field(init=False, repr=False, compare=False, default=b"")
    _text: str = field(init=False, repr=False, compare=False, default="")

    def encode(self) -> bytes:
        """The reply as it goes over the wire, with every line's CRLF; computed once.

        The enhanced code stands in each line (RFC 2034 §4). What is not printable in a line leaves as "?".
        """
        if not self._wire:
            object.__setattr__(self, "_wire", _encode(self))
        return self._wire

    @property
    def text(self) -> str:
        """The reply as one printable line, as logs and journeys show it: "550 5.1.1 No such mailbox here"."""
        if not self._text:
            words = [str(self.code)]
            if self.enhanced is not None:
                words.append("{}.{}.{}".format(*self.enhanced))
            words += [line for line in self.lines if line]
            object.__setattr__(self, "_text", printable(" ".join(words)))
        return self._text

    @property
    def is_positive(self) -> bool:
        """2xx: what was asked has been done."""
        return 200 <= self.code <= 299

    @property
    def is_temporary(self) -> bool:
        """4xx: not now; trying again may help."""
        return 400 <= self.code <= 499

    @property
    def is_permanent(self) -> bool:
        """5xx: not in this way, ever."""
        return 500 <= self.code <= 599

    @property
    def status(self) -> str:
        """The enhanced code as text; where the peer gave none, the general one of its class ("5.0.0": RFC 3463 §3.1)."""
        return "{}.{}.{}".format(*self.enhanced) if self.enhanced is not None else f"{self.code // 100}.0.0"


_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}


def printable(text: str) -> str:
    """text in one line, control characters and what else cannot be shown as Python writes them in a string."""
    if text.isprintable():
        return text
    shown = text.translate(_CONTROLS)
    return "".join(c if c.isprintable() else c.encode("ascii", "backslashreplace").decode("ascii") for c in shown)


_LINE_BYTES = 510  # RFC 5321 §4.5.3.1.5, without CRLF


def _encode(reply: Reply) -> bytes:
    enhanced = "" if reply.enhanced is None else "{}.{}.{} ".format(*reply.enhanced)
    last = len(reply.lines) - 1
    wire = b""
    for at, line in enumerate(reply.lines):
        head = f"{reply.code}{'-' if at < last else ' '}{enhanced}"
        safe = line if line.isascii() and line.isprintable() else "".join(c if " " <= c <= "~" else "?" for c in line)
        wire += (head + safe).encode("ascii")[:_LINE_BYTES] + b"\r\n"
    return wire


# ---- positive ------------------------------------------------------------------------------------

OK = Reply(250, (2, 0, 0), ("OK",))
RESET = Reply(250, (2, 0, 0), ("Forgotten; start again",))
SENDER_OK = Reply(250, (2, 1, 0), ("Sender OK",))
RECIPIENT_OK = Reply(250, (2, 1, 5), ("Recipient OK",))
SIGNED_IN = Reply(235, (2, 7, 0), ("Authentication succeeded",))
HELP_TEXT = Reply(214, (2, 0, 0), ("Commands: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY STARTTLS AUTH HELP QUIT", "See RFC 5321"))
CANNOT_VERIFY = Reply(252, (2, 5, 0), ("Cannot verify, but will take a message and try to deliver it",))
GOODBYE = Reply(221, (2, 0, 0), ("Goodbye",))
READY_FOR_TLS = Reply(220, (2, 0, 0), ("Ready to start TLS",))
START_CONTENT = Reply(354, None, ("Send the message, end it with a line that is a single dot",))


def greeting(hostname: str, words: str = "ESMTP Ekiden") -> Reply:
    """The banner: RFC 5321 §4.2, no enhanced code (RFC 2034 §4)."""
    return Reply(220, None, (f"{hostname} {words}",))


def accepted(envelope: EnvelopeId) -> Reply:
    """The promise of RFC 5321 §6.1, with the name under which we know the message."""
    return Reply(250, (2, 0, 0), (f"Accepted as {id_text(envelope)}",))


def named(refusal: Reply, envelope: EnvelopeId) -> Reply:
    """A refusal with the name under which we know what was refused, for whoever asks us about it."""
    words = f"Refused as {id_text(envelope)}" if refusal.is_permanent else f"Put off as {id_text(envelope)}"
    return Reply(refusal.code, refusal.enhanced, (*refusal.lines, words))


# ---- grammar and order: what the machine says by itself ------------------------------------------

UNKNOWN_COMMAND = Reply(500, (5, 5, 1), ("Command not recognised",))
GARBAGE = Reply(500, (5, 5, 2), ("Not a command: it holds bytes that no command may hold",))
LINE_TOO_LONG = Reply(500, (5, 5, 2), ("Line too long",))
AUTH_LINE_TOO_LONG = Reply(500, (5, 5, 6), ("Authentication line too long",))
WRONG_HELLO = Reply(500, (5, 5, 1), ("This door speaks another protocol: greet it with its own command",))
BAD_SYNTAX = Reply(501, (5, 5, 2), ("Syntax error in the argument",))
BAD_HELLO = Reply(501, (5, 5, 4), ("A domain name or an address literal must follow",))
NO_ARGUMENT_ALLOWED = Reply(501, (5, 5, 4), ("This command takes no argument",))
ARGUMENT_NEEDED = Reply(501, (5, 5, 4), ("An argument is missing",))
BAD_SENDER = Reply(501, (5, 1, 7), ("Bad sender address syntax",))
BAD_RECIPIENT = Reply(501, (5, 1, 3), ("Bad recipient address syntax",))
BAD_PARAMETER = Reply(501, (5, 5, 4), ("Bad parameter value",))
UNKNOWN_PARAMETER = Reply(555, (5, 5, 4), ("Parameter not recognised",))
UTF8_NOT_OFFERED = Reply(553, (5, 6, 7), ("Addresses in UTF-8 are not supported here",))
NOT_IMPLEMENTED = Reply(502, (5, 5, 1), ("Command not implemented",))
HELLO_FIRST = Reply(503, (5, 5, 1), ("Say EHLO first",))
MAIL_FIRST = Reply(503, (5, 5, 1), ("Say MAIL first",))
RECIPIENT_FIRST = Reply(503, (5, 5, 1), ("Say RCPT first",))
SENDER_ALREADY_GIVEN = Reply(503, (5, 5, 1), ("The sender has been given already; say RSET to start again",))
NOT_IN_TRANSACTION = Reply(503, (5, 5, 1), ("Not while a message is being handed over",))
NO_VALID_RECIPIENTS = Reply(554, (5, 5, 1), ("No valid recipients",))
IMPROPER_PIPELINING = Reply(554, (5, 5, 0), ("Something was sent before it was asked for",))
EARLY_TALKER = Reply(554, (5, 5, 1), ("Something was sent before the greeting",))
NOT_HTTP = Reply(554, (5, 5, 1), ("This is a mail server, not a web server",))
TLS_UNEXPECTED = Reply(554, (5, 5, 1), ("TLS starts here only after STARTTLS",))
ALREADY_SECURE = Reply(503, (5, 5, 1), ("TLS is active already",))
PIPELINED_STARTTLS = Reply(501, (5, 5, 1), ("Nothing may follow STARTTLS before the handshake",))
TLS_NEEDED = Reply(530, (5, 7, 0), ("Say STARTTLS first",))
TLS_NOT_NOW = Reply(454, (4, 7, 0), ("TLS is not available at the moment",))
TOO_MANY_RECIPIENTS = Reply(452, (4, 5, 3), ("Too many recipients; send the rest in another message",))

# ---- authentication ------------------------------------------------------------------------------

SIGN_IN_FIRST = Reply(530, (5, 7, 0), ("Authentication required",))
ENCRYPTION_NEEDED = Reply(538, (5, 7, 11), ("Encryption required for authentication",))
ALREADY_SIGNED_IN = Reply(503, (5, 5, 1), ("Authenticated already",))
UNKNOWN_MECHANISM = Reply(504, (5, 5, 4), ("Authentication mechanism not offered",))
AUTH_CANCELLED = Reply(501, (5, 0, 0), ("Authentication cancelled",))
BAD_BASE64 = Reply(501, (5, 5, 2), ("Not valid base64",))
BAD_AUTH_EXCHANGE = Reply(501, (5, 5, 2), ("Authentication exchange not understood",))
WRONG_CREDENTIALS = Reply(535, (5, 7, 8), ("Authentication credentials invalid",))
AUTH_NOT_NOW = Reply(454, (4, 7, 0), ("Authentication is not possible at the moment",))
TOO_MANY_FAILED_LOGINS = Reply(421, (4, 7, 0), ("Too many failed attempts to authenticate; try later",))

# ---- judgement: what sessions, services and policies say -----------------------------------------

NO_SUCH_MAILBOX = Reply(550, (5, 1, 1), ("No such mailbox here",))
MAILBOX_DISABLED = Reply(550, (5, 2, 1), ("Mailbox disabled",))
MAILBOX_FULL = Reply(452, (4, 2, 2), ("Mailbox full",))
RELAY_DENIED = Reply(550, (5, 7, 1), ("Mail to this domain is not relayed here",))
NOT_ALLOWED = Reply(550, (5, 7, 1), ("Refused by the policy of this server",))
NOT_NOW = Reply(451, (4, 7, 1), ("Deferred by the policy of this server; try later",))
SENDER_NOT_YOURS = Reply(553, (5, 7, 1), ("This sender address does not belong to the account",))
AUTHOR_NOT_YOURS = Reply(550, (5, 7, 1), ("This From address does not belong to the account",))
NULL_SENDER_REFUSED = Reply(550, (5, 7, 1), ("The null sender is not for submission",))
SENDER_DOMAIN_UNKNOWN = Reply(550, (5, 1, 8), ("The sender's domain does not exist",))
SENDER_DOMAIN_UNSURE = Reply(451, (4, 1, 8), ("The sender's domain cannot be looked up at the moment",))
SENDER_TAKES_NO_MAIL = Reply(550, (5, 7, 27), ("The sender's domain accepts no mail",))
DOMAIN_TAKES_NO_MAIL = Reply(556, (5, 1, 10), ("The recipient's domain accepts no mail",))
HELLO_CANNOT_BE = Reply(550, (5, 7, 1), ("The name that you said in HELO or EHLO cannot be yours",))
TOO_FAST = Reply(450, (4, 7, 1), ("Too many messages in a short time; try later",))
DMARC_FAILED = Reply(550, (5, 7, 1), ("The domain in From forbids mail from here in its name (DMARC)",))
DMARC_UNKNOWN = Reply(451, (4, 7, 1), ("Whether the domain in From allows this could not be found out now; try later",))
MULTIPLE_AUTHORS = Reply(550, (5, 6, 0), ("The message must have exactly one From field",))
LOOP_FOUND = Reply(554, (5, 4, 6), ("The message has passed too many hosts, or this one before",))
HEADER_TOO_BIG = Reply(552, (5, 3, 4), ("The header of the message is too big",))

# ---- the content ---------------------------------------------------------------------------------

MESSAGE_TOO_BIG = Reply(552, (5, 3, 4), ("The message is too big",))
BARE_LINE_END = Reply(550, (5, 5, 2), ("The message holds a CR or LF that is not part of CRLF",))
NUL_IN_CONTENT = Reply(554, (5, 6, 0), ("The message holds a NUL",))
CONTENT_LINE_TOO_LONG = Reply(554, (5, 6, 0), ("The message holds a line that is too long",))

# ---- trouble of our own, and goodbyes ------------------------------------------------------------

CANNOT_SIGN = Reply(451, (4, 3, 5), ("Mail of this domain cannot be signed at the moment; nothing was kept, try later",))
LOCAL_ERROR = Reply(451, (4, 3, 0), ("Local error; nothing was kept, try later",))
STORAGE_FULL = Reply(452, (4, 3, 1), ("Not enough storage; try later",))
MEMORY_SHORT = Reply(452, (4, 3, 1), ("Not enough memory; try later",))
REDIRECT_FAILED = Reply(451, (4, 3, 5), ("The policy of this server sends this nowhere; nothing was kept, try later",))
BREAKS_US = Reply(451, (4, 3, 0), ("This server has failed on this message again and again; its postmaster has been told",))
TOOK_TOO_LONG = Reply(451, (4, 4, 5), ("Processing took too long; nothing was kept, try later",))
SHUTTING_DOWN = Reply(421, (4, 3, 2), ("Closing for a restart; try again in a moment",))
NOT_READY = Reply(421, (4, 3, 2), ("Not ready yet; try again in a moment",))
TIMED_OUT = Reply(421, (4, 4, 2), ("Waited too long",))
TOO_MANY_ERRORS = Reply(421, (4, 7, 0), ("Too many errors",))
TOO_MANY_IDLE_COMMANDS = Reply(421, (4, 7, 0), ("Too many commands without a message",))
TOO_MANY_MESSAGES = Reply(421, (4, 7, 0), ("Enough messages for one connection; open another",))
TOO_MANY_CONNECTIONS = Reply(421, (4, 7, 0), ("Too many connections from your network",))
SERVER_FULL = Reply(421, (4, 3, 2), ("Too many connections; try later",))
HOST_REFUSED = Reply(554, (5, 7, 1), ("No mail is taken from this host",))


def catalogue() -> Iterator[tuple[str, Reply]]:
    """Every constant of this module with its name, in the order of the file."""
    for name, value in list(globals().items()):
        if isinstance(value, Reply):
            yield name, value
