"""Our resolver against zones served on loopback. Row names (DN-) are those of the project's table of attacks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

import pytest
from tests.peers.dns import Dnsmasq, Knot
from tests.peers.dns import Record as Line
from tests.peers.process import free_port

from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import BadValue
from ekiden.dns.mx import mail_hosts
from ekiden.dns.questions import Answer, Finding, Lookup, NoAnswer, Question, Resolver, ask, ask_anyhow
from ekiden.dns.records import A, Aaaa, Mx, Ptr, Record, Tlsa, Txt
from ekiden.net.resolver import DnsResolver, ResolverSettings, system_servers
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, Mischief, ServedZone

ADDRESS = A(IPv4Address("192.0.2.1"))


def zone() -> FakeZone:
    return FakeZone({
        "one.test": ["MX 10 mx.one.test.", "TXT hello", "A 192.0.2.1"],
        "mx.one.test": ["A 192.0.2.1", "AAAA 2001:db8::1"],
        "www.one.test": ["CNAME one.test."],
        "ill.test": ["SERVFAIL"], "refused.test": ["REFUSED"], "mute.test": ["TIMEOUT"],
        "big.test": [Txt((b"x" * 255,) * 20)],
        "*.wild.test": ["A 192.0.2.1"],
    })


def endpoint(server: ServedZone) -> Endpoint:
    return Endpoint("127.0.0.1", server.port)


def run(
    story: Callable[[ServedZone, DnsResolver, FakeClock], Awaitable[None]],
    *,
    mischief: Mischief | None = None,
    served: FakeZone | None = None,
    **settings: object,
) -> None:
    """Serve a zone whose names all do one mischief, and tell the story with a resolver that asks it."""

    async def told() -> None:
        records = served or zone()
        clock = FakeClock()
        async with ServedZone(records, mischief=dict.fromkeys(records, mischief) if mischief else None) as server:
            asked = ResolverSettings((endpoint(server),), patience_s=0.2, question_s=1.0)
            for name, value in settings.items():
                asked = _with(asked, name, value)
            resolver = DnsResolver(asked, clock)
            try:
                await story(server, resolver, clock)
            finally:
                await resolver.close()

    asyncio.run(told())


def _with(settings: ResolverSettings, name: str, value: object) -> ResolverSettings:
    fields = {key: getattr(settings, key) for key in ResolverSettings.__slots__}
    return ResolverSettings(**{**fields, name: value})


async def question(resolver: Resolver, name: str, kind: type[Record] = A) -> Answer:
    return await resolver.resolve(ask_anyhow(kind, name))


def test_records_are_found_and_nothing_is_told_from_no_name() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        assert await resolver.resolve(ask(Mx, "ONE.test.")) == (Mx(10, "mx.one.test"),)
        assert (await question(resolver, "one.test", Aaaa)).finding is Finding.NO_DATA
        assert (await question(resolver, "no.test")).finding is Finding.NO_NAME
        www = await question(resolver, "www.one.test", Mx)
        assert (www.aliases, www.records) == (("one.test",), (Mx(10, "mx.one.test"),))
        found = await resolver.resolve(mail_hosts("www.one.test", shuffle=lambda hosts: None))
        assert [hop.host for hop in found.hops] == ["mx.one.test"]

    run(story)


def test_lies_before_the_truth_are_ignored() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        assert await resolver.resolve(ask(A, "mx.one.test")) == (ADDRESS,)  # DN-01
        assert await resolver.resolve(ask(Mx, "one.test")) == (Mx(10, "mx.one.test"),)

    # The lies arrive before the truth by UDP, from the same and from another port.
    run(story, mischief=Mischief.GARBAGE_FIRST)


@pytest.mark.parametrize("kind", [Mx, A, Aaaa, Txt, Tlsa, Ptr])
@pytest.mark.parametrize(("name", "because"), [("ill.test", "SERVFAIL"), ("refused.test", "REFUSED"), ("mute.test", "timeout")])
def test_a_server_that_fails_is_never_none(name: str, because: str, kind: type[Record]) -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        with pytest.raises(NoAnswer, match=because):  # DN-07
            await resolver.resolve(ask(kind, name))

    run(story, question_s=0.3)


@pytest.mark.parametrize(("mischief", "because"), [
    (Mischief.TRUNCATED_THEN_CLOSED, "closed"),           # DN-02
    (Mischief.DRIP, "timeout"),                           # DN-03: one byte a second
    (Mischief.MALFORMED, "malformed"),                    # DN-04
    (Mischief.ONE_BYTE_MX, "malformed"),                  # DN-04
    (Mischief.WRONG_OWNER, "another name"),               # DN-06
    (Mischief.LAME, "lame"),                              # DN-07
    (Mischief.SILENT, "timeout"),
])
def test_answers_that_cannot_be_used_are_a_failure(mischief: Mischief, because: str) -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        answer = await question(resolver, "one.test", Mx)
        assert answer.finding is Finding.FAILED
        assert because in answer.because

    run(story, mischief=mischief, question_s=0.4)


def test_a_truncated_answer_is_asked_for_by_tcp() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        found = await resolver.resolve(ask(Txt, "big.test"))
        assert len(found[0].value) == 255 * 20
        assert [by for _, _, by in server.queries] == ["udp", "tcp"]

    run(story)


def test_where_no_datagram_comes_through_tcp_is_tried() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        assert await resolver.resolve(ask(Mx, "one.test")) == (Mx(10, "mx.one.test"),)
        assert [by for _, _, by in server.queries] == ["udp", "udp", "tcp"]

    run(story, mischief=Mischief.SILENT_UDP, patience_s=0.05)


def test_an_answer_of_64_kib_is_read_and_not_kept() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        for _ in range(2):
            found = await resolver.resolve(ask(Txt, "huge.test"))  # DN-03
            assert len(found) == 3_500
        assert [by for _, _, by in server.queries] == ["udp", "tcp"] * 2

    huge = FakeZone({"huge.test": [Txt((b"%d" % n,)) for n in range(3_500)]})
    run(story, served=huge, cache_bytes=1 << 20, question_s=20.0, patience_s=9.0)


def test_a_server_that_knows_no_edns_is_asked_without() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        assert await resolver.resolve(ask(Mx, "one.test")) == (Mx(10, "mx.one.test"),)
        assert resolver.sent == 2

    run(story, mischief=Mischief.NO_EDNS)


def test_aliases_are_followed_where_the_server_does_not() -> None:
    records = FakeZone({f"{n}.test": [f"CNAME {n + 1}.test."] for n in range(20)})

    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        records["8.test"] = ["A 192.0.2.1"]
        found = await question(resolver, "0.test")
        assert (found.records, len(found.aliases)) == ((ADDRESS,), 8)
        records["8.test"] = ["CNAME 9.test."]
        resolver.forget()
        failed = await question(resolver, "0.test")
        assert (failed.finding, failed.because) == (Finding.FAILED, "too many CNAMEs")  # DN-05
        records["8.test"] = ["CNAME 7.test."]
        resolver.forget()
        assert (await question(resolver, "0.test")).finding is Finding.FAILED

    run(story, served=records, mischief=Mischief.NOT_RECURSIVE)


@pytest.mark.parametrize("trusted", [False, True])
def test_the_word_about_dnssec_counts_only_from_trusted_servers(trusted: bool) -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        assert (await question(resolver, "one.test")).authentic is trusted  # DN-10

    run(story, mischief=Mischief.AUTHENTIC, trusted=frozenset({"127.0.0.1"} if trusted else ()))


def test_answers_are_remembered_as_long_as_they_may_be() -> None:
    records = zone()
    records.ttls = {"one.test": 100, "zero.test": 0, "long.test": 2**31 - 1, "over.test": 2**31, "no.test": 604_800}
    for name in ("zero.test", "long.test", "over.test"):
        records[name] = ["A 192.0.2.1"]

    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        async def asks_again(name: str, after_s: float) -> bool:
            before = len(server.queries)
            await question(resolver, name)
            clock.advance(seconds=after_s)
            await question(resolver, name)
            return len(server.queries) - before == 2

        assert (await question(resolver, "one.test")).ttl_s == 100
        clock.advance(seconds=40)
        assert (await question(resolver, "one.test")).ttl_s == 60
        resolver.forget()
        for name, kept_s in [("one.test", 100), ("zero.test", 5), ("over.test", 5), ("long.test", 86_400),
                             ("no.test", 300), ("ill.test", 5)]:  # DN-09
            assert not await asks_again(name, kept_s - 1), name
            resolver.forget()
            assert await asks_again(name, kept_s + 1), name

    run(story, served=records)


def test_the_same_question_is_asked_once_however_many_wait() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        answers = await asyncio.gather(*(question(resolver, "one.test") for _ in range(50)))
        assert {answer.records for answer in answers} == {(ADDRESS,)}
        assert len(server.queries) == 1

    run(story)


def test_who_gives_up_does_not_take_the_answer_from_others() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        first = asyncio.create_task(question(resolver, "one.test"))
        second = asyncio.create_task(question(resolver, "one.test"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).records == (ADDRESS,)

    run(story)


def test_a_message_has_a_budget_of_questions() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        def many(names: range) -> Lookup[list[Finding]]:
            found = []
            for n in names:
                answer = yield from ask_anyhow(A, f"{n}.wild.test")
                found.append(answer.finding)
            return found

        message = resolver.for_message()
        assert await message.resolve(many(range(20))) == [Finding.FOUND] * 20
        assert await message.resolve(many(range(20))) == [Finding.FOUND] * 20        # remembered: costs nothing
        rest = await message.resolve(many(range(20, 40)))
        assert rest == [Finding.FOUND] * 10 + [Finding.FAILED] * 10                    # DN-14
        assert len(server.queries) == 30
        assert await resolver.for_message().resolve(many(range(30, 31))) == [Finding.FOUND]

    run(story)


def told(kind: type[Record], names: list[str]) -> Lookup[list[str]]:
    """What is told about each of the names, one after the other."""
    said = []
    for name in names:
        answer = yield from ask_anyhow(kind, name)
        said.append(answer.brief())
    return said


def _mute_but_one() -> FakeZone:
    return FakeZone({"*.mute.test": ["TIMEOUT"], "one.test": ["A 192.0.2.1"]})


def test_a_message_has_a_budget_of_time_for_all_its_lookups() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        loop = asyncio.get_running_loop()
        message, began = resolver.for_message(), loop.time()
        assert await message.resolve(told(A, ["0.mute.test"])) == ["timeout"]
        assert await message.resolve(told(A, ["1.mute.test", "2.mute.test"])) == ["timeout", "no time left"]
        assert await message.resolve(told(A, ["one.test", "0.mute.test"])) == ["no time left", "timeout"]  # the last is remembered
        assert loop.time() - began >= 0.8
        assert await resolver.for_message().resolve(told(A, ["one.test"])) == ["192.0.2.1"]  # the next one has its own

    run(story, served=_mute_but_one(), question_s=0.3, message_s=0.8)


def test_lookups_of_a_message_that_wait_together_spend_the_time_once() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        message = resolver.for_message()
        together = [message.resolve(told(A, [f"{n}.mute.test"])) for n in range(10)]  # one after the other it would be 2 s
        assert await asyncio.gather(*together) == [["timeout"]] * 10
        assert await message.resolve(told(A, ["one.test"])) == ["192.0.2.1"]

    run(story, served=_mute_but_one(), question_s=0.2, message_s=1.2)


def test_time_between_the_lookups_of_a_message_costs_nothing() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        message, passed = resolver.for_message(), asyncio.Event()
        assert await message.resolve(told(A, ["0.mute.test"])) == ["timeout"]
        asyncio.get_running_loop().call_later(0.6, passed.set)  # the sender takes its time
        await passed.wait()
        assert await message.resolve(told(A, ["one.test"])) == ["192.0.2.1"]

    run(story, served=_mute_but_one(), question_s=0.1, message_s=0.6)


def test_every_question_and_its_answer_can_be_told() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        await resolver.resolve(ask(Mx, "one.test"))
        clock.advance(seconds=1)
        message = resolver.for_message()
        await message.resolve(told(Mx, ["one.test", "no.test", "ill.test"]))
        assert [(str(step.question), step.answer.brief(), step.remembered) for step in message.trail] == [
            ("one.test. MX", "10 mx.one.test.", True), ("no.test. MX", "NXDOMAIN", False), ("ill.test. MX", "SERVFAIL", False)]
        assert {step.at for step in message.trail} == {clock.now()}
        await message.resolve(told(A, ["mute.test"]))
        assert message.trail[-1].took_ms >= 190
        assert message.trail[0].took_ms == 0

    run(story, question_s=0.2)


def test_what_is_told_about_a_message_has_a_size() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        message = resolver.for_message()
        await message.resolve(told(A, [f"{n}.wild.test" for n in range(150)]))
        assert (message.asked, len(message.trail), message.left_out) == (30, 100, 50)
        assert message.trail[-1].answer.because == "too many questions for one message"
        other = resolver.for_message()
        assert len(await other.resolve(ask(Txt, "many.test"))) == 200
        (step,) = other.trail
        assert len(step.answer.records) == 16
        assert len(step.answer.brief()) < 500

    records = zone()
    records["many.test"] = [Txt((b"%d" % n,)) for n in range(200)]
    run(story, served=records)


def test_a_remembered_outcome_asks_nothing_and_tells_what_it_rests_on() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        names, made = [f"{n}.wild.test" for n in range(25)], itertools.count()

        def lookup() -> Lookup[int]:
            yield from told(A, names)
            return next(made)

        first, second = resolver.for_message(), resolver.for_message()
        assert await first.recall("key", lookup) == 0
        assert [await second.recall("key", lookup) for _ in range(5)] == [0] * 5
        assert (first.asked, second.asked) == (25, 0)
        assert [step.words for step in second.trail[:25]] == [step.words for step in first.trail]
        assert {step.remembered for step in second.trail} == {True}
        assert (len(second.trail), second.left_out) == (100, 25)
        assert await second.recall("other", lookup, keep=lambda outcome: False) == 1
        assert await second.recall("other", lookup) == 2
        clock.advance(seconds=301)
        assert await resolver.for_message().recall("key", lookup) == 3

    run(story)


def test_an_outcome_with_a_failure_in_it_is_found_anew() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        async def found() -> list[str]:
            return await resolver.for_message().recall("key", lambda: told(Mx, ["one.test", "ill.test"]))

        assert await found() == await found() == ["10 mx.one.test.", "SERVFAIL"]
        server.zone["ill.test"] = ["MX 5 mx.one.test."]
        clock.advance(seconds=6)
        assert await found() == ["10 mx.one.test.", "5 mx.one.test."]

    run(story)


def test_a_thousand_messages_of_as_many_domains_stay_within_bounds() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        for n in range(1_000):  # DN-14
            message = resolver.for_message()
            names = [f"{n}.wild.test", f"{n}.b.wild.test"] if n else [f"{m}.c.wild.test" for m in range(40)]
            await message.resolve(told(A, names))
            assert message.asked == min(len(names), 30)
        assert len(server.queries) == 30 + 2 * 999
        kept = [n for n in range(1_000) for name in (f"{n}.wild.test", f"{n}.b.wild.test") if resolver.remembered(Question(A, name))]
        assert (len(kept), min(kept)) == (500, 750)

    run(story, cache_entries=500)


def test_the_bounds_are_those_that_were_promised() -> None:
    bounds = ResolverSettings((Endpoint("127.0.0.1", 53),))
    assert (bounds.question_s, bounds.message_s) == (10.0, 20.0)                # DN-03, DN-11
    assert (bounds.most_questions, bounds.cache_entries) == (30, 10_000)        # DN-14
    assert "127.0.0.1" not in bounds.trusted                                    # DN-10


class _Noting(asyncio.DatagramProtocol):
    """A name server that knows nothing and notes who asks: (port, id)."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # what the loop makes for datagrams

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        self.seen.append((addr[1], int.from_bytes(data[:2], "big")))
        self.transport.sendto(data[:2] + b"\x81\x83" + data[4:], addr)  # NXDOMAIN


