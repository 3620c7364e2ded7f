"""What is no HTTP, too much of it, or HTTP that nobody should send: refused, in time, and gone."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from tests.fuzz.campaign import fuzz
from tests.fuzz.hosted import BOUNDS, Hosted, hosting

ANSWER_S = 10.0
"""How long anything may stay without an answer or an end."""

LINE = b"GET /v1/health HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
JSON = b"Content-Type: application/json\r\n"

STARTS = (
    LINE,
    b"GET /v1/sessions HTTP/1.1\r\n",
    b"POST /v1/sessions HTTP/1.1\r\n",
    b"PATCH /v1/sessions/ada HTTP/1.1\r\n",
    b"DELETE /v1/sessions/nobody HTTP/1.1\r\n",
    b"GET /v1/health HTTP/1.0\r\n",
    b"GET /v1/health\r\n",
    b"HEAD /v1/health HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n",
    b"GET http://x/v1/health HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"GET //v1//sessions//ada HTTP/1.1\r\n",
    b"GET /v1/sessions/../health HTTP/1.1\r\n",
    b"GET /v1/sessions/%ff%00 HTTP/1.1\r\n",
    b"GET /v1/sessions?limit=%ff&limit=2&=&& HTTP/1.1\r\n",
    b"GET /v1/nothing HTTP/1.1\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\0" * 8,
)

HEADERS = (
    HOST,
    HOST,
    HOST,
    b"Host: x:abc\r\n",
    b"Host: [::1\r\n",
    b"Host: \xff\r\n",
    JSON,
    JSON,
    b"Content-Type: text/plain\r\n",
    b"Content-Type: application/json; charset=\xff\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 2\r\n",
    b"Content-Length: 99\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: " + b"9" * 4_400 + b"\r\n",
    b"Content-Length: 99999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Origin: null\r\n",
    b"Authorization: Bearer \xff\r\n",
    b"Cookie: =;;=\xff\r\n",
    b"Accept: ;;q=\xff\r\n",
    b"a b: c\r\n",
    b"a: b\r\n folded\r\n",
    b"a: \0\r\n",
    b"a: " + b"x" * 20_000 + b"\r\n",
    b"x: y\r\n" * 3_000,
)

BODIES = (
    b"",
    b"{}",
    b"{} x",
    b"[]",
    b"null",
    b"\xef\xbb\xbf{}",
    b'{"metadata":' + b'{"a":' * 50_000,
    b'{"metadata":{"a":' + b"9" * 5_000 + b"}}",
    b'{"metadata":{"a":1e999}}',
    b'{"metadata":{"\\ud800":1}}',
    b'{"user_id":"\\u0000"}',
    b'{"' + b"k" * 100_000 + b'":1}',
    b'{"k`\\n\\u0000":1}',
    b"2\r\n{}\r\n0\r\n\r\n",
    b"2;" + b"x" * 50_000 + b"\r\n{}\r\n0\r\n\r\n",
    b"zz\r\n",
    b"-1\r\n",
    b"ffffffffffff\r\nabc",
)


def sent(start: bytes, headers: list[bytes], body: bytes) -> bytes:
    """Put a request together: parts that fit, or do not."""
    return start + b"".join(headers) + b"\r\n" + body


def measured(start: bytes, body: bytes) -> bytes:
    """Put a request together that says how long its body is."""
    return sent(start, [HOST, JSON, b"Content-Length: %d\r\n" % len(body)], body)


def cut(whole: bytes, at: int) -> bytes:
    """Send no more of it."""
    return whole[: at % (len(whole) + 1)]


def requests() -> st.SearchStrategy[bytes]:
    """Return what a client may send."""
    starts, bodies = st.sampled_from(STARTS), st.sampled_from(BODIES)
    any_parts = st.builds(sent, starts, st.lists(st.sampled_from(HEADERS), max_size=4), bodies)
    whole = st.builds(measured, starts, bodies)
    broken_off = st.builds(cut, any_parts, st.integers(0, 400))
    several = st.lists(any_parts, max_size=3).map(b"".join)
    return st.one_of(any_parts, whole, broken_off, st.binary(max_size=40), several)


@pytest.fixture(scope="module", params=["socket", "port"])
def hosted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosted]:
    port = 0 if request.param == "port" else None
    with hosting(tmp_path_factory.mktemp("d"), port=port) as hosted:
        yield hosted


def connect(hosted: Hosted) -> socket.socket:
    if hosted.it.path is not None:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(ANSWER_S)
        made.connect(str(hosted.it.path))
        return made
    host, _, port = hosted.it.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=ANSWER_S)


def said_to(hosted: Hosted, raw: bytes) -> bytes:
    """Send bytes, nothing more, and return what comes until the end."""
    with connect(hosted) as client:
        said = bytearray()
        try:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65_536):
                said += part
        except TimeoutError:
            raise
        except OSError:
            pass  # sent away before all was sent
        return bytes(said)


def test_whatever_is_sent_the_answer_is_http_and_nothing_is_left(
    hosted: Hosted, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(raw: bytes) -> None:
        said = said_to(hosted, raw)
        assert said == b"" or said.startswith(b"HTTP/1.1 "), said[:100]
        assert b"\r\nHTTP/1.1 500" not in b"\r\n" + said, raw[:300]
        assert b"Traceback" not in said

    fuzz(answer, requests(), examples=60)

    hosted.is_as_before()
    # Of the sessions that are ended above an undoing may be killed: they get no time.
    of_the_door = [each for each in caplog.records if not each.name.startswith("callboard.events")]
    assert [each.getMessage() for each in of_the_door if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("hosted", ["port"], indirect=True)  # a Unix socket needs no token
def test_nobody_without_the_token_gets_further_than_a_refusal(hosted: Hosted) -> None:
    def refuse(raw: bytes) -> None:
        said = said_to(hosted, raw)
        assert b"HTTP/1.1 2" not in said.replace(b"HTTP/1.1 200 OK\r\n\r\n", b""), raw[:300]

    fuzz(refuse, requests(), examples=30)

    hosted.is_as_before()


@pytest.mark.parametrize(
    "begun",
    [b"", b"G", LINE, LINE + HOST, LINE + HOST + b"a: b"],
    ids=["nothing", "letter", "line", "host", "header"],
)
def test_who_begins_and_goes_no_further_is_sent_away(hosted: Hosted, begun: bytes) -> None:
    with connect(hosted) as client:
        client.sendall(begun)

        assert client.recv(65_536) == b"", f"open for longer than header_s ({BOUNDS.header_s})"

    hosted.is_as_before()
