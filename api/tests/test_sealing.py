"""Sealing and verification over real connections: what tampering is found, and that every row ends up in one seal.

Without the chain of digests, the rows' digests or the fences one of these fails. What a superuser alters here they
alter with triggers and policies out of the way, as somebody with the whole server would.
"""

import csv
import itertools
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from limena import audit_commands, cli
from limena.embedded import PostgresServer, embedded_bin_dir, system_bin_dirs
from support.databases import Database, create_database, drop_database
from support.fixtures import FORGETFUL

Connection = psycopg.Connection[tuple[Any, ...]]

PLATFORM = "00000000-0000-4000-8000-000000000000"
A = "(select tests.tenant_id('a'))"
UNSEALED = """
    select count(*) from limena.audit_logs
    where action <> 'audit_log.sealed' and seq > (select max(to_seq) from limena.audit_seals)
"""
ROW = f"(select l.seq from limena.audit_logs as l where l.tenant_id = {A} order by l.seq offset %s limit 1)"


@pytest.fixture(scope="module")
def sealed(template: Database) -> Iterator[Database]:
    """A database with two tenants, whose log is sealed in three segments each and one run after that."""
    made = create_database(template.server, "sealed", template)
    with made.connect() as connection:
        connection.execute("select tests.make_tenants()")
        make_rows(connection, 2100)
    seal(made)
    with made.connect() as connection:
        make_rows(connection, 50)
    seal(made)
    try:
        yield made
    finally:
        drop_database(made)


def make_rows(connection: Connection, count: int) -> None:
    connection.execute(
        """
        select limena_private.record_event(
            p_tenant_id => t.id, p_action => 'access.denied', p_details => jsonb_build_object('place', g.place)
        )
        from unnest(array[tests.tenant_id('a'), tests.tenant_id('b')]) as t (id)
        cross join generate_series(1, %s) as g (place)
        """,
        [count],
    )


def seal(database: Database) -> int:
    """Runs until all that is final is sealed: a fence, and what it lets through."""
    with database.connect("limena_maintenance") as maintenance:
        return sum(one(maintenance, "select limena.seal_audit_log()") for _ in range(3))


def one(connection: Connection, query: str, *values: object) -> Any:
    row = connection.execute(query.encode(), values or None).fetchone()
    assert row is not None
    return row[0]


def findings(connection: Connection, tenant: str = A) -> list[tuple[str, str]]:
    rows = connection.execute(f"select kind, detail from limena.verify_audit_log({tenant})".encode()).fetchall()
    return [(kind, detail) for kind, detail in rows]


def kinds(connection: Connection, tenant: str = A) -> set[str]:
    return {kind for kind, _ in findings(connection, tenant)}


@pytest.fixture
def superuser(sealed: Database) -> Iterator[Connection]:
    """Someone who may do anything, and whose doings are rolled back at the end."""
    with sealed.connect(autocommit=False) as connection:
        yield connection
        connection.rollback()


def test_nothing_was_altered_nothing_is_found(sealed: Database) -> None:
    with sealed.connect("limena_maintenance") as maintenance, sealed.connect() as superuser:
        tenants = superuser.execute("select id from limena.tenants").fetchall()
        assert len(tenants) >= 3
        for (tenant,) in tenants:
            found = maintenance.execute("select * from limena.verify_audit_log(%s)", [tenant]).fetchall()
            assert found == []
        assert one(superuser, f"select count(*) from limena.audit_seals where tenant_id = {A}") == 4
        assert one(superuser, UNSEALED) == 0


EVERY_FIELD = {
    "occurred_at": "occurred_at + interval '1 microsecond'",
    "id": "gen_random_uuid()",
    "action": "'access.granted'",
    "actor_type": "'user'",
    "actor_id": "gen_random_uuid()",
    "actor_label": "'mallory'",
    "on_behalf_of_id": "gen_random_uuid()",
    "on_behalf_of_label": "'mallory'",
    "entity_type": "'thing'",
    "entity_id": "'x'",
    "changes": """'{"a": [1, 2]}'""",
    "details": """'{"place": 0}'""",
    "request_id": "'x'",
    "ip": "'192.0.2.1'",
    "user_agent": "'x'",
    "who_salt": "gen_random_uuid()",
    "changes_salt": "gen_random_uuid()",
}


