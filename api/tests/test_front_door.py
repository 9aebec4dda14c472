"""What meets a request before a procedure is called, on real sockets: framing, sizes, times, methods, headers, CORS.

Would fail without `limena.http_protocol` (uvicorn by itself waits for ever for a head and a body, and answers with bare
text), and without the middleware that each test names."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from limena.config import ConfigError, Settings
from limena.http_protocol import MAX_FIELDS, MAX_HEAD_BYTES, MAX_LINGERING, MAX_URL_BYTES
from limena.middleware import HSTS, security_headers
from limena.routes import ENDPOINTS
from limena.routing import HandlerRoute
from support.door import PATIENCE, Answer, Door, door_environment, read_answers

LOG_IN = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
IMPATIENT = {"LIMENA_HEADER_TIMEOUT_SECONDS": "0.4", "LIMENA_BODY_TIMEOUT_SECONDS": "0.4"}


async def _echo(request: Request) -> Response:
    body = await request.body()
    return Response(body + repr(sorted(request.headers)).encode())


# No state changes, so no CSRF token is asked for.
ECHO = HandlerRoute(
    method="GET", path="/echo", tag="platform", summary="Echo", description="", handler=_echo, answer=None
)


async def _slow(_request: Request) -> Response:
    await asyncio.sleep(1.0)
    return Response(b"done")


SLOW = HandlerRoute(
    method="GET", path="/slow", tag="platform", summary="Slow", description="", handler=_slow, answer=None
)


def only(answers: list[Answer]) -> Answer:
    assert len(answers) == 1, answers
    return answers[0]


def is_ours(answer: Answer, *, hsts: bool = False) -> None:
    """Every answer, errors of the protocol too, has the headers."""
    for name, value in security_headers(hsts=hsts).items():
        assert answer.headers[name.lower()] == value
    assert answer.headers["x-request-id"]
    assert "server" not in answer.headers


# Two readings
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999999999",
        b"Content-Length : 5",
        b" Content-Length: 5",
        b"Host: y",
        b"X: a\rb",
        b"X: a\x00b",
        b"X\x01: a",
        b"no colon",
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(start_door: Callable[..., Door], head: bytes) -> None:
    door = start_door([*ENDPOINTS, ECHO])
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = only(door.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + smuggled))
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert answer.headers["connection"] == "close"
    is_ours(answer)


def test_a_request_has_one_host(start_door: Callable[..., Door]) -> None:
    door = start_door()
    assert only(door.send(b"GET /healthz HTTP/1.1\r\n\r\n")).status == 400
    assert only(door.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n")).status == 400
    assert only(door.send(b"GET /healthz HTTP/1.0\r\n\r\n")).status == 200


def test_a_trailer_adds_no_header(start_door: Callable[..., Door]) -> None:
    door = start_door([*ENDPOINTS, ECHO])
    head = b"GET /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = only(door.send(head, b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"))
    assert answer.status == 200
    assert b"abc" in answer.body
    assert b"authorization" not in answer.body


def test_trailers_and_chunk_extensions_have_an_end(start_door: Callable[..., Door]) -> None:
    door = start_door([*ENDPOINTS, ECHO])
    head = b"GET /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for endless in (b"3;x=" + b"a" * MAX_HEAD_BYTES, b"0\r\nX: " + b"a" * MAX_HEAD_BYTES):
        answer = only(door.send(head, endless))
        assert (answer.status, answer.code) == (400, "invalid_request")


@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_make_a_server_error(noise: bytes) -> None:
    """What a client sends is never our fault."""
    with _noise_door().connect() as connection:
        connection.sendall(noise + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        for answer in read_answers(connection):
            assert answer.status < 500
            is_ours(answer)


_doors: list[Door] = []


def _noise_door() -> Door:
    return _doors[0]


@pytest.fixture(autouse=True)
def _noise(request: pytest.FixtureRequest) -> None:
    """hypothesis and function-scoped fixtures do not mix."""
    if "noise" in request.node.name or "no_bytes" in request.node.name:
        _doors[:] = [request.getfixturevalue("start_door")(LIMENA_RATE_LIMITS="off")]


# Sizes
# ---------------------------------------------------------------------------------------------------------


def test_heads_have_a_size(start_door: Callable[..., Door]) -> None:
    door = start_door()
    for status, code, head in [
        (414, "uri_too_long", b"GET /" + b"a" * MAX_URL_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (414, "uri_too_long", b"GET /" + b"a" * (MAX_URL_BYTES + MAX_HEAD_BYTES)),  # no end in sight
        (431, "headers_too_large", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n"),
        (431, "headers_too_large", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (MAX_URL_BYTES + MAX_HEAD_BYTES)),
        (431, "headers_too_large", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * MAX_FIELDS + b"\r\n"),
    ]:
        answer = only(door.send(head))
        assert (answer.status, answer.code) == (status, code)
        is_ours(answer)
    most = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"a" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n"
    assert only(door.send(most)).status == 200


def test_connections_have_a_number(start_door: Callable[..., Door]) -> None:
    door = start_door(LIMENA_MAX_CONNECTIONS="2")
    with door.connect() as first, door.connect() as second:
        for held in (first, second):  # answered: so the server has seen them
            held.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert held.recv(12) == b"HTTP/1.1 200"
        answer = only(door.send())
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.headers["retry-after"]


def knock(held: socket.socket) -> bytes:
    try:
        held.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return held.recv(12)
    except ConnectionError:  # refused, and closed on what we had not sent yet
        return b""


def test_one_address_does_not_take_all_connections(start_door: Callable[..., Door]) -> None:
    door = start_door(LIMENA_MAX_CONNECTIONS_PER_ADDRESS="2")

    def connect(source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection((door.host, door.port), PATIENCE, source_address=(source, 0))

    with connect() as first, connect() as second:
        assert [knock(held) for held in (first, second)] == [b"HTTP/1.1 200"] * 2
        with connect() as third:
            (answer,) = read_answers(third)
        assert (answer.status, answer.code) == (503, "unavailable")
        with connect("127.0.0.2") as other:
            assert knock(other) == b"HTTP/1.1 200", "another address has connections of its own"
        second.close()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with connect() as again:
                if knock(again) == b"HTTP/1.1 200":
                    break
        else:
            pytest.fail("a connection that was closed still counts")


def test_who_is_refused_shuts_nobody_out(start_door: Callable[..., Door]) -> None:
    """One address keeps coming, over its number: it takes no place of another's, not for the moment in which it is
    refused either. Would fail if refused connections counted, or lingered without an end."""
    door = start_door(LIMENA_MAX_CONNECTIONS="4", LIMENA_MAX_CONNECTIONS_PER_ADDRESS="2")

    def connect(source: str) -> socket.socket:
        return socket.create_connection((door.host, door.port), PATIENCE, source_address=(source, 0))

    with ExitStack() as stack:
        for _ in range(2):
            assert knock(stack.enter_context(connect("127.0.0.1"))) == b"HTTP/1.1 200"
        for refused in [stack.enter_context(connect("127.0.0.1")) for _ in range(10)]:
            (answer,) = read_answers(refused)  # to its end: the server has closed it
            assert answer.status == 503
        for _ in range(2):
            assert knock(stack.enter_context(connect("127.0.0.2"))) == b"HTTP/1.1 200", "there is room for four"
        full = [stack.enter_context(connect(f"127.0.1.{1 + number}")) for number in range(MAX_LINGERING + 20)]
        assert all(only(read_answers(refused)).status == 503 for refused in full), "all are taken"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with connect("127.0.0.3") as again:
            if knock(again) == b"HTTP/1.1 200":
                break
    else:
        pytest.fail("nobody is left, and still there is no room")


def test_a_proxy_may_have_all_connections(start_door: Callable[..., Door]) -> None:
    proxy = start_door(LIMENA_MAX_CONNECTIONS_PER_ADDRESS="1", LIMENA_TRUSTED_PROXIES="127.0.0.0/8")
    with proxy.connect() as first, proxy.connect() as second:
        assert [knock(held) for held in (first, second)] == [b"HTTP/1.1 200"] * 2, "everybody comes from a proxy's"


# Times
# ---------------------------------------------------------------------------------------------------------


def test_a_slow_head_is_cut(start_door: Callable[..., Door]) -> None:
    """Slow loris: a byte now and then keeps no connection open."""
    door = start_door(**IMPATIENT)
    with door.connect() as connection:
        started = time.monotonic()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"X: y\r\n")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = only(read_answers(connection))
        stop.set()
        dripping.join()
    assert (answer.status, answer.code) == (408, "request_timeout")
    assert time.monotonic() - started < 10
    is_ours(answer)


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_a_connection_without_a_request_is_cut(start_door: Callable[..., Door], sent: bytes) -> None:
    assert [answer.status for answer in start_door(**IMPATIENT).send(sent)] in ([], [408])


def test_the_time_of_a_second_head_begins_anew(start_door: Callable[..., Door]) -> None:
    door = start_door(**IMPATIENT)
    first, second = door.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /healthz HTTP/1.1\r\n")
    assert (first.status, second.status) == (200, 408)


@pytest.mark.parametrize("framing", [b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"])
def test_a_slow_body_is_cut(start_door: Callable[..., Door], framing: bytes) -> None:
    door = start_door([*ENDPOINTS, ECHO], **IMPATIENT)
    answer = only(door.send(b"GET /echo HTTP/1.1\r\nHost: x\r\n" + framing))
    assert (answer.status, answer.code) == (408, "request_timeout")
    is_ours(answer)


def test_a_body_that_nobody_reads_is_cut_too(start_door: Callable[..., Door]) -> None:
    """404 is the answer, and the rest of the body holds the connection for no longer than another's."""
    door = start_door(**IMPATIENT)
    answer = only(door.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"))
    assert answer.status == 404


def test_a_slow_answer_is_nobodys_fault(start_door: Callable[..., Door]) -> None:
    """The time-outs are the client's: what we take longer for is answered, what is pipelined behind it too."""
    door = start_door([*ENDPOINTS, SLOW], **IMPATIENT)
    with door.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        answers = read_answers(connection)
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"done")] * 2


