"""docs/events.md is made of limena.audit_actions: LIMENA_WRITE_EVENTS=1 pytest api/tests/test_events.py writes it. And
docs/operators.md lists what maintenance has.
"""

import os
import re

from support.databases import Database
from support.pgtap import CHECKOUT

PAGE = CHECKOUT / "docs" / "events.md"
HEAD = """# Events of the audit log

Made of `limena.audit_actions`, where you can select it: every action that can stand in the log. `info` is everyday business, `notice`
changes who may do what, `warning` is worth a look. An event of a changed row has `changes`: `{column: [old, new]}`, secrets and hashes
`[redacted]`. What an event says beside that is in `details`, under the keys that are listed here.

| action | severity | meaning | details |
| --- | --- | --- | --- |
"""  # noqa: E501 – a page of Markdown


def render(database: Database) -> str:
    with database.connect() as connection:
        rows = connection.execute("select name, severity, meaning, details from limena.audit_actions").fetchall()
    lines = [
        f"| `{name}` | {severity} | {meaning} | {', '.join(f'`{key}`' for key in details)} |\n"
        for name, severity, meaning, details in rows
    ]
    return HEAD + "".join(lines)


def test_the_page_is_what_the_catalogue_says(template: Database) -> None:
    text = render(template)
    if os.environ.get("LIMENA_WRITE_EVENTS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "write it anew: see the head of this file"


def test_the_page_for_operators_lists_what_maintenance_may_call(template: Database) -> None:
    text = (CHECKOUT / "docs" / "operators.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+\(.*?) \|", text.partition("## Maintenance")[2].partition("\n## ")[0], re.MULTILINE)
    with template.connect() as connection:
        granted = connection.execute(
            """
            select p.proname from pg_proc as p
            where p.pronamespace = 'limena'::regnamespace
                and has_function_privilege('limena_maintenance', p.oid, 'execute')
            """
        ).fetchall()
    assert sorted(re.findall(r"`(\w+)\(", " ".join(rows))) == sorted(name for (name,) in granted)