def test_every_field_is_part_of_the_digest(sealed: Database, superuser: Connection) -> None:
    columns = superuser.execute(
        "select attname::text from pg_attribute where attrelid = 'limena.audit_logs'::regclass and attnum > 0"
    ).fetchall()
    assert {name for (name,) in columns} == {*EVERY_FIELD, "tenant_id", "seq"}


@pytest.mark.parametrize("column", EVERY_FIELD)
def test_an_altered_value_is_named(superuser: Connection, column: str) -> None:
    seq = one(superuser, f"select {ROW % 1234}")
    value = EVERY_FIELD[column]
    superuser.execute(f"update limena.audit_logs set {column} = {value} where seq = {seq}".encode())
    kind, detail = findings(superuser)[0]
    assert (kind, f"row {seq} " in detail) == ("row altered", True)
    assert kinds(superuser, "tests.tenant_id('b')") == set()


TAMPERING: dict[str, tuple[str, set[str]]] = {
    "a value is altered": (
        f"update limena.audit_logs set actor_label = 'mallory' where seq = {ROW % 700}",
        {"row altered"},
    ),
    "a row is deleted": (f"delete from limena.audit_logs where seq = {ROW % 700}", {"row missing"}),
    "the first row is deleted": (f"delete from limena.audit_logs where seq = {ROW % 0}", {"row missing"}),
    "a row is added with a number of its own": (
        f"""
        insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
        select tenant_id, occurred_at, -7, gen_random_uuid(), 'access.denied', 'system'
        from limena.audit_logs where seq = {ROW % 700}
        """,
        {"row added"},
    ),
    "a row is added with another one's number": (
        f"""
        insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
        select tenant_id, occurred_at + interval '1 microsecond', seq, gen_random_uuid(), 'access.denied', 'system'
        from limena.audit_logs where seq = {ROW % 700}
        """,
        {"row altered"},  # it has no digest of its own to be held to
    ),
    "a row is added before all others": (
        f"""
        insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
        values ({A}, date_trunc('month', now()), 0, gen_random_uuid(), 'access.denied', 'system')
        """,
        {"row added"},
    ),
    "a row goes to another tenant": (
        f"update limena.audit_logs set tenant_id = tests.tenant_id('b') where seq = {ROW % 700}",
        {"row missing"},
    ),
    "two rows swap their times and numbers": (
        f"""
        with gone as (
            delete from limena.audit_logs where tenant_id = {A} and seq in ({ROW % 5}, {ROW % 9}) returning *
        )
        insert into limena.audit_logs
        select r.*
        from gone as a
        join gone as b on a.seq <> b.seq
        cross join jsonb_populate_record(
            null::limena.audit_logs,
            to_jsonb(a) || jsonb_build_object('seq', b.seq, 'occurred_at', b.occurred_at)
        ) as r
        """,
        {"row altered"},
    ),
    "two rows swap their contents": (
        f"""
        update limena.audit_logs as l set details = o.details
        from limena.audit_logs as o
        where l.tenant_id = {A} and l.seq in ({ROW % 5}, {ROW % 9})
            and o.tenant_id = {A} and o.seq in ({ROW % 5}, {ROW % 9}) and o.seq <> l.seq
        """,
        {"row altered"},
    ),
    "a seal's digest is written anew": (
        f"update limena.audit_seals set digest = sha256('x') where tenant_id = {A} and number = 2",
        {"seal altered"},
    ),
    "a seal says that there were fewer rows": (
        f"update limena.audit_seals set row_count = 1 where tenant_id = {A} and number = 2",
        {"seal altered"},
    ),
    "a seal's first time is moved": (
        f"update limena.audit_seals set first_at = first_at - interval '1 day' where tenant_id = {A} and number = 2",
        {"seal altered"},
    ),
    "a row is deleted, and left out of its seal": (
        f"""
        with gone as (delete from limena.audit_logs where seq = {ROW % 700} returning seq)
        update limena.audit_seals as s
        set row_count = row_count - 1, seqs = array_remove(seqs, gone.seq)
        from gone where tenant_id = {A} and gone.seq = any(seqs)
        """,
        {"seal altered"},
    ),
    "a row is altered, and its seal made anew": (
        f"update limena.audit_logs set action = 'access.granted' where seq = {ROW % 1500}; {{renew}}",
        {"seal altered"},
    ),
    "the last row is altered, and its seal, the last one, made anew": (
        f"update limena.audit_logs set action = 'access.granted' where seq = {ROW % 2150}; {{renew}}",
        {"seal altered"},
    ),
    "the last row is altered, and its seal made anew, and dated back": (
        f"""
        update limena.audit_logs set action = 'access.granted' where seq = {ROW % 2150}; {{renew}};
        update limena.audit_seals set sealed_at = sealed_at - interval '31 days' where tenant_id = {A} and number = 4
        """,
        {"seal altered"},
    ),
    "the last row is altered, its seal made anew, and another event of the run": (
        f"""
        update limena.audit_logs set action = 'access.granted' where seq = {ROW % 2150}; {{renew}};
        insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type, details)
        select e.tenant_id, e.occurred_at - interval '1 microsecond', nextval('limena.audit_logs_seq_seq'),
            gen_random_uuid(), e.action, e.actor_type, e.details || jsonb_build_object('digest', r.digest)
        from (
            select s.to_seq, encode(sha256(string_agg(s.digest, '' order by s.tenant_id, s.number)), 'hex') as digest
            from limena.audit_seals as s group by s.to_seq
        ) as r
        join limena.audit_logs as e
            on e.action = 'audit_log.sealed' and (e.details ->> 'to_seq')::bigint = r.to_seq
        """,
        {"seal altered"},
    ),
    "a row is added in the last moment of a seal": (
        f"""
        insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
        select s.tenant_id, s.last_at, s.seqs[s.row_count] + 1, gen_random_uuid(), 'access.denied', 'system'
        from limena.audit_seals as s where s.tenant_id = {A} and s.number = 2
        """,
        {"row added"},
    ),
    "a row is added with another one's number, at another time": (
        f"""
        insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
        select tenant_id, date_trunc('month', now()), seq, gen_random_uuid(), 'access.denied', 'system'
        from limena.audit_logs where seq = {ROW % 700}
        """,
        {"row added"},
    ),
    "the last seal is deleted, and its rows": (
        f"""
        delete from limena.audit_logs as l using limena.audit_seals as s
        where s.tenant_id = {A} and s.number = 4 and l.tenant_id = s.tenant_id and l.seq = any(s.seqs);
        delete from limena.audit_seals where tenant_id = {A} and number = 4
        """,
        {"seal missing"},
    ),
    "all rows and all seals of the tenant are deleted": (
        f"delete from limena.audit_logs where tenant_id = {A}; delete from limena.audit_seals where tenant_id = {A}",
        {"seal missing"},
    ),
    "a seal is deleted": (
        f"delete from limena.audit_seals where tenant_id = {A} and number = 2",
        {"seal missing", "row added"},
    ),
    "the last seal is deleted": (
        f"delete from limena.audit_seals where tenant_id = {A} and number = 4",
        {"row added", "seal missing"},
    ),
    "all seals of the tenant are deleted": (
        f"delete from limena.audit_seals where tenant_id = {A}",
        {"row added", "seal missing"},
    ),
    "a segment goes as if its time were over": (
        f"""
        delete from limena.audit_logs as l using limena.audit_seals as s
        where s.tenant_id = {A} and s.number = 1 and l.tenant_id = s.tenant_id and l.seq = any(s.seqs);
        update limena.audit_seals set removed_at = now(), seqs = null, row_digests = null
        where tenant_id = {A} and number = 1
        """,
        {"removed unrecorded"},
    ),
    "a partition is truncated": ("truncate {partition}", {"row missing", "seal altered"}),
    "a partition is dropped": ("drop table {partition}", {"row missing", "seal altered"}),
}

