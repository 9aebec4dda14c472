"""The export over HTTP: who may, what stands in the file, what becomes of a client that leaves or does not read."""

import csv
import io
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from support.api import Api

PATH = "/api/v1/audit-logs.csv"
FIELDS = [
    *("id", "occurred_at", "action", "actor_type", "actor_id", "actor_label", "on_behalf_of_id", "on_behalf_of_label"),
    *("entity_type", "entity_id", "changes", "details", "request_id", "ip", "user_agent"),
]


def export(api: Api, key: str, **query: str) -> list[dict[str, str]]:
    with api.person().client(key) as client:
        # The one before is over a moment after its query is.
        deadline = time.monotonic() + 20
        while (response := client.get(PATH, params=query)).status_code == 429 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert response.headers["content-disposition"] == 'attachment; filename="audit-log.csv"'
    reader = csv.DictReader(io.StringIO(response.content.decode("utf-8"), newline=""), strict=True)
    assert reader.fieldnames == FIELDS
    rows = list(reader)
    assert record_ends(response.content) == {b"\r\n": 1 + len(rows)}
    return rows


def record_ends(content: bytes) -> Counter[bytes]:
    """How the records of a CSV file end, and how many of each: what stands where a quoted field is over."""
    outside = b"".join(content.split(b'"')[::2])
    return Counter(re.findall(rb"\r\n|\r|\n", outside))


def listed(api: Api, key: str, **query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    with api.person().client(key) as client:
        after: dict[str, str] = {}
        while True:
            page = client.get("/api/v1/audit-logs", params={"limit": "200", **query, **after}).json()
            items += page["items"]
            if page["next"] is None:
                return items
            after = {"after": page["next"]}


def own(rows: list[dict[str, Any]]) -> list[str]:
    """The ids of a tenant's own rows. What is announced to all tenants stands first in the file, and in its place in
    the list; how much of it there is depends on which tests ran before."""
    return [row["id"] for row in rows if row["action"] != "operator.all_access_opened"]


@pytest.fixture(scope="module")
def key(api: Api) -> str:
    return api.make_key("audit:read", "audit:export")


def test_the_file_has_what_the_list_has(api: Api, key: str) -> None:
    rows = export(api, key)
    items = listed(api, key)
    assert own(rows) == own(items)
    assert {row["id"] for row in rows} == {item["id"] for item in items}
    newest = next(row for row in rows if row["id"] == own(rows)[0])
    assert newest["action"] == "audit_log.exported"
    assert newest["on_behalf_of_label"] == items[0]["on_behalf_of_label"] == api.person().email


@pytest.mark.parametrize("field", ["action", "actor_id", "entity_type", "entity_id", "from", "to"])
def test_filters_are_those_of_the_list(api: Api, key: str, field: str) -> None:
    sample = listed(api, key)[-3]
    value = sample["occurred_at"] if field in ("from", "to") else sample[field]
    export(api, key, **{field: value})  # so that neither reading finds a row that the other does not
    found = export(api, key, **{field: value})
    items = [item for item in listed(api, key, **{field: value}) if item["action"] != "audit_log.exported"]
    assert own([row for row in found if row["action"] != "audit_log.exported"]) == own(items)
    assert len(items) > 0
    with api.person().client(key) as client:
        nothing = client.get("/api/v1/audit-logs", params={"action": "audit_log.exported", "limit": "1"}).json()
    assert nothing["items"][0]["details"]["filters"].keys() == {field}


def test_an_export_is_on_record_before_its_first_row(api: Api, key: str) -> None:
    before = len(listed(api, key, action="audit_log.exported"))
    with api.person().client(key) as client, client.stream("GET", PATH) as response:
        assert response.status_code == 200
        assert len(listed(api, key, action="audit_log.exported")) == before + 1


def test_who_may_not(api: Api) -> None:
    reader = api.make_key("audit:read")
    for credential, status in ((reader, 403), (api.person("member").token, 403), ("lmn_x", 401), ("x", 401)):
        with api.person().client(credential) as client:
            response = client.get(PATH)
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    with api.person().client(reader) as client:
        denials = client.get("/api/v1/audit-logs", params={"action": "access.denied"}).json()["items"]
    assert denials[0]["details"] == {"permission": "audit:export", "route": f"GET {PATH}"}


def test_what_is_asked_wrongly(api: Api, key: str) -> None:
    with api.person().client(key) as client:
        for query in ({"actor_id": "x"}, {"from": "yesterday-ish"}, {"limit": "5"}, {"color": "red"}):
            assert client.get(PATH, params=query).status_code == 422


def test_one_export_after_the_other(api: Api, key: str) -> None:
    with api.person().client(key) as client:
        assert {client.get(PATH, params={"action": "made.up"}).status_code for _ in range(20)} == {200}


def test_an_export_is_one_call_of_a_key_that_has_a_rate(api: Api) -> None:
    body = {"name": "made by a test", "scopes": ["audit:read", "audit:export"], "calls_per_minute": 1}
    with api.person().client() as owner:
        rated = owner.post("/api/v1/api-keys", json=body).json()["key"]
    assert export(api, rated, action="made.up") == []
    with api.person().client(rated) as client:
        assert int(client.get(PATH).headers["retry-after"]) > 30


def test_another_tenants_rows_are_not_in_it(api: Api, key: str) -> None:
    other = api.make_key("audit:export", "audit:read", tenant=2)
    with api.person(tenant=2).client(other) as client:
        theirs = own(list(csv.DictReader(io.StringIO(client.get(PATH).text, newline=""))))
    assert theirs
    assert set(theirs).isdisjoint(own(export(api, key)))


FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t1",
    "  =1",
    '"=1',
    "'=1",
    "\u00a0=1",
    "\u200b=1",
    "\ufeff=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "\u2a751",
    " \u201c=1",
)


