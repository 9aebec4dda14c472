"""`limena doctor`: configuration and database, held against the promises that can be checked from outside.

Each check yields findings, one line each; none at all means that nothing was found. It asks the database for what the
catalogs show (`limena.self_check()`, which every deploy asks too), and adds what only somebody with the configuration
and the files can see: keys, transport, who each DSN logs in as, whether the database has these files and these very
functions.

Refuses to change anything, and to print a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, LiteralString

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from limena.config import ConfigError, OperatorSettings, Settings, WorkerSettings
from limena.deploy_source import Source, SourceError, expected_digest, read_source, source_dir

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_SECONDS: Final = 10
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

# Which role each DSN is for.
_ROLES: Final = {
    "app": "limena_app",
    "auth": "limena_auth",
    "readonly": "limena_readonly",
    "maintenance": "limena_maintenance",
    "deploy": "limena_owner",
}

_WHO: Final[LiteralString] = """
    select
        r.rolname,
        r.rolsuper,
        r.rolcreaterole and pg_has_role(r.oid, d.datdba, 'MEMBER') as is_deployer,
        coalesce(pg_has_role(r.oid, g.oid, 'USAGE'), false) as is_member,
        (d.oid, (select n.oid from pg_namespace as n where n.nspname = 'limena'))::text as database
    from pg_roles as r
    inner join pg_database as d on d.datname = current_database()
    left join pg_roles as g on g.rolname = %(role)s
    where r.rolname = session_user
"""

_SELF_CHECK: Final[LiteralString] = """
    select format('%s: %s: %s', c.check_name, c.object, c.finding)
    from limena.self_check() as c
    order by 1
"""

_AI_QUOTAS: Final[LiteralString] = """
    select format('ai quotas: tenant %s: %s', c.tenant_id, c.finding)
    from limena.check_ai_quotas() as c
    order by 1
"""

_AUDIT_LOG: Final[LiteralString] = "select 'audit log: ' || c.finding from limena.check_audit_log() as c (finding)"

# Limena's own relations are self_check's; these are what somebody put beside them.
_UNPROTECTED: Final[LiteralString] = """
    select format('isolation: %s.%s: %s', i.schema_name, i.relation_name, i.verdict)
    from limena.isolation_report as i
    where i.schema_name <> 'limena' and i.verdict <> 'ok'
    order by 1
"""
_OPEN_FUNCTIONS: Final[LiteralString] = """
    select format('functions: %s.%s(%s): %s', f.schema_name, f.function_name, f.arguments, f.verdict)
    from limena.function_report as f
    where f.verdict <> 'ok' and f.schema_name not in ('limena', 'limena_private')
    order by 1
"""

# An old snapshot keeps vacuum from removing what nobody else can see any more, and the log from being sealed. Each role
# sees its own sessions; a superuser all of them.
_OLD_SNAPSHOT_SECONDS: Final = 3600
_OLD_SNAPSHOTS: Final[LiteralString] = """
    select format(
        'vacuum: process %%s (%%s, %%s) has held a snapshot for %%s: end it',
        a.pid,
        a.usename,
        coalesce(nullif(a.application_name, ''), 'no name'),
        date_trunc('second', now() - a.xact_start)
    )
    from pg_stat_activity as a
    where a.datname = current_database()
        and a.xact_start < now() - make_interval(secs => %(seconds)s)
        and coalesce(a.backend_xmin, a.backend_xid) is not null
    union all
    select format(
        'vacuum: the transaction %%L has been prepared for %%s: commit it or roll it back',
        p.gid, date_trunc('second', now() - p.prepared)
    )
    from pg_prepared_xacts as p
    where p.database = current_database() and p.prepared < now() - make_interval(secs => %(seconds)s)
    union all
    select format('vacuum: the replication slot %%s holds back vacuum, and nobody reads it', s.slot_name)
    from pg_replication_slots as s
    where not s.active and (s.xmin is not null or s.catalog_xmin is not null)
    order by 1
