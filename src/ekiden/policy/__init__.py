"""Judgement: what policies are, and all that an operator's own file of policies imports."""

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
from ekiden.policy.verdict import Defer, Discard, Quarantine, Redirect, Reject, Tag, Verdict
from ekiden.smtp.replies import NOT_ALLOWED, NOT_NOW, Reply

__all__ = [
    "NOT_ALLOWED",
    "NOT_NOW",
    "ConnectContext",
    "Defer",
    "Discard",
    "HelloContext",
    "MessageContext",
    "Policy",
    "Quarantine",
    "RecipientContext",
    "Redirect",
    "Reject",
    "Reply",
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
