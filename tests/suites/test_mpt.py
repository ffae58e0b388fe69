"""IMAP as James's authors test it, script by script, against our door; wording and order are forgiven.

The scripts ask in part for what only James does, in part for extensions that we do not announce. Each that we answer otherwise is
named with the reason; if it passes after all, the test fails.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tests.servers.imap.doors import open_doors
from tests.suites.data import conformance

_FOLDER = conformance("mpt")
_PLAYER = conformance("runners")
_INDEX = _FOLDER / "imap" / "index.tsv" if _FOLDER is not None else None
_LINES = _INDEX.read_text("utf-8").split("\n") if _INDEX is not None else []
_SCRIPTS = [line.split("\t")[0] for line in _LINES if line and not line.startswith("#")]
_FAILED = re.compile(r"FAIL (\S+) (.*)")

_ACL = "asks for ACL, which we do not announce"
_SHARED = "asks for James's namespace #user of other people's mailboxes"
_DELIMITER = "takes '.' for the delimiter of levels; ours is '/'"
_STRANGER = "wants BYE for the first bad line of a stranger; we say BAD, and BYE at the twentieth"

OTHERWISE = {
    **dict.fromkeys(("ACLCommandsOnOtherUser", "ACLCommandsOnOwner", "Rights"), _ACL),
    **dict.fromkeys((name for name in _SCRIPTS if name.startswith("aclIntegration/")), _ACL),
    **dict.fromkeys((name for name in _SCRIPTS if name.startswith("SharingAccess")), _SHARED),
    **dict.fromkeys(("SharedMailbox", "ListWithSharedMailbox", "RenameSharedMailbox", "Namespace"), _SHARED),
    **dict.fromkeys(("ListMailboxes", "RenameHierarchy", "RenameSelected", "ConcurrentRenameSelectedSub", "Subscribe"), _DELIMITER),
    **dict.fromkeys(("BadTag", "NoTag", "JustTag", "NoCommand"), _STRANGER),
    "LoginThreeStrikes": "wants BYE at the third wrong password; we count by network instead, over all connections",
    **dict.fromkeys(("Metadata", "MetadataWithBinaryData", "MetadataWithLimitation"), "asks for METADATA, which we do not announce"),
    "Quota": "asks for QUOTA, which we do not announce",
    "Replace": "asks for REPLACE, which we do not announce",
    "CondstoreDisable": "asks for ENABLE and CONDSTORE, which we do not announce",
    **dict.fromkeys(("FetchSaveDate", "SearchSaveDate"), "asks for SAVEDATE, which we do not announce"),
    "SearchOptionAggregations": "asks for ESEARCH, which we do not announce",
    "ListSubscribed": "asks for LIST-EXTENDED, which we do not announce",
    "Status": "asks for STATUS=SIZE, which we do not announce",
    "CreateErrorWithLongName": "wants names over 200 characters refused; ours may have 1,024 bytes",
    "FetchAllEmptyMailbox": "wants OK for 1:* in an empty mailbox; RFC 3501 §9 asks for BAD, and Dovecot says so too",
    "ConcurrentExistsResponse": "uses the number of a message of which its session has not been told yet",
    "FetchMultipartBodyStructure": "sends FETCH 1 (), which is no command (RFC 3501 §9)",
    "FetchSingleMessage": "sends FETCH 1 (ALL); a macro stands alone (RFC 3501 §6.4.5)",
    "MoveNoMSG": "wants BAD for UID MOVE of a UID that is not there; RFC 3501 §6.4.8 makes that no error",
    **dict.fromkeys(("SearchAtoms", "UidSearchAtoms"), "does not look for BODY in the headers of parts; we do, for file names are there"),
}


_WAITS = ("UidSearchAtomsIndexer",)
"""Sleeps for twenty seconds, so that it runs beside the others."""
_IN_VAIN = ("BadTag", "NoTag", "JustTag", "NoCommand", "LoginThreeStrikes", "MetadataWithBinaryData", "MetadataWithLimitation")
"""Wait for an answer that does not come."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why a script did not pass, for each that did not."""
    assert _INDEX is not None
    assert _PLAYER is not None
    people = [("imapuser", "password"), ("Boby", "password"), ("delegate", "123456"), ("second", "password"), ("third", "password")]
    rest = [name for name in _SCRIPTS if name not in (*_WAITS, *_IN_VAIN)]
    failed: dict[str, str] = {}
    with open_doors(tmp_path_factory.mktemp("mpt"), people) as doors:
        command = [sys.executable, str(_PLAYER / "mpt_play.py"), "--index", str(_INDEX), "--port", str(doors.clear), "--wipe"]
        runs = [
            subprocess.Popen([*command, "--user", user, "--timeout", seconds, *names], stdout=subprocess.PIPE, text=True)
            for user, seconds, names in (("imapuser", "10", rest), ("second", "0.5", _IN_VAIN), ("third", "10", _WAITS))
        ]
        for run in runs:
            output, _ = run.communicate(timeout=100)
            assert " passed, " in output, output
            failed |= {found[1]: found[2] for found in map(_FAILED.fullmatch, output.split("\n")) if found is not None}
    return failed


@pytest.mark.conformance("mpt", 101)
@pytest.mark.parametrize("script", _SCRIPTS)
def test_script(verdicts: dict[str, str], script: str) -> None:
    why = verdicts.get(script)
    if script in OTHERWISE:
        assert why is not None, f"{script} passes; take it from the list"
        pytest.skip(OTHERWISE[script])
    assert why is None, why
