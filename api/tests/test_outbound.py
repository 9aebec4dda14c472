"""Server-side request forgery: whatever is not the public internet is refused, in every spelling, at the moment of the
connection, and the connection goes to the address that was checked."""

import asyncio
import gzip
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx2
import pytest

from limena.outbound import _NOWHERE as NOWHERE
from limena.outbound import Guard, OutboundRefused, is_public, networks
from support.api import Api
from support.people import register

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1",
    "2a00:1450::5efe:808:808",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3",  # noqa: S104 – none is bound to
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.127.255.254", "100.100.100.200", "168.63.129.16", "192.0.0.1", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::a00:1", "fe80::1",
    "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1",
    "::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe", "2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:a9fe:a9fe",
    "fe80::5efe:8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_the_public_internet(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_not(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


def refused(url: str, guard: Guard | None = None) -> str:
    with pytest.raises(OutboundRefused) as error:
        asyncio.run((guard or Guard()).check_url(url))
    return str(error.value)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1",
        "0177.0.0.1", "017700000001", "0", "0x7f.0.0.0x1", "127.000.000.001", "[::1]", "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]", "[::]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "2852039166",
        "0xa9fea9fe", "[fe80::1]", "[fd00:ec2::254]", "10.1", "1e1", "①②⑦.0.0.1", "127。0。0。1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("port", ["", ":443", ":8080"])
def test_every_spelling_is_refused(host: str, port: str) -> None:
    """Where the system reads an address in it, that is refused; where it does not, the name does not resolve."""
    assert refused(f"https://{host}{port}/v1") == NOWHERE


@pytest.mark.parametrize(
    "url",
    [
        "", "api.example.com", "//1.1.1.1", "https://", "https:///v1", "https://user@1.1.1.1/", "https://u:p@1.1.1.1/",
        "https://1.1.1.1/?x=1", "https://1.1.1.1/#x", "https://1.1.1.1\\@127.0.0.1/", "https://1.1.1.1:99999/",
        "https://[1.1.1.1/",
    ],
)  # fmt: skip
def test_what_is_no_plain_url(url: str) -> None:
    assert refused(url)


@pytest.mark.parametrize("url", ["http://1.1.1.1/", "ftp://1.1.1.1/", "file://1.1.1.1/etc/passwd", "gopher://1.1.1.1/"])
def test_only_https(url: str) -> None:
    assert refused(url) == "must begin with https://"


def test_public_addresses_pass() -> None:
    asyncio.run(Guard().check_url("https://1.1.1.1/v1"))
    asyncio.run(Guard().check_url("https://[2606:4700:4700::1111]:8443/v1"))


def test_development_lets_networks_in() -> None:
    guard = Guard(networks("127.0.0.0/8, ::1/128"))
    asyncio.run(guard.check_url("http://127.0.0.1:8080/v1"))
    asyncio.run(guard.check_url("https://2130706433/v1"))
    asyncio.run(guard.check_url("http://[::ffff:127.0.0.1]/"))
    assert refused("https://169.254.169.254/", guard) == NOWHERE
    assert refused("http://1.1.1.1/", guard) == "must begin with https://"
    with pytest.raises(ValueError, match="CIDR"):
        networks("localhost")


# The connection


class Handler(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.headers["Host"], self.path))
        match self.path:
            case "/redirect":
                self._answer(302, b"", Location="http://169.254.169.254/latest/meta-data")
            case "/redirect-here":
                self._answer(302, b"", Location="/")
            case "/large":
                self._answer(200, b"x" * 200_000)
            case "/bomb":
                self._answer(200, gzip.compress(b"x" * 5_000_000), **{"Content-Encoding": "gzip"})
            case "/slow":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                with suppress(OSError):
                    for _ in range(1000):
                        self.wfile.write(b"x")
                        time.sleep(0.05)
            case _:
                self._answer(200, b"here")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


LOOPBACK = Guard(networks("127.0.0.0/8"))


def get(url: str, guard: Guard = LOOPBACK, *, follow: bool = False, seconds: float = 5.0) -> httpx2.Response:
    async def fetch() -> httpx2.Response:
        async with guard.client(seconds=seconds, max_bytes=100_000) as client:
            return await client.get(url, follow_redirects=follow)

    return asyncio.run(fetch())