RENEW = f"""
do $$
declare
    v_seal limena.audit_seals;
    v_previous bytea;
    v_row record;
begin
    select s.* into v_seal from limena.audit_seals as s
    where s.tenant_id = {A}
        and exists (select from limena.audit_logs as l where l.action = 'access.granted' and l.seq = any(s.seqs));
    select s.digest into v_previous
    from limena.audit_seals as s where s.tenant_id = {A} and s.number = v_seal.number - 1;
    select string_agg(d.digest, ''::bytea order by u.place) into v_seal.row_digests
    from unnest(v_seal.seqs) with ordinality as u (seq, place)
    join limena_private.audit_digests as d on d.tenant_id = v_seal.tenant_id and d.seq = u.seq;
    v_seal.rows_digest := sha256(convert_to(v_seal.seqs::text, 'UTF8') || v_seal.row_digests);
    update limena.audit_seals as s
    set row_digests = v_seal.row_digests,
        rows_digest = v_seal.rows_digest,
        digest = limena_private.seal_digest(v_previous, v_seal)
    where s.tenant_id = v_seal.tenant_id and s.number = v_seal.number;
end;
$$
"""


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_named(superuser: Connection, name: str) -> None:
    statement, expected = TAMPERING[name]
    partition = f"limena.audit_logs_{datetime.now(UTC):%Y_%m}"
    for part in statement.split(";"):
        superuser.execute(part.format(renew=RENEW, partition=partition).encode())
    found = findings(superuser)
    assert {kind for kind, _ in found} == expected, found[:5]