# Spreadsheets that take the comma for a decimal sign begin another cell at a semicolon, another row at a line end;
# what is pasted is split at tabs.
SPLIT = {
    "x;=1": "x;'=1",
    "x; \uff1d1; +1;-": "x;' \uff1d1;' +1;'-",
    'x;"=1': "x;'\"=1",
    "x\n=1": "x\n'=1",
    "x\r\n\n=1": "x\r\n\n'=1",
    "\r=1": "'\r'=1",
    "\t=1": "'\t'=1",
    "x\t\t =1": "x\t\t' =1",
    "=1;=1": "'=1;'=1",
}


def test_what_a_spreadsheet_would_take_for_a_formula(api: Api, key: str) -> None:
    """In each field that somebody from outside has a say in."""
    lines = ("two\r\nlines", "two\nlines", "two\rlines", "x=1\n", "x\r\n", "x\r", 'x"\r\n', "x\n\n")
    harmless = ("plain", "a=b", "1-1", "é", "\U0001f600", 'say "hi", twice', "", "x; y=1;", *lines)
    texts = (*FORMULAS, *SPLIT, *harmless)
    with api.database.connect() as connection:
        for text in texts:
            connection.execute(
                """
                insert into limena.audit_logs (
                    tenant_id, occurred_at, seq, id, action, actor_type, actor_label, on_behalf_of_label, entity_type,
                    entity_id, request_id, user_agent, details
                )
                values (
                    %(tenant)s, clock_timestamp(), nextval('limena.audit_logs_seq_seq'), gen_random_uuid(), 'made.up',
                    'system', %(text)s, %(text)s, %(text)s, %(text)s, %(text)s, %(text)s,
                    jsonb_build_object('text', %(text)s::text)
                )
                """,
                {"tenant": api.person().tenant_id, "text": text},
            )
    rows = export(api, key, action="made.up")
    fields = ("actor_label", "on_behalf_of_label", "entity_type", "entity_id", "request_id", "user_agent")
    for row, text in zip(rows, reversed(texts), strict=True):
        expected = "'" + text if text in FORMULAS else SPLIT.get(text, text)
        assert {row[field] for field in fields} == {expected}
        assert ";" not in row["details"]
        assert json.loads(row["details"]) == {"text": text}
    with api.database.connect() as connection:
        connection.execute("delete from limena.audit_logs where action = 'made.up'")


