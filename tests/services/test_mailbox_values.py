"""How the mailbox service says no."""

from __future__ import annotations

from ekiden.services.mailbox_values import MailboxLimits, MailboxRefused, Why


def test_a_refusal_says_why_for_programs_and_for_people() -> None:
    refused = MailboxRefused(Why.OVER_QUOTA, "the account is over its quota")
    assert (refused.why, refused.because) == (Why.OVER_QUOTA, "the account is over its quota")
    assert str(refused) == "overquota: the account is over its quota"


def test_every_reason_is_a_response_code_in_lower_case() -> None:
    assert all(why.value.isalpha() and why.value == why.value.lower() for why in Why)  # RFC 5530 §3


def test_the_limits_are_those_that_are_published() -> None:
    limits = MailboxLimits()
    assert (limits.mailboxes, limits.keywords, limits.name_bytes, limits.levels) == (10_000, 256, 1024, 50)
