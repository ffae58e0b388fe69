"""The POP3 door over real sockets, with Python's own client and with bytes of our own. Row names (PO-) as in the table of attacks."""

from __future__ import annotations

import asyncio
import poplib
from base64 import b64encode
from pathlib import Path

import pytest
from tests.servers.pop3.doors import LARGE, PASSWORD, SMALL, Pop, in_pop, trusting
from tests.suites.data import conformance

from ekiden.base.errors import StoreError
from ekiden.base.ids import MailboxId, Uid
from ekiden.mail.journey import Fetched
from ekiden.services.content import Content
from ekiden.services.mailbox import Mailboxes, UidRanges
from ekiden.store import journeys


def joined(answer: tuple[bytes, list[bytes], int]) -> bytes:
    """What poplib makes of a message."""
    return b"".join(line + b"\r\n" for line in answer[1])


def test_a_client_reads_its_mail(tmp_path: Path) -> None:
    def read(pop: Pop) -> None:
        client = pop.client()
        assert client.stat() == (3, sum(map(len, SMALL)))
        assert client.list()[1] == [b"%d %d" % (n + 1, len(message)) for n, message in enumerate(SMALL)]
        assert joined(client.retr(1)) == SMALL[0]
        assert joined(client.retr(2)) == SMALL[1] + b"\r\n"                       # PO-07
        assert joined(client.retr(3)) == b"Subject: three\r\n\r\na\r\nb\r\n.c\r\n"
        assert joined(client.top(1, 0)) == b"Subject: one\r\nMessage-ID: <1@one.test>\r\n\r\n"
        assert joined(client.top(1, 2)) == b"Subject: one\r\nMessage-ID: <1@one.test>\r\n\r\nhello\r\n.\r\n"
        assert joined(client.top(1, 10**9)) == SMALL[0]                           # PO-03
        client.quit()

    async def work(pop: Pop) -> None:
        await pop.put(SMALL)
        await asyncio.to_thread(read, pop)
        assert len(await pop.stored()) == 3

    in_pop(tmp_path, work)


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    def read(pop: Pop) -> None:
        client = poplib.POP3_SSL("127.0.0.1", pop.tls_port, timeout=20, context=trusting())
        capabilities = client.capa()
        assert "STLS" not in capabilities
        assert capabilities["SASL"] == ["PLAIN", "LOGIN"]
        client.user("alice")
        client.pass_(PASSWORD.decode())
        assert client.stat() == (0, 0)
        client.quit()

    in_pop(tmp_path, lambda pop: asyncio.to_thread(read, pop))


def test_nothing_secret_is_taken_in_clear(tmp_path: Path) -> None:
    def read(pop: Pop) -> None:
        client = pop.stranger()
        assert "STLS" in client.capa()
        with pytest.raises(poplib.error_proto, match="STLS"):  # PO-01
            client.user("alice")
        client.quit()

    in_pop(tmp_path, lambda pop: asyncio.to_thread(read, pop))


@pytest.mark.parametrize(("lines", "answers"), [
    ([b"AUTH PLAIN " + b64encode(b"\0alice\0" + PASSWORD)], [b"+OK 0 messages"]),
    ([b"AUTH PLAIN", b64encode(b"\0alice@local.test\0" + PASSWORD)], [b"+ \r\n", b"+OK 0 messages"]),
    ([b"AUTH LOGIN", b64encode(b"alice"), b64encode(PASSWORD)], [b"+ VXNlcm5hbWU6", b"+ UGFzc3dvcmQ6", b"+OK 0 messages"]),
    ([b"AUTH PLAIN", b"*", b"NOOP"], [b"+ \r\n", b"-ERR cancelled", b"-ERR sign in first"]),
    ([b"AUTH PLAIN " + b64encode(b"\0alice\0wrong")], [b"-ERR [AUTH] wrong name or password"]),
    ([b"AUTH PLAIN " + b64encode(b"bob\0alice\0" + PASSWORD)], [b"-ERR [AUTH] wrong name or password"]),     # AU-06
    ([b"AUTH PLAIN " + b64encode(b"alice" + PASSWORD)], [b"-ERR this is not"]),                              # AU-07
    ([b"AUTH PLAIN =", b"CAPA"], [b"-ERR this is not", b"+OK"]),
    ([b"AUTH PLAIN AG E$$="], [b"-ERR"]),                                                                    # AU-05
    ([b"AUTH NTLM"], [b"-ERR unknown mechanism"]),                                                           # AU-22
])
def test_signing_in_with_sasl(tmp_path: Path, lines: list[bytes], answers: list[bytes]) -> None:
    async def work(pop: Pop) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", pop.tls_port, ssl=trusting())
        assert await reader.readline() == b"+OK pop.test POP3 ready\r\n"
        for line, answer in zip(lines, answers, strict=True):
            writer.write(line + b"\r\n")
            assert (await reader.readline()).startswith(answer)
        writer.close()

    in_pop(tmp_path, work)


