"""What policies said, as steps of the journey."""

from __future__ import annotations

from ekiden.base.clock import Millis
from ekiden.mail.journey import Judged, Step
from ekiden.policy.chain import Judgement
from ekiden.policy.stage import Stage
from ekiden.policy.verdict import Pass, Quarantine, Reject, Tag


def note(judged: Judgement, stage: Stage, at: Millis, steps: list[Step]) -> None:
    """Add one step for each opinion."""
    for opinion in judged.opinions:
        verdict = opinion.verdict
        because = f"{verdict.field.decode('ascii', 'replace')}" if isinstance(verdict, Tag) else verdict.because
        reasons = verdict.reasons if isinstance(verdict, Reject | Quarantine | Tag | Pass) else ()
        steps.append(Judged(at, opinion.policy, stage.value, type(verdict).__name__.lower(), because, reasons))
