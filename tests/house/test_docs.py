"""What is written about the house is true: settings, RFCs, texts, replies."""

from __future__ import annotations

import ast
import re

import pytest
from tests.house.source import PACKAGE, PROJECT, modules, tree

from ekiden.app import config, metrics_page
from ekiden.app.doors import DOORS
from ekiden.app.settings_page import page
from ekiden.services.explain import explain
from ekiden.smtp import replies
from ekiden.smtp.replies import Reply

_CITED = re.compile(r"RFC ([0-9]+)")
_FORM = re.compile(r"[Rr][Ff][Cc][ -]?[0-9]{4,5}")  # the three digits of message/rfc822 are a name of MIME and IMAP
_GOOD_FORM = re.compile(r"RFC [0-9]{4,5}")
_KINDS = ("*.py", "*.sql", "*.tsv", "*.toml", "*.md", "*.talk")


def _texts() -> dict[str, str]:
    found = {}
    for folder in ("src", "tests", "bench", "docs"):
        for kind in _KINDS:
            for file in (PROJECT / folder).rglob(kind):
                found[str(file.relative_to(PROJECT))] = file.read_text("utf-8")
    for file in PROJECT.glob("*.md"):
        found[file.name] = file.read_text("utf-8")
    return found


def _table() -> dict[str, list[str]]:
    lines = (PROJECT / "docs" / "rfcs.tsv").read_text("utf-8").split("\n")
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {row[0]: row[1:] for row in rows}


def test_the_settings_page_is_current() -> None:
    written = (PROJECT / "docs" / "settings.md").read_text("utf-8")
    assert written == page(), "run: ekiden config docs > docs/settings.md"


def test_the_metrics_page_is_current() -> None:
    written = (PROJECT / "docs" / "metrics.md").read_text("utf-8")
    assert written == metrics_page.page(), "run: python -m ekiden.app.metrics_page > docs/metrics.md"


def test_every_setting_is_used_by_the_program() -> None:
    users = [file for file in (PACKAGE / "app").rglob("*.py") if file.name not in ("config.py", "settings_page.py")]
    program = "\n".join(file.read_text("utf-8") for file in users)
    known = [entry.place for entry in config.settings() if entry.kind not in ("table", "tables") and entry.place != ("store", "url")]
    idle = [".".join(place) for place in known if place[-1] not in DOORS and not re.search(rf"\.{place[-1]}\b", program)]
    assert idle == []
    assert {place[-1] for place in known if place[0] == "listeners"} == {*DOORS, "metrics"}


def test_every_cited_rfc_is_in_the_table() -> None:
    known = _table()
    unknown = {
        f"RFC {number} in {name}"
        for name, text in _texts().items() if name not in ("docs/rfcs.tsv", "tests/house/test_docs.py")
        for number in _CITED.findall(text) if number not in known
    }
    assert sorted(unknown) == []


def test_the_table_is_sorted_complete_and_without_strangers() -> None:
    table = _table()
    cited = {number for name, text in _texts().items() if name != "docs/rfcs.tsv" for number in _CITED.findall(text)}
    assert list(table) == sorted(table, key=int)
    assert [number for number, row in table.items() if len(row) != 3 or not all(row)] == []
    assert [number for number in table if number not in cited] == []
    gone = [where for *_, places in table.values() for where in places.split(", ") if not (PROJECT / where).is_file()]
    assert gone == []


def test_rfcs_are_cited_in_one_form_only() -> None:
    wrong = []
    for name, text in _texts().items():
        if not name.startswith("src/") or name.endswith("rfc.py"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            wrong += [f"{name}:{number}: {form}" for form in _FORM.findall(line) if not _GOOD_FORM.fullmatch(form)]
    assert wrong == []


def _all_replies() -> list[Reply]:
    return [value for name, value in vars(replies).items() if isinstance(value, Reply) and name.isupper()]


@pytest.mark.parametrize("reply", _all_replies(), ids=lambda reply: reply.text)
def test_every_reply_that_we_send_can_be_explained(reply: Reply) -> None:
    assert explain(str(reply.code))
    if reply.enhanced is not None:
        assert explain("{}.{}.{}".format(*reply.enhanced))


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, file in modules().items() if file.name != "__init__.py" and not ast.get_docstring(tree(file))]
    assert silent == []


@pytest.mark.parametrize("name", ["README.md", "README.ja.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"])
def test_the_pages_at_the_door_are_there(name: str) -> None:
    assert (PROJECT / name).stat().st_size > 40


def test_links_between_our_pages_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = []
    for page_file in [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]:
        broken += [f"{page_file.name}: {target}" for target in link.findall(page_file.read_text("utf-8"))
                   if not (page_file.parent / target).exists()]
    assert broken == []
