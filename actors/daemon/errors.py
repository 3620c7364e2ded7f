"""What can go wrong at the daemon's door: what a client sends, and what keeps it from opening."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.showing import shown, shown_path


def _place(path: Path) -> str:
    """Return where a file is, for people: from wherever they read it."""
    with suppress(OSError):  # the folder that we are in has gone
        path = Path(path).absolute()
    return shown_path(str(path))


class RequestError(CallboardError):
    """Base of what is wrong with a request before it becomes a message."""

    code: ClassVar[str] = "bad_request"
    remedy: str = "Send HTTP/1.1 as the OpenAPI description says."


class MalformedJson(RequestError):
    """The body is not JSON."""

    code: ClassVar[str] = "malformed_json"
    remedy: str = "Send one JSON object, in UTF-8."


class UnsupportedMediaType(RequestError):
    """The body is not declared as JSON, or is compressed."""

    code: ClassVar[str] = "unsupported_media_type"
    remedy: str = (
        "Send Content-Type: application/json (to an import: application/jsonl) and no"
        " Content-Encoding."
    )


class BodyTooLarge(RequestError):
    """The body has more bytes than it may have.

    Args:
        bytes_max: the bound.
    """

    code: ClassVar[str] = "body_too_large"
    remedy: str = "Send less at once, or start the daemon with a higher --set body_bytes_max=BYTES."

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body has more than {bytes_max} bytes")
        self.bytes_max = bytes_max


class HeadersTooLarge(RequestError):
    """Target and headers have more bytes than they may have.

    Args:
        bytes_max: the bound.
    """

    code: ClassVar[str] = "headers_too_large"
    remedy: str = (
        "Send fewer or shorter headers, or start the daemon with a higher"
        " --set header_bytes_max=BYTES."
    )

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"target and headers have more than {bytes_max} bytes")
        self.bytes_max = bytes_max


class Unauthorized(RequestError):
    """The token is missing or wrong."""

    code: ClassVar[str] = "unauthorized"
    remedy: str = "Send Authorization: Bearer TOKEN; TOKEN is in the --token-file of the daemon."


class UnknownHost(RequestError):
    """The request names a host that is not this daemon."""

    code: ClassVar[str] = "unknown_host"
    remedy: str = "Address the daemon by 127.0.0.1, [::1] or localhost, with its port."


class UnknownOrigin(RequestError):
    """The request comes from a web page that is not the daemon's."""

    code: ClassVar[str] = "unknown_origin"
    remedy: str = "Call from a program; web pages of other origins are not let in."


class NoSuchPath(RequestError):
    """There is nothing at this path."""

    code: ClassVar[str] = "no_such_path"
    remedy: str = "See the paths in the OpenAPI description, GET /v1/openapi.json."


class MethodNotAllowed(RequestError):
    """The path exists, but not with this method."""

    code: ClassVar[str] = "method_not_allowed"
    remedy: str = "See the methods in the OpenAPI description, GET /v1/openapi.json."


class TooManyRequests(RequestError):
    """The daemon is answering as many requests, or has as many connections, as it may.

    Args:
        what: what there are too many of.
        most: the bound.
    """

    code: ClassVar[str] = "too_many_requests"
    remedy: str = "Try again after the time in Retry-After."
    is_retryable: ClassVar[bool] = True

    def __init__(self, what: str, most: int) -> None:
        super().__init__(f"there are {most} {what} already")


class RequestTimeout(RequestError):
    """The request was not answered in its time; whether it took effect is not known."""

    code: ClassVar[str] = "request_timeout"
    remedy: str = "Read the session to see what was done, then try again."
    is_retryable: ClassVar[bool] = True
    is_outcome_known: ClassVar[bool] = False


class ExportTimeout(RequestError):
    """An export was not done in its time; what has come of it is not all."""

    code: ClassVar[str] = "export_timeout"
    remedy: str = (
        "Read it faster, best into a file on this machine, or start the daemon with a higher"
        " --set export_s=SECONDS."
    )
    is_retryable: ClassVar[bool] = True


class RequestTooSlow(RequestError):
    """The body did not arrive in the request's time."""

    code: ClassVar[str] = "request_too_slow"
    remedy: str = "Send the whole body within request_s seconds."
    is_retryable: ClassVar[bool] = True


class InternalError(RequestError):
    """The daemon itself failed. The details are in its log, not here."""

    code: ClassVar[str] = "internal_error"
    remedy: str = "Look into the daemon's log."
    is_outcome_known: ClassVar[bool] = False


class WrongReply(RequestError):
    """The handler of a session's own class answered something else than the message declares.

    Args:
        handler: the handler's name: class and method.
        message: name of the message's type.
        declared: name of the type that the message declares as its reply.
        given: name of the type that came.
    """

    code: ClassVar[str] = "wrong_reply"
    remedy: str = "Mend that handler; what it changed has been kept all the same."
    is_outcome_known: ClassVar[bool] = False

    def __init__(self, handler: str, *, message: str, declared: str, given: str) -> None:
        super().__init__(
            f"{handler} answered a value of type {given}, where {message} declares {declared}"
        )
        self.handler = handler


