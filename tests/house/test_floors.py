"""Who may import whom (docs/house.md): imports go down, never up or sideways, and form no cycle."""

from __future__ import annotations

from tests.house.source import imports, modules

FLOOR = {
    "base": 0,
    "dns": 1, "sasl": 1,
    "mail": 2,
    "smtp": 3, "imap": 3, "pop3": 3, "mailauth": 3,
    "policy": 4,
    "net": 5, "store": 5,
    "services": 6,
    "servers": 7,
    "app": 8, "__main__": 8,
}
WORLD = frozenset({
    "asyncio", "socket", "ssl", "os", "pathlib", "time", "random", "sqlite3", "threading", "logging", "urllib", "subprocess",
    "selectors", "select", "signal", "multiprocessing", "concurrent", "uvloop", "apsw", "http", "smtplib", "imaplib", "poplib", "io",
})
"""What floors 0 to 4 do not touch. `io` would open files; io.BytesIO is not needed either."""
TESTING_MAY_BE_USED_BY = frozenset({"ekiden.app.dev"})


def _package(module: str) -> str:
    """The room of a module: the word after "ekiden"."""
    return module.split(".")[1] if "." in module else ""


def test_every_package_stands_on_a_floor() -> None:
    known = {*FLOOR, "testing", ""}
    assert sorted({_package(module) for module in modules()} - known) == []


def test_imports_go_down_only() -> None:
    wrong = []
    for module in modules():
        here = _package(module)
        if here in ("", "testing"):
            continue
        for imported, line in imports(module):
            if not imported.startswith("ekiden.") or (there := _package(imported)) == here:
                continue
            if there == "testing":
                if module not in TESTING_MAY_BE_USED_BY:
                    wrong.append(f"{module}:{line} imports {imported}, which is for tests")
            elif FLOOR[there] >= FLOOR[here] and here != "__main__":
                wrong.append(f"{module}:{line} (floor {FLOOR[here]}) imports {imported} (floor {FLOOR[there]})")
    assert wrong == []


def test_the_lower_floors_do_not_touch_the_world() -> None:
    wrong = []
    for module in modules():
        if FLOOR.get(_package(module), 9) > 4:
            continue
        wrong += [f"{module}:{line} imports {name}" for name, line in imports(module) if name.split(".")[0] in WORLD]
    assert wrong == []


def test_imports_form_no_cycle() -> None:
    graph = {module: {name for name, _ in imports(module) if name in modules() and name != module} for module in modules()}
    done: set[str] = set()
    way: list[str] = []

    def visit(module: str) -> None:
        if module in way:
            raise AssertionError(" → ".join([*way[way.index(module):], module]))
        if module not in done:
            way.append(module)
            for imported in sorted(graph[module]):
                visit(imported)
            way.pop()
            done.add(module)

    for module in graph:
        visit(module)
