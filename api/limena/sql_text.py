"""SQL files, cut into statements the way psql cuts them.

A deploy sends statement by statement, so that an error has a line, CREATE INDEX CONCURRENTLY is not inside a
transaction of its own making, and `limena deploy` does what psql does with the printed script. Refuses what the two
would read differently: psql's own commands and variables, a carriage return (it ends a comment for PostgreSQL), the
continuation of an E'…' string in a second literal, an unfinished string or comment, a last statement without its
semicolon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# The classes are those of PostgreSQL's scan.l, to which every character above ASCII is a letter and none a space.
_TOKEN = re.compile(
    r"""
      (?P<space>   (?: [ \t\n\f\v]+ | --[^\n]* )+ )
    | (?P<string>  [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" )
    | (?P<dollar>  \$(?P<tag>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$ )
    | (?P<word>    [A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]* )
    | (?P<number>  [0-9][A-Za-z0-9_.]* | \$[0-9]+ )
    | (?P<plain>   :: | := )
    | (?P<psql>    \\ | :[A-Za-z0-9_\u0080-\U0010ffff'"{] )
    | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_COMMENT_EDGE = re.compile(r"/\*|\*/")
_LEADING_WORDS = 8


class SqlTextError(ValueError):
    """What is wrong with a file's text, and in which line (1-based)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


@dataclass(frozen=True)
class Statement:
    """One statement with its semicolon, the line it starts in, and its first words in lower case."""

    text: str
    line: int
    words: tuple[str, ...]


def split_statements(text: str) -> list[Statement]:
    """The statements of a file, comments between them left out. Raises SqlTextError."""
    statements: list[Statement] = []
    words: list[str] = []
    start: int | None = None
    position = parentheses = atomic = 0
    after_escapes = False

    def line_of(offset: int) -> int:
        return text.count("\n", 0, offset) + 1

    if "\r" in text:
        raise SqlTextError(line_of(text.index("\r")), "a carriage return, which to PostgreSQL is the end of a line")

    while position < len(text):
        token = _TOKEN.match(text, position)
        assert token is not None  # noqa: S101  (the last alternative takes any character)
        kind, value, end = token.lastgroup, token.group(), token.end()
        if kind == "space":
            position = end
            continue
        if text.startswith("/*", position):
            position = _end_of_block_comment(text, position, line_of(position))
            continue
        if kind == "psql":
            raise SqlTextError(
                line_of(position), f"psql would read {value!r} as its own; write it inside quotes or apart"
            )
        if after_escapes and value.startswith("'"):
            raise SqlTextError(line_of(position), "the literal may go on where an E'…' string ended: write them as one")
        after_escapes = kind == "string" and value[0] in "eE"
        if start is None:
            start = position
        if kind == "dollar":
            closing = text.find(value, end)
            if closing < 0:
                raise SqlTextError(line_of(position), f"the text that begins with {value} has no end")
            end = closing + len(value)
        elif kind == "word":
            word = value.lower()
            if parentheses == 0 and _makes_routine(words):
                # A body of standard SQL, begin atomic … end, has semicolons of its own; so has a case in it an end.
                if word == "begin" or (word == "case" and atomic > 0):
                    atomic += 1
                elif word == "end" and atomic > 0:
                    atomic -= 1
            if len(words) < _LEADING_WORDS:
                words.append(word)
        elif value in ("'", '"'):
            raise SqlTextError(line_of(position), f"the text that begins with {value} has no end")
        elif value == "(":
            parentheses += 1
        elif value == ")":
            parentheses = max(parentheses - 1, 0)
        elif value == ";" and parentheses == 0 and atomic == 0:
            statements.append(Statement(text[start:end], line_of(start), tuple(words)))
            start, words = None, []
        position = end

    if start is not None:
        raise SqlTextError(line_of(start), "the last statement has no semicolon")
    return statements


def _makes_routine(words: list[str]) -> bool:
    rest = words[3:] if words[1:3] == ["or", "replace"] else words[1:]
    return words[:1] == ["create"] and rest[:1] in (["function"], ["procedure"])


def _end_of_block_comment(text: str, position: int, line: int) -> int:
    depth = 0
    for edge in _BLOCK_COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise SqlTextError(line, "the comment that begins with /* has no end")
