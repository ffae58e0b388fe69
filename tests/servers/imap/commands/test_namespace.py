"""NAMESPACE."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk


def test_there_is_one_namespace(connect: Callable[..., Talk]) -> None:
    assert connect().ask("NAMESPACE").of("NAMESPACE") == [[[[b"", b"/"]], None, None]]