"""

# What a role of ours may have set for itself (ALTER ROLE … SET): the API overrides what matters, other clients do not.
_ROLE_SETTINGS: Final[LiteralString] = r"""
    select format(
        'settings: %s has settings of its own%s: %s (alter role %I%s reset all)',
        r.rolname,
        coalesce(' in the database ' || d.datname, ''),
        array_to_string(s.setconfig, ', '),
        r.rolname,
        coalesce(' in database ' || quote_ident(d.datname), '')
    )
    from pg_db_role_setting as s
    inner join pg_roles as r on s.setrole = r.oid
    left join pg_database as d on s.setdatabase = d.oid
    where r.rolname like 'limena\_%'
        or not r.rolsuper and (
            pg_has_role(r.oid, 'limena_readonly', 'MEMBER') or pg_has_role(r.oid, 'limena_maintenance', 'MEMBER')
        )
    order by r.rolname, d.datname
"""

# What everyone's sessions start with, in this database or in all of them (ALTER DATABASE … SET, ALTER ROLE ALL SET):
# search_path, row_security, session_replication_role and their like change what our SQL means, log_* and debug_* what
# the server writes down. Only what costs or saves time is anyone's choice.
_COMMON_SETTINGS: Final[LiteralString] = """
    select format(
        'settings: every session starts with %%s (%%s reset %%s)',
        g.setting,
        coalesce('alter database ' || quote_ident(d.datname), 'alter role all'),
        split_part(g.setting, '=', 1)
    )
    from pg_db_role_setting as s
    left join pg_database as d on s.setdatabase = d.oid
    cross join lateral unnest(s.setconfig) as g (setting)
    where s.setrole = 0
        and (s.setdatabase = 0 or d.datname = current_database())
        and lower(split_part(g.setting, '=', 1)) <> all (%(harmless)s)
    order by 1
"""
_HARMLESS_SETTINGS: Final = (
    "default_statistics_target",
    "effective_cache_size",
    "effective_io_concurrency",
    "jit",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "random_page_cost",
    "seq_page_cost",
    "work_mem",
)


def role_settings(connection: Connection) -> list[str]:
    """The findings about settings that sessions of our roles would start with; `limena serve` starts with none."""
    return [
        *_rows(connection, _ROLE_SETTINGS),
        *_rows(connection, _COMMON_SETTINGS, harmless=list(_HARMLESS_SETTINGS)),
    ]


# db/deploy/close_database.sql revokes these where the deployer may, and says what each is good for; a test holds the
# lists to each other.
CATALOG_FUNCTIONS: Final = (
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "pg_cancel_backend",
    "pg_logical_emit_message",
    "pg_terminate_backend",
)
_CATALOG_FUNCTIONS: Final[LiteralString] = """
    select format(
        'catalog: limena_app may call %%s; a superuser runs: revoke execute on function %%s from public',
        p.oid::regprocedure, p.oid::regprocedure
    )
    from pg_proc as p
    where p.pronamespace = 'pg_catalog'::regnamespace
        and p.proname = any(%(names)s)
        and has_function_privilege('limena_app', p.oid, 'EXECUTE')
    order by 1