def test_ports_and_ids_of_questions_cannot_be_guessed() -> None:
    async def story() -> None:
        transport, noting = await asyncio.get_running_loop().create_datagram_endpoint(_Noting, local_addr=("127.0.0.1", 0))
        resolver = DnsResolver(ResolverSettings((Endpoint("127.0.0.1", transport.get_extra_info("sockname")[1]),)), FakeClock())
        for n in range(200):
            assert (await question(resolver, f"{n}.test")).finding is Finding.NO_NAME
        await resolver.close()
        transport.close()
        ports, ids = ({pair[n] for pair in noting.seen} for n in (0, 1))
        assert len(noting.seen) == 200  # RFC 5452 §9.2
        assert len(ids) > 190
        assert len(ports) > 100
        steps = [after - before for before, after in itertools.pairwise(port for port, _ in noting.seen)]
        assert max(steps.count(step) for step in set(steps)) < 20  # nor one after the other

    asyncio.run(story())


class _Forged(ServedZone):
    """Somebody sends a hundred answers with guessed ids before the true one."""

    def datagrams(self, packet: bytes) -> list[bytes]:
        (truth,) = super().datagrams(packet)
        return [((truth[0] << 8 | truth[1]) ^ n).to_bytes(2, "big") + truth[2:] for n in range(1, 100)]