def test_an_early_request_is_answered_before_a_bad_one_ends_the_connection(start_door: Callable[..., Door]) -> None:
    door = start_door([*ENDPOINTS, SLOW])
    answers = door.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00nonsense\r\n\r\n")
    assert [answer.status for answer in answers] == [200]


def test_a_declared_length_is_checked_before_a_byte_is_read(start_door: Callable[..., Door]) -> None:
    door = start_door([*ENDPOINTS])
    csrf = _csrf(door)
    head = LOG_IN + csrf + b"Content-Length: 999999999\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    answer = only(door.send(head))  # the first line is not 100 Continue
    assert (answer.status, answer.code) == (413, "payload_too_large")


def _csrf(door: Door) -> bytes:
    with door.client() as client:
        token = client.get("/api/v1/auth/csrf").json()["csrf_token"]
        cookie = client.cookies["limena_csrf"]
    return f"X-CSRF-Token: {token}\r\nCookie: limena_csrf={cookie}\r\n".encode("ascii")


# Methods
# ---------------------------------------------------------------------------------------------------------


def test_methods(start_door: Callable[..., Door]) -> None:
    door = start_door()
    with door.client() as client:
        head = client.head("/healthz")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == client.get("/healthz").headers["content-length"]
        options = client.options("/healthz")
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        assert client.options("/nowhere").status_code == 404
        for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
            response = client.request(method, "/healthz")
            assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    for line in (b"BREW /healthz HTTP/1.1", b"get /healthz HTTP/1.1", b"CONNECT x:1 HTTP/1.1", b"OPTIONS * HTTP/1.1"):
        answer = only(door.send(line + b"\r\nHost: x\r\n\r\n"))
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert "GET" in answer.headers["allow"]
        is_ours(answer)


