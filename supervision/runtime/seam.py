"""The one place that touches pykka, its private names included.

An upgrade of pykka breaks here and in `tests/test_pykka_facts.py` first.
"""

from __future__ import annotations

import logging

from pykka import (
    Actor,
    ActorProxy,
    ActorRef,
    ActorRegistry,
    CallableProxy,
    ThreadingActor,
    traversable,
)
from pykka import ActorDeadError as PykkaActorDeadError
from pykka import Future as PykkaFuture
from pykka import Timeout as PykkaTimeout
from pykka._envelope import Envelope
from pykka._introspection import AttrInfo
from pykka.messages import (
    ProxyCall,
    ProxyGetAttr,
    ProxySetAttr,
    _ActorStop,
)

ActorStop = _ActorStop
PROXY_MESSAGES = frozenset({ProxyCall, ProxyGetAttr, ProxySetAttr})
"""pykka's own message types, handled by pykka's own code."""

pykka_logger = logging.getLogger("pykka")
"""pykka's own logger: a drop-in says what pykka says, where pykka says it."""

__all__ = [
    "PROXY_MESSAGES",
    "Actor",
    "ActorProxy",
    "ActorRef",
    "ActorRegistry",
    "ActorStop",
    "AttrInfo",
    "CallableProxy",
    "Envelope",
    "ProxyCall",
    "ProxyGetAttr",
    "ProxySetAttr",
    "PykkaActorDeadError",
    "PykkaFuture",
    "PykkaTimeout",
    "ThreadingActor",
    "pykka_logger",
    "traversable",
]
