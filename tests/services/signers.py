"""Keys for the houses of tests, and the DNS around them."""

from __future__ import annotations

from pathlib import Path

from ekiden.app.wiring import House
from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId
from ekiden.services.keys import FILE, Vault, make_pair, purpose_of, record_name, record_strings, record_text
from ekiden.store import accounts, dkim_keys
from ekiden.store.changes import KEYS
from ekiden.store.dkim_keys import DkimKey, KeyStatus
from ekiden.testing.dns import FakeZone


async def give_keys(house: House, domain: str, *selectors: str, zone: FakeZone | None = None) -> list[DkimKey]:
    """Active keys for a domain: a selector that begins with "r" is RSA, others are Ed25519; their records go into the zone."""
    vault = Vault(Path(house.config.data_dir) / FILE, made_here=True)
    vault.make()
    keys = []
    for selector in selectors:
        algorithm = "rsa" if selector.startswith("r") else "ed25519"
        public, private = make_pair(algorithm)
        sealed = vault.seal(private, purpose_of(domain, selector, algorithm))
        keys.append(DkimKey(domain, selector, algorithm, KeyStatus.NEW, public, sealed, house.clock.now()))
    await house.database.write(lambda tx: dkim_keys.add(tx, keys))
    await house.database.write(lambda tx: dkim_keys.activate(tx, keys, Millis(house.clock.now())))
    house.changes.poke(KEYS)
    if zone is not None:
        for key in keys:
            strings = " ".join(f'"{each}"' for each in record_strings(record_text(key)))
            zone[record_name(key)] = [f"TXT {strings}"]
    return keys


async def account_of(house: House, name: str) -> AccountId:
    """The account of that name."""
    found = await house.database.read(lambda tx: accounts.account_named(tx, name))
    if found is None:
        raise LookupError(name)
    return found.id
