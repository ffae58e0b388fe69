"""Every event of the server says whether it wants an answer."""

from __future__ import annotations

from typing import get_args

import pytest

from ekiden.smtp.events import ServerEvent


@pytest.mark.parametrize("event", get_args(ServerEvent))
def test_docstring_says_what_to_do(event: type) -> None:
    assert event.__doc__ is not None
    assert "Answer:" in event.__doc__ or "no answer" in event.__doc__
