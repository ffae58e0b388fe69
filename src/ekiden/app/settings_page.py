"""The reference page of all settings (docs/settings.md), printed from the configuration's own declarations."""

from __future__ import annotations

from ekiden.app import config
from ekiden.base.settings import Entry
from ekiden.base.units import Unit, duration_text, rate_text, size_text

_HEAD = """\
# Settings

This page is printed by `ekiden config docs`; a test keeps it current.

One file, `ekiden.toml`, holds all settings; only `hostname` must be set. It is looked for as `--config FILE`, as `EKIDEN_CONFIG`,
then as `ekiden.toml` here, `/etc/ekiden/ekiden.toml` and `dev-data/ekiden.toml`. Relative paths begin at the folder of the file.
`ekiden config check` names file, line and key of everything that is wrong; `ekiden config show` prints what is in effect.

Each setting can also come from the environment, which wins over the file: `limits.message_size` is `EKIDEN_LIMITS__MESSAGE_SIZE`
(two underscores between levels); a list is written with commas, numbers by name as `name=1,other=2`. Tables in double brackets, of which
there can be several, are for the file alone.

Units: a size is `"512B"`, `"64KiB"`, `"25MB"` or a number of bytes; a duration is `"90s"`, `"5m"`, `"4h"`, `"5d"`, `"1h30m"` or a
number of seconds; a rate is `"500B/s"`.
"""

_FORMS = {Unit.SIZE.value: size_text, Unit.DURATION.value: duration_text, Unit.RATE.value: rate_text}


def page() -> str:
    """The whole page, in Markdown."""
    out = [_HEAD, "\n## Top level\n", *_table_head()]
    for entry in config.settings():
        if entry.kind in ("table", "tables"):
            title = f"[[{'.'.join(entry.place)}]]" if entry.kind == "tables" else f"[{'.'.join(entry.place)}]"
            out += [f"\n## {title}\n", entry.setting.doc, "", *_table_head()]
        else:
            out.append(_row(entry))
    return _without_empty_tables("\n".join(out)) + "\n"


def range_of(entry: Entry) -> str:
    """What values a setting may have, in words."""
    if entry.setting.choices:
        return ", ".join(entry.setting.choices)
    kind = entry.kind.removeprefix("list of ")
    if kind != "count" and kind not in _FORMS:
        return ""
    form = _FORMS.get(kind, str)
    low, high = form(entry.setting.low or 0), entry.setting.high
    return f"{low} or more" if high is None else f"{low} to {form(high)}"


def _table_head() -> list[str]:
    return ["| key | type | default | range | what it is |", "|---|---|---|---|---|"]


def _row(entry: Entry) -> str:
    default = f"`{entry.default}`" if entry.default else ("must be set" if entry.required else "not set")
    doc = entry.setting.doc.replace("|", "\\|")
    return f"| `{entry.place[-1]}` | {entry.kind} | {default} | {range_of(entry)} | {doc} |"


def _without_empty_tables(page_text: str) -> str:
    head = "\n".join(_table_head())
    return page_text.replace(f"\n\n{head}\n\n##", "\n\n##")
