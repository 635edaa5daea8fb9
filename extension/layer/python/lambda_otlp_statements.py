"""Describes statements of databases without their values.

statements.cjs does the same in Node, and both pass tests/fixtures/statements.jsonl.

Source: OpenTelemetry's semantic conventions, "Database client spans": "Sanitization of `db.query.text`" and "Generating a summary
of the query".
"""

import functools
import re

# Limits in characters: of a statement that is read, of its text, and of its summary. The conventions set the last one.
MAX_READ = 65536
MAX_TEXT = 4096
MAX_SUMMARY = 255
# Systems in which double quotes enclose names. In others they may enclose a value.
DOUBLE_QUOTED_NAMES = (
    "cockroachdb",
    "ibm.db2",
    "microsoft.sql_server",
    "mssql",
    "oracle",
    "oracle.db",
    "postgresql",
    "redshift",
    "snowflake",
    "sqlite",
    "trino",
)
BRACKETED_NAMES = ("microsoft.sql_server", "mssql")
# Systems in which a backslash escapes a quote in every text, and `#` begins a comment.
WITH_BACKSLASHES = ("mariadb", "mysql")

# A text that the end of the statement cuts off is still a value.
# Some systems nest comments. A comment within another ends both at the last end, so that no text after the first end remains.
COMMENT = r"--[^\n]*|/\*(?:(?!\*/|/\*)[\s\S])*(?:\*/|/\*[\s\S]*\*/|/\*[\s\S]*$|$)"
FLAT_COMMENT = r"--[^\n]*|/\*[\s\S]*?(?:\*/|$)"
# `\'` ends a text or not, by system and setting. Everything after it is a value.
PLAIN = r"'(?:[^'\\]+|''|\\\\|\\(?!['\\]))*(?:'|\\'[\s\S]*|\\?$)"
# Oracle's texts: `q'[…]'`, `nq'!…!'`.
IN_BRACKETS = "|".join(rf"\{begin}[\s\S]*?(?:\{end}'|$)" for begin, end in ["[]", "{}", "()", "<>"])
QUOTED = rf"[Nn]?[Qq]'(?:{IN_BRACKETS}|(?P<quote>[^\s\[{{(<'])[\s\S]*?(?:(?P=quote)'|$))"
ESCAPED = r"'(?:[^'\\]+|''|\\[\s\S])*(?:'|\\?$)"
DOUBLE_PLAIN = r'"(?:[^"]+|"")*(?:"|$)'
DOUBLE_ESCAPED = r'"(?:[^"\\]+|""|\\[\s\S])*(?:"|\\?$)'
DOLLARS = r"\$(?P<tag>(?:[A-Za-z_][A-Za-z_0-9]*)?)\$[\s\S]*?(?:\$(?P=tag)\$|$)"
NUMBER = r"0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
WORD = r"[A-Za-z_\u0080-\uffff][A-Za-z_0-9$\u0080-\uffff]*"
# The place of a parameter, such as `$1`, `:name`, `@name` or `%(name)s`.
PLACE = r"\$[0-9]+|%\([^)]{0,64}\)s|%s|::|[:@]+[A-Za-z_0-9]+"

# Words that begin a statement, and whose next word is a table or procedure.
DIRECT = ("CALL", "COPY", "EXEC", "EXECUTE", "UPDATE")
# Words that begin a statement or a subquery. `SELECT` also begins a part within one, and any other word only the whole.
BEGINNINGS = (*DIRECT, "DELETE", "INSERT", "MERGE", "REPLACE", "UPSERT")
# Words that begin a statement about an object, and kinds of objects.
DEFINITIONS = ("ALTER", "CREATE", "DROP", "TRUNCATE")
OBJECTS = ("DATABASE", "FUNCTION", "INDEX", "PROCEDURE", "SCHEMA", "SEQUENCE", "TABLE", "TRIGGER", "TYPE", "VIEW")
# Words before tables, and between them and the name.
BEFORE_TABLES = ("FROM", "INTO", "JOIN", "USING")
SKIPPED = ("CONCURRENTLY", "EXISTS", "IF", "LATERAL", "NOT", "ONLY")
# Words after which commas separate no tables.
AFTER_TABLES = ("GROUP", "HAVING", "LIMIT", "ON", "ORDER", "RETURNING", "SET", "VALUES", "WHERE")
# Words that follow `FROM` or `INTO` and are no table.
NO_TABLES = ("SELECT", "STDIN", "VALUES")
# Words between `CREATE` and the kind of an object, such as `OR REPLACE` and `GLOBAL TEMPORARY`.
MAX_MODIFIERS = 5
# In statements that begin with the former, a name after one of the latter is a password or a key.
PASSWORDS = ("IDENTIFIED", "PASSWORD")
BEFORE_SECRETS = {
    "ALTER": PASSWORDS,
    "CREATE": PASSWORDS,
    "GRANT": PASSWORDS,
    "PRAGMA": ("HEXKEY", "HEXREKEY", "KEY", "REKEY", "TEXTKEY", "TEXTREKEY"),
    "SET": PASSWORDS,
}
# Between such a word and the secret.
BETWEEN = ("(", "=")
# In SQLite, `"…"` is a text if there is no such column. It is a name after one of these words, beside a point, and as the first
# column of a table.
NAMING = (*BEFORE_TABLES, *DIRECT, *OBJECTS, *SKIPPED, "AS", "BY", "SET", "WHERE")
# The space that is read before a word.
MAX_SPACE = 64


