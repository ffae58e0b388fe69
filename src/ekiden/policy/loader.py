"""Picks policies out of modules by the name that the configuration gives.

"builtin:NAME" is the module policy/builtin/NAME.py; "FILE.py:FUNCTION" is a function of the operator's own module, which the
caller has imported (this floor opens no file).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import getmembers
from pkgutil import iter_modules
from types import ModuleType

from ekiden.base.errors import ConfigError
from ekiden.policy import builtin
from ekiden.policy.stage import TIMEOUT_S, Policy, stage_of


def builtin_names() -> list[str]:
    """The names that may follow "builtin:", sorted."""
    return sorted(module.name for module in iter_modules(builtin.__path__))


def load(names: Sequence[str], import_file: Callable[[str], ModuleType]) -> list[Policy]:
    """The policies behind the configured names, in order. Raises ConfigError that names every one that is not there."""
    policies: list[Policy] = []
    problems: list[str] = []
    for name in names:
        source, _, wanted = name.rpartition(":")
        try:
            if source == "builtin":
                if wanted not in builtin_names():
                    raise ConfigError([f"policies: {name}: there is no such policy; builtin are {', '.join(builtin_names())}"])
                found = policies_of(import_module(f"ekiden.policy.builtin.{wanted}"), name)
            else:
                found = [p for p in policies_of(import_file(source), source) if p.judge.__name__ == wanted]
                if not found:
                    raise ConfigError([f"policies: {name}: {source} has no policy function of that name"])
            policies += found
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return policies


def policies_of(module: ModuleType, name: str) -> list[Policy]:
    """All decorated functions of a module, as policies; name is what logs and journeys call them.

    A module that needs another limit of time than Policy has says so with a constant TIMEOUT_S.
    """
    found = []
    timeout_s = float(getattr(module, "TIMEOUT_S", TIMEOUT_S))
    for attribute, value in getmembers(module):
        stage = stage_of(value)
        if stage is not None and getattr(value, "__module__", None) == module.__name__:
            found.append(Policy(name if name.startswith("builtin:") else f"{name}:{attribute}", stage, value, timeout_s))
    return found