def test_who_guesses_ids_makes_us_ask_by_tcp() -> None:
    async def story() -> None:
        async with _Forged(zone()) as server:
            resolver = DnsResolver(ResolverSettings((endpoint(server),)), FakeClock())
            assert (await question(resolver, "one.test")).records == (ADDRESS,)  # DN-01
            assert [by for _, _, by in server.queries] == ["udp", "tcp"]
            await resolver.close()

    asyncio.run(story())


def test_the_cache_has_a_size() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        for n in range(12):
            await question(resolver, f"{n}.wild.test")
            await question(resolver, "0.wild.test")  # what is used stays
        assert resolver.remembered(Question(A, "0.wild.test")) is not None
        kept = [n for n in range(12) if resolver.remembered(Question(A, f"{n}.wild.test"))]
        assert kept == [0, 9, 10, 11]

    run(story, cache_entries=4)


def test_a_dead_first_server_costs_little_and_is_asked_last_after_that() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        loop = asyncio.get_running_loop()
        async with ServedZone(zone(), mischief=dict.fromkeys(zone(), Mischief.SILENT)) as dead:
            both = DnsResolver(ResolverSettings((endpoint(dead), endpoint(server)), patience_s=0.1), clock)
            assert (await question(both, "one.test")).records == (ADDRESS,)
            before = loop.time()
            assert (await question(both, "mx.one.test")).records == (ADDRESS,)
            assert loop.time() - before < 0.09
            assert len(dead.queries) == 1
            clock.advance(seconds=31)
            assert (await question(both, "one.test", Txt)).finding is Finding.FOUND
            assert len(dead.queries) == 2
            await both.close()

    run(story)


