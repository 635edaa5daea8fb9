//! Reads the text of a filter pattern.

use serde_json::Value;
use thiserror::Error;

use super::{Condition, Form, Operator, Step, Test};

/// The longest pattern (CloudWatch Logs: 1,024 characters).
const MAX_PATTERN_CHARS: usize = 1024;

/// Why a filter pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("filter pattern, at character {at}: {reason}")]
pub struct InvalidPattern {
    /// Characters before the mistake.
    pub at: usize,
    reason: &'static str,
}

pub(super) fn parse(pattern: &str) -> Result<Form, InvalidPattern> {
    let mut reader = Reader { rest: pattern, read: 0 };
    if pattern.chars().count() > MAX_PATTERN_CHARS {
        return Err(reader.error("longer than 1,024 characters"));
    }
    reader.skip_spaces();
    match reader.peek() {
        Some('{') => reader.json_pattern().map(Form::Json),
        Some('[') => Err(reader.error("space-delimited patterns are not simulated")),
        Some('%') => Err(reader.error("regular expressions are not simulated")),
        _ => reader.terms(),
    }
}

/// Reads a pattern from left to right.
struct Reader<'a> {
    rest: &'a str,
    read: usize,
}

type Parsed<T> = Result<T, InvalidPattern>;

impl Reader<'_> {
    fn error(&self, reason: &'static str) -> InvalidPattern {
        InvalidPattern { at: self.read, reason }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        self.read += 1;
        Some(next)
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.bump();
        }
    }

    /// Goes past `text` and the spaces before it, if it comes next.
    fn take(&mut self, text: &str) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                self.read += text.chars().count();
                true
            }
            None => false,
        }
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(next) = self.peek().filter(|next| belongs(*next)) {
            word.push(next);
            self.bump();
        }
        word
    }

    /// Reads up to the closing quote; a backslash takes the next character as it is.
    fn quoted(&mut self, quote: char) -> Parsed<String> {
        let mut text = String::new();
        loop {
            match self.bump() {
                None => return Err(self.error("the quote is not closed")),
                Some('\\') => text.extend(self.bump()),
                Some(next) if next == quote => return Ok(text),
                Some(next) => text.push(next),
            }
        }
    }

    fn terms(&mut self) -> Parsed<Form> {
        let (mut required, mut optional, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.skip_spaces();
            let terms = match self.peek() {
                None => return Ok(Form::Terms { required, optional, excluded }),
                Some('?') => &mut optional,
                Some('-') => &mut excluded,
                Some(_) => &mut required,
            };
            if matches!(self.peek(), Some('?' | '-')) {
                self.bump();
            }
            let term = if self.peek() == Some('"') {
                self.bump();
                self.quoted('"')?
            } else {
                self.word(|next| next.is_alphanumeric() || next == '_')
            };
            if self.peek().is_some_and(|next| !next.is_whitespace()) {
                return Err(self.error("a term with this character needs double quotes"));
            }
            if term.is_empty() {
                return Err(self.error("a term is empty"));
            }
            terms.push(term);
        }
    }

    fn json_pattern(&mut self) -> Parsed<Condition> {
        self.take("{");
        let condition = self.any(0)?;
        if !self.take("}") {
            return Err(self.error("`}` expected"));
        }
        self.skip_spaces();
        if self.peek().is_some() {
            return Err(self.error("nothing may follow the JSON pattern"));
        }
        Ok(condition)
    }

    fn any(&mut self, depth: usize) -> Parsed<Condition> {
        let mut conditions = vec![self.all(depth)?];
        while self.take("||") {
            conditions.push(self.all(depth)?);
        }
        Ok(Condition::Any(conditions))
    }

    fn all(&mut self, depth: usize) -> Parsed<Condition> {
        let mut conditions = vec![self.one(depth)?];
        while self.take("&&") {
            conditions.push(self.one(depth)?);
        }
        Ok(Condition::All(conditions))
    }

    fn one(&mut self, depth: usize) -> Parsed<Condition> {
        if self.take("(") {
            if depth >= 32 {
                return Err(self.error("too many parentheses"));
            }
            let condition = self.any(depth + 1)?;
            return if self.take(")") { Ok(condition) } else { Err(self.error("`)` expected")) };
        }
        let selector = self.selector()?;
        let test = self.test()?;
        Ok(Condition::Property { selector, test })
    }

    /// `$.a.b[0].['c.d']`
    fn selector(&mut self) -> Parsed<Vec<Step>> {
        if !self.take("$") {
            return Err(self.error("a selector such as `$.key` expected"));
        }
        let mut steps = Vec::new();
        loop {
            match self.peek() {
                Some('.') => {
                    self.bump();
                    if self.peek() == Some('[') {
                        continue;
                    }
                    let key = self.word(|next| next.is_alphanumeric() || matches!(next, '_' | '-'));
                    if key.is_empty() {
                        return Err(self.error(
                            "a key expected; one with special characters is written `['a.b']`",
                        ));
                    }
                    steps.push(Step::Key(key));
                }
                Some('[') => {
                    self.bump();
                    steps.push(self.bracketed()?);
                }
                _ if steps.is_empty() => return Err(self.error("a key expected after `$`")),
                _ => return Ok(steps),
            }
        }
    }

    fn bracketed(&mut self) -> Parsed<Step> {
        let step = match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                self.bump();
                Step::Key(self.quoted(quote)?)
            }
            _ => Step::Index(
                self.word(|next| next.is_ascii_digit())
                    .parse()
                    .map_err(|_| self.error("an index or a quoted key expected"))?,
            ),
        };
        if self.take("]") { Ok(step) } else { Err(self.error("`]` expected")) }
    }

    fn test(&mut self) -> Parsed<Test> {
        if self.take("NOT EXISTS") {
            return Ok(Test::Missing);
        }
        for (words, value) in
            [("IS NULL", Value::Null), ("IS TRUE", true.into()), ("IS FALSE", false.into())]
        {
            if self.take(words) {
                return Ok(Test::Is(value));
            }
        }
        let operators = [
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let Some((_, operator)) = operators.into_iter().find(|(sign, _)| self.take(sign)) else {
            return Err(self.error("a comparison expected"));
        };
        self.skip_spaces();
        let (text, is_quoted) = if self.peek() == Some('"') {
            self.bump();
            (self.quoted('"')?, true)
        } else {
            (
                self.word(|next| !next.is_whitespace() && !matches!(next, '}' | ')' | '&' | '|')),
                false,
            )
        };
        let number = if is_quoted {
            None
        } else {
            text.parse::<f64>().ok().filter(|number| number.is_finite())
        };
        match (operator, number) {
            (Operator::Equal, _) if text == "*" => Ok(Test::Exists),
            (_, Some(value)) => Ok(Test::Number { operator, value }),
            (Operator::Equal | Operator::NotEqual, None) if is_quoted || !text.is_empty() => {
                Ok(Test::Text { pattern: text, equal: operator == Operator::Equal })
            }
            _ => Err(self.error("a value expected: a number, a quoted text or `*`")),
        }
    }
}
