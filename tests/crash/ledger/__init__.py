"""The ledger: what clients were told, against what is there afterwards.

writing: what a client writes down; clients, readers: SMTP and IMAP clients that keep a ledger; collect: what is there, by IMAP and
from the files of the store; verdict: the counters; run: all of it around a server to which something happens. Nothing of this uses
the server's code.
gap: no JMAP client, because there is no JMAP yet.
Source: reliability.md §3.1.
"""

from tests.crash.ledger.verdict import COUNTERS, Copy, Verdict, judge, judge_copies
from tests.crash.ledger.writing import SIZES, Heard, Ledger, Line, id_of, is_whole

__all__ = ["COUNTERS", "SIZES", "Copy", "Heard", "Ledger", "Line", "Verdict", "id_of", "is_whole", "judge", "judge_copies"]
