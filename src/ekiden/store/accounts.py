"""Accounts, their addresses, aliases and domains: functions of a transaction.

Source: RFC 5321 §3.6, §4.5.1; RFC 6154 §2 (the folders that a new account gets).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.base.ids import AccountId, MailboxId
from ekiden.mail.address import Domain, format_path, parse_mailbox
from ekiden.sasl.names import prepare_name
from ekiden.store import lessons, mailboxes
from ekiden.store.columns import integer, optional_integer, optional_text, string
from ekiden.store.database import Row, Tx
from ekiden.store.paths import key_of, lower, path_key

FOLDERS = (
    ("INBOX", None),
    ("Drafts", "\\Drafts"),
    ("Sent", "\\Sent"),
    ("Junk", "\\Junk"),
    ("Trash", "\\Trash"),
    ("Archive", "\\Archive"),
)


@dataclass(frozen=True, slots=True)
class Account:
    """One person's (or role's) mail. quota_bytes: None has no limit."""

    id: AccountId
    name: str
    addresses: tuple[str, ...]
    quota_bytes: int | None
    disabled: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login needs. addresses: lower case; password_hash: None lets nobody in."""

    account: AccountId
    name: str
    addresses: tuple[str, ...]
    password_hash: str | None
    disabled: bool


@dataclass(frozen=True, slots=True)
class Target:
    """An address that is an account's."""

    account: AccountId
    name: str
    inbox: MailboxId
    disabled: bool
    over_quota: bool


@dataclass(frozen=True, slots=True)
class Alias:
    """An address that stands for others, here or elsewhere."""

    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LocalDomain:
    """A domain of ours. catch_all: who gets mail for unknown local parts, or None."""

    name: str
    catch_all: str | None


def create_account(tx: Tx, name: str, addresses: Sequence[str], password_hash: str, now: Millis, quota_bytes: int | None = None) -> Account:
    """A new account with its folders. Raises BadValue for a bad name or address, Conflict where one is taken."""
    prepared = prepare_name(name)
    row = tx.one("account_insert", name=prepared, password=password_hash, quota=quota_bytes, now=now)
    account = AccountId(integer(row, 0))
    for address in addresses:
        add_address(tx, account, address)
    for folder, special_use in FOLDERS:
        mailboxes.create(tx, account, folder, now=now, special_use=special_use)
        mailboxes.subscribe(tx, account, folder)
    return Account(account, prepared, addresses_of(tx, account), quota_bytes, False)


def add_address(tx: Tx, account: AccountId, address: str) -> None:
    """One more address. Raises BadValue, Conflict (an account or an alias has it)."""
    key = key_of(address)
    if tx.all("alias_targets", key=key):
        raise BadValue("address", address, "it is an alias already")
    tx.run("address_insert", key=key, path=format_path(parse_mailbox(address)), account=account)


def addresses_of(tx: Tx, account: AccountId) -> tuple[str, ...]:
    """As they were written, the first one first."""
    return tuple(string(row, 0) for row in tx.all("addresses_of", account=account))


def account_named(tx: Tx, name: str) -> Account | None:
    """By its name or any of its addresses."""
    row = _row_named(tx, name)
    return _account(tx, row) if row is not None else None


def account_by_id(tx: Tx, account: AccountId) -> Account | None:
    """By its id; None if it is gone."""
    row = tx.one("account_by_id", account=account)
    return _account(tx, row) if row is not None else None


def list_accounts(tx: Tx) -> list[Account]:
    """All, by name."""
    return [_account(tx, row) for row in tx.all("accounts_all")]


def credentials_of(tx: Tx, name: str) -> Credentials | None:
    """What is needed to check a login; None for a name that nobody has or can have."""
    row = _row_named(tx, name)
    if row is None:
        return None
    account = AccountId(integer(row, 0))
    addresses = tuple(lower(address) for address in addresses_of(tx, account))
    return Credentials(account, string(row, 1), addresses, string(row, 2) or None, bool(integer(row, 3)))


def set_password(tx: Tx, account: AccountId, password_hash: str) -> None:
    """Replace the stored form of the password."""
    tx.run("account_password", account=account, password=password_hash)


def set_disabled(tx: Tx, account: AccountId, disabled: bool) -> None:
    """Let nobody in and take no mail for it, or the reverse."""
    tx.run("account_disable", account=account, disabled=int(disabled))


