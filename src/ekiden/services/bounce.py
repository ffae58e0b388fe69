"""Reports to the senders of mail that failed or waits, and to the postmaster about what a person has to see to.

A report comes from the null sender and is never about one (row OU-31); it is stored in the transaction of what it tells of.
Source: RFC 3461 §5.2, §6, RFC 3464, RFC 5321 §6.1; house.md §6 (B9), §7 (Q5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from ekiden.base.clock import Clock, Millis
from ekiden.base.errors import Damaged
from ekiden.base.ids import AccountId, EnvelopeId, IdMaker, id_text
from ekiden.base.texts import languages, text
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, Domain, Path, display_path, format_path
from ekiden.mail.compose import compose
from ekiden.mail.dsn import Action, RecipientReport, write_dsn
from ekiden.mail.encodings import decode_words
from ekiden.mail.envelope import Envelope, Notify, Peer, Recipient
from ekiden.mail.headers import parse_headers
from ekiden.mail.trace import date_time
from ekiden.services.arrive import Arrivals
from ekiden.services.attempt import Outcome
from ekiden.services.explain import UnknownWord, explain
from ekiden.services.keys import KeysUnusable
from ekiden.services.routing import Refused as NoRoute
from ekiden.services.routing import Remote, Router
from ekiden.services.signing import Signed, Signing
from ekiden.store.database import Tx

_RECIPIENTS = 100  # in one report; more get another one
_SUBJECT_CHARACTERS = 100
_HERE = Peer(IPv4Address("127.0.0.1"), 0, "house")

Log = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Telling:
    """One recipient in a report. expired: it was given up because it waited too long."""

    outcome: Outcome
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A report that is ready: store it in the transaction, add step to the journey of the message, poke and wake after the commit."""

    store: Callable[[Tx], tuple[AccountId, ...]]
    step: journey.Reported
    is_remote: bool


