"""The data directory of a server: fit to keep mail in, and held by one server alone."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ekiden.base.errors import ConfigError

if TYPE_CHECKING:
    from ekiden.app.config import Config
    from ekiden.services.keys import Vault

DEVELOPMENT_MARK = "DEVELOPMENT"
"""A file in data directories that the development mode made; serving from them would open well-known passwords to the world."""

_LOCK = "server.lock"
_PROCESSES = "processes.lock"
_FORMER_S = 10.0
"""What the workers of a server that was killed have for their end; they take less than two seconds."""


def prepare_data_dir(path: Path, *, development: bool) -> None:
    """Make the directory (0700) if it is not there. Raises ConfigError if it is not fit to keep mail in."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise ConfigError([f"data_dir: {path}: {error.strerror}"]) from error
    if status.st_mode & 0o077:
        raise ConfigError([f"data_dir: {path} is open to others (mode {status.st_mode & 0o777:04o}); make it 0700"])
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError([f"data_dir: {path} belongs to another user"])
    if not development and (path / DEVELOPMENT_MARK).exists():
        raise ConfigError(
            [f"data_dir: {path} was made by the development mode and has accounts with a well-known password; choose another one"]
        )


def vault_of(config: Config) -> Vault:
    """What opens the secrets in the store, by the master key that the configuration names, or by the one in data_dir."""
    from ekiden.services.keys import FILE, Vault  # with cryptography, which most commands do without

    named = config.keys.master_file
    return Vault(Path(named or Path(config.data_dir) / FILE), made_here=named is None)


def lock_data_dir(path: Path) -> int:
    """Hold the directory for this server alone; the file descriptor that holds it. Raises ConfigError if another has it.

    The file says which process it is.
    """
    fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise ConfigError([f"data_dir: another Ekiden serves from {path}"]) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def outwait_former(path: Path) -> int:
    """Wait until no process of a former server is left; a file descriptor to be handed down to every process of this one.

    A worker whose supervisor was killed lives a moment longer. What it still does (an attempt to deliver, say) must not be done
    again beside it, and its files are its own. Raises ConfigError if it does not end: it may still write.
    """
    fd = os.open(path / _PROCESSES, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _FORMER_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the open file: it lasts until the last process has closed it
            return fd
        except OSError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise ConfigError([f"data_dir: processes of a former Ekiden still run on {path}"]) from None
            time.sleep(0.01)


def who_serves(path: Path) -> int | None:
    """The process that holds the directory; None if nobody does. Raises OSError if we may not look."""
    try:
        fd = os.open(path / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        said = os.pread(fd, 32, 0).strip()
        return int(said) if said.isdigit() else None
    finally:
        os.close(fd)
    return None