def test_the_third_wrong_password_closes_and_many_close_the_door_to_the_network(tmp_path: Path) -> None:
    def guess(pop: Pop) -> list[str]:
        said = []
        for _ in range(4):
            client = pop.stranger()
            client.stls(trusting())
            for _ in range(3):
                client.user("alice")
                try:
                    client.pass_("wrong")
                except poplib.error_proto as error:
                    said.append(str(error))
                except OSError:
                    break
                if "SYS" in said[-1]:
                    break
            with pytest.raises((poplib.error_proto, OSError)):
                client.noop()
            client.close()
        return said

    said = in_pop(tmp_path, lambda pop: asyncio.to_thread(guess, pop))
    assert ["AUTH" in each for each in said] == [True] * 10 + [False]
    assert "[SYS/TEMP] too many failed logins" in said[-1]


def test_deleted_messages_go_at_quit_and_only_then(tmp_path: Path) -> None:
    def drop(pop: Pop) -> None:
        client = pop.client()
        client.dele(1)
        client.close()  # PO-05: without QUIT

    def delete(pop: Pop) -> None:
        client = pop.client()
        assert client.stat()[0] == 3
        client.dele(1)
        client.dele(2)
        client.rset()
        client.dele(3)
        client.dele(2)
        with pytest.raises(poplib.error_proto, match="deleted"):  # PO-04
            client.dele(2)
        client.quit()

    async def work(pop: Pop) -> list[bytes]:
        await pop.put(SMALL)
        await asyncio.to_thread(drop, pop)
        await _until_free(pop)
        await asyncio.to_thread(delete, pop)
        return await pop.stored()

    assert in_pop(tmp_path, work) == [SMALL[0]]


async def _until_free(pop: Pop) -> None:
    """The server notices a dropped connection a moment later."""
    account = await pop.account()
    while not await pop.mailboxes.lock_maildrop(account, "test"):  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0.005)
    await pop.mailboxes.unlock_maildrop(account, "test")


def test_one_session_at_a_time(tmp_path: Path) -> None:
    def two(pop: Pop) -> None:
        first = pop.client()
        with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):  # PO-06
            pop.client()
        pop.client("bob").quit()
        first.quit()
        pop.client().quit()

    in_pop(tmp_path, lambda pop: asyncio.to_thread(two, pop))


def test_what_another_program_removes_is_missed_by_nobody_else(tmp_path: Path) -> None:
    async def work(pop: Pop) -> None:
        await pop.put(SMALL)
        client = await asyncio.to_thread(pop.client)
        snapshot = await pop.mailboxes.open(await pop.account(), "INBOX")
        await pop.mailboxes.remove(snapshot.id, [(1, 1)])
        await pop.put([b"Subject: later\r\n\r\n"])

        def go_on() -> None:
            assert client.stat()[0] == 3
            with pytest.raises(poplib.error_proto, match="gone"):
                client.retr(1)
            assert joined(client.retr(2)).startswith(b"Subject: two")
            client.dele(1)
            client.dele(2)
            client.quit()

        await asyncio.to_thread(go_on)
        assert [copy.split(b"\r\n")[0] for copy in await pop.stored()] == [b"Subject: three", b"Subject: later"]

    in_pop(tmp_path, work)


