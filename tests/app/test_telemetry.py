"""Log lines: one a line, whatever a peer says."""

from __future__ import annotations

import io
import json

from ekiden.app.config import Log
from ekiden.app.telemetry import make_log


def _raise() -> Exception:
    try:
        raise RuntimeError("trouble")
    except RuntimeError as error:
        return error


def test_json_lines_hold_what_a_peer_said_on_one_line() -> None:
    """Row RL-19, rule G6."""
    out = io.StringIO()
    make_log(Log(format="json"), out)("odd-peer", said="\x1b[2J\nFAKE {0.__class__} %(x)s", number=5)
    line = out.getvalue()
    assert line.count("\n") == 1
    assert json.loads(line)["said"] == "\x1b[2J\nFAKE {0.__class__} %(x)s"
    assert "\x1b" not in line


def test_text_lines_escape_control_characters_and_name_where_an_error_came_from() -> None:
    out = io.StringIO()
    make_log(Log(format="text"), out)("session-failed", peer="a\nb", error=_raise())
    line = out.getvalue()
    assert line.count("\n") == 1
    assert "level='error'" in line
    assert "RuntimeError: trouble" in line
    assert "test_telemetry.py" in line


def test_less_important_lines_can_be_left_out() -> None:
    out = io.StringIO()
    log = make_log(Log(level="error"), out)
    log("quiet")
    log("policy-broken")
    assert out.getvalue().count("\n") == 1
