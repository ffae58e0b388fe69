"""What is offered, and what follows from it."""

from __future__ import annotations

import pytest

from ekiden.smtp.extension import Extension, View, all_extensions, offer


def test_one_file_for_each_keyword() -> None:
    assert [extension.keyword for extension in all_extensions()] == [
        "AUTH", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE", "STARTTLS",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("view", "lines"),
    [
        (View(10, "mx"), ("8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE 10")),
        (View(10, "mx", starttls=True), ("8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE 10", "STARTTLS")),
        (
            View(10, "submission", secure=True, mechanisms=("PLAIN", "LOGIN")),
            ("AUTH PLAIN LOGIN", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE 10"),
        ),
    ],
)
def test_what_ehlo_shows(view: View, lines: tuple[str, ...]) -> None:
    assert offer(all_extensions(), view).lines == lines


def test_parameters_belong_to_what_is_offered() -> None:
    hidden = Extension("HIDDEN", 0, advertise=lambda _: None, mail_params={"X": bool}, rcpt_params={"Y": bool})
    shown = Extension("SHOWN", 0, mail_params={"Z": lambda raw: raw}, check_rcpt=lambda view, params: None)
    found = offer((hidden, shown), View(10, "mx"))
    assert (set(found.mail_params), set(found.rcpt_params)) == ({b"Z"}, set())
    assert (len(found.mail_checks), len(found.rcpt_checks)) == (0, 1)


def test_an_offer_is_computed_once() -> None:
    assert offer(all_extensions(), View(10, "mx")) is offer(all_extensions(), View(10, "mx"))
