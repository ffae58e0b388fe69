"""Opening a store by its URL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ekiden.base.errors import ConfigError
from ekiden.store.database import open_database


def test_the_scheme_chooses_the_engine(tmp_path: Path) -> None:
    async def main() -> None:
        open_database(f"sqlite://{tmp_path / 'ekiden.db'}").close()

    asyncio.run(main())
    assert (tmp_path / "ekiden.db").is_file()


@pytest.mark.parametrize("url", ["mysql://host/db", "/var/lib/ekiden.db", "", "sqlite", "SQLITE:///x.db"])
def test_an_unknown_scheme_names_the_known_ones(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite"):
        open_database(url)