def test_an_upgrade_is_not_made(start_door: Callable[..., Door]) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = only(start_door().send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + upgrade))
    assert answer.status == 200


# Headers
# ---------------------------------------------------------------------------------------------------------


def test_every_answer_has_the_headers(start_door: Callable[..., Door]) -> None:
    door = start_door(
        LIMENA_ENV="production",
        LIMENA_BASE_URL="https://limena.example.com",
        LIMENA_BCRYPT_COST="10",
        LIMENA_HEADER_TIMEOUT_SECONDS="0.4",
        LIMENA_RATE_LIMIT_REGISTRATION="1/hour",
    )
    raw = [
        (200, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (503, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (401, b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (404, b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (405, b"PUT /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (204, b"OPTIONS /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (403, b"POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (429, b"POST /api/v1/auth/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (400, b"GET nonsense\r\n\r\n"),
        (405, b"BREW / HTTP/1.1\r\n\r\n"),
        (408, b"GET / HTTP/1.1\r\n"),
        (414, b"GET /" + b"a" * MAX_URL_BYTES + b" HTTP/1.1\r\n\r\n"),
    ]
    for status, request in raw:
        answer = only(door.send(request))
        assert answer.status == status
        assert answer.headers["strict-transport-security"] == HSTS
        for name in ("content-security-policy", "x-content-type-options", "referrer-policy", "permissions-policy"):
            assert answer.headers[name]
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "server" not in answer.headers


def test_development_sends_no_hsts(start_door: Callable[..., Door]) -> None:
    with start_door().client() as client:
        assert "strict-transport-security" not in client.get("/healthz").headers


def test_other_hosts_are_refused_where_hosts_are_named(start_door: Callable[..., Door]) -> None:
    with start_door(LIMENA_ALLOWED_HOSTS="limena.example.com").client() as client:
        assert client.get("/openapi.json", headers={"Host": "evil.example.com"}).status_code == 400
        assert client.get("/openapi.json", headers={"Host": "limena.example.com"}).status_code == 503
        assert client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200
    with start_door().client() as client:
        answer = client.get("/nowhere", headers={"Host": "evil.example.com"})
        assert "evil" not in answer.text + str(answer.headers)  # nothing is built from it


def test_cors_is_closed_unless_origins_are_named(start_door: Callable[..., Door]) -> None:
    ask = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    with start_door().client() as client:
        for response in (client.options("/api/v1/me", headers=ask), client.get("/healthz", headers=ask)):
            assert not [name for name in response.headers if name.startswith("access-control-")]
    with start_door(LIMENA_CORS_ORIGINS="https://app.example.com").client() as client:
        allowed = client.options("/api/v1/me", headers=ask | {"Access-Control-Request-Headers": "X-CSRF-Token"})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
        assert allowed.headers["access-control-allow-credentials"] == "true"
        error = client.get("/nowhere", headers=ask)
        assert error.headers["access-control-allow-origin"] == "https://app.example.com"
        for origin in (
            "https://evil.example.com",
            "null",
            "https://app.example.com.evil.com",
            "http://app.example.com",
        ):
            other = ask | {"Origin": origin}
            for response in (client.options("/api/v1/me", headers=other), client.get("/healthz", headers=other)):
                assert "access-control-allow-origin" not in response.headers


def test_who_to_tell_of_a_hole(start_door: Callable[..., Door]) -> None:
    with start_door(LIMENA_SECURITY_CONTACT="mailto:holes@example.com").client() as client:
        response = client.get("/.well-known/security.txt")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in response.text.splitlines())
    assert fields["Contact"] == "mailto:holes@example.com"
    until = time.mktime(time.strptime(fields["Expires"], "%Y-%m-%dT%H:%M:%SZ")) - time.time()
    assert 0 < until < 366 * 24 * 3600  # RFC 9116 section 2.5.5
    with start_door().client() as client:
        assert "Contact: mailto:security@localhost" in client.get("/.well-known/security.txt").text


# Settings
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIMENA_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("LIMENA_TRUSTED_PROXIES", "::/0"),
        ("LIMENA_TRUSTED_PROXIES", "proxy.example.com"),
        ("LIMENA_PROXY_HEADER", "x-real-ip"),
        ("LIMENA_ALLOWED_HOSTS", "https://x"),
        ("LIMENA_CORS_ORIGINS", "*"),
        ("LIMENA_CORS_ORIGINS", "https://x.example.com/"),
        ("LIMENA_CORS_ORIGINS", "null"),
        ("LIMENA_RATE_LIMITS", "no"),
        ("LIMENA_RATE_LIMIT_STORAGE", "nonsense"),
        ("LIMENA_RATE_LIMIT_STORAGE", "postgresql://x"),
        ("LIMENA_RATE_LIMIT_LOG_IN", "0/minute"),
        ("LIMENA_RATE_LIMIT_LOG_IN", "often"),
        ("LIMENA_RATE_LIMIT_OTHER", "5"),
        ("LIMENA_METRICS", "maybe"),
        ("LIMENA_METRICS_TOKEN", "short"),
        ("LIMENA_SECURITY_CONTACT", "me"),
        ("LIMENA_TLS_CERT", "cert.pem"),
        ("LIMENA_TLS_KEY", "key.pem"),
    ],
)
def test_what_would_leave_the_door_open_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings.from_env(door_environment("http://127.0.0.1:8000", **{name: value}))
    assert [problem for problem in error.value.problems if name in problem]


def test_production_refuses_to_switch_the_limits_off_and_no_secret_is_repeated() -> None:
    environment = door_environment(
        "https://limena.example.com",
        LIMENA_ENV="production",
        LIMENA_RATE_LIMITS="off",
        LIMENA_RATE_LIMIT_STORAGE="nonsense://:hunter2-hunter2@x",
        LIMENA_METRICS_TOKEN="hunter2",
        LIMENA_BCRYPT_COST="12",
    )
    with pytest.raises(ConfigError) as error:
        Settings.from_env(environment)
    assert len(error.value.problems) == 3
    assert "hunter2" not in str(error.value)
