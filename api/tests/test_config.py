"""The configuration: what is taken, what is refused, in which words, and that no secret is ever in them."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from limena.config import VARIABLES, ConfigError, OperatorSettings, Settings, WorkerSettings
from limena.vault import TextSource

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "configuration.md"


def make_key(bits: int = 3072) -> str:
    key = rsa.generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


KEY, PREVIOUS_KEY, WEAK_KEY = make_key(), make_key(), make_key(2048)
SECRET_KEY = base64.b64encode(bytes(range(32))).decode()
MASTER_KEY = base64.b64encode(bytes(range(100, 132))).decode()
PASSWORD = "f0e1d2c3b4a5968778695a4b"
APP_DSN = f"postgresql://limena_app:{PASSWORD}@db.example.com/limena?sslmode=verify-full"
AUTH_DSN = f"host=db.example.com dbname=limena user=limena_auth password={PASSWORD}"
GOOD = {
    "LIMENA_APP_DSN": APP_DSN,
    "LIMENA_AUTH_DSN": AUTH_DSN,
    "LIMENA_BASE_URL": "https://limena.example.com",
    "LIMENA_JWT_KEY": KEY,
    "LIMENA_SECRET_KEY": SECRET_KEY,
    "LIMENA_MASTER_KEYS": f"1:{MASTER_KEY}",
}


def problems(**changes: str | None) -> tuple[str, ...]:
    env = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(ConfigError) as error:
        Settings.from_env(env)
    for secret in (PASSWORD, KEY, PREVIOUS_KEY, WEAK_KEY, MASTER_KEY):
        assert secret not in str(error.value)
    assert str(error.value) == "\n".join(error.value.problems)
    return error.value.problems


def told_by_all(changes: dict[str, str]) -> tuple[str, ...]:
    """What the API finds wrong, and what the worker does, which has some variables of its own."""
    with pytest.raises(ConfigError) as error:
        WorkerSettings.from_env({**GOOD, **changes})
    return problems(**changes) + error.value.problems


def test_the_least_that_production_needs() -> None:
    settings = Settings.from_env(GOOD)
    assert settings == Settings(
        environment="production",
        app_dsn=APP_DSN,
        auth_dsn=AUTH_DSN,
        readonly_dsn=None,
        maintenance_dsn=None,
        deploy_dsn=None,
        base_url="https://limena.example.com",
        jwt_keys=(KEY,),
        secret_key=bytes(range(32)),
        master_keys=TextSource(f"1:{MASTER_KEY}"),
        oauth={},
        outbound_allow=(),
        registration="closed",
        bcrypt_cost=12,
        password_workers=2,
        app_pool_size=10,
        auth_pool_size=4,
        export_pool_size=2,
        readonly_pool_size=2,
        pool_timeout_seconds=5.0,
        statement_timeout_ms=5000,
        max_body_bytes=65536,
        front_door=settings.front_door,  # see test_front_door.py
    )


def test_everything_that_is_missing_is_told_at_once_and_how_to_make_it() -> None:
    with pytest.raises(ConfigError) as error:
        Settings.from_env({})
    told = error.value.problems
    assert [problem.split(" is not set: ")[0] for problem in told if "is not set" in problem] == [
        "LIMENA_APP_DSN",
        "LIMENA_AUTH_DSN",
        "LIMENA_JWT_KEY",
        "LIMENA_SECRET_KEY",
        "LIMENA_MASTER_KEYS",
    ]
    assert any(problem.startswith("LIMENA_BASE_URL ") for problem in told)
    assert "limena jwt-key generate --out jwt-key.pem" in str(error.value)
    assert "openssl rand -base64 32" in str(error.value)
    assert len(told) == 6


@pytest.mark.parametrize("name", sorted(GOOD))
def test_an_empty_variable_counts_as_missing(name: str) -> None:
    assert [problem for problem in problems(**{name: ""}) if problem.startswith(f"{name} ")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"LIMENA_ENV": "prod"}, "LIMENA_ENV is 'prod': it is production or development"),
        ({"LIMENA_ENV": "Development"}, "LIMENA_ENV is 'Development'"),
        ({"LIMENA_APP_DSN": f"postgresql://limena_app:{PASSWORD}@[/x"}, "LIMENA_APP_DSN is no PostgreSQL DSN"),
        ({"LIMENA_APP_DSN": f"hostess=x password={PASSWORD}"}, "LIMENA_APP_DSN is no PostgreSQL DSN"),
        ({"LIMENA_READONLY_DSN": "what?"}, "LIMENA_READONLY_DSN is no PostgreSQL DSN"),
        ({"LIMENA_AUTH_DSN": "postgresql://limena_auth:short@db/limena"}, "LIMENA_AUTH_DSN holds a password of fewer"),
        ({"LIMENA_DEPLOY_DSN": "user=me password=postgres"}, "LIMENA_DEPLOY_DSN holds a password of fewer than 16"),
        ({"LIMENA_BASE_URL": "http://limena.example.com"}, "production needs https"),
        ({"LIMENA_JWT_KEY": WEAK_KEY}, "LIMENA_JWT_KEY is an RSA key of 2048 bits, and 3072 are the least; make one"),
        ({"LIMENA_JWT_KEY": "secret"}, "LIMENA_JWT_KEY is not an unencrypted private key in PEM form; make one with:"),
        ({"LIMENA_JWT_PREVIOUS_KEY": WEAK_KEY}, "LIMENA_JWT_PREVIOUS_KEY is an RSA key of 2048 bits"),
        ({"LIMENA_JWT_PREVIOUS_KEY": KEY}, "LIMENA_JWT_PREVIOUS_KEY is the same key as another one"),
        ({"LIMENA_JWT_NEXT_KEY": KEY}, "LIMENA_JWT_NEXT_KEY is the same key as another one: give the one that will"),
        ({"LIMENA_SECRET_KEY": "secret!"}, "LIMENA_SECRET_KEY is not the base64 of 32 random bytes or more"),
        ({"LIMENA_SECRET_KEY": base64.b64encode(b"31 bytes are one byte too few..").decode()}, "LIMENA_SECRET_KEY is"),
        ({"LIMENA_SECRET_KEY": base64.b64encode(bytes(32)).decode()}, "LIMENA_SECRET_KEY is not the base64"),
        ({"LIMENA_REGISTRATION": "on"}, "LIMENA_REGISTRATION is 'on': it is open, verified or closed"),
        ({"LIMENA_BCRYPT_COST": "9"}, "LIMENA_BCRYPT_COST is '9': it is a whole number from 10 to 16"),
        ({"LIMENA_BCRYPT_COST": "17"}, "from 10 to 16"),
    ],
)
def test_what_production_refuses(changes: dict[str, str], told: str) -> None:
    assert [problem for problem in problems(**changes) if told in problem]


@pytest.mark.parametrize(
    "url",
    [
        "limena.example.com", "https://", "https://limena.example.com/", "https://limena.example.com/api",
        "https://user:pw@limena.example.com", "https://limena.example.com?x=1", "https://limena.example.com#x",
        "HTTPS://limena.example.com", "https://Limena.example.com", "ftp://limena.example.com", "https://a b",
        "https://limena.example.com:", "https://limena.example.com\n", "https://limena.example.com:123456",
        "javascript:alert(1)",
    ],
)  # fmt: skip
def test_a_base_url_is_an_origin_in_one_spelling(url: str) -> None:
    assert [problem for problem in problems(LIMENA_BASE_URL=url) if problem.startswith("LIMENA_BASE_URL is ")]


@pytest.mark.parametrize("url", ["https://limena.example.com:8443", "https://[2001:db8::1]", "https://localhost"])
def test_origins_that_are_taken(url: str) -> None:
    assert Settings.from_env({**GOOD, "LIMENA_BASE_URL": url}).base_url == url


@pytest.mark.parametrize("text", ["x", "-1", "1.5", " 2", "2 ", "1e2", "0", "99999999999999999999", "٣", "0x10", "1_0"])
def test_what_is_no_whole_number_in_range_is_refused(text: str) -> None:
    names = [variable.name for variable in VARIABLES if variable.type == "whole number"]
    assert len(names) == 11
    told = told_by_all(dict.fromkeys(names, text))
    for name in names:
        assert [problem for problem in told if problem.startswith(f"{name} is {text!r}: it is a whole number from ")]


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "61", "1e1", "5s", ".5", "1."])
def test_what_is_no_number_in_range_is_refused(text: str) -> None:
    assert any("it is a number from 0.1 to 60" in problem for problem in problems(LIMENA_POOL_TIMEOUT_SECONDS=text))


def test_development_lets_pass_what_production_refuses_but_no_weak_key() -> None:
    env = {
        **GOOD,
        "LIMENA_ENV": "development",
        "LIMENA_BASE_URL": "http://127.0.0.1:8000",
        "LIMENA_APP_DSN": "postgresql://limena_app:short@localhost/limena",
        "LIMENA_BCRYPT_COST": "4",
    }
    settings = Settings.from_env(env)
    assert (settings.base_url, settings.bcrypt_cost) == ("http://127.0.0.1:8000", 4)
    with pytest.raises(ConfigError, match="2048 bits"):
        Settings.from_env({**env, "LIMENA_JWT_KEY": WEAK_KEY})


def test_the_current_key_comes_first() -> None:
    assert Settings.from_env({**GOOD, "LIMENA_JWT_PREVIOUS_KEY": PREVIOUS_KEY}).jwt_keys == (KEY, PREVIOUS_KEY)


def test_no_repr_shows_a_secret() -> None:
    env = {
        **GOOD,
        "LIMENA_JWT_PREVIOUS_KEY": PREVIOUS_KEY,
        **{f"LIMENA_{role}_DSN": APP_DSN for role in ("READONLY", "MAINTENANCE", "DEPLOY")},
    }
    for text in (repr(Settings.from_env(env)), repr(OperatorSettings.from_env(env))):
        assert PASSWORD not in text
        assert "PRIVATE KEY" not in text
        assert "dsn" not in text


def test_an_operator_needs_no_key_and_hears_of_a_malformed_dsn() -> None:
    assert OperatorSettings.from_env({"LIMENA_DEPLOY_DSN": "dbname=limena"}).deploy_dsn == "dbname=limena"
    assert OperatorSettings.from_env({}).environment == "production"
    with pytest.raises(ConfigError, match="LIMENA_MAINTENANCE_DSN is no PostgreSQL DSN"):
        OperatorSettings.from_env({"LIMENA_MAINTENANCE_DSN": "???"})


# secrets from files


def test_every_secret_may_come_from_a_file(tmp_path: Path) -> None:
    env = {"LIMENA_BASE_URL": GOOD["LIMENA_BASE_URL"]}
    for name, value in {**GOOD, "LIMENA_DEPLOY_DSN": APP_DSN, "LIMENA_JWT_PREVIOUS_KEY": PREVIOUS_KEY}.items():
        if name != "LIMENA_BASE_URL":
            path = tmp_path / name
            path.write_text(f"{value}\r\n")
            path.chmod(0o400)
            env[f"{name}_FILE"] = str(path)
    settings = Settings.from_env(env)
    assert (settings.app_dsn, settings.deploy_dsn) == (APP_DSN, APP_DSN)
    assert settings.jwt_keys == (KEY.rstrip("\n"), PREVIOUS_KEY.rstrip("\n"))


def no_file(path: Path) -> None: ...


def empty(path: Path) -> None:
    path.touch(0o600)


def only_line_ends(path: Path) -> None:
    path.write_text("\n\n")
    path.chmod(0o600)


def readable_by_all(path: Path) -> None:
    path.write_text(APP_DSN)
    path.chmod(0o604)


def writable_by_all(path: Path) -> None:
    path.write_text(APP_DSN)
    path.chmod(0o602)


def link_to_readable_by_all(path: Path) -> None:
    readable_by_all(path.with_suffix(".target"))
    path.symlink_to(path.with_suffix(".target"))


def folder(path: Path) -> None:
    path.mkdir(0o700)


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)  # opening one for reading would wait for ever


def large(path: Path) -> None:
    path.write_text("x" * 65_537)
    path.chmod(0o600)


def binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfesecret")
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (no_file, "cannot be read (No such file or directory)"),
        (empty, "is empty"),
        (only_line_ends, "is empty"),
        (readable_by_all, "everyone on this machine may read or change; mend that with: chmod o-rw"),
        (writable_by_all, "everyone on this machine may read or change"),
        (link_to_readable_by_all, "everyone on this machine may read or change"),
        (folder, "cannot be read (Is a directory)"),
        (pipe, "is not a regular file"),
        (large, "is larger than 65536 bytes"),
        (binary, "is not UTF-8 text"),
    ],
)
def test_files_that_are_refused(make: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    path = tmp_path / "dsn"
    make(path)
    sentence = [p for p in problems(LIMENA_APP_DSN=None, LIMENA_APP_DSN_FILE=str(path)) if "LIMENA_APP_DSN_FILE" in p]
    assert len(sentence) == 1
    assert sentence[0].startswith(f"LIMENA_APP_DSN_FILE names {path}, which {told}")
    assert "secret" not in sentence[0]


def test_a_link_to_a_private_file_is_taken_as_mounted_secrets_need_it(tmp_path: Path) -> None:
    target = tmp_path / "..data"
    target.write_text(APP_DSN)
    target.chmod(0o440)
    link = tmp_path / "dsn"
    link.symlink_to(target)
    env: dict[str, str] = {**GOOD, "LIMENA_APP_DSN_FILE": str(link)}
    del env["LIMENA_APP_DSN"]
    assert Settings.from_env(env).app_dsn == APP_DSN


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    told = problems(LIMENA_APP_DSN_FILE=str(tmp_path / "any"))
    assert "LIMENA_APP_DSN and LIMENA_APP_DSN_FILE are both set: set one of them." in told


# documentation


def documented_rows() -> list[list[str]]:
    rows = re.findall(r"^\| (`LIMENA_.*) \|$", DOCUMENTATION.read_text(), re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


def test_the_documentation_and_the_code_have_the_same_variables() -> None:
    expected = [
        [
            f"`{variable.name}`",
            variable.type + (", secret" if variable.is_secret else ""),
            f"`{variable.default}`" if variable.default else "–",
        ]
        for variable in VARIABLES
    ]
    assert [
        [name, kind, default.removesuffix(" (required)")] for name, kind, default, _ in documented_rows()
    ] == expected


def test_what_is_documented_as_required_is_required() -> None:
    required = {row[0].strip("`") for row in documented_rows() if row[2].endswith("(required)")}
    assert required == set(GOOD)
    for name in required:
        assert problems(**{name: None})


def test_the_documented_ranges_are_the_enforced_ones() -> None:
    found = {row[0].strip("`"): re.match(r"outside ([0-9.]+)–([0-9.]+)", row[3]) for row in documented_rows()}
    ranges = {name: (float(bounds[1]), float(bounds[2])) for name, bounds in found.items() if bounds is not None}
    assert set(ranges) == {variable.name for variable in VARIABLES if "number" in variable.type}
    development = {**GOOD, "LIMENA_ENV": "development"}
    Settings.from_env({**development, **{name: f"{least:g}" for name, (least, _) in ranges.items()}})
    Settings.from_env({**development, **{name: f"{most:.0f}" for name, (_, most) in ranges.items()}})
    for beyond in (
        {name: f"{least / 2:g}" if least else "-1" for name, (least, _) in ranges.items()},
        {name: f"{most + 1:.0f}" for name, (_, most) in ranges.items()},
    ):
        told = told_by_all({"LIMENA_ENV": "development", **beyond})
        assert {problem.split(" is ")[0] for problem in told if "it is a" in problem} == set(ranges)


def test_every_variable_is_explained_and_every_variable_in_the_code_is_in_the_table() -> None:
    text = DOCUMENTATION.read_text()
    explained = {
        name for line in text.splitlines() if line.startswith("**`") for name in re.findall(r"LIMENA_[A-Z_]+", line)
    }
    assert explained >= {variable.name for variable in VARIABLES}
    package = Path(__file__).parents[1] / "limena"
    used = {name for path in package.rglob("*.py") for name in re.findall(r'"(LIMENA_[A-Z_]*[A-Z])"', path.read_text())}
    files = {f"{variable.name}_FILE" for variable in VARIABLES if variable.is_secret}
    assert used <= {variable.name for variable in VARIABLES} | files