@pytest.fixture
def many(api: Api) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """So many rows that they do not fit into the buffers between PostgreSQL and a client that does not read."""
    with api.database.connect() as connection:
        fill(connection, api.person().tenant_id)
        yield connection
        connection.execute("delete from limena.audit_logs where action = 'made.up'")


def fill(connection: psycopg.Connection[tuple[Any, ...]], tenant_id: str) -> None:
    connection.execute(
        """
        insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type, details)
        select %s, clock_timestamp(), nextval('limena.audit_logs_seq_seq'), gen_random_uuid(), 'made.up', 'system',
            jsonb_build_object('filling', repeat('x', 1000))
        from generate_series(1, 20000)
        """,
        [tenant_id],
    )


def copying(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    row = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and state <> 'idle'"
        " and query like 'copy (select%'"
    ).fetchone()
    assert row is not None
    count: int = row[0]
    return count


def sleeping(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    row = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
        " and query like 'copy (select%'"
    ).fetchone()
    assert row is not None
    count: int = row[0]
    return count


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_client_that_hangs_up_ends_the_query(api: Api, key: str, many: psycopg.Connection[tuple[Any, ...]]) -> None:
    address = urlsplit(api.base_url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        assert copying(many) == 1
        # Others are served meanwhile: the export has a pool of its own.
        with api.person().client(key) as other:
            assert other.get("/api/v1/audit-logs", params={"limit": "1"}).status_code == 200
    wait_until(lambda: copying(many) == 0)
    assert len(export(api, key, action="made.up")) == 20_000, "and the next one is served in full"


def test_a_client_that_hangs_up_before_the_first_row_ends_the_query(api: Api, key: str) -> None:
    """As where a filter finds nothing in a long log."""
    address = urlsplit(api.base_url)
    with api.database.connect() as connection:
        row = connection.execute("select pg_get_functiondef('limena.exported_tenant_id'::regproc)").fetchone()
        assert row is not None
        definition: str = row[0]
        connection.execute(definition.replace("\nbegin\n", "\nbegin\n    perform pg_sleep(120);\n").encode())
        try:
            with socket.create_connection((address.hostname, address.port)) as client:
                client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
                wait_until(lambda: copying(connection) == 1)
            wait_until(lambda: copying(connection) == 0)
        finally:
            connection.execute(definition.encode())
    assert export(api, key, action="made.up") == [], "and the next one is served"


def test_a_tenants_slow_exports_leave_room_for_others(
    api: Api, key: str, many: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """It is refused a second one at once, while a connection is free and while none is."""
    other = api.make_key("audit:export", "audit:read", tenant=2)
    address = urlsplit(api.base_url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        with api.person().client(key) as same:
            refused = same.get(PATH)
        assert (refused.status_code, refused.json()["type"].split("#")[1]) == (429, "rate_limited")
        assert refused.headers["retry-after"]
        with api.person(tenant=2).client(other) as another:
            assert another.get(PATH).status_code == 200
        fill(many, api.person(tenant=2).tenant_id)
        with socket.create_connection((address.hostname, address.port)) as theirs:
            theirs.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {other}\r\n\r\n".encode())
            assert theirs.recv(1000).startswith(b"HTTP/1.1 200")
            assert copying(many) == 2
            with api.person().client(key) as same:
                assert same.get(PATH).status_code == 429
    wait_until(lambda: copying(many) == 0)
    export(api, key, action="made.up")


def test_what_was_refused_is_not_on_record(api: Api, many: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Not with a key, of which PostgreSQL alone knows whose it is, nor with a session; nor is what HEAD asks for."""
    owner = api.person()
    key = api.make_key("audit:read", "audit:export", "ai:read")
    address = urlsplit(api.base_url)

    def recorded() -> int:
        row = many.execute(
            "select count(*) from limena.audit_logs where tenant_id = %s and action like '%%.exported'",
            [owner.tenant_id],
        ).fetchone()
        assert row is not None
        count: int = row[0]
        return count

    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        before = recorded()
        for credential in (key, owner.token):
            with owner.client(credential) as same:
                answers = [same.get(path).status_code for path in (PATH, "/api/v1/ai/usage.csv")]
                answers += [same.head(path).status_code for path in (PATH, "/api/v1/ai/usage.csv")]
            assert answers == [429, 429, 200, 200]
        assert recorded() == before
    wait_until(lambda: copying(many) == 0)


def test_a_client_that_hangs_up_while_the_first_rows_gather(
    api: Api, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL has sent rows, and not enough of them for a first chunk: what was begun is ended without an error."""
    address = urlsplit(api.base_url)
    with api.database.connect() as connection:
        row = connection.execute("select pg_get_functiondef('limena.csv_text'::regproc)").fetchone()
        assert row is not None
        definition: str = row[0]
        connection.execute(
            """
            insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type, entity_id, details)
            select %s, clock_timestamp(), nextval('limena.audit_logs_seq_seq'), gen_random_uuid(), 'made.up', 'system',
                case i when 1 then 'wait' end, jsonb_build_object('filling', repeat('x', 1000))
            from generate_series(1, 31) as i
            """,
            [api.person().tenant_id],
        )
        connection.execute(
            """
            create or replace function limena.csv_text(p_text text)
            returns text language plpgsql immutable parallel safe security invoker
            as $$ begin perform pg_sleep(120) where p_text = 'wait'; return p_text; end $$
            """
        )
        try:
            with socket.create_connection((address.hostname, address.port)) as client:
                head = f"GET {PATH}?action=made.up HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
                client.sendall(head.encode())
                wait_until(lambda: sleeping(connection) == 1)
            wait_until(lambda: copying(connection) == 0)
        finally:
            connection.execute(definition.encode())
            connection.execute("delete from limena.audit_logs where action = 'made.up'")
    assert export(api, key, action="made.up") == [], "and the next one is served"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_query_that_fails_midway_breaks_the_answer_off(
    api: Api, key: str, many: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """Half a file is not taken for a whole one: the last chunk, which says that it is over, does not come."""
    address = urlsplit(api.base_url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        received = client.recv(1000)
        many.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and query like 'copy (select%' and state <> 'idle'"
        )
        while part := client.recv(1_000_000):
            received = (received + part)[-100:]
    assert not received.endswith(b"0\r\n\r\n")


def test_verification_over_http(api: Api, key: str) -> None:
    with api.database.connect("limena_maintenance") as maintenance:
        for _ in range(3):
            maintenance.execute("select limena.seal_audit_log()")
    with api.person().client(key) as client:
        answer = client.get("/api/v1/audit-logs/verification").json()
        assert (answer["intact"], answer["findings"], answer["next"]) == (True, [], None)
        assert answer["checked_seals"] > 0
        assert answer["checked_rows"] > 0
        with api.database.connect() as superuser:
            row = superuser.execute(
                "update limena.audit_logs set action = 'made.up' where tenant_id = %s and action = 'tenant.created'"
                " returning id",
                [api.person().tenant_id],
            ).fetchone()
            assert row is not None
            answer = client.get("/api/v1/audit-logs/verification").json()
            superuser.execute("update limena.audit_logs set action = 'tenant.created' where id = %s", [row[0]])
        assert answer["intact"] is False
        assert [(found["kind"], found["row_id"]) for found in answer["findings"]] == [("row altered", str(row[0]))]
        for query in ({"limit": "0"}, {"limit": "51"}, {"after": "x"}):
            assert client.get("/api/v1/audit-logs/verification", params=query).status_code == 422
    with api.person("member").client() as client:
        assert client.get("/api/v1/audit-logs/verification").status_code == 403
