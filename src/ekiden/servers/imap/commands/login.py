"""LOGIN and AUTHENTICATE, inside TLS only.

Source: RFC 3501 §6.2.2, RFC 3501 §6.2.3, RFC 4959, RFC 9051 §11.
"""

from __future__ import annotations

from ekiden.imap.grammar import BEFORE_LOGIN, Asked, Refusal, declare
from ekiden.imap.machine import AuthResponse
from ekiden.imap.responses import Kind
from ekiden.imap.tokens import Reader
from ekiden.sasl.mechanism import Challenge, Mechanism, Proof, decode_initial
from ekiden.servers.imap.session import ImapSession
from ekiden.services.login import LoginRefusal, count_login

_REFUSALS = {
    LoginRefusal.WRONG: ("Name or password is wrong", b"AUTHENTICATIONFAILED"),
    LoginRefusal.TOO_MANY: ("Too many failed logins, please wait", b"LIMIT"),
    LoginRefusal.BUSY: ("Logins are not possible right now", b"UNAVAILABLE"),
    LoginRefusal.BROKEN: ("Logins are not possible right now", b"UNAVAILABLE"),
}


def _name_and_password(reader: Reader) -> tuple[bytes, bytes]:
    reader.space()
    name = reader.astring()
    reader.space()
    return name, reader.astring()


def _mechanism(reader: Reader) -> tuple[str, bytes | None]:
    reader.space()
    name = reader.atom().decode("ascii")
    # The initial response may be longer than an atom's grammar allows to say: base64 with "=" (RFC 4959 §3).
    return name, reader.atom() if reader.more() and not reader.at_end() else None


def _needs_tls(session: ImapSession) -> None:
    if not session.machine.secure:
        raise Refusal("Start TLS first", b"PRIVACYREQUIRED")


async def _login(session: ImapSession, request: Asked, args: tuple[bytes, bytes]) -> None:
    _needs_tls(session)
    name, password = args
    try:
        proof = Proof(name.decode("utf-8"), password)
    except UnicodeDecodeError:
        proof = Proof("", b"")  # counts as a failure like any other wrong name
    await _prove(session, proof)


async def _authenticate(session: ImapSession, request: Asked, args: tuple[str, bytes | None]) -> None:
    _needs_tls(session)
    mechanism = session.services.mechanisms(args[0])
    if mechanism is None:
        raise Refusal("There is no such mechanism")
    proof = await _exchange(session, mechanism, decode_initial(args[1]))
    if proof is not None:
        await _prove(session, proof, mechanism.name)


async def _exchange(session: ImapSession, mechanism: Mechanism, response: bytes | None) -> Proof | None:
    """Challenges and responses to the end. None if it ended early; it has been answered then. Raises BadValue."""
    while isinstance(outcome := mechanism.step(response), Challenge):
        session.machine.challenge(outcome.text)
        event = await session.connection.next_event()
        if not isinstance(event, AuthResponse):
            return None  # the connection is over
        if event.data is None:
            session.machine.answer(Kind.BAD, "Cancelled, or not base64")
            return None
        response = event.data
    return outcome


async def _prove(session: ImapSession, proof: Proof, mechanism: str = "command") -> None:
    found = await session.services.logins.login(proof.name, proof.password, session.peer, acting_as=proof.acting_as)
    count_login(session.peer.listener, mechanism, found)
    if isinstance(found, LoginRefusal):
        text, code = _REFUSALS[found]
        raise Refusal(text, code)
    if not session.sign_in(found):
        raise Refusal("This account has too many sessions from your address", b"LIMIT")
    session.machine.answer(Kind.OK, "Welcome", b"CAPABILITY " + b" ".join(session.capabilities()))


COMMANDS = (
    declare(b"LOGIN", BEFORE_LOGIN, _name_and_password, _login),
    declare(b"AUTHENTICATE", BEFORE_LOGIN, _mechanism, _authenticate),
)
