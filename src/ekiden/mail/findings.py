"""What a judgement that adds up can find in a message, and what it is worth where nobody has set anything else (docs/spam.md).

Here and not beside the judgement, so that settings can be read without it.
"""

from __future__ import annotations

from collections.abc import Mapping

WEIGHTS: Mapping[str, int] = {
    "dmarc-reject": 100,
    "dmarc-quarantine": 50,
    "dmarc-fail": 20,
    "spf-fail": 30,
    "spf-softfail": 15,
    "spf-permerror": 10,
    "dkim-fail": 10,
    "arc-fail": 5,
    "nothing-passed": 10,
    "iprev-fail": 15,
    "helo-our-name": 60,
    "helo-wrong-address": 30,
    "helo-not-a-name": 20,
    "helo-unknown": 15,
    "bayes-99": 50,
    "bayes-95": 30,
    "bayes-80": 15,
}
"""Points of each finding. Only what the author's domain asks for itself (dmarc-reject) refuses a message alone."""
TAG, JUNK, REFUSE = 30, 50, 100
"""From how many points on a message is marked, filed into Junk, refused."""