class Reports:
    """Writes reports for one process."""

    def __init__(
        self, arrivals: Arrivals, router: Router, ids: IdMaker, clock: Clock, hostname: str, log: Log, signing: Signing | None = None
    ) -> None:
        self._arrivals = arrivals
        self._router = router
        self._ids = ids
        self._clock = clock
        self._hostname = hostname
        self._log = log
        self._signing = signing

    async def failed(self, envelope: Envelope, tellings: Sequence[Telling], original: bytes) -> list[Report]:
        """About recipients that nobody will try again. original: the message, or at least its header. Raises StoreError."""
        return await self._write("failed", Notify.FAILURE, envelope, tellings, original, None)

    async def delayed(self, envelope: Envelope, tellings: Sequence[Telling], original: bytes, until: Millis) -> list[Report]:
        """About recipients that wait; until: when they are given up. Raises StoreError."""
        return await self._write("delayed", Notify.DELAY, envelope, tellings, original, until)

    async def to_postmaster(self, subject: str, words: str, **fields: object) -> Callable[[Tx], tuple[AccountId, ...]] | None:
        """What stores a message to the postmaster of this server; None if nobody is. subject, words: keys of the catalogue.

        Only for what a person has to see to, because who answers for the server need not read its log. Raises StoreError.
        """
        routes = await self._router.route(Path("postmaster", None), relay=True)
        if isinstance(routes, NoRoute):
            self._log("postmaster-unreachable", level="warning", because=routes.because)
            return None
        id, now, postmaster = self._ids.envelope_id(), self._clock.now(), Path("postmaster", Domain(self._hostname))
        raw = compose(
            sender=postmaster,
            sender_name=text("report.sender-name"),
            to=[postmaster],
            subject=" / ".join(text(subject, lang, **fields) for lang in languages()),
            text="\n\n".join(text(words, lang, host=self._hostname, **fields).strip("\n") for lang in languages()),
            at=now,
            message_id=f"{id_text(id)}@{self._hostname}",
            extra=[("Auto-Submitted", "auto-generated")],
        )
        about = Envelope(id, NULL_PATH, (Recipient(postmaster, notify=Notify(0)),), _HERE, now)
        signed = await self._signed(raw, id)
        return self._arrivals.prepare(about, (routes,), raw, signed.steps, signed.fields)

    async def _signed(self, raw: bytes, id: EnvelopeId) -> Signed:
        """Signatures of a report. Without usable keys it goes out unsigned: nobody would learn of the failure otherwise."""
        if self._signing is None:
            return Signed()
        try:
            return await self._signing.sign(b"", raw)
        except (KeysUnusable, Damaged) as error:
            self._log("report-unsigned", level="error", report=id_text(id), because=str(error))
            return Signed()

    async def _write(
        self, action: Action, wanted: Notify, envelope: Envelope, tellings: Sequence[Telling], original: bytes, until: Millis | None
    ) -> list[Report]:
        asked_for = [telling for telling in tellings if wanted & telling.outcome.delivery.recipient.notify]
        if envelope.sender == NULL_PATH or not asked_for:
            return []
        sender = await self._router.behind(envelope.sender)  # of what an alias has sent on: who wrote it
        if not isinstance(sender, NoRoute):
            envelope = replace(envelope, sender=sender)
        routes = sender if isinstance(sender, NoRoute) else await self._router.route(sender, relay=True)
        if isinstance(routes, NoRoute):
            self._log("report-undeliverable", message=id_text(envelope.id), sender=format_path(envelope.sender), because=routes.because)
            return []
        reports = []
        for at in range(0, len(asked_for), _RECIPIENTS):
            some = asked_for[at : at + _RECIPIENTS]
            id = self._ids.envelope_id()
            raw = self._compose(action, id, envelope, some, original, until)
            signed = await self._signed(raw, id)
            about = Envelope(id, NULL_PATH, (Recipient(envelope.sender, notify=Notify(0)),), _HERE, self._clock.now(), utf8=envelope.utf8)
            reports.append(
                Report(
                    self._arrivals.prepare(about, (routes,), raw, signed.steps, signed.fields),
                    journey.Reported(self._clock.now(), action, id_text(id)),
                    any(isinstance(route, Remote) for route in routes),
                )
            )
        return reports

    def _compose(
        self, action: Action, id: EnvelopeId, envelope: Envelope, tellings: Sequence[Telling], original: bytes, until: Millis | None
    ) -> bytes:
        now = self._clock.now()
        subject = parse_headers(original).first(b"subject")
        shown = decode_words(subject)[:_SUBJECT_CHARACTERS] if subject is not None else ""
        return write_dsn(
            reporting_mta=self._hostname,
            sender=Path("postmaster", Domain(self._hostname)),
            sender_name=text("report.sender-name"),
            to=envelope.sender,
            message_id=f"{id_text(id)}@{self._hostname}",
            at=now,
            subject=" / ".join(text(f"report.{action}-subject", lang) for lang in languages()),
            text="\n\n".join(self._words(action, shown, tellings, until, lang) for lang in languages()),
            arrived_at=envelope.received_at,
            recipients=[_recipient(action, telling, now, until) for telling in tellings],
            original=original,
            full=envelope.return_full,
            envid=envelope.envid,
            utf8=envelope.utf8,
        )

    def _words(self, action: Action, subject: str, tellings: Sequence[Telling], until: Millis | None, lang: str) -> str:
        """What people read, in one language."""
        recipients = "\n\n".join(_paragraph(telling, lang) for telling in tellings)
        last_day = date_time(until) if until is not None else ""
        return text(f"report.{action}", lang, host=self._hostname, subject=subject, recipients=recipients, until=last_day).strip("\n")


def _paragraph(telling: Telling, lang: str) -> str:
    outcome = telling.outcome
    lines = [f"  {display_path(outcome.delivery.recipient.path)}"]
    kind = "remote" if outcome.is_remote else "local"
    said = outcome.reply.text if outcome.is_remote else " ".join(outcome.reply.lines)
    lines.append("    " + text(f"report.{kind}", lang, host=outcome.host, reply=said[:600]))
    try:
        lines.append("    " + text("report.means", lang, means=explain(outcome.reply.status, lang)[0].means))
    except UnknownWord:
        pass  # a code that no catalogue explains: the reply has to speak for itself
    if telling.expired:
        lines.append("    " + text("report.expired", lang))
    return "\n".join(lines)


def _recipient(action: Action, telling: Telling, now: Millis, until: Millis | None) -> RecipientReport:
    outcome = telling.outcome
    recipient = outcome.delivery.recipient
    status = outcome.reply.status
    if action == "failed" and not status.startswith("5"):
        status = "5.4.7"  # RFC 3463 §3.5: the delivery time has expired
    return RecipientReport(
        recipient=format_path(recipient.path),
        action=action,
        status=status,
        original=recipient.original,
        remote_mta=outcome.host,
        diagnostic=outcome.reply.text if outcome.is_remote else "",
        last_attempt_at=now,
        will_retry_until=until,
    )
