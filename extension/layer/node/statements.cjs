// Describes statements of databases without their values. Python's lambda_otlp_statements.py does the same, and both pass
// tests/fixtures/statements.jsonl.
//
// Source: OpenTelemetry's semantic conventions, "Database client spans": "Sanitization of `db.query.text`" and "Generating a
// summary of the query".

"use strict";

/// Limits in characters: of a statement that is read, of its text, and of its summary. The conventions set the last one.
const MAX_READ = 65536;
const MAX_TEXT = 4096;
const MAX_SUMMARY = 255;
/// Systems in which double quotes enclose names. In others they may enclose a value.
const DOUBLE_QUOTED_NAMES = [
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
];
const BRACKETED_NAMES = ["microsoft.sql_server", "mssql"];
/// Systems in which a backslash escapes a quote in every text, and `#` begins a comment.
const WITH_BACKSLASHES = ["mariadb", "mysql"];

// A text that the end of the statement cuts off is still a value.
// Some systems nest comments. A comment within another ends both at the last end, so that no text after the first end remains.
const COMMENT = String.raw`--[^\n]*|/\*(?:(?!\*/|/\*)[\s\S])*(?:\*/|/\*[\s\S]*\*/|/\*[\s\S]*$|$)`;
const FLAT_COMMENT = String.raw`--[^\n]*|/\*[\s\S]*?(?:\*/|$)`;
// `\'` ends a text or not, by system and setting. Everything after it is a value.
const PLAIN = String.raw`'(?:[^'\\]+|''|\\\\|\\(?!['\\]))*(?:'|\\'[\s\S]*|\\?$)`;
// Oracle's texts: `q'[…]'`, `nq'!…!'`.
const QUOTED = String.raw`[Nn]?[Qq]'(?:\[[\s\S]*?(?:\]'|$)|\{[\s\S]*?(?:\}'|$)|\([\s\S]*?(?:\)'|$)|<[\s\S]*?(?:>'|$)|(?<quote>[^\s\[{(<'])[\s\S]*?(?:\k<quote>'|$))`;
const ESCAPED = String.raw`'(?:[^'\\]+|''|\\[\s\S])*(?:'|\\?$)`;
const DOUBLE_PLAIN = '"(?:[^"]+|"")*(?:"|$)';
const DOUBLE_ESCAPED = String.raw`"(?:[^"\\]+|""|\\[\s\S])*(?:"|\\?$)`;
const DOLLARS = String.raw`\$(?<tag>(?:[A-Za-z_][A-Za-z_0-9]*)?)\$[\s\S]*?(?:\$\k<tag>\$|$)`;
const NUMBER = String.raw`0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?`;
const WORD = String.raw`[A-Za-z_\u0080-\uffff][A-Za-z_0-9$\u0080-\uffff]*`;
/// The place of a parameter, such as `$1`, `:name`, `@name` or `%(name)s`.
const PLACE = String.raw`\$[0-9]+|%\([^)]{0,64}\)s|%s|::|[:@]+[A-Za-z_0-9]+`;

/// Words that begin a statement, and whose next word is a table or procedure.
const DIRECT = ["CALL", "COPY", "EXEC", "EXECUTE", "UPDATE"];
/// Words that begin a statement or a subquery. `SELECT` also begins a part within one, and any other word only the whole.
const BEGINNINGS = [...DIRECT, "DELETE", "INSERT", "MERGE", "REPLACE", "UPSERT"];
/// Words that begin a statement about an object, and kinds of objects.
const DEFINITIONS = ["ALTER", "CREATE", "DROP", "TRUNCATE"];
const OBJECTS = ["DATABASE", "FUNCTION", "INDEX", "PROCEDURE", "SCHEMA", "SEQUENCE", "TABLE", "TRIGGER", "TYPE", "VIEW"];
/// Words before tables, and between them and the name.
const BEFORE_TABLES = ["FROM", "INTO", "JOIN", "USING"];
const SKIPPED = ["CONCURRENTLY", "EXISTS", "IF", "LATERAL", "NOT", "ONLY"];
/// Words after which commas separate no tables.
const AFTER_TABLES = ["GROUP", "HAVING", "LIMIT", "ON", "ORDER", "RETURNING", "SET", "VALUES", "WHERE"];
/// Words that follow `FROM` or `INTO` and are no table.
const NO_TABLES = ["SELECT", "STDIN", "VALUES"];
/// Words between `CREATE` and the kind of an object, such as `OR REPLACE` and `GLOBAL TEMPORARY`.
const MAX_MODIFIERS = 5;
/// In statements that begin with the former, a name after one of the latter is a password or a key.
const PASSWORDS = ["IDENTIFIED", "PASSWORD"];
const BEFORE_SECRETS = new Map([
  ["ALTER", PASSWORDS],
  ["CREATE", PASSWORDS],
  ["GRANT", PASSWORDS],
  ["PRAGMA", ["HEXKEY", "HEXREKEY", "KEY", "REKEY", "TEXTKEY", "TEXTREKEY"]],
  ["SET", PASSWORDS],
]);
/// Between such a word and the secret.
const BETWEEN = ["(", "="];
/// In SQLite, `"…"` is a text if there is no such column. It is a name after one of these words, beside a point, and as the first
/// column of a table.
const NAMING = [...BEFORE_TABLES, ...DIRECT, ...OBJECTS, ...SKIPPED, "AS", "BY", "SET", "WHERE"];
/// The space that is read before a word.
const MAX_SPACE = 64;

