"""The one DNS client of the house: asks what lookups ask, of a few servers, and remembers.

Promises: an answer is believed only from the server that was asked, at the port it was asked from, with our id and our
question (RFC 5452 §9); a failure of servers is never "none"; one question takes at most 10 s, all lookups of one message
20 s and 30 questions; the same question is asked once however many wait for it; nothing is kept longer than a day, nor in all more
than 10,000 answers or 16 MiB, and half as much of what lookups made of them. DNSSEC is for the servers to check: their word counts
only if the settings trust them.
Source: RFC 1035 §7, RFC 2308 §5 and §7, RFC 5452 §9, RFC 6891 §6, RFC 7766 §5; reliability.md rows DN-01 … DN-14.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections import OrderedDict
from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from ekiden.base import measures
from ekiden.base.clock import Clock, Millis
from ekiden.base.endpoint import Endpoint, parse_ip
from ekiden.base.errors import BadValue
from ekiden.dns.questions import MOST_ALIASES, Answer, Finding, Lookup, Question
from ekiden.dns.records import Tlsa, Txt
from ekiden.net.dnswire import LEAST_TTL_S, MOST_TTL_S, Heard, decode_answer, encode_question
from ekiden.net.memory import Kept, OutcomeMemory, Used, words_of

T = TypeVar("T")

_PACKET_BYTES = 65_535
_MOST_STRAYS = 20
"""Datagrams that are not our answer, before we think that somebody guesses ids and ask by TCP (RFC 5452 §9.3)."""
_NAMESERVER = re.compile(r"[ \t]*nameserver[ \t]+([^ \t%#;]+)")


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """Whom to ask, and how long.

    servers: recursive resolvers (address, port), the first preferred. trusted: addresses of those whose AD bit we believe
    (validating, and reached over a path that nobody else can write to). Times in seconds: question_s for one question,
    message_s for waiting in all lookups of one message, patience_s before the next server is asked too.
    most_questions: for one message. outcomes, outcome_bytes: how many outcomes of lookups are remembered (net.memory).
    """

    servers: tuple[Endpoint, ...]
    trusted: Container[str] = frozenset()
    question_s: float = 10.0
    message_s: float = 20.0
    patience_s: float = 1.5
    most_questions: int = 30
    cache_entries: int = 10_000
    cache_bytes: int = 16 << 20
    outcomes: int = 5_000
    outcome_bytes: int = 8 << 20
    at_once: int = 256


def system_servers(path: Path = Path("/etc/resolv.conf")) -> tuple[Endpoint, ...]:
    """The servers that this machine is set to ask; 127.0.0.1 where it is not set."""
    try:
        lines = path.read_text("utf-8", "replace").split("\n")
    except OSError:
        lines = []
    found: list[Endpoint] = []
    for line in lines:
        if match := _NAMESERVER.match(line):
            try:
                found.append(Endpoint(parse_ip(match[1]), 53))
            except BadValue:
                continue
    return tuple(found) or (Endpoint("127.0.0.1", 53),)


class DnsResolver:
    """A Resolver (dns.questions) with sockets; one for each process. close() it in the loop that used it."""

    def __init__(self, settings: ResolverSettings, clock: Clock) -> None:
        if not settings.servers:
            raise BadValue("DNS servers", because="none are set")
        self._settings = settings
        self._clock = clock
        self._cache = _Cache(settings.cache_entries, settings.cache_bytes, clock.monotonic)
        self.memory = OutcomeMemory(settings.outcomes, settings.outcome_bytes, clock.monotonic)
        self._flights: dict[Question, asyncio.Task[Answer]] = {}
        self._room = asyncio.Semaphore(settings.at_once)
        self._ill: dict[Endpoint, float] = {}
        self.sent = 0

    async def resolve(self, lookup: Lookup[T]) -> T:
        """Run a lookup that belongs to no message; as for_message(), with a count and a time of its own."""
        return await self.for_message().resolve(lookup)

    def for_message(self) -> MessageResolver:
        """A Resolver for all lookups of one message, which together may ask and wait so much and no more."""
        return MessageResolver(self, self._clock, self._settings.message_s, self._settings.most_questions)

    def remembered(self, question: Question) -> tuple[Answer, float] | None:
        """The answer if it needs nobody to be asked, and when it is too old."""
        return self._cache.get(question)

    async def answer(self, question: Question) -> Answer:
        """The answer to one question; FAILED, never an exception, where nobody could tell."""
        known = self._cache.get(question)
        if known is not None:
            return known[0]
        flight = self._flights.get(question)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._find(question))
            self._flights[question] = flight
            flight.add_done_callback(lambda _: self._flights.pop(question, None))
        return await asyncio.shield(flight)  # who asked first may give up, others still wait

    def forget(self) -> None:
        """Drop all that is remembered."""
        self._cache.clear()
        self.memory.clear()

    async def close(self) -> None:
        """End what is under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    # ---- one question, all servers -----------------------------------------------------------------

    async def _find(self, question: Question) -> Answer:
        try:
            async with asyncio.timeout(self._settings.question_s), self._room:
                answer = await self._follow(question)
        except TimeoutError:
            answer = Answer(question, Finding.FAILED, ttl_s=LEAST_TTL_S, because="timeout")
        measures.DNS_ANSWERS.of(answer.finding.value.lower()).value += 1
        self._cache.put(answer)
        return answer

    async def _follow(self, question: Question) -> Answer:
        """Ask until the aliases end, for servers that do not follow them themselves."""
        aliases: tuple[str, ...] = ()
        name, authentic, ttl_s = question.name, True, MOST_TTL_S
        while True:
            heard = await self._ask_servers(replace(question, name=name))
            aliases += heard.aliases
            authentic = authentic and heard.authentic
            ttl_s = min(ttl_s, heard.ttl_s)
            if not heard.unfinished:
                because = heard.because
                break
            if len(aliases) > MOST_ALIASES:
                return Answer(question, Finding.FAILED, (), aliases[:MOST_ALIASES], LEAST_TTL_S, False, "too many CNAMEs")
            name = aliases[-1]
        return Answer(question, heard.finding, heard.records, aliases, ttl_s, authentic, because)

    async def _ask_servers(self, question: Question) -> Heard:
        """The first usable answer. A server that is slow is not given up while the next is asked as well."""
        servers = self._in_order()
        # Each twice, because a datagram may get lost, and then by TCP, because there are walls that let none through.
        waiting = [(server, last) for last in (False, False, True) for server in servers]
        asked: dict[asyncio.Task[Heard], Endpoint] = {}
        heard = Heard(because="no server")
        loop = asyncio.get_running_loop()
        try:
            while waiting or asked:
                if waiting:
                    server, by_tcp = waiting.pop(0)
                    asked[loop.create_task(self._ask_one(server, question, by_tcp=by_tcp))] = server
                patience = self._settings.patience_s if waiting else None
                done, _ = await asyncio.wait(asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    server = asked.pop(task)
                    heard = task.result()
                    if heard.finding is not Finding.FAILED or heard.unfinished or heard.because == "too many CNAMEs":
                        self._ill.pop(server, None)
                        return heard
                    waiting = [other for other in waiting if other[0] != server]  # it has spoken: asking again is of no use now
                if not done and asked:
                    self._ill.setdefault(server, self._clock.monotonic())
            return heard
        finally:
            for task in asked:
                task.cancel()
            if asked:
                await asyncio.gather(*asked, return_exceptions=True)

    def _in_order(self) -> list[Endpoint]:
        """As configured, but those that failed in the last half minute at the end."""
        now = self._clock.monotonic()
        for server, since in list(self._ill.items()):
            if now - since > 30.0:
                del self._ill[server]
        return sorted(self._settings.servers, key=lambda server: server in self._ill)

    # ---- one question, one server ------------------------------------------------------------------

    async def _ask_one(self, server: Endpoint, question: Question, *, by_tcp: bool) -> Heard:
        try:
            heard = Heard(truncated=True) if by_tcp else await self._by_udp(server, question, edns=True)
            if heard.again_without_edns:
                heard = await self._by_udp(server, question, edns=False)
            if heard.truncated:
                heard = await self._by_tcp(server, question)
        except OSError as error:
            self._ill[server] = self._clock.monotonic()
            return Heard(because=error.strerror or type(error).__name__)
        if heard.authentic and server.host not in self._settings.trusted:
            return replace(heard, authentic=False)  # row DN-10
        return heard

    async def _by_udp(self, server: Endpoint, question: Question, *, edns: bool) -> Heard:
        loop = asyncio.get_running_loop()
        id = secrets.randbits(16)
        # A connected socket of its own: the system picks a random port, and drops what other addresses send to it.
        with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((server.host, server.port))
            self.sent += 1
            sock.send(encode_question(question, id, edns=edns))
            for _ in range(_MOST_STRAYS):
                heard = decode_answer(await loop.sock_recv(sock, _PACKET_BYTES), question, id)
                if heard is not None:
                    return heard
        return Heard(truncated=True)

    async def _by_tcp(self, server: Endpoint, question: Question) -> Heard:
        loop = asyncio.get_running_loop()
        id = secrets.randbits(16)
        query = encode_question(question, id)
        with socket.socket(_family(server), socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            self.sent += 1
            await loop.sock_connect(sock, (server.host, server.port))
            await loop.sock_sendall(sock, len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(await _read_exactly(sock, 2), "big")
            heard = decode_answer(await _read_exactly(sock, length), question, id)
        if heard is None:
            return Heard(because="an answer to another question")
        return Heard(because="truncated by TCP") if heard.truncated else heard


class Asked(NamedTuple):
    """One step on the way of a message through the DNS: what was asked, and what came back.

    at: when the answer was there, by the wall clock. took_ms: how long it was waited for; 0 if it was remembered.
    answer: of its records at most MOST_RECORDS_KEPT. said: its words, where they have been made before.
    """

    at: Millis
    answer: Answer
    took_ms: int
    remembered: bool
    said: tuple[str, str] | None = None

    @property
    def question(self) -> Question:
        """What was asked."""
        return self.answer.question

    @property
    def words(self) -> tuple[str, str]:
        """Question and answer, as people read them."""
        return self.said or words_of(self.answer)


MOST_ASKED_KEPT = 100
"""How many steps the trail of one message holds, the first ones."""

MOST_RECORDS_KEPT = 16


class MessageResolver:
    """A Resolver with a budget: after so many questions, or so many seconds of waiting, every answer is FAILED.

    What is remembered costs nothing. The seconds are those in which at least one lookup of the message waits, however
    many there are and however much time passes between them (a sender may take minutes for the content).
    asked: how many questions were not remembered. trail: every question with its answer, in the order in which the answers
    came, the first hundred; left_out: how many more there were.
    """

    def __init__(self, resolver: DnsResolver, clock: Clock, message_s: float, most_questions: int) -> None:
        self._resolver = resolver
        self._clock = clock
        self._left_s = message_s
        self._most = most_questions
        self._waiting = 0
        self._since = 0.0
        self._trail: list[Asked | tuple[Millis, Kept]] = []  # what is remembered together is taken apart when somebody looks
        self._trail_steps = 0
        self.asked = 0
        self.left_out = 0

    @property
    def trail(self) -> tuple[Asked, ...]:
        """What was asked and answered so far, for the journey."""
        steps: list[Asked] = []
        for each in self._trail:
            if isinstance(each, Asked):
                steps.append(each)
            else:
                at, kept = each
                steps += [Asked(at, answer, 0, True, words) for answer, words in kept.told]
        return tuple(steps[:MOST_ASKED_KEPT])

    async def resolve(self, lookup: Lookup[T]) -> T:
        """See dns.questions.Resolver. Several at once share the budget."""
        return await self._run(lookup, None)

    async def recall(self, key: Hashable, make: Callable[[], Lookup[T]], keep: Callable[[T], bool] = lambda outcome: True) -> T:
        """What a lookup returns, remembered from another message where that is possible: then it costs no question, and the answers that
        it rests on are in the trail all the same.

        key: stands for all that the outcome depends on, but for the answers. keep: whether that is so of this outcome.
        """
        kept = self._resolver.memory.get(key)
        if kept is not None:
            self._note_kept(kept)
            return cast(T, kept.value)
        used: list[Used] = []
        outcome = await self._run(make(), used)
        if keep(outcome):
            self._resolver.memory.put(key, outcome, used)
        return outcome

    async def _run(self, lookup: Lookup[T], used: list[Used] | None) -> T:
        """Run a lookup to its end. used: where to put down what it was given."""
        try:
            question = next(lookup)
            while True:
                known = self._resolver.remembered(question)
                if known is not None:
                    answer, until = known
                    kept = self._note(answer, 0, remembered=True)
                else:
                    began = self._clock.monotonic()
                    answer, took_ms = await self._ask(question)
                    kept, until = self._note(answer, took_ms), began + answer.ttl_s
                if used is not None:
                    used.append(Used(kept, until, _size(kept)))
                question = lookup.send(answer)
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            lookup.close()

    async def _ask(self, question: Question) -> tuple[Answer, int]:
        """The answer, and for how many ms it was waited for."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        left_s = self._left_s - (began - self._since if self._waiting else 0.0)
        if self.asked >= self._most:
            return Answer(question, Finding.FAILED, because="too many questions for one message"), 0
        if left_s <= 0:
            return Answer(question, Finding.FAILED, because="no time left"), 0
        self.asked += 1
        if not self._waiting:
            self._since = began
        self._waiting += 1
        try:
            async with asyncio.timeout(left_s):
                answer = await self._resolver.answer(question)
        except TimeoutError:
            answer = Answer(question, Finding.FAILED, because="no time left")
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._left_s -= loop.time() - self._since
        return answer, round(1000 * (loop.time() - began))

    def _note(self, answer: Answer, took_ms: int, *, remembered: bool = False) -> Answer:
        """Put a step into the trail; gives the answer as it stands there."""
        kept = answer if len(answer.records) <= MOST_RECORDS_KEPT else replace(answer, records=answer.records[:MOST_RECORDS_KEPT])
        if self._has_room(1):
            self._trail.append(Asked(self._clock.now(), kept, took_ms, remembered))
        return kept

    def _note_kept(self, kept: Kept) -> None:
        """The same for all that a remembered outcome rests on."""
        measures.DNS_HITS.of().value += len(kept.told)
        if self._has_room(len(kept.told)):
            self._trail.append((self._clock.now(), kept))

    def _has_room(self, steps: int) -> bool:
        """Whether any of so many steps more are still told; counts those that are not."""
        room = MOST_ASKED_KEPT - self._trail_steps
        self._trail_steps += min(steps, room)
        self.left_out += max(0, steps - room)
        return room > 0


class _Cache:
    """Answers by question until their time is over; the least used leave first."""

    def __init__(self, entries: int, size: int, now: Callable[[], float]) -> None:
        self._most_entries = entries
        self._most_bytes = size
        self._now = now
        self._bytes = 0
        self._kept: OrderedDict[Question, tuple[Answer, float, int]] = OrderedDict()

    def get(self, question: Question) -> tuple[Answer, float] | None:
        """The answer with the seconds it may still be kept, and when it is too old; or None."""
        found = self._kept.get(question)
        if found is None:
            return None
        answer, until, _ = found
        left = until - self._now()
        if left <= 0:
            self._drop(question)
            return None
        measures.DNS_HITS.of().value += 1
        self._kept.move_to_end(question)
        ttl_s = max(1, round(left))
        return Answer(answer.question, answer.finding, answer.records, answer.aliases, ttl_s, answer.authentic, answer.because), until

    def put(self, answer: Answer) -> None:
        self._drop(answer.question)
        size = _size(answer)
        if size > self._most_bytes // 16:
            return  # one answer is not to push out hundreds
        self._kept[answer.question] = (answer, self._now() + answer.ttl_s, size)
        self._bytes += size
        while len(self._kept) > self._most_entries or self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0

    def _drop(self, question: Question) -> None:
        found = self._kept.pop(question, None)
        if found is not None:
            self._bytes -= found[2]


def _size(answer: Answer) -> int:
    """About how many bytes an answer takes in memory; a name counts as the longest."""
    size = 500 + 300 * len(answer.aliases)
    for record in answer.records:
        if isinstance(record, Txt):
            size += 150 + sum(50 + len(string) for string in record.strings)
        elif isinstance(record, Tlsa):
            size += 150 + len(record.data)
        else:
            size += 400
    return size


def _family(server: Endpoint) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server.host else socket.AF_INET


async def _read_exactly(sock: socket.socket, length: int) -> bytes:
    """So many bytes; raises ConnectionError if the server closes before."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < length:
        piece = await loop.sock_recv(sock, min(length - len(data), _PACKET_BYTES))
        if not piece:
            raise ConnectionAbortedError(0, "the server closed the connection")
        data += piece
    return bytes(data)