def remove_account(tx: Tx, account: AccountId) -> None:
    """The account with its addresses, all its mail, and what it has taught."""
    lessons.forget(tx, account)
    mailboxes.remove_all(tx, account)
    tx.run("addresses_delete", account=account)
    tx.run("account_delete", account=account)


def add_alias(tx: Tx, address: str, targets: Sequence[str]) -> None:
    """Mail for address goes to targets, too. Raises BadValue where an account has the address or a target is none."""
    path = parse_mailbox(address)
    key = key_of(address)
    if tx.one("account_by_address", key=key) is not None:
        raise BadValue("alias", address, "an account has this address")
    for target in targets:
        tx.run("alias_insert", key=key, path=format_path(path), target=format_path(parse_mailbox(target)))


def list_aliases(tx: Tx) -> list[tuple[str, str]]:
    """(address, target), one a line."""
    return [(string(row, 0), string(row, 1)) for row in tx.all("aliases_all")]


def remove_alias(tx: Tx, address: str, target: str | None = None) -> int:
    """An alias or one of its targets; how many targets are gone."""
    if target is None:
        return tx.run("alias_delete", key=key_of(address))
    return tx.run("alias_target_delete", key=key_of(address), target=format_path(parse_mailbox(target)))


def add_domain(tx: Tx, name: str, now: Millis) -> None:
    """One more domain of ours. Raises Conflict if it is already."""
    tx.run("domain_insert", name=name, now=now)


def list_domains(tx: Tx) -> list[LocalDomain]:
    """Those in the store; the configuration may name more."""
    return [LocalDomain(string(row, 0), optional_text(row, 1)) for row in tx.all("domains_all")]


def remove_domain(tx: Tx, name: str) -> bool:
    """True if it was there."""
    return tx.run("domain_delete", name=name) > 0


def set_catch_all(tx: Tx, name: str, target: str | None, now: Millis) -> None:
    """Who gets mail for unknown local parts of a domain (None: nobody); makes the domain's row if there is none."""
    if tx.one("domain_get", name=name) is None:
        add_domain(tx, name, now)
    tx.run("domain_catch_all", name=name, target=format_path(parse_mailbox(target)) if target is not None else None)


def domain_exists(tx: Tx, domain: str) -> bool:
    """Whether a domain is ours by a row of the store."""
    return tx.one("domain_get", name=domain) is not None


def find_address(tx: Tx, local: str, domain: str) -> Target | Alias | None:
    """Who has this very address."""
    key = path_key(local, domain)
    row = tx.one("account_by_address", key=key)
    if row is not None:
        return _target(tx, row)
    targets = tx.all("alias_targets", key=key)
    return Alias(tuple(string(target, 0) for target in targets)) if targets else None


def find_postmaster(tx: Tx) -> Target | Alias | None:
    """Who reads mail for postmaster where nobody has that address: postmaster elsewhere, else the oldest account."""
    row = tx.one("postmaster_any")
    if row is not None:
        return Alias(tuple(string(target, 0) for target in tx.all("alias_targets", key=string(row, 0))))
    row = tx.one("account_oldest")
    return _target(tx, row) if row is not None else None


def find_catch_all(tx: Tx, domain: str) -> Alias | None:
    """Who gets mail for unknown local parts of a domain."""
    row = tx.one("domain_get", name=domain)
    target = optional_text(row, 1) if row is not None else None
    return Alias((target,)) if target is not None else None


def _row_named(tx: Tx, name: str) -> Row | None:
    try:
        prepared = prepare_name(name)
    except BadValue:
        return None
    row = tx.one("account_by_name", name=prepared)
    if row is None and "@" in prepared:
        try:
            path = parse_mailbox(name)
        except BadValue:
            return None
        if isinstance(path.host, Domain):
            row = tx.one("account_by_address", key=path_key(path.local, path.host.ascii))
    return row


def _account(tx: Tx, row: Row) -> Account:
    account = AccountId(integer(row, 0))
    return Account(account, string(row, 1), addresses_of(tx, account), optional_integer(row, 4), bool(integer(row, 3)))


def _target(tx: Tx, row: Row) -> Target:
    account = AccountId(integer(row, 0))
    inbox = tx.one("account_inbox", account=account)
    quota = optional_integer(row, 4)
    return Target(
        account,
        string(row, 1),
        MailboxId(optional_integer(inbox, 0) or 0),
        bool(integer(row, 3)),
        quota is not None and integer(inbox, 1) >= quota,
    )
