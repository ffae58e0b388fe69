"""One process that serves: it begins, changes its configuration, and ends in good order."""

from __future__ import annotations

import smtplib
from pathlib import Path

from tests.app.serving import serving


def test_a_served_message_and_an_orderly_end(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = smtplib.SMTP("127.0.0.1", server.port, timeout=20)
        client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")
        client.quit()
        assert server.stop() == 0, server.log()
    assert "event='stopped'" in server.log()
    assert "Traceback" not in server.log()
