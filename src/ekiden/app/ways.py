"""How origin is judged here, from the configuration."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ekiden.app.config import Config
from ekiden.base.errors import ConfigError
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.policy.authentication import Ways

_SYSTEM_LIST = Path("/usr/share/publicsuffix/public_suffix_list.dat")
_PACKAGE = "publicsuffixlist"
_PACKAGE_FILE = "public_suffix_list.dat"


def ways_of(config: Config) -> Ways:
    """The ways of checking. Raises ConfigError if the Public Suffix List is wanted and cannot be read."""
    chosen = config.authentication
    return Ways(
        by=config.hostname,
        authserv_id=chosen.authserv_id or config.hostname,
        trusted_sealers=frozenset(chosen.trusted_sealers),
        suffixes=_suffixes(chosen.public_suffix_list) if chosen.organisation == "list" else None,
        received_spf=chosen.received_spf,
        helo=chosen.helo,
    )


def _suffixes(given: str | None) -> SuffixList:
    places = [Path(given)] if given is not None else [_SYSTEM_LIST, *_of_package()]
    place = next((place for place in places if place.is_file()), places[0])
    try:
        return SuffixList.parse(place.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        because = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([f"authentication.public_suffix_list: {place}: {because}"]) from error


def _of_package() -> list[Path]:
    found = find_spec(_PACKAGE)
    return [Path(place) / _PACKAGE_FILE for place in (found.submodule_search_locations or ())] if found is not None else []