@pytest.mark.parametrize("name", ["refused.test", "ill.test"])
def test_a_server_that_refuses_leaves_the_question_to_the_next(name: str) -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        async with ServedZone(FakeZone({name: ["A 192.0.2.1"]})) as better:
            both = DnsResolver(ResolverSettings((endpoint(server), endpoint(better))), clock)
            assert (await question(both, name)).records == (ADDRESS,)
            await both.close()

    run(story)


def test_nobody_at_the_port_is_a_failure() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        nobody = DnsResolver(ResolverSettings((Endpoint("127.0.0.1", 1),), patience_s=0.05, question_s=2.0), clock)
        answer = await question(nobody, "one.test")
        assert (answer.finding, answer.because) == (Finding.FAILED, "Connection refused")
        await nobody.close()

    run(story)


def test_a_lookup_that_raises_raises() -> None:
    def lookup() -> Lookup[None]:
        yield Question(A, "one.test")
        raise LookupError("what I wanted to say")

    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        with pytest.raises(LookupError, match="what I wanted"):
            await resolver.resolve(lookup())

    run(story)


def test_closing_ends_what_is_under_way() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        task = asyncio.create_task(question(resolver, "mute.test"))
        while not server.queries:  # noqa: ASYNC110  # the zone has no event to wait for
            await asyncio.sleep(0)
        await resolver.close()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story, question_s=30.0)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_questions_that_are_given_up_leave_no_socket() -> None:
    async def story(server: ServedZone, resolver: DnsResolver, clock: FakeClock) -> None:
        before = _open_files()
        for n in range(20):
            failed = await question(resolver, f"{n}.mute.test")
            assert failed.because == "timeout"
        assert _open_files() <= before + 1

    run(story, served=FakeZone({"*.mute.test": ["TIMEOUT"]}), question_s=0.02, patience_s=0.005)