def test_a_tenant_that_was_taken_away_is_still_verified(superuser: Connection) -> None:
    """Its rows, its seals and its row in tenants: the platform's log knows it, and the doctor misses its chain."""
    tenant = one(superuser, f"select {A}")
    known = "select count(*) from limena.sealed_tenants() as t where t.tenant_id = %s"
    superuser.execute("set local session_replication_role = replica")
    for table, column in (("audit_logs", "tenant_id"), ("audit_seals", "tenant_id"), ("tenants", "id")):
        superuser.execute(f"delete from limena.{table} where {column} = %s".encode(), [tenant])
    assert one(superuser, known, tenant) == 1
    assert kinds(superuser, f"'{tenant}'") == {"seal missing"}
    found = [line for (line,) in superuser.execute("select limena.check_audit_log()").fetchall()]
    assert f"tenant {tenant}: seal 4 is not there: run limena audit verify" in found


def test_the_doctor_reads_chains_without_their_rows_digests(superuser: Connection) -> None:
    """They are 40 kB a seal: sorted with the seals they would be written to files."""
    superuser.execute(
        f"""
        insert into limena.audit_seals
        select r.*
        from generate_series(1, 200) as g
        join limena.audit_seals as s on s.tenant_id = {A} and s.number = 2
        cross join jsonb_populate_record(s, jsonb_build_object('tenant_id', gen_random_uuid(), 'number', g)) as r
        """.encode()
    )
    plan = one(superuser, "explain (analyze, buffers, format json) select limena.check_audit_log()")[0]["Plan"]
    assert plan["Actual Rows"] >= 200
    assert plan["Temp Written Blocks"] == 0


def test_cutting_off_the_last_run_shows_in_the_platforms_chain(superuser: Connection) -> None:
    superuser.execute("delete from limena.audit_seals where to_seq = (select max(to_seq) from limena.audit_seals)")
    assert "seal missing" in kinds(superuser, f"'{PLATFORM}'")


def test_every_row_ends_up_in_exactly_one_seal(fresh_database: Callable[[], Database]) -> None:
    """Writers, aborted subtransactions, transactions that abort, one that is prepared and stays, and two sealers. What
    came after the prepared one's numbers waits for it, however many sessions end and however often the sealers run."""
    database = fresh_database()
    with database.connect() as connection:
        connection.execute("select tests.make_tenants()")
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(number: int) -> None:
        with database.connect(autocommit=False) as connection:
            for turn in itertools.count():
                if stop.is_set():
                    return
                make_rows(connection, 3)
                connection.execute("savepoint s")
                make_rows(connection, 2)
                connection.execute("rollback to savepoint s" if turn % 2 else "release savepoint s")
                make_rows(connection, 1)
                if turn % 5 == number % 5:
                    connection.rollback()
                else:
                    connection.commit()

    def keep_sealing() -> None:
        with database.connect("limena_maintenance") as maintenance:
            while not stop.is_set():
                maintenance.execute("select limena.seal_audit_log()")

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return run

    threads = [threading.Thread(target=guarded(lambda n=n: write(n))) for n in range(4)]  # type: ignore[misc]
    threads += [threading.Thread(target=guarded(keep_sealing)) for _ in range(2)]
    for thread in threads:
        thread.start()
    with database.connect(autocommit=False) as holding:
        make_rows(holding, 5)  # their numbers are drawn, and they are not there yet
        held = one(holding, "select max(seq) from limena.audit_logs")
        holding.execute("prepare transaction 'held'")
        holding.commit()
    with database.connect() as looking:
        try:
            while one(looking, "select last_value from limena.audit_logs_seq_seq") < held + 3000 and not failures:
                stop.wait(0.02)
            assert one(looking, "select coalesce(max(to_seq), 0) from limena.audit_seals") < held
        finally:
            looking.execute("commit prepared 'held'")
            stop.set()
            for thread in threads:
                thread.join()
    assert failures == []
    assert seal(database) + seal(database) > 0
    with database.connect() as connection:
        query = """
            select count(*) filter (where u.seals = 1), count(*) filter (where u.seals <> 1)
            from (
                select l.seq, count(s.number) as seals
                from limena.audit_logs as l
                left join limena.audit_seals as s on s.tenant_id = l.tenant_id and l.seq = any(s.seqs)
                where l.seq <= (select max(to_seq) from limena.audit_seals)
                group by l.tenant_id, l.seq
            ) as u
        """
        row = connection.execute(query).fetchone()
        assert row is not None
        assert row[0] > 1000
        assert row[1] == 0
        assert one(connection, "select count(*) from limena.audit_seals where %s = any(seqs)", held) == 1
        assert one(connection, UNSEALED) == 0
        for tenant in (A, "tests.tenant_id('b')", f"'{PLATFORM}'"):
            assert findings(connection, tenant) == []


