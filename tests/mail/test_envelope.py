"""What the envelope's words mean where they could be misread."""

from __future__ import annotations

from ekiden.mail.address import Domain, Path
from ekiden.mail.envelope import NOTIFY_DEFAULT, Body, Notify, Recipient


def test_without_notify_failures_and_delays_are_reported() -> None:
    recipient = Recipient(Path("bob", Domain("b.test")))
    assert recipient.notify == NOTIFY_DEFAULT == Notify.FAILURE | Notify.DELAY
    assert recipient.original is None


def test_notify_never_is_no_bit_at_all() -> None:
    assert not Notify(0)
    assert Notify.SUCCESS not in Notify(0)


def test_bodies_are_named_as_mail_names_them() -> None:
    assert [each.value for each in Body] == ["7BIT", "8BITMIME", "BINARYMIME"]