def test_the_servers_of_the_system(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# nameserver 192.0.2.9\nsearch a.test\nnameserver 192.0.2.1 # first\n nameserver\t2001:db8::1\nnameserver x\n")
    assert system_servers(conf) == (Endpoint("192.0.2.1", 53), Endpoint("2001:db8::1", 53))
    assert system_servers(tmp_path / "none") == (Endpoint("127.0.0.1", 53),)


def test_without_a_server_there_is_no_resolver() -> None:
    with pytest.raises(BadValue):
        DnsResolver(ResolverSettings(()), FakeClock())


# ---- foreign name servers ---------------------------------------------------------------------------------

_RECORDS = [
    Line("one.test", "MX", "10 mx.one.test."),
    Line("one.test", "MX", "20 mx2.one.test."),
    Line("one.test", "TXT", '"v=spf1 mx -all"'),
    Line("mx.one.test", "A", "192.0.2.1"),
    Line("mx.one.test", "AAAA", "2001:db8::1"),
    Line("mx2.one.test", "A", "192.0.2.2"),
    Line("www.one.test", "CNAME", "mx.one.test."),
]


def _with_peer(server: Callable[..., Knot | Dnsmasq], folder: Path, records: list[Line]) -> None:
    port = free_port()
    peer = server(folder, port=port, records=records)

    async def story() -> None:
        resolver = DnsResolver(ResolverSettings((Endpoint("127.0.0.1", port),)), FakeClock())
        found = await resolver.resolve(mail_hosts("one.test", shuffle=lambda hosts: None))
        assert [(hop.host, [str(ip) for ip in hop.ips]) for hop in found.hops] == [
            ("mx.one.test", ["2001:db8::1", "192.0.2.1"]), ("mx2.one.test", ["192.0.2.2"])]
        assert (await resolver.resolve(ask(Txt, "one.test")))[0].value == b"v=spf1 mx -all"
        www = await question(resolver, "www.one.test")
        assert (www.records, www.aliases) == ((ADDRESS,), ("mx.one.test",))
        assert (await question(resolver, "one.test", A)).finding is Finding.NO_DATA
        assert (await question(resolver, "nobody.one.test", A)).finding is Finding.NO_NAME
        await resolver.close()

    try:
        asyncio.run(story())
    finally:
        peer.stop()


@pytest.mark.peer("knot")
def test_knot_is_understood(tmp_path: Path) -> None:
    _with_peer(Knot, tmp_path, _RECORDS)


@pytest.mark.peer("knot")
def test_an_authoritative_server_leaves_aliases_and_large_answers_to_us(tmp_path: Path) -> None:
    port = free_port()
    records = [Line("other.one.test", "CNAME", "host.two.test."), Line("host.two.test", "A", "192.0.2.1"),
               *(Line("large.one.test", "TXT", f'"{n:0200d}"') for n in range(60))]
    knot = Knot(tmp_path, port=port, records=records)

    async def story() -> None:
        resolver = DnsResolver(ResolverSettings((Endpoint("127.0.0.1", port),)), FakeClock())
        other = await question(resolver, "other.one.test")
        assert (other.records, other.aliases) == ((ADDRESS,), ("host.two.test",))
        assert len(await resolver.resolve(ask(Txt, "large.one.test"))) == 60  # by TCP
        refused = await question(resolver, "somewhere.else")
        assert (refused.finding, refused.because) == (Finding.FAILED, "REFUSED")
        await resolver.close()

    try:
        asyncio.run(story())
    finally:
        knot.stop()


@pytest.mark.peer("dnsmasq")
def test_dnsmasq_is_understood(tmp_path: Path) -> None:
    _with_peer(Dnsmasq, tmp_path, _RECORDS)
