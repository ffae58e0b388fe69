"""The drop-in folders: a feature is a file that declares something, and is found by lying in the right folder.

Modules of such a folder only declare; importing one has no other effect. Discovery reads our own packages only, sorted by
name, and fails at start if a file declares nothing or two declare the same word.
Source: house.md §12.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from ekiden.base.errors import ConfigError

T = TypeVar("T")


def discover(package: str, kind: type[T], *, key: Callable[[T], str] | None = None) -> tuple[T, ...]:
    """What the modules of a package declare, in the order of their names, each module in the order of its lines.

    package: its dotted name ("ekiden.smtp.extensions"). kind: what is looked for among the module's upper-case names, as a
    value or as a tuple of values. key: a word that no two declarations may share.
    Raises ConfigError for a module that declares nothing, and for a word that is claimed twice.
    """
    folder = importlib.import_module(package)
    found: list[T] = []
    claimed: dict[str, str] = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(folder.__path__, package + ".")):
        if name.rpartition(".")[2].startswith("_"):
            continue
        declared = _declared(importlib.import_module(name), kind)
        if not declared:
            raise ConfigError([f"{name} declares no {kind.__name__}"])
        for each in declared:
            word = key(each) if key is not None else ""
            if key is not None and word in claimed:
                raise ConfigError([f"{name} and {claimed[word]} both declare {word}"])
            claimed[word] = name
            found.append(each)
    return tuple(found)


def _declared(module: ModuleType, kind: type[T]) -> list[T]:
    found: list[T] = []
    for name, value in vars(module).items():
        if not name.isupper() or name.startswith("_"):
            continue
        values = value if isinstance(value, tuple) else (value,)
        found += [each for each in values if isinstance(each, kind)]
    return found
