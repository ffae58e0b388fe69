"""One house for all IMAP tests; each test gets accounts of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.servers.imap.doors import Doors, open_doors
from tests.servers.imap.talking import Talk

from ekiden.sasl.passwords import Passwords
from ekiden.store import accounts as account_rows

_CHEAP = Passwords(memory_kib=64, passes=1).hash(b"secret")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """The open doors of a house."""
    with open_doors(tmp_path_factory.mktemp("imap")) as opened:
        yield opened


@pytest.fixture
def user(doors: Doors) -> str:
    """A fresh account; its password is "secret"."""
    name = f"user{next(_numbers)}"
    house = doors.house
    doors.run(house.database.write(lambda tx: account_rows.create_account(tx, name, [f"{name}@example.test"], _CHEAP, house.clock.now())))
    return name


@pytest.fixture
def connect(doors: Doors, user: str) -> Iterator[Callable[..., Talk]]:
    """connect() signs the account in, connect("INBOX") selects too. Every connection is closed at the end."""
    with ExitStack() as stack:

        def made(mailbox: str = "") -> Talk:
            return stack.enter_context(Talk(doors.clear, user, mailbox=mailbox))

        yield made