const patterns = new Map();

/// Returns the pattern of a token in this system's statements.
function patternOf(system) {
  if (!patterns.has(system)) patterns.set(system, new RegExp(sourceOf(system), "g"));
  return patterns.get(system);
}

function sourceOf(system) {
  let comment = COMMENT;
  let value = `${QUOTED}|[Ee]${ESCAPED}|(?:[NnXxBb])?${PLAIN}|${DOUBLE_PLAIN}`;
  let name = "`[^`]*(?:`|$)";
  if (WITH_BACKSLASHES.includes(system)) {
    comment = `${FLAT_COMMENT}|#[^\\n]*`;
    value = `(?:[NnXxBb]|_[a-z0-9]+\\s*)?${ESCAPED}|${DOUBLE_ESCAPED}`;
  } else if (DOUBLE_QUOTED_NAMES.includes(system)) {
    value = `${QUOTED}|[Ee]${ESCAPED}|(?:[NnXxBb]|[Uu]&)?${PLAIN}`;
    name += `|${DOUBLE_PLAIN}`;
    if (BRACKETED_NAMES.includes(system)) name += String.raw`|\[[^\]]*(?:\]|$)`;
  }
  return [
    `(?<space>\\s+|${comment})`,
    `(?<value>${value}|${DOLLARS}|${NUMBER})`,
    `(?<name>${name})`,
    `(?<word>${WORD})`,
    `(?<other>${PLACE}|[\\s\\S])`,
  ].join("|");
}

/// Returns the statement without values and comments, its summary, its operation, and its only table or an empty text.
function describe(system, statement) {
  const tokens = tokensOf(system, statement.slice(0, MAX_READ));
  const text = tokens.map((token) => token.before + token.text).join("");
  const { parts, operation, tables } = new Parts(tokens);
  return {
    text: shortened(statement.length > MAX_READ ? `${text}...` : text),
    summary: summaryOf(parts),
    operation,
    table: tables.length === 1 ? tables[0] : "",
  };
}