def test_sealing_is_refused_where_it_would_not_hold(sealed: Database) -> None:
    with sealed.connect("limena_maintenance", autocommit=False) as maintenance:
        maintenance.execute("set transaction isolation level repeatable read")
        with pytest.raises(psycopg.Error) as error:
            maintenance.execute("select limena.seal_audit_log()")
        assert error.value.sqlstate == "25001"
        maintenance.rollback()
        maintenance.execute("select pg_current_xact_id()")
        with pytest.raises(psycopg.Error) as error:
            maintenance.execute("select limena.seal_audit_log()")
        assert error.value.sqlstate == "25001"


def restored(database: Database, target: PostgresServer) -> Database:
    """A copy by pg_dump and psql, on another server."""
    made = create_database(target, "restored")
    source_tools, target_tools = database.server.bin_dir, target.bin_dir
    roles: list[str | Path] = [source_tools / "pg_dumpall", "--roles-only", "-d", database.dsn()]
    tables: list[str | Path] = [source_tools / "pg_dump", "-d", database.dsn()]
    for dump in (roles, tables):
        text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
        psql: list[str | Path] = [target_tools / "psql", "-X", "-q", "-d", made.dsn()]
        errors = subprocess.run(psql, input=text, check=True, capture_output=True, text=True).stderr.splitlines()
        # Some roles are there already; and what PUBLIC lost on functions of PostgreSQL's own (decision 0013) may have
        # another signature there.
        unexpected = [line for line in errors if "already exists" not in line and "function pg_catalog." not in line]
        assert unexpected == []
    return made


def test_a_restored_log_is_held_to_its_seals(sealed: Database, bin_dir: Path, new_folder: Callable[[], Path]) -> None:
    """On the newest server that this machine has, and from the oldest: digests do not depend on the version. (Where it
    has one, on that.) A fence that came with the dump is of another server's transactions, and holds nothing up."""
    newest = max(
        [embedded_bin_dir(), *system_bin_dirs(), bin_dir], key=lambda found: PostgresServer(found, found).version
    )
    target = PostgresServer(new_folder() / "pg", newest, FORGETFUL)
    target.start()
    try:
        with sealed.connect() as source:
            source.execute("insert into limena_private.audit_fences values (999999999999, '999999999999')")
        database = restored(sealed, target)
        with sealed.connect() as source:
            source.execute("delete from limena_private.audit_fences where seq = 999999999999")
        tenants = (A, "tests.tenant_id('b')", f"'{PLATFORM}'")
        with database.connect() as connection:
            assert [findings(connection, tenant) for tenant in tenants] == [[], [], []]
            make_rows(connection, 5)
        seal(database)
        with database.connect() as connection:
            assert one(connection, UNSEALED) == 0
            assert [findings(connection, tenant) for tenant in tenants] == [[], [], []]
        for name in (
            *("a value is altered", "a row is deleted", "a row is added with a number of its own"),
            *("two rows swap their contents", "a seal's digest is written anew", "a partition is truncated"),
        ):
            statement, expected = TAMPERING[name]
            with database.connect(autocommit=False) as connection:
                partition = f"limena.audit_logs_{datetime.now(UTC):%Y_%m}"
                connection.execute(statement.format(partition=partition).encode())
                assert kinds(connection) >= expected
                connection.rollback()
    finally:
        target.stop()
        shutil.rmtree(target.data_dir)


