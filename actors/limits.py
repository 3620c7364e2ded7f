"""How large may what arrives in a message be? Every bound with its name, unit and default."""

from __future__ import annotations

import msgspec

from callboard.supervision.model.errors import InvalidSpec


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one session system. Characters are code points, bytes are UTF-8.

    Args:
        sessions_max: sessions that exist at once, quarantined ones included.
        sessions_per_user_max: the same for one user id; None: no bound of its own. Sessions
            without a user are nobody's, and count for `sessions_max` alone; `tenants=True` has
            every session name a user and an organisation.
        sessions_per_org_max: the same for one organisation; None: no bound of its own.
        session_id_chars_max: an id that the caller chooses.
        user_id_chars_max: a user id, an organisation id.
        agent_role_chars_max: a role, a kind of session, a kind of activity.
        key_chars_max: a `client_msg_id`, an `idempotency_key`.
        reason_chars_max: why a session is terminated.
        content_bytes_max: one message's content.
        metadata_bytes_max: metadata, variables or client capabilities, each as JSON.
        metadata_depth_max: how deep such a structure may nest.
        system_prompt_bytes_max: a system prompt.
        page_sessions_max: sessions in one page.
        page_messages_max: messages in one page.
        subscription_events_max: events that may wait for one subscriber.

    Raises:
        InvalidSpec: a bound is below 1.
    """

    sessions_max: int = 1_000_000
    sessions_per_user_max: int | None = None
    sessions_per_org_max: int | None = None
    session_id_chars_max: int = 128
    user_id_chars_max: int = 512
    agent_role_chars_max: int = 128
    key_chars_max: int = 256
    reason_chars_max: int = 1_024
    content_bytes_max: int = 1_048_576
    metadata_bytes_max: int = 65_536
    metadata_depth_max: int = 16
    system_prompt_bytes_max: int = 262_144
    page_sessions_max: int = 1_000
    page_messages_max: int = 10_000
    subscription_events_max: int = 100_000

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            bound = getattr(self, field)
            if bound is None and field.startswith("sessions_per_"):
                continue
            if type(bound) is not int or bound < 1:
                raise InvalidSpec(field, bound, "Give a whole number from 1 on.")


DEFAULT_LIMITS = SessionLimits()
"""The bounds when nobody says otherwise."""
