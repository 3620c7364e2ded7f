"""What does each error mean to a client: one table from code to HTTP status and exit code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from callboard.supervision.model.errors import CallboardError


class Status(msgspec.Struct, frozen=True, gc=False):
    """How an error leaves the process.

    Args:
        http: HTTP status code (RFC 9110, RFC 6585).
        exit_code: exit code of a command (BSD sysexits.h).
    """

    http: int
    exit_code: int


EX_OK = 0
EX_UNCLEAN = 1
EX_USAGE = 64
EX_DATAERR = 65
EX_NOINPUT = 66
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CANTCREAT = 73
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78
EX_INTERRUPTED = 130

EXIT_CODES: Mapping[int, str] = MappingProxyType(
    {
        EX_OK: "done; serve: stopped in order",
        EX_UNCLEAN: "serve: stopped, but not everything ended in time",
        EX_USAGE: "the command line is wrong",
        EX_DATAERR: (
            "refused: a field, a value or the session's state is not right; store: not all of it"
            " is whole"
        ),
        EX_NOINPUT: "what is named is not there",
        EX_UNAVAILABLE: "no daemon, or it cannot do this; health: a part does not run",
        EX_SOFTWARE: "a handler crashed, or the daemon; serve: the root gave up",
        EX_CANTCREAT: "it exists already, or something is in its way",
        EX_IOERR: "the store failed, or nobody reads the output",
        EX_TEMPFAIL: "not now: the same command may succeed later",
        EX_NOPERM: "not let in",
        EX_CONFIG: "a setting, folder, token file or installation is not right",
        EX_INTERRUPTED: "interrupted by Ctrl-C",
    }
)
"""What each exit code of a command means. `serve` forced by a second signal n ends with 128 + n."""

STATUSES: Mapping[str, Status] = MappingProxyType(
    {
        # The roots, for what has no line of its own: a user's own Refusal, for one.
        "callboard_error": Status(500, EX_SOFTWARE),
        "refused": Status(422, EX_DATAERR),
        "not_delivered": Status(503, EX_UNAVAILABLE),
        # A programmer's slip, seen at start.
        "invalid_spec": Status(500, EX_CONFIG),
        "no_system": Status(500, EX_SOFTWARE),
        "free_threading": Status(500, EX_CONFIG),
        "blocking_on_loop": Status(500, EX_SOFTWARE),
        "name_taken": Status(409, EX_CANTCREAT),
        "registry_error": Status(500, EX_SOFTWARE),
        "already_registered": Status(409, EX_CANTCREAT),
        "not_registered": Status(404, EX_NOINPUT),
        "keys_not_unique": Status(500, EX_SOFTWARE),
        "registry_not_running": Status(503, EX_TEMPFAIL),
        "no_owner": Status(500, EX_SOFTWARE),
        "start_refused": Status(503, EX_UNAVAILABLE),
        "start_ignored": Status(503, EX_UNAVAILABLE),
        "start_stopped": Status(503, EX_UNAVAILABLE),
        # Refusals of any actor, of supervisors, then of the sessions.
        "unhandled_message": Status(422, EX_DATAERR),
        "spec_refused": Status(422, EX_DATAERR),
        "child_refused": Status(409, EX_DATAERR),
        "child_not_found": Status(404, EX_NOINPUT),
        "child_is_running": Status(409, EX_DATAERR),
        "child_is_restarting": Status(409, EX_TEMPFAIL),
        "children_have_no_ids": Status(409, EX_DATAERR),
        "child_already_present": Status(409, EX_CANTCREAT),
        "child_already_started": Status(409, EX_CANTCREAT),
        "child_start_failed": Status(503, EX_UNAVAILABLE),
        "max_children_reached": Status(429, EX_TEMPFAIL),
        "session_error": Status(422, EX_DATAERR),
        "session_not_found": Status(404, EX_NOINPUT),
        "duplicate_session": Status(409, EX_CANTCREAT),
        "duplicate_role": Status(409, EX_CANTCREAT),
        "max_sessions_reached": Status(429, EX_TEMPFAIL),
        "invalid_field": Status(422, EX_DATAERR),
        "invalid_user_id": Status(422, EX_DATAERR),
        "invalid_org_id": Status(422, EX_DATAERR),
        "message_too_large": Status(413, EX_DATAERR),
        "version_conflict": Status(409, EX_DATAERR),
        "idempotency_conflict": Status(409, EX_DATAERR),
        "session_terminating": Status(409, EX_UNAVAILABLE),
        "session_has_log": Status(409, EX_DATAERR),
        "invalid_transition": Status(409, EX_DATAERR),
        "update_failed": Status(422, EX_DATAERR),
        "workspace_error": Status(500, EX_CANTCREAT),
        "spawn_error": Status(502, EX_UNAVAILABLE),
        "prompt_error": Status(422, EX_DATAERR),
        "secret_error": Status(500, EX_CONFIG),
        "agent_busy": Status(409, EX_TEMPFAIL),
        "agent_attached": Status(409, EX_CANTCREAT),
        "agent_not_attached": Status(409, EX_DATAERR),
        "agent_died": Status(502, EX_UNAVAILABLE),
        "agent_timeout": Status(504, EX_TEMPFAIL),
        "prompt_timeout": Status(504, EX_UNAVAILABLE),
        "prompt_failed": Status(502, EX_UNAVAILABLE),
        "prompt_repeated": Status(409, EX_CANTCREAT),
        "no_connector": Status(501, EX_CONFIG),
        "mcp_client_not_found": Status(404, EX_NOINPUT),
        "duplicate_mcp_client": Status(409, EX_CANTCREAT),
        "mcp_connect_error": Status(502, EX_UNAVAILABLE),
        "mcp_timeout": Status(504, EX_TEMPFAIL),
        "mcp_client_down": Status(503, EX_TEMPFAIL),
        "mcp_call_lost": Status(502, EX_TEMPFAIL),
        "mcp_tool_error": Status(422, EX_DATAERR),
        "too_many_calls": Status(429, EX_TEMPFAIL),
        "replay_gap": Status(409, EX_DATAERR),
        "audit_error": Status(503, EX_IOERR),
        "audit_file_refused": Status(500, EX_CONFIG),
        "metrics_extra_missing": Status(500, EX_CONFIG),
        "memory_unknown": Status(500, EX_CONFIG),
        "slow_consumer": Status(410, EX_TEMPFAIL),
        "subscription_closed": Status(410, EX_NOINPUT),
        "store_error": Status(503, EX_IOERR),
        "store_damaged": Status(500, EX_IOERR),
        "session_unreadable": Status(500, EX_IOERR),
        "store_outcome_unknown": Status(503, EX_IOERR),
        "store_busy": Status(409, EX_TEMPFAIL),
        "store_not_operable": Status(501, EX_UNAVAILABLE),
        "store_refused": Status(500, EX_CONFIG),
        "store_locked": Status(503, EX_TEMPFAIL),
        "store_too_new": Status(500, EX_CONFIG),
        "import_refused": Status(422, EX_DATAERR),
        "store_fenced": Status(503, EX_UNAVAILABLE),
        "postgres_extra_missing": Status(500, EX_CONFIG),
        # Messages that got no answer.
        "session_restarting": Status(503, EX_TEMPFAIL),
        "session_asleep": Status(409, EX_TEMPFAIL),
        "session_quarantined": Status(503, EX_UNAVAILABLE),
        "session_crashed": Status(500, EX_SOFTWARE),
        "shutting_down": Status(503, EX_TEMPFAIL),
        "not_started": Status(503, EX_UNAVAILABLE),
        "started_already": Status(500, EX_SOFTWARE),
        "actor_dead": Status(503, EX_TEMPFAIL),
        "actor_killed": Status(503, EX_TEMPFAIL),
        "timeout": Status(504, EX_TEMPFAIL),
        "mailbox_full": Status(503, EX_TEMPFAIL),
        "ask_cycle": Status(500, EX_SOFTWARE),
        "too_many_waiting": Status(503, EX_TEMPFAIL),
        "system_stopped": Status(503, EX_UNAVAILABLE),
        "fenced": Status(503, EX_SOFTWARE),
        "unsupported": Status(501, EX_UNAVAILABLE),
        "start_failed": Status(503, EX_UNAVAILABLE),
        # What is wrong with a request before it becomes a message.
        "bad_request": Status(400, EX_USAGE),
        "malformed_json": Status(400, EX_DATAERR),
        "unsupported_media_type": Status(415, EX_DATAERR),
        "body_too_large": Status(413, EX_DATAERR),
        "headers_too_large": Status(431, EX_DATAERR),
        "unauthorized": Status(401, EX_NOPERM),
        "unknown_host": Status(421, EX_NOPERM),
        "unknown_origin": Status(403, EX_NOPERM),
        "no_such_path": Status(404, EX_USAGE),
        "method_not_allowed": Status(405, EX_USAGE),
        "too_many_requests": Status(503, EX_TEMPFAIL),
        "request_timeout": Status(504, EX_TEMPFAIL),
        "request_too_slow": Status(408, EX_TEMPFAIL),
        "export_timeout": Status(504, EX_TEMPFAIL),
        "internal_error": Status(500, EX_SOFTWARE),
        "wrong_reply": Status(500, EX_SOFTWARE),
        "faults_are_off": Status(404, EX_UNAVAILABLE),
        "metrics_are_off": Status(501, EX_UNAVAILABLE),
        # What keeps a daemon from starting, or a command from reaching it.
        "daemon_error": Status(500, EX_UNAVAILABLE),
        "wrong_usage": Status(400, EX_USAGE),
        "wrong_config": Status(500, EX_CONFIG),
        "store_missing": Status(500, EX_NOINPUT),
        "cannot_write": Status(500, EX_CANTCREAT),
        "door_in_use": Status(500, EX_UNAVAILABLE),
        "not_a_socket": Status(500, EX_CANTCREAT),
        "not_a_port": Status(500, EX_USAGE),
        "port_refused": Status(500, EX_UNAVAILABLE),
        "not_loopback": Status(500, EX_CONFIG),
        "folder_not_private": Status(500, EX_CONFIG),
        "token_missing": Status(500, EX_CONFIG),
        "token_refused": Status(500, EX_CONFIG),
        "unknown_behaviour": Status(500, EX_CONFIG),
        "no_daemon": Status(503, EX_UNAVAILABLE),
        "bad_answer": Status(502, EX_UNAVAILABLE),
    }
)
"""Every code that callboard raises (the test kit apart). A test holds it complete."""


def status_of(error: BaseException) -> Status:
    """Return how an error leaves the process: by its own code, else by its nearest base's.

    What is no `CallboardError` at all is a defect: 500, and `EX_SOFTWARE`.
    HTTP answers a handler's own exception and `SessionCrashed` alike.
    """
    for base in type(error).__mro__:
        if issubclass(base, CallboardError) and base.code in STATUSES:
            return STATUSES[base.code]
    return STATUSES["callboard_error"]