def test_retention_removes_whole_segments_and_says_so(fresh_database: Callable[[], Database]) -> None:
    database = fresh_database()
    with database.connect() as connection:
        connection.execute("select tests.make_tenants()")
        # Two old months, as the worker of that time would have made them.
        for months in (4, 3):
            connection.execute(
                f"""
                do $$
                declare
                    v_month timestamptz := date_trunc('month', now(), 'UTC') - interval '{months} months';
                begin
                    execute format(
                        'create table limena.audit_logs_%s partition of limena.audit_logs for values from (%L) to (%L)',
                        to_char(v_month at time zone 'UTC', 'YYYY_MM'), v_month, v_month + interval '1 month'
                    );
                    execute format(
                        'alter table limena.audit_logs_%1$s owner to limena_owner;'
                        'alter table limena.audit_logs_%1$s enable row level security, force row level security',
                        to_char(v_month at time zone 'UTC', 'YYYY_MM')
                    );
                    insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)
                    select t.id, v_month + interval '1 day' + g * interval '1 second',
                        nextval('limena.audit_logs_seq_seq'), gen_random_uuid(), 'access.denied', 'system'
                    from unnest(array[tests.tenant_id('a'), tests.tenant_id('b')]) as t (id)
                    cross join generate_series(1, 1500) as g
                    order by g;
                end $$
                """.encode()
            )
    seal(database)
    retain = "select limena.apply_retention()"
    with database.connect("limena_maintenance") as maintenance, database.connect() as superuser:
        assert one(maintenance, retain) == 0, "two years are not over"
        superuser.execute("update limena.tenants set audit_retention_days = 60")
        assert one(maintenance, retain) == 0, "a shorter time counts after 30 days"
        superuser.execute("delete from limena.audit_logs where action = 'tenant.updated'")
        superuser.execute("update limena.tenants set audit_retention_days = 3650 where id = tests.tenant_id('b')")
        b = "select count(*) from limena.audit_logs where tenant_id = tests.tenant_id('b')"
        before = one(superuser, b)
        # A segment that does not hold to its seal stays, and so does what comes after it.
        superuser.execute(f"update limena.audit_logs set action = 'x.x' where seq = {ROW % 1200}".encode())
        altered = one(superuser, f"select {ROW % 1200}")
        removed = one(maintenance, retain)
        assert removed >= 1
        assert one(maintenance, retain) == 0
        assert kinds(superuser) == {"row altered"}
        superuser.execute("update limena.audit_logs set action = 'access.denied' where action = 'x.x'")
        assert one(superuser, f"select {ROW % 0}") <= altered
        assert one(maintenance, retain) >= 1
        assert one(superuser, b) == before, "the other tenant's rows stay"
        assert findings(superuser) == findings(superuser, "tests.tenant_id('b')") == []
        old = (
            f"select count(*) from limena.audit_logs where tenant_id = {A} and occurred_at < now() - interval '60 days'"
        )
        assert one(superuser, old) < 1000, "what is left shares a segment with younger rows"
        with database.connect("limena_app") as app, app.transaction():
            app.execute("select tests.enter_as('a', 'admin')")
            told = app.execute("select details from limena.audit_logs where action = 'audit_log.removed'").fetchall()
        gone = f"select sum(row_count) from limena.audit_seals where tenant_id = {A} and removed_at is not null"
        assert sum(details["rows"] for (details,) in told) == one(superuser, gone)
        # And nobody takes more away under its cover.
        superuser.execute(
            f"delete from limena.audit_logs where tenant_id = {A} and action = 'audit_log.removed'".encode()
        )
        assert kinds(superuser) == {"removed unrecorded"}
        long_ago = "update limena.audit_seals set removed_at = now() - interval '31 days' where removed_at is not null"
        superuser.execute(long_ago.encode())
        assert kinds(superuser) == {"removed unrecorded"}, "dated back or not"
        # An export that reads all partitions does not undo what is removed: only a month's partition waits for it.
        superuser.execute("update limena.tenants set audit_retention_days = 60")
        superuser.execute("delete from limena.audit_logs where action = 'tenant.updated'")
        with database.connect(autocommit=False) as reader:
            reader.execute("lock table limena.audit_logs in access share mode")
            assert one(maintenance, retain) >= 1
            reader.rollback()
        assert one(superuser, b) < before
        partitions = "select count(*) from pg_inherits where inhparent = 'limena.audit_logs'::regclass"
        there = one(superuser, partitions)
        one(maintenance, retain)
        assert one(superuser, partitions) < there