def test_unique_ids_stay_over_sessions_and_restarts(tmp_path: Path) -> None:
    def ids(pop: Pop) -> list[bytes]:
        client = pop.client()
        found = [line.split(b" ")[1] for line in client.uidl()[1]]
        assert client.uidl(2).endswith(found[1])
        client.quit()
        return found

    async def first(pop: Pop) -> list[bytes]:
        await pop.put(SMALL)
        return await asyncio.to_thread(ids, pop)

    async def second(pop: Pop) -> list[bytes]:
        account = await pop.account()
        snapshot = await pop.mailboxes.open(account, "INBOX")
        await pop.mailboxes.remove(snapshot.id, [(1, 1)])
        await pop.put(SMALL[:1])
        return await asyncio.to_thread(ids, pop)

    before = in_pop(tmp_path, first)
    after = in_pop(tmp_path, second)
    assert len(set(before)) == 3
    assert after[:2] == before[1:]                      # PO-08
    assert after[2] not in before                       # RFC 1939 §7: never used again
    assert all(1 <= len(each) <= 70 and each.isascii() for each in after)


def test_a_large_message_goes_out_in_pieces_and_is_whole(tmp_path: Path) -> None:
    def read(pop: Pop) -> None:
        client = pop.client()
        assert client.stat() == (1, len(LARGE))
        assert joined(client.retr(1)) == LARGE
        assert joined(client.top(1, 10_000)) == LARGE[: 18 + 10_000 * 63]
        client.quit()

    async def work(pop: Pop) -> None:
        await pop.put([LARGE])
        await asyncio.to_thread(read, pop)

    assert len(LARGE) > 1_000_000
    in_pop(tmp_path, work)


def test_a_whole_session_in_one_packet(tmp_path: Path) -> None:
    async def work(pop: Pop) -> bytes:
        await pop.put([SMALL[0], LARGE])
        reader, writer = await asyncio.open_connection("127.0.0.1", pop.tls_port, ssl=trusting())
        writer.write(b"USER alice\r\nPASS " + PASSWORD + b"\r\nSTAT\r\nRETR 1\r\nRETR 2\r\nDELE 1\r\nLIST\r\nNOOP\r\nQUIT\r\n")
        answer = await reader.read(-1)
        writer.close()
        assert len(await pop.stored()) == 1
        return answer

    answer = in_pop(tmp_path, work)
    start = b"+OK pop.test POP3 ready\r\n+OK\r\n+OK 2 messages (%d octets)\r\n" % (len(SMALL[0]) + len(LARGE))
    assert answer.startswith(start)
    end = b"+OK message 1 deleted\r\n+OK 1 message (%d octets)\r\n2 %d\r\n.\r\n+OK\r\n+OK goodbye\r\n" % (len(LARGE), len(LARGE))
    assert answer.endswith(b"\r\n.\r\n" + end)
    assert answer.count(b"+OK message follows\r\n") == 2


def test_the_first_fetch_is_in_the_journey_and_the_second_is_not(tmp_path: Path) -> None:
    def read(pop: Pop) -> None:
        for _ in range(2):
            client = pop.client()
            client.top(1, 0)
            client.retr(1)
            client.retr(1)
            client.quit()

    async def work(pop: Pop) -> list[Fetched]:
        await pop.put(SMALL[:1])
        await asyncio.to_thread(read, pop)
        await pop.put(SMALL[1:2])  # notes are written with the next batch

        def look(tx: journeys.Tx) -> list[Fetched]:
            (found,) = journeys.find(tx, "<1@one.test>")
            return [step for step in journeys.steps_of(tx, found) if isinstance(step, Fetched)]

        return await pop.database.read(look)

    (step,) = in_pop(tmp_path, work)
    assert (step.protocol, step.account) == ("POP3", "alice")