class FaultsAreOff(RequestError):
    """Crashes may not be injected into this daemon."""

    code: ClassVar[str] = "faults_are_off"
    remedy: str = "Start the daemon with --faults; never where the sessions matter."


class MetricsAreOff(RequestError):
    """This daemon keeps no metrics: the package that does is not installed."""

    code: ClassVar[str] = "metrics_are_off"
    remedy: str = "Install it where the daemon runs, pip install 'callboard[metrics]'; start anew."


class DaemonError(CallboardError):
    """Base of what keeps a daemon from starting, or a client from reaching it."""

    code: ClassVar[str] = "daemon_error"
    remedy: str = "Change the command as the message says."


class WrongUsage(DaemonError):
    """Options of a command do not go together, or one is not what it should be.

    Args:
        message: what is wrong.
        remedy: what would be right, as a sentence.
    """

    code: ClassVar[str] = "wrong_usage"

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class WrongConfig(DaemonError):
    """The configuration file cannot be read, or says what cannot be.

    Args:
        message: what is wrong.
        remedy: what would be right, as a sentence.
    """

    code: ClassVar[str] = "wrong_config"

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class StoreMissing(DaemonError):
    """There is no file at this path.

    Args:
        path: which.
        why: what is wrong with it.
    """

    code: ClassVar[str] = "store_missing"
    remedy: str = "Give the path of a file that is there, and that you may read."

    def __init__(self, path: Path, why: str = "No such file or directory") -> None:
        super().__init__(f"{_place(path)}: {why}")


class CannotWrite(DaemonError):
    """A file cannot be written.

    Args:
        path: which.
        why: what is in the way.
    """

    code: ClassVar[str] = "cannot_write"
    remedy: str = (
        "Give the path of a file that is not there yet, in a folder that you may write to."
    )

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{_place(path)} cannot be written: {why}")


class DoorInUse(DaemonError):
    """A living daemon has this socket or port already."""

    code: ClassVar[str] = "door_in_use"
    remedy: str = "Use the daemon that runs, stop it, or give another --socket or --port."


class NotASocket(DaemonError):
    """Something else lies where the socket should be, or none can be made there."""

    code: ClassVar[str] = "not_a_socket"
    remedy: str = "Move away what lies there, or give another --socket with a shorter path."


class NotAPort(DaemonError):
    """There is no port of this number.

    Args:
        port: what was given.
        port_max: the highest there is.
    """

    code: ClassVar[str] = "not_a_port"

    def __init__(self, port: int, *, port_max: int) -> None:
        super().__init__(f"--port {shown(port)} is no port")
        self.port = port
        self.remedy = f"Give a number from 1 to {port_max}, or 0 to take a free one."


class PortRefused(DaemonError):
    """The system does not let this user listen on this port."""

    code: ClassVar[str] = "port_refused"
    remedy: str = "Give another --host, or a --port from 1024 up; 0 takes a free one."


class NotLoopback(DaemonError):
    """The address is not one of this machine alone."""

    code: ClassVar[str] = "not_loopback"
    remedy: str = "Give 127.0.0.1, ::1 or localhost; for other machines put a proxy before it."


class FolderNotPrivate(DaemonError):
    """Others own the folder or the file, or may write to it."""

    code: ClassVar[str] = "folder_not_private"
    remedy: str = "Give a folder of your own with mode 0700 (chmod go-rwx FOLDER)."


class TokenMissing(DaemonError):
    """There is no token file at this path."""

    code: ClassVar[str] = "token_missing"
    remedy: str = (
        "Give the --token-file of the daemon you mean; `callboard serve --port` makes it when it"
        " starts."
    )


class TokenRefused(DaemonError):
    """The token file is not usable as it is."""

    code: ClassVar[str] = "token_refused"
    remedy: str = "Delete it and start the daemon again: it makes a new one with mode 0600."


class UnknownBehaviour(DaemonError):
    """The class that was to run the sessions could not be found.

    Args:
        name: what was given.
        why: what is wrong with it.
    """

    code: ClassVar[str] = "unknown_behaviour"
    remedy: str = "Give MODULE:CLASS, a SessionActor; modules are looked for in --app-dir first."

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{shown(name)} {why}")


class NoDaemon(DaemonError):
    """No daemon answers at this socket or port."""

    code: ClassVar[str] = "no_daemon"
    remedy: str = "Start one with `callboard serve`, or say where it is with --socket or --url."


class BadAnswer(DaemonError):
    """What answers there does not talk like this daemon."""

    code: ClassVar[str] = "bad_answer"
    remedy: str = "See what listens there; daemon and command should be of one version."
