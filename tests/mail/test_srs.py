"""Rewritten senders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.mail.address import LOCAL_MAX, Domain, Path, format_path, parse_mailbox, parse_path
from ekiden.mail.srs import DAY_MS, Token, is_srs, unwrap, wrap

NOW = Millis(20_000 * DAY_MS + 5)
KEY, OTHER = b"k" * 32, b"o" * 32
RANDOM = bytes(range(10))


def _wrapped(sender: str, key: bytes = KEY, now: Millis = NOW, domain: str = "us.test") -> Path:
    return wrap(parse_mailbox(sender), domain, key, now, RANDOM).path


def _forward(path: Path, domain: str, key: bytes = KEY) -> Path:
    return wrap(path, domain, key, NOW, RANDOM).path


@pytest.mark.parametrize("sender", ["a@one.test", "a=b@one.test", "a+tag=x-y@sub.one.test", "Mixed.Case@one.test", "=@one.test"])
def test_a_sender_is_wrapped_and_found_again(sender: str) -> None:
    path = _wrapped(sender)
    assert path.host == Domain("us.test")
    assert path.local.startswith("SRS0=")
    assert is_srs(path.local)
    assert unwrap(path.local, [KEY], NOW) == parse_mailbox(sender)


def test_the_case_of_an_address_may_change_on_the_way() -> None:
    local = _wrapped("Anna@one.test").local
    assert unwrap(local.upper(), [KEY], NOW) == parse_mailbox("ANNA@one.test")
    assert unwrap(local.lower(), [KEY], NOW) == parse_mailbox("anna@one.test")


def test_a_second_forwarder_keeps_the_first_ones_address_and_a_third_only_replaces_the_hash() -> None:
    first = _wrapped("a@one.test", OTHER, domain="first.test")
    second = _forward(first, "second.test", b"2" * 32)
    third = _forward(second, "third.test")
    assert second.local.startswith("SRS1=")
    assert third.local.partition("=first.test=")[2] == first.local[4:]
    assert unwrap(third.local, [KEY], NOW) == first
    assert unwrap(second.local, [b"2" * 32], NOW) == first
    assert unwrap(first.local, [OTHER], NOW) == parse_mailbox("a@one.test")


def test_the_address_of_another_program_is_taken_as_it_is() -> None:
    """With another separator, a hash in capitals and digits that base32 does not have."""
    foreign = parse_mailbox("SRS0+Ab9/=TT=one.test=a@first.test")
    once = _forward(foreign, "us.test")
    assert unwrap(once.local, [KEY], NOW) == foreign
    other = parse_mailbox("srs1=XyZ0=first.test==Ab9/=TT=one.test=a@second.test")
    assert unwrap(_forward(other, "us.test").local, [KEY], NOW) == parse_mailbox("SRS0=Ab9/=TT=one.test=a@first.test")


@pytest.mark.parametrize("sender", [
    f"{'l' * 64}@one.test",
    f"a@{'d' * 60}.test",
    '"with space"@one.test',
    '"a@b"@one.test',
    "ö@one.test",
    "a@[192.0.2.1]",
    f"SRS0=abcd=tt={'d' * 40}.test=a@first.test",
])
def test_what_does_not_fit_is_kept_under_a_token(sender: str) -> None:
    wrapped = wrap(parse_mailbox(sender), "us.test", KEY, NOW, RANDOM)
    assert wrapped.kept == parse_mailbox(sender)
    assert len(wrapped.path.local) <= LOCAL_MAX
    assert unwrap(wrapped.path.local, [KEY], NOW) == Token(wrapped.token)
    assert unwrap(wrapped.path.local.upper(), [KEY], NOW) == Token(wrapped.token)


@pytest.mark.parametrize("days", [0, 1, 10])
def test_it_is_valid_for_ten_days(days: int) -> None:
    for sender in ("a@one.test", '"a b"@one.test', "SRS0=x=y=z.test=a@first.test"):
        local = _wrapped(sender).local
        unwrap(local, [KEY], Millis(NOW + days * DAY_MS))
        with pytest.raises(BadValue, match="too old"):
            unwrap(local, [KEY], Millis(NOW + 11 * DAY_MS))
        with pytest.raises(BadValue, match="too old"):
            unwrap(local, [KEY], Millis(NOW - DAY_MS))


def test_the_letters_of_the_day_begin_again() -> None:
    last = Millis(1023 * DAY_MS)
    local = _wrapped("a@one.test", now=last).local
    assert unwrap(local, [KEY], Millis(last + 10 * DAY_MS)) == parse_mailbox("a@one.test")


@pytest.mark.parametrize("sender", ["a@one.test", '"a b"@one.test', "SRS0=x=y=z.test=a@first.test"])
def test_no_other_letter_leads_anywhere(sender: str) -> None:
    local = _wrapped(sender).local
    for at in range(5, len(local)):
        changed = local[:at] + ("b" if local[at].lower() != "b" else "c") + local[at + 1 :]
        with pytest.raises(BadValue):
            unwrap(changed, [KEY], NOW)
    with pytest.raises(BadValue, match="not written by us"):
        unwrap(local, [OTHER], NOW)
    with pytest.raises(BadValue, match="not written by us"):
        unwrap(local, [], NOW)
    unwrap(local, [OTHER, KEY], NOW)


def test_the_hash_of_one_form_does_not_open_another() -> None:
    one = _forward(parse_mailbox("SRS0=x=y=victim.test=a@first.test"), "us.test").local
    hashed, stamp = one[5:13], one[13:15]
    for forged in (f"SRS0={hashed}={stamp}=first.test==x=y=victim.test=a", f"SRS0={hashed}={stamp}=-=abcdefghijklmnop"):
        with pytest.raises(BadValue, match="not written by us"):
            unwrap(forged, [KEY], NOW)


@pytest.mark.parametrize("local", [
    "SRS0", "SRS0=", "SRS0=a=b=c=d", "SRS0====", "SRS1=abcdefghab=h=", "SRS1==x.test=", "SRS2=abcdefgh=ab=x=y", "srs0=abcdefgh=ab==x",
    "anna", "", "SRS0=abcdefgh=ab=x.test=", "SRS0=" + "=" * 200, "SRS1=" + "a" * 300,
])
def test_nonsense_leads_nowhere(local: str) -> None:
    with pytest.raises(BadValue):
        unwrap(local, [KEY], NOW)


_LOCALS = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]{1,64}", fullmatch=True)


@given(_LOCALS, st.integers(0, 10))
def test_whatever_wrap_makes_is_an_address_and_comes_back(local: str, days: int) -> None:
    path = Path(local, Domain("one.test"))
    wrapped = wrap(path, "us.test", KEY, NOW, RANDOM)
    assert parse_path(format_path(wrapped.path).encode(), utf8=False, what="reverse") == wrapped.path
    found = unwrap(wrapped.path.local, [KEY], Millis(NOW + days * DAY_MS))
    if wrapped.kept is not None:
        assert found == Token(wrapped.token)
    elif not is_srs(local):
        assert found == path


@given(st.text(max_size=100))
def test_unwrap_raises_nothing_else(text: str) -> None:
    for local in (text, f"SRS0={text}", f"SRS1={text}", f"SRS0=abcdefgh=ab={text}"):
        with pytest.raises(BadValue):
            unwrap(local, [KEY], NOW)