function shortened(text) {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 3)}...`;
}

/// Reads tokens up to the limit of the text. `before` is the space before a token.
function tokensOf(system, statement) {
  const tokens = [];
  let before = "";
  let length = 0;
  let isSecret = false;
  for (const { 0: found, groups, index } of statement.matchAll(patternOf(system))) {
    if (groups.space !== undefined) {
      before = tokens.length > 0 ? " " : "";
      continue;
    }
    const word = groups.word?.toUpperCase() ?? "";
    const isName = groups.name !== undefined || groups.word !== undefined;
    const mayBeText = system === "sqlite" && groups.name?.startsWith('"');
    const isText = mayBeText && !canOnlyBeName(tokens, statement.slice(index + found.length, index + found.length + MAX_SPACE));
    const isValue = groups.value !== undefined || isText || (isSecret && isName && word !== "BY");
    const kind = isValue ? "value" : groups.name !== undefined ? "name" : groups.word !== undefined ? "word" : "other";
    const text = isValue ? "?" : found;
    const secrets = BEFORE_SECRETS.get(tokens[0]?.word) ?? [];
    isSecret = secrets.includes(word) || (isSecret && (word === "BY" || BETWEEN.includes(text)));
    tokens.push({ kind, text, word, before });
    length += before.length + text.length;
    before = "";
    if (length > MAX_TEXT) break;
  }
  return tokens;
}

/// Returns `true` if the next token, before this rest of the statement, can only be a name.
function canOnlyBeName(tokens, rest) {
  const before = tokens[tokens.length - 1];
  if (rest.startsWith(".") || before === undefined) return true;
  const isColumn = before.word === "SELECT" && rest.trimStart().slice(0, 5).toUpperCase() === "FROM ";
  return NAMING.includes(before.word) || before.text === "." || isColumn;
}

/// A statement, or the part of one in parentheses. A comma separates tables in a list.
function newLevel() {
  return { hasOperation: false, isList: false };
}

/// The operations and tables of a statement in their order.
class Parts {
  constructor(tokens) {
    this.tokens = tokens;
    this.at = 0;
    this.parts = [];
    this.tables = [];
    this.operation = "";
    this.levels = [newLevel()];
    /// Names of the subqueries of `WITH`, which are no tables.
    this.subqueries = undefined;
    while (this.at < tokens.length) this.read();
  }

  read() {
    const token = this.tokens[this.at];
    this.at += 1;
    const level = this.levels[this.levels.length - 1];
    if (token.text === "(") this.levels.push(newLevel());
    else if (token.text === ")") {
      this.levels.pop();
      if (this.levels.length === 0) this.levels.push(newLevel());
    } else if (token.text === ";") {
      this.levels = [newLevel()];
      this.subqueries = undefined;
    } else if (token.text === ",") {
      if (level.isList) this.readTable();
    } else if (token.word === "SELECT" || this.isBeginning(level, token)) {
      this.begin(level, token);
    } else if (this.isNaming() && ["name", "word"].includes(token.kind)) {
      this.subqueries.add(nameOf(token));
    } else if (
      BEFORE_TABLES.includes(token.word) &&
      level.hasOperation &&
      !["DISTINCT", "FOR"].includes(this.wordAt(this.at - 2))
    ) {
      level.isList = token.word === "FROM" || (level.isList && token.word !== "INTO");
      this.readTable();
    } else if (AFTER_TABLES.includes(token.word)) {
      level.isList = false;
    }
  }

  /// Returns `true` between `WITH` and the statement after its subqueries.
  isNaming() {
    return this.subqueries !== undefined && this.levels.length === 1 && !this.levels[0].hasOperation;
  }

  isBeginning(level, token) {
    if (level.hasOperation || token.word === "") return false;
    return BEGINNINGS.includes(token.word) || (this.levels.length === 1 && this.subqueries === undefined);
  }

  begin(level, token) {
    if (token.word === "WITH") {
      this.subqueries = new Set();
      return;
    }
    level.hasOperation = true;
    level.isList = false;
    this.parts.push(token.text);
    if (this.operation === "" && this.levels.length === 1) this.operation = token.text;
    if (DIRECT.includes(token.word)) {
      this.readTable({ hasParentheses: true, isTable: ["COPY", "UPDATE"].includes(token.word) });
    } else if (DEFINITIONS.includes(token.word) && !this.readObject() && token.word === "TRUNCATE") {
      this.readTable();
    }
  }

  /// Reads the kind and the name of an object, such as `UNIQUE INDEX CONCURRENTLY orders_by_time`. Returns `true` if there is
  /// one.
  readObject() {
    const following = this.tokens.slice(this.at, this.at + MAX_MODIFIERS);
    const number = following.findIndex(({ word }) => OBJECTS.includes(word));
    if (number < 0) return false;
    const { text, word } = following[number];
    this.at += number + 1;
    this.parts.push(text);
    this.readTable({ hasParentheses: true, isTable: ["TABLE", "VIEW"].includes(word) });
    return true;
  }

  /// Reads a name. One before a parenthesis is a function with a result like a table's, unless it `hasParentheses`.
  readTable({ hasParentheses = false, isTable = true } = {}) {
    let at = this.at;
    while (SKIPPED.includes(this.wordAt(at))) at += 1;
    const names = [];
    while (["name", "word"].includes(this.tokens[at]?.kind) && !NO_TABLES.includes(this.tokens[at].word)) {
      names.push(nameOf(this.tokens[at]));
      at += 1;
      if (this.tokens[at]?.text !== ".") break;
      at += 1;
    }
    const mayBeBefore = hasParentheses || this.wordAt(this.at - 1) === "INTO";
    if (names.length === 0 || (!mayBeBefore && this.tokens[at]?.text === "(")) return;
    this.at = at;
    const name = names.join(".");
    if (this.subqueries?.has(name)) return;
    this.parts.push(name);
    if (isTable && !this.tables.includes(name)) this.tables.push(name);
  }

  wordAt(at) {
    return this.tokens[at]?.word ?? "";
  }
}

function nameOf({ kind, text }) {
  return kind === "word" ? text : text.slice(1, -1);
}

/// Joins as many parts as fit.
function summaryOf(parts) {
  let summary = "";
  for (const part of parts) {
    const longer = summary === "" ? part : `${summary} ${part}`;
    if (longer.length > MAX_SUMMARY) break;
    summary = longer;
  }
  return summary;
}

module.exports = { MAX_SUMMARY, MAX_TEXT, describe, shortened };