"""

_FUNCTION_BODIES: Final[LiteralString] = """
    select n.nspname || '.' || p.proname, p.prosrc
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    where n.nspname in ('limena', 'limena_private')
"""
_FUNCTION: Final = re.compile(
    r"^create or replace function (limena(?:_private)?\.\w+).*?^as (\$\w*\$)(.*?)\2", re.DOTALL | re.MULTILINE
)


def find_problems(env: Mapping[str, str]) -> list[str]:
    """Every finding, in the order of the checks; none when all is well. What a check is there to find does not
    raise."""
    findings: list[str] = []
    try:
        given = Settings.from_env(env)
        if given.environment == "production" and given.registration == "open":
            findings.append(
                "configuration: LIMENA_REGISTRATION is open: it tells whether an address has an account, and makes "
                "accounts for addresses that nobody proved to be theirs. In production: verified, or closed."
            )
    except ConfigError as error:
        findings += [f"configuration: {problem}" for problem in error.problems]
    findings += [f"configuration: {problem}" for problem in _mail(env) if f"configuration: {problem}" not in findings]
    try:
        settings = OperatorSettings.from_env(env)
        source = read_source(source_dir())
    except ConfigError:
        return findings  # which say it already
    except (SourceError, OSError) as error:
        return [*findings, f"files: {error}"]

    dsns = {role: dsn for role in _ROLES if (dsn := getattr(settings, f"{role}_dsn")) is not None}
    if settings.environment == "production":
        findings += [finding for role, dsn in dsns.items() for finding in _transport(_name(role), dsn, env)]
    with ExitStack() as stack:
        connections: dict[str, Connection] = {}
        for role, dsn in dsns.items():
            try:
                connections[role] = stack.enter_context(_connect(dsn))
            except psycopg.Error as error:
                findings.append(f"connection: {_name(role)}: {_sentence(error)}")
        findings += _log_ins(connections)
        findings += sorted({line for connection in connections.values() for line in _old_snapshots(connection)})
        if "maintenance" in connections:
            findings += _database(connections["maintenance"], source)
            findings += _vault(connections["maintenance"], settings)
        elif "maintenance" not in dsns:
            findings.append(
                "configuration: LIMENA_MAINTENANCE_DSN is not set: the database cannot be checked without it."
            )
    return findings


def _mail(env: Mapping[str, str]) -> Sequence[str]:
    """What `limena worker` would not start with. It may run elsewhere: only where mail is configured at all."""
    if not any(env.get(name) for name in ("LIMENA_SMTP_URL", "LIMENA_SMTP_URL_FILE", "LIMENA_MAIL_FROM")):
        return ()
    try:
        WorkerSettings.from_env(env)
    except ConfigError as error:
        return error.problems
    return ()


def describe_master_keys(env: Mapping[str, str]) -> list[str]:
    """Which of several master keys is needed for how much: no finding, but what somebody wants to know who is about to
    remove one. Nothing when it cannot be asked; then there is a finding."""
    try:
        settings = OperatorSettings.from_env(env)
        if settings.maintenance_dsn is None or settings.master_keys is None:
            return []
        known = settings.master_keys.load()
        with _connect(settings.maintenance_dsn) as connection:
            needed = _key_versions(connection)
    except (ConfigError, psycopg.Error):
        return []
    if len(known.keys) == 1:
        return []
    return [
        f"master keys: version {version} encrypts {needed.get(version, 0)} credentials, and new ones"
        if version == known.current
        else f"master keys: version {version} encrypts {needed[version]} credentials"
        if version in needed
        else f"master keys: version {version} is in no row"
        for version in known.keys
    ]


# Who connects, and how


def _name(role: str) -> str:
    return f"LIMENA_{role.upper()}_DSN"


def _transport(name: str, dsn: str, env: Mapping[str, str]) -> Iterator[str]:
    """Whoever can read or redirect the connection sees everything: over a network, TLS with a verified certificate."""
    outside = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "sslmode": "PGSSLMODE", "service": "PGSERVICE"}
    parameters = {**{key: env.get(name) for key, name in outside.items()}, **conninfo_to_dict(dsn)}
    if parameters["service"]:
        yield (
            f"transport: {name} takes the server from a service file ({parameters['service']}), which cannot be looked "
            "at from here: write host and sslmode into the DSN, and unset PGSERVICE"
        )
    hosts = f"{parameters['hostaddr'] or parameters['host'] or ''}".split(",")
    remote = [host for host in hosts if host and not host.startswith(("/", "@")) and host not in _LOOPBACK]
    if remote and parameters["sslmode"] != "verify-full":
        yield (
            f"transport: {name} goes to {', '.join(remote)} with sslmode={parameters['sslmode'] or 'prefer'}: "
            "production needs sslmode=verify-full"
        )


def _connect(dsn: str) -> Connection:
    timeout = conninfo_to_dict(dsn).get("connect_timeout") or _CONNECT_SECONDS
    conninfo = make_conninfo(dsn, connect_timeout=timeout, application_name="limena doctor")
    connection: Connection = psycopg.connect(conninfo, autocommit=True)
    connection.execute("set statement_timeout = '60s'")
    return connection


def _log_ins(connections: Mapping[str, Connection]) -> Iterator[str]:
    """Each DSN logs in as the role that it is for, and all of them reach the same database."""
    reached: dict[str, str] = {}
    for role, connection in connections.items():
        name, expected = _name(role), _ROLES[role]
        row = connection.execute(_WHO, {"role": expected}).fetchone()
        if row is None:
            continue
        who, is_superuser, is_deployer, is_member, reached[role] = row
        if role == "deploy":
            if not is_superuser and not is_deployer:
                yield f"log-in: {name} logs in as {who}, who is no superuser and no owner with CREATEROLE"
        elif is_superuser:
            yield f"log-in: {name} logs in as {who}, a superuser, whom row-level security does not bind"
        # The API is limena_app and limena_auth itself; people have log-ins of their own in the other two.
        elif who != expected and (role in ("app", "auth") or not is_member):
            yield f"log-in: {name} logs in as {who}, not as {expected}"
    for role, database in reached.items():
        first = next(iter(reached))
        if database != reached[first]:
            yield f"log-in: {_name(role)} reaches another database than {_name(first)}"


# The database


def _old_snapshots(connection: Connection) -> Iterator[str]:
    yield from _rows(connection, _OLD_SNAPSHOTS, seconds=_OLD_SNAPSHOT_SECONDS)


def _database(connection: Connection, source: Source) -> Iterator[str]:
    yield from _server(connection, source)
    try:
        yield from _rows(connection, _SELF_CHECK)
        # Before whatever reads a table: with row_security off it could not.
        yield from role_settings(connection)
        yield from _rows(connection, _AI_QUOTAS)
        yield from _rows(connection, _AUDIT_LOG)
        yield from _rows(connection, _UNPROTECTED)
        yield from _rows(connection, _OPEN_FUNCTIONS)
        yield from _rows(connection, _CATALOG_FUNCTIONS, names=list(CATALOG_FUNCTIONS))
        yield from _version_of_files(connection)
        yield from _bodies(connection, source)
    except (errors.UndefinedFunction, errors.InvalidSchemaName, errors.UndefinedObject):
        yield "database: Limena is not deployed here, or is of another version: run limena deploy"
    except psycopg.Error as error:
        yield f"database: {_sentence(error)}"


def _server(connection: Connection, source: Source) -> Iterator[str]:
    """What a deploy in production refuses: one definition, in db/deploy/check_server.sql."""
    warnings: list[str] = []
    connection.add_notice_handler(lambda diagnostic: warnings.append(diagnostic.message_primary or ""))
    connection.execute("set limena.deploy_environment = 'production'")
    try:
        connection.execute(source.deploy["check_server"].encode())
    except psycopg.Error as error:
        yield f"server: {_sentence(error)}"
    yield from (f"server: {warning}" for warning in warnings)


def _version_of_files(connection: Connection) -> Iterator[str]:
    row = connection.execute("select limena.deployed_digest()").fetchone()
    if row is None or row[0] != expected_digest():
        yield "version: the database has other files than this program: run limena deploy, or update the program"


def _bodies(connection: Connection, source: Source) -> Iterator[str]:
    """The ledger tells which files were deployed; whether somebody has replaced a function since, only the function."""
    deployed: dict[str, set[str]] = {}
    for name, body in connection.execute(_FUNCTION_BODIES):
        deployed.setdefault(name, set()).add(body)
    for file in source.functions:
        if (found := _FUNCTION.search(file.text)) is None:
            continue
        if (bodies := deployed.get(found[1])) is None:
            yield f"functions: {found[1]} is missing (db/{file.path})"
        elif bodies != {found[3]}:
            yield f"functions: {found[1]} is not what db/{file.path} says: somebody has replaced it"


_KEY_VERSIONS: Final[LiteralString] = "select key_version, credentials from limena.credential_key_versions()"


def _key_versions(connection: Connection) -> dict[int, int]:
    return dict(connection.execute(_KEY_VERSIONS).fetchall())


def _vault(connection: Connection, settings: OperatorSettings) -> Iterator[str]:
    """What is encrypted with a master key that is gone, or that is to go."""
    try:
        needed = _key_versions(connection)
    except psycopg.Error:
        return  # not deployed, or of another version: which is a finding of its own
    if settings.master_keys is None:
        if needed:
            yield "vault: LIMENA_MASTER_KEYS is not set, and credentials are encrypted"
        return
    known = settings.master_keys.load()
    for version, count in needed.items():
        if version not in known.keys:
            yield (
                f"vault: {count} credentials are encrypted with version {version} of the master key, "
                "which is not configured"
            )
        elif version != known.current:
            yield (
                f"vault: {count} credentials are encrypted with version {version} of the master key: "
                "run limena master-key rotate"
            )


def _rows(connection: Connection, query: LiteralString, **parameters: object) -> Iterator[str]:
    for row in connection.execute(query, parameters or None):
        yield str(row[0])


def _sentence(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip().splitlines()[0]
