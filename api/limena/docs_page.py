"""The page `/docs`: the OpenAPI document as HTML that works without scripts and under a CSP that allows nothing but
its own style sheet. Refuses to put a word into the page that was not escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any, Final

from limena.errors import CODES

_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 3rem; }
nav ul { list-style: none; padding: 0; columns: 20rem; }
article { border-top: 1px solid var(--line); padding: 1rem 0; }
code, pre { font: .9rem/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; }
tr + tr td { border-top: 1px solid var(--line); }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
"""

CSP: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_Document = dict[str, Any]
"""An OpenAPI document, which we made ourselves: its shape is known here."""


def render(document: _Document) -> str:
    operations = [
        (method, path, operation) for path, here in document["paths"].items() for method, operation in here.items()
    ]
    sections = "".join(
        f"<h2>{escape(tag['description'])}</h2>"
        + "".join(_operation(*one) for one in operations if one[2]["tags"] == [tag["name"]])
        for tag in document["tags"]
    )
    contents = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><span class="method">{method.upper()}</span>'
        f"<code>{escape(path)}</code></a></li>"
        for method, path, operation in operations
    )
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<header><h1>{escape(info['title'])} API {escape(info['version'])}</h1><p>{escape(info['description'])} "
        f'As a document for programs: <a href="/openapi.json">/openapi.json</a>.</p></header>'
        f'<nav aria-label="Routes"><ul>{contents}</ul></nav><main>{sections}{_codes()}</main></body></html>'
    )


def _operation(method: str, path: str, operation: _Document) -> str:
    parts = [
        f'<article id="{escape(operation["operationId"])}">'
        f'<h3><span class="method">{method.upper()}</span><code>{escape(path)}</code></h3>',
        f"<p>{escape(operation['summary'])}. {escape(operation['description'])}</p>",
    ]
    if operation["security"]:
        who = " or ".join("API key" if "apiKey" in one else "access token" for one in operation["security"])
        needs = (
            f" with the permission <code>{escape(operation['x-permission'])}</code>"
            if "x-permission" in operation
            else ""
        )
        parts.append(f"<p>Needs an {who}{needs}.</p>")
    rows = [
        (one["name"], one["in"], one["schema"], one["required"], one.get("description", ""))
        for one in operation.get("parameters", [])
    ]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content:
        rows += [
            (name, "body", schema, name in content["schema"]["required"], schema.get("description", ""))
            for name, schema in content["schema"]["properties"].items()
        ]
    if rows:
        parts.append(
            "<table><thead><tr><th>Field</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead><tbody>"
            + "".join(
                f"<tr><td><code>{escape(name)}</code></td><td>{place}</td><td>{escape(_type(schema))}</td>"
                f"<td>{'Required. ' if required else ''}{escape(meaning)}</td></tr>"
                for name, place, schema, required, meaning in rows
            )
            + "</tbody></table>"
        )
    if content and "example" in content:
        parts.append(f"<pre>{escape(json.dumps(content['example'], indent=2))}</pre>")
    answers = ", ".join(
        f"{status} ({answer['description'].replace('`', '')})" for status, answer in operation["responses"].items()
    )
    parts.append(f"<p>Answers: {escape(answers)}.</p></article>")
    return "".join(parts)


def _type(schema: _Document) -> str:
    kind = schema.get("type", "")
    names = " or ".join(kind) if isinstance(kind, list) else kind
    if "default" in schema:
        names += f", default {schema['default']}"
    return f"{names} ({schema['format']})" if "format" in schema else names


def _codes() -> str:
    rows = "".join(
        f'<tr id="{escape(name)}"><td><code>{escape(name)}</code></td><td>{code.status}</td>'
        f"<td>{escape(code.detail)}</td></tr>"
        for name, code in CODES.items()
    )
    return (
        "<h2>Error codes</h2><table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
