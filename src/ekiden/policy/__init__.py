"""Judgement: what policies are, and all that an operator's own file of policies imports."""

from ekiden.mail.journey import Reason
from ekiden.policy.stage import (
    ConnectContext,
    HelloContext,
    MessageContext,
    Policy,
    RecipientContext,
    SenderContext,
    Stage,
    connect,
    hello,
    message,
    recipient,
    sender,
)
from ekiden.policy.verdict import Defer, Discard, Pass, Quarantine, Redirect, Reject, Said, Tag, Verdict
from ekiden.smtp.replies import NOT_ALLOWED, NOT_NOW, Reply

__all__ = [
    "NOT_ALLOWED",
    "NOT_NOW",
    "ConnectContext",
    "Defer",
    "Discard",
    "HelloContext",
    "MessageContext",
    "Pass",
    "Policy",
    "Quarantine",
    "Reason",
    "RecipientContext",
    "Redirect",
    "Reject",
    "Reply",
    "Said",
    "SenderContext",
    "Stage",
    "Tag",
    "Verdict",
    "connect",
    "hello",
    "message",
    "recipient",
    "sender",
]