class Statement:
    """The description of a statement."""

    def __init__(self, *, text, summary, operation, table):
        # The statement without values and comments.
        self.text = text
        self.summary = summary
        self.operation = operation
        # The name of the only table, or an empty text.
        self.table = table


class Token:
    """A token of a statement."""

    __slots__ = ("kind", "text", "word", "before")

    def __init__(self, kind, *, text, word, before):
        # "value", "name", "word" or "other".
        self.kind = kind
        self.text = text
        # The text of a word in upper case, or an empty text.
        self.word = word
        # The space before the token.
        self.before = before


@functools.cache
def pattern_of(system):
    """Returns the pattern of a token in this system's statements."""
    if system in WITH_BACKSLASHES:
        comment = rf"{FLAT_COMMENT}|#[^\n]*"
        value = rf"(?:[NnXxBb]|_[a-z0-9]+\s*)?{ESCAPED}|{DOUBLE_ESCAPED}"
        name = "`[^`]*(?:`|$)"
    elif system in DOUBLE_QUOTED_NAMES:
        comment = COMMENT
        value = rf"{QUOTED}|[Ee]{ESCAPED}|(?:[NnXxBb]|[Uu]&)?{PLAIN}"
        name = f"`[^`]*(?:`|$)|{DOUBLE_PLAIN}"
        name += r"|\[[^\]]*(?:\]|$)" if system in BRACKETED_NAMES else ""
    else:
        comment = COMMENT
        value = rf"{QUOTED}|[Ee]{ESCAPED}|(?:[NnXxBb])?{PLAIN}|{DOUBLE_PLAIN}"
        name = "`[^`]*(?:`|$)"
    return re.compile(
        rf"(?P<space>\s+|{comment})|(?P<value>{value}|{DOLLARS}|{NUMBER})|(?P<name>{name})|(?P<word>{WORD})|(?P<other>{PLACE}|[\s\S])"
    )


def describe(system, statement):
    """Describes a statement."""
    tokens = tokens_of(system, statement[:MAX_READ])
    text = "".join(token.before + token.text for token in tokens)
    found = Parts(tokens)
    return Statement(
        text=shortened(text) if len(statement) <= MAX_READ else shortened(f"{text}..."),
        summary=summary_of(found.parts),
        operation=found.operation,
        table=found.tables[0] if len(found.tables) == 1 else "",
    )


def shortened(text):
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def tokens_of(system, statement):
    """Reads tokens up to the limit of the text."""
    tokens = []
    before = ""
    length = 0
    is_secret = False
    for match in pattern_of(system).finditer(statement):
        kind = match.lastgroup
        text = match[0]
        if kind == "space":
            before = " " if tokens else ""
            continue
        word = text.upper() if kind == "word" else ""
        if (
            kind == "name"
            and system == "sqlite"
            and text[0] == '"'
            and not is_name(tokens, statement[match.end() : match.end() + MAX_SPACE])
        ):
            kind = "value"
        if kind in ("value", "tag", "quote") or is_secret and kind in ("name", "word") and word != "BY":
            kind = "value"
            text = "?"
        secrets = BEFORE_SECRETS.get(tokens[0].word, ()) if tokens else ()
        is_secret = word in secrets or is_secret and (word == "BY" or text in BETWEEN)
        tokens.append(Token(kind, text=text, word=word, before=before))
        length += len(before) + len(text)
        before = ""
        if length > MAX_TEXT:
            break
    return tokens