def test_the_shortest_retention_binds_the_owner(sealed: Database) -> None:
    with sealed.connect(autocommit=False) as connection:
        connection.execute("set role limena_owner")
        assert connection.execute("delete from limena.audit_logs").rowcount == 0
        assert connection.execute("update limena.audit_logs set action = 'x.x'").rowcount == 0
        assert connection.execute("delete from limena.audit_seals").rowcount == 0
        connection.rollback()


def test_the_command_line_verifies(
    sealed: Database, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMENA_MAINTENANCE_DSN", sealed.dsn("limena_maintenance"))
    # A filter that somebody gave the role, or the environment: an export is of everything all the same.
    monkeypatch.setenv(
        "LIMENA_READONLY_DSN", make_conninfo(sealed.dsn("limena_readonly"), options="-c app.export_action=x.x")
    )
    assert cli.main(["audit", "verify"]) == 0
    told = capfd.readouterr()
    assert "intact" in told.out
    with sealed.connect() as superuser:
        seals = one(superuser, "select count(*) from limena.audit_seals")
    assert f"[{'#' * 30}] {seals} of {seals}\n" in told.err, "the progress bar"
    with sealed.connect() as superuser:
        tenant, seq = one(superuser, f"select {A}"), one(superuser, f"select {ROW % 1234}")
        superuser.execute("update limena.audit_logs set action = 'x.x' where seq = %s", [seq])
        for arguments in (["audit", "verify"], ["audit", "verify", "--tenant", str(tenant)]):
            assert cli.main(arguments) == 1
            assert f"tenant {tenant}: row altered: seal 2, row {seq} (x.x)" in capfd.readouterr().out
        superuser.execute("update limena.audit_logs set action = 'access.denied' where seq = %s", [seq])
        with superuser.transaction():
            superuser.execute("create temporary table kept as select * from limena.audit_logs where seq = %s", [seq])
            superuser.execute("delete from limena.audit_logs where seq = %s", [seq])
        assert cli.main(["audit", "verify", "--tenant", str(tenant)]) == 1
        assert capfd.readouterr().out == f"tenant {tenant}: row missing: seal 2, row {seq}\n"
        superuser.execute("insert into limena.audit_logs select * from kept")
        # What is wrong with the whole is told once, also where the last piece of seals was a full one.
        superuser.execute(
            "insert into limena.audit_logs (tenant_id, occurred_at, seq, id, action, actor_type)"
            " values (%s, date_trunc('month', now()), -7, gen_random_uuid(), 'x.x', 'system')",
            [tenant],
        )
        monkeypatch.setattr(audit_commands, "SEGMENTS_AT_ONCE", 2)
        assert cli.main(["audit", "verify", "--tenant", str(tenant)]) == 1
        assert capfd.readouterr().out.count("row added") == 1
        superuser.execute("delete from limena.audit_logs where seq = -7")
        assert cli.main(["audit", "verify", "--tenant", PLATFORM[:-1] + "9"]) == 1
        out = tmp_path / "log.csv"
        export = ["audit", "export", "--tenant", str(tenant), "--reason", "an auditor asked", "--out", str(out)]
        assert cli.main(export) == 0
        rows = one(superuser, f"select count(*) from limena.audit_logs where tenant_id = {A}")
        with out.open(newline="", encoding="utf-8") as file:
            written = list(csv.DictReader(file, strict=True))
        assert len(written) == rows - 1  # the access was closed afterwards
        assert out.read_bytes().count(b"\r\n") == len(written) + 1, "each record ends in CR LF"
        assert out.stat().st_mode & 0o077 == 0
        assert any("an auditor asked" in row["details"] for row in written)
        assert cli.main(export) == 1, "a file that is there is not written over"
