"""The DKIM-Signature field."""

from __future__ import annotations

import base64

import pytest

from ekiden.base.errors import BadValue
from ekiden.mailauth.dkim_signature import NEVER, parse_signature

_BH = base64.b64encode(bytes(32)).decode()


def test_all_tags_are_read() -> None:
    found = parse_signature(
        b" v=1; a=RSA-sha256; c=relaxed; d=One.Test; s=Sel.x_1; i=a=3Bb@Mail.one.test;\r\n\th=From : to:\r\n\tSUBJECT;"
        b" l=12; t=1; x=99999999999999; q=x : DNS/txt; bh=" + _BH.encode() + b"; b=AA\r\n\tAA"
    )
    assert (found.version, found.kind, found.hash_name, found.algorithm) == ("1", "rsa", "sha256", "rsa-sha256")
    assert (found.domain, found.selector, found.identity, found.identity_domain) == (
        "one.test", "sel.x_1", "a=3Bb@mail.one.test", "mail.one.test",
    )  # fmt: skip
    assert found.names == (b"from", b"to", b"subject")
    assert (found.relaxed_header, found.relaxed_body) == (True, False)
    assert (found.limit, found.at, found.expires) == (12, 1, NEVER)
    assert (found.body_hash, found.signature, found.asks_dns, found.is_known) == (bytes(32), bytes(3), True, True)


def test_defaults() -> None:
    found = parse_signature(f"a=ed25519-sha256; d=one.test; s=s; h=from; bh={_BH}; b=AAAA".encode())
    assert (found.version, found.identity, found.limit, found.at, found.expires) == ("", "@one.test", None, None, None)
    assert (found.relaxed_header, found.relaxed_body, found.asks_dns) == (False, False, True)


@pytest.mark.parametrize(("tags", "because"), [
    ("a=rsa", "a= is no algorithm"), ("a=rsa sha256", "a= is no algorithm"), ("d=test", "d= is no domain"),
    ("d=one.test.", "d= is no domain"),
    ("d=.test", "d= is no domain"), ("d=a\r\n b.test", "d= is no domain"), ("d=", "no d="), ("s=a b", "s= is no selector"), ("s=", "no s="),
    ("s=a@b", "s= is no selector"), ("h=to", "h= does not have From"), ("h=from:", "h= is no list of names"), ("h=from;;", "a tag without"),
    ("h=fr\u00f6m:from", "h= is no list of names"), ("bh=AAAA", "bh= is not as long as the hash"), ("bh=" + "A" * 43, "bh= is not base64"),
    ("b=A", "b= is not base64"), ("b=AA==AA", "b= is not base64"), ("c=relaxed/relaxed/relaxed", "c= is no canon"),
    ("c=", "c= is no canon"), ("c=relaxed/", "c= is no canon"),
    ("i=one.test", "i= is not of"), ("i=@test", "i= is not of"), ("i=@xone.test", "i= is not of"),
    ("i=a@one.test@two.test", "i= is not of"),
    ("l=+1", "l= is no number"), ("l=", "l= is no number"), ("t=1.5", "t= is no number"), ("x=\u0661", "x= is no number"),
    ("d=\u200b.test", "a name that no domain has"), ("a=rsa-sha256; a=rsa-sha256", "a= comes twice"),
])
def test_what_is_no_signature_says_why(tags: str, because: str) -> None:
    own = {tag.partition("=")[0].strip() for tag in tags.split(";")}
    usual = {"a": "rsa-sha256", "d": "one.test", "s": "s", "h": "from", "bh": _BH, "b": "AAAA"}
    rest = "; ".join(f"{name}={value}" for name, value in usual.items() if name not in own)
    with pytest.raises(BadValue) as refused:
        parse_signature(f"{tags}; {rest}".encode())
    assert refused.value.because.startswith(because)


def test_what_we_cannot_verify_is_still_read() -> None:
    found = parse_signature(b"a=rsa-sha512; d=one.test; s=s; h=from; bh=AAAA; b=AAAA; q=http")
    assert (found.algorithm, found.is_known, found.asks_dns) == ("rsa-sha512", False, False)