def test_a_connection_inside_is_refused_before_it_is_made(port: int) -> None:
    Handler.seen.clear()
    for host in ("127.0.0.1", "localhost", "2130706433"):
        with pytest.raises(OutboundRefused):
            get(f"http://{host}:{port}/", Guard())
        with pytest.raises(OutboundRefused):
            get(f"https://{host}:{port}/", Guard())
    assert Handler.seen == []
    assert get(f"http://127.0.0.1:{port}/").text == "here"


def test_a_redirect_is_not_followed_and_checked_when_it_is(port: int) -> None:
    assert get(f"http://127.0.0.1:{port}/redirect").status_code == 302
    with pytest.raises(OutboundRefused):
        get(f"http://127.0.0.1:{port}/redirect", follow=True)
    assert get(f"http://127.0.0.1:{port}/redirect-here", follow=True).text == "here"


def test_the_name_is_asked_once_and_the_checked_address_is_connected_to(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a name whose second answer is another one. The server is told the name all the same."""
    asked: list[str] = []
    answers = iter(["127.0.0.1", "127.0.0.2", "10.0.0.1"])
    real = socket.getaddrinfo

    def rebinding(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "rebinding.example":
            asked.append(host)
            host = next(answers)
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    Handler.seen.clear()
    answer = get(f"http://rebinding.example:{port}/", Guard(networks("127.0.0.1/32")))
    assert answer.text == "here"
    assert asked == ["rebinding.example"]
    assert Handler.seen == [(f"rebinding.example:{port}", "/")]
    with pytest.raises(OutboundRefused):
        get(f"http://rebinding.example:{port}/", Guard(networks("127.0.0.1/32")))


def test_a_name_with_a_public_and_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def both(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "both.example":
            return real(host, port, *arguments, **options)
        return [entry for one in ("1.1.1.1", "10.0.0.1") for entry in real(one, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert refused("https://both.example/") == NOWHERE


def test_a_tenant_has_two_look_ups_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the threads are free, not until somebody gives up waiting for them."""
    real, answers, asked = socket.getaddrinfo, threading.Event(), threading.Semaphore(0)

    def slow(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "slow.example":
            asked.release()
            answers.wait(20)
            host = "1.1.1.1"
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    guard = Guard()

    async def ask() -> None:
        slowly = [asyncio.create_task(guard.check_url("https://slow.example/", on_behalf_of="a")) for _ in range(2)]
        for _ in slowly:
            assert await asyncio.to_thread(asked.acquire, timeout=20)
        slowly[0].cancel()
        await asyncio.wait(slowly[:1])
        with pytest.raises(OutboundRefused, match="others of yours"):
            await guard.check_url("https://1.1.1.1/", on_behalf_of="a")
        await guard.check_url("https://1.1.1.1/", on_behalf_of="b")
        answers.set()
        await slowly[1]

    try:
        asyncio.run(ask())
    finally:
        answers.set()
    guard._resolvers.shutdown()
    assert not guard._under_way, "each is counted off"


def test_a_body_has_bounds(port: int) -> None:
    with pytest.raises(OutboundRefused, match="too large"):
        get(f"http://127.0.0.1:{port}/large")
    with pytest.raises(OutboundRefused, match="compressed"):
        get(f"http://127.0.0.1:{port}/bomb")
    started = time.monotonic()
    with pytest.raises(httpx2.ReadTimeout):
        get(f"http://127.0.0.1:{port}/slow", seconds=0.3)
    assert time.monotonic() - started < 10, "a byte now and then does not keep it waiting"


def test_proxies_of_the_environment_are_not_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(f"http://127.0.0.1:{port}/").text == "here"


# Over HTTP


def test_a_tenants_base_url(api: Api) -> None:
    client = register(api).client
    path = "/api/v1/integrations/openai-compatible"

    def put(base_url: str) -> tuple[int, Any]:
        answer = client.put(path, json={"secret": "sk-marked", "label": "x", "base_url": base_url})
        return answer.status_code, answer.json()

    # The shared server lets loopback in, for its OAuth 2 provider.
    for base_url in ("https://169.254.169.254/v1", "https://10.0.0.1", "http://1.1.1.1/v1", "https://x@1.1.1.1", "x"):
        status, document = put(base_url)
        assert (status, document["errors"][0]["field"]) == (422, "base_url"), base_url
        assert "10.0.0.1" not in document["errors"][0]["message"]
    status, document = put("https://1.1.1.1/v1")
    assert (status, document["base_url"]) == (200, "https://1.1.1.1/v1")
    client.close()
