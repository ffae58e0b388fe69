"""The values of the mailbox service."""

from __future__ import annotations

from ekiden.services.mailbox_values import MailboxRefused, Why


def test_a_refusal_says_why_in_the_words_of_the_protocol() -> None:
    refused = MailboxRefused(Why.TRY_CREATE, "it does not exist")
    assert (refused.why.value, refused.because) == ("trycreate", "it does not exist")
    assert str(refused) == "trycreate: it does not exist"