def test_text_that_follows_stls_is_never_run(tmp_path: Path) -> None:
    async def work(pop: Pop) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", pop.port)
        writer.write(b"STLS\r\nUSER mallory\r\n")
        answer = await reader.read(-1)
        writer.close()
        return answer

    assert in_pop(tmp_path, work) == b"+OK pop.test POP3 ready\r\n-ERR bytes after STLS\r\n"


class _Failing(Mailboxes):
    """Mailboxes of a house whose disk fails when told."""

    def __init__(self, real: Mailboxes) -> None:
        self.__dict__.update(real.__dict__)
        self.broken = ""

    async def content(self, mailbox: MailboxId, uid: Uid) -> Content:
        if self.broken == "content":
            raise StoreError("the disk says no")
        found = await super().content(mailbox, uid)
        if self.broken == "pieces":
            return _Torn(found)
        return found

    async def remove(self, mailbox: MailboxId, uids: UidRanges) -> list[Uid]:
        if self.broken == "remove":
            raise StoreError("the disk says no")
        return await super().remove(mailbox, uids)


class _Torn(Content):
    """A message whose file ends too early."""

    def __init__(self, real: Content) -> None:
        self.__dict__.update(real.__dict__)

    async def read(self, offset: int = 0, length: int | None = None) -> bytes:
        if offset > 0:
            raise StoreError("the file is too short")
        return await super().read(offset, length)


def test_when_the_disk_fails_the_client_hears_it_and_nothing_is_half_done(tmp_path: Path) -> None:
    made: list[_Failing] = []

    def failing(real: Mailboxes) -> Mailboxes:
        made.append(_Failing(real))
        return made[0]

    def read(pop: Pop) -> None:
        client = pop.client()
        made[0].broken = "content"
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            client.retr(1)
        made[0].broken = ""
        assert joined(client.retr(1)) == SMALL[0]
        client.dele(1)
        made[0].broken = "remove"
        with pytest.raises(poplib.error_proto, match="not removed"):
            client.quit()
        client.close()
        made[0].broken = ""
        client = pop.client()
        made[0].broken = "pieces"
        with pytest.raises((poplib.error_proto, OSError)):  # no end, so no client takes it for the message
            client.retr(2)
        client.close()

    async def work(pop: Pop) -> None:
        await pop.put([SMALL[0], LARGE])
        await asyncio.to_thread(read, pop)
        assert len(await pop.stored()) == 2
        assert "the disk says no" in str(pop.lines)
        assert "the file is too short" in str(pop.lines)

    in_pop(tmp_path, work, failing)


@pytest.mark.conformance("mime", 157)
def test_every_published_message_comes_out_as_it_went_in(tmp_path: Path) -> None:
    folder = conformance("mime")
    assert folder is not None
    found = [file.read_bytes() for file in sorted(folder.rglob("*")) if file.suffix in (".msg", ".eml")]
    messages = [raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").removesuffix(b"\r\n") + b"\r\n" for raw in found]

    def read(pop: Pop) -> None:
        client = pop.client()
        assert client.stat() == (len(messages), sum(map(len, messages)))
        client.quit()

    async def work(pop: Pop) -> None:
        for start in range(0, len(messages), 50):
            await pop.put(messages[start : start + 50])
        await asyncio.to_thread(read, pop)
        reader, writer = await asyncio.open_connection("127.0.0.1", pop.tls_port, ssl=trusting(), limit=1 << 24)
        writer.write(b"USER alice\r\nPASS " + PASSWORD + b"\r\n")
        for _ in range(3):
            await reader.readline()
        for number, message in enumerate(messages, 1):
            writer.write(b"RETR %d\r\n" % number)
            assert await reader.readline() == b"+OK message follows\r\n"
            sent = await reader.readuntil(b"\r\n.\r\n")
            assert b"\r\n" + sent == (b"\r\n" + message).replace(b"\r\n.", b"\r\n..") + b".\r\n"
        writer.close()

    assert len(messages) == 157
    in_pop(tmp_path, work)