def is_name(tokens, rest):
    """Returns `True` if the next token, before this rest of the statement, can only be a name."""
    before = tokens[-1] if tokens else None
    if rest.startswith(".") or before is None:
        return True
    is_column = before.word == "SELECT" and rest.lstrip()[:5].upper() == "FROM "
    return before.word in NAMING or before.text == "." or is_column


class Level:
    """A statement, or the part of one in parentheses."""

    def __init__(self):
        self.has_operation = False
        # `True` if a comma separates tables.
        self.is_list = False


class Parts:
    """The operations and tables of a statement in their order."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.at = 0
        self.parts = []
        self.tables = []
        self.operation = ""
        self.levels = [Level()]
        # Names of the subqueries of `WITH`, which are no tables.
        self.subqueries = None
        while self.at < len(tokens):
            self.read()

    def read(self):
        token = self.tokens[self.at]
        self.at += 1
        level = self.levels[-1]
        if token.text == "(":
            self.levels.append(Level())
        elif token.text == ")":
            self.levels = self.levels[:-1] or [Level()]
        elif token.text == ";":
            self.levels = [Level()]
            self.subqueries = None
        elif token.text == ",":
            if level.is_list:
                self.read_table()
        elif token.word == "SELECT" or self.is_beginning(level, token):
            self.begin(level, token)
        elif self.is_naming() and token.kind in ("name", "word"):
            self.subqueries.add(name_of(token))
        elif token.word in BEFORE_TABLES and level.has_operation and self.word_before() not in ("DISTINCT", "FOR"):
            level.is_list = token.word == "FROM" or level.is_list and token.word != "INTO"
            self.read_table()
        elif token.word in AFTER_TABLES:
            level.is_list = False

    def is_naming(self):
        """Returns `True` between `WITH` and the statement after its subqueries."""
        return self.subqueries is not None and len(self.levels) == 1 and not self.levels[0].has_operation

    def is_beginning(self, level, token):
        if level.has_operation or not token.word:
            return False
        if token.word in BEGINNINGS:
            return True
        return len(self.levels) == 1 and self.subqueries is None

    def begin(self, level, token):
        if token.word == "WITH":
            self.subqueries = set()
            return
        level.has_operation = True
        level.is_list = False
        self.parts.append(token.text)
        if not self.operation and len(self.levels) == 1:
            self.operation = token.text
        if token.word in DIRECT:
            self.read_table(has_parentheses=True, is_table=token.word in ("COPY", "UPDATE"))
        elif token.word in DEFINITIONS and not self.read_object() and token.word == "TRUNCATE":
            self.read_table()

    def read_object(self):
        """Reads the kind and the name of an object, such as `UNIQUE INDEX CONCURRENTLY orders_by_time`. Returns `True` if there
        is one.
        """
        for number, token in enumerate(self.tokens[self.at : self.at + MAX_MODIFIERS]):
            if token.word in OBJECTS:
                self.at += number + 1
                self.parts.append(token.text)
                self.read_table(has_parentheses=True, is_table=token.word in ("TABLE", "VIEW"))
                return True
        return False

    def read_table(self, has_parentheses=False, is_table=True):
        """Reads a name. One before a parenthesis is a function with a result like a table's, unless it `has_parentheses`."""
        at = self.at
        while self.word_at(at) in SKIPPED:
            at += 1
        names = []
        while at < len(self.tokens) and self.tokens[at].kind in ("name", "word") and self.tokens[at].word not in NO_TABLES:
            names.append(name_of(self.tokens[at]))
            at += 1
            if at >= len(self.tokens) or self.tokens[at].text != ".":
                break
            at += 1
        has_parentheses = has_parentheses or self.word_at(self.at - 1) == "INTO"
        if not names or not has_parentheses and at < len(self.tokens) and self.tokens[at].text == "(":
            return
        self.at = at
        name = ".".join(names)
        if self.subqueries is not None and name in self.subqueries:
            return
        self.parts.append(name)
        if is_table and name not in self.tables:
            self.tables.append(name)

    def word_before(self):
        return self.word_at(self.at - 2)

    def word_at(self, at):
        return self.tokens[at].word if 0 <= at < len(self.tokens) else ""


def name_of(token):
    return token.text if token.kind == "word" else token.text[1:-1]


def summary_of(parts):
    """Joins as many parts as fit."""
    summary = ""
    for part in parts:
        longer = f"{summary} {part}" if summary else part
        if len(longer) > MAX_SUMMARY:
            break
        summary = longer
    return summary
