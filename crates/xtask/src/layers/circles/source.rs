//! Reads one Rust file: its definitions, imports and paths, without code for tests.

use anyhow::anyhow;
use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use std::collections::BTreeSet;

/// The content of one module, without its submodules.
#[derive(Default)]
pub(super) struct Source {
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    pub(super) globs: Vec<Glob>,
    /// Paths of at least two names in its code.
    pub(super) paths: Vec<Vec<String>>,
    pub(super) words: BTreeSet<String>,
    pub(super) children: Vec<Child>,
}

pub(super) struct Import {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) is_reexport: bool,
}

pub(super) struct Glob {
    pub(super) path: Vec<String>,
    pub(super) is_reexport: bool,
}

pub(super) struct Child {
    pub(super) name: String,
    pub(super) body: Body,
}

pub(super) enum Body {
    Inline(Source),
    /// In a file of its own, where `#[path]` says or where Rust looks.
    File {
        path: Option<String>,
    },
}

/// Words that begin an item, which ends with its braces or a semicolon.
const ITEMS: &[&str] = &[
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "let",
    "macro_rules",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
    "union",
    "unsafe",
    "use",
];
const STATEMENTS: &[&str] = &["const", "let", "static", "type", "use"];
const DEFINITIONS: &[&str] =
    &["const", "enum", "fn", "mut", "static", "struct", "trait", "type", "union"];

pub(super) fn parse(text: &str) -> anyhow::Result<Source> {
    // A first line for the shell is no token.
    let text =
        text.strip_prefix("#!/").map_or(text, |rest| rest.split_once('\n').unwrap_or_default().1);
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("cannot be read: {error}"))?;
    Ok(module(tokens))
}

fn module(tokens: TokenStream) -> Source {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut source = Source::default();
    source.scan(&tokens, true);
    source
}

impl Source {
    /// Reads these tokens; definitions count only on the module's own level.
    fn scan(&mut self, tokens: &[TokenTree], is_module_level: bool) {
        let mut path_attribute = None;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let is_inner = is_punct(tokens.get(at + 1), '!');
                    let attribute_at = at + 1 + usize::from(is_inner);
                    let Some(TokenTree::Group(attribute)) = tokens.get(attribute_at) else {
                        at += 1;
                        continue;
                    };
                    if is_for_tests(attribute) {
                        at = if is_inner { tokens.len() } else { item_end(tokens, at) };
                        continue;
                    }
                    let attribute: Vec<TokenTree> = attribute.stream().into_iter().collect();
                    if word(attribute.first()).as_deref() == Some("path") {
                        path_attribute = attribute
                            .last()
                            .map(|text| text.to_string().trim_matches('"').to_owned());
                    }
                    if word(attribute.first()).as_deref() != Some("doc") {
                        self.scan(&attribute, false);
                    }
                    at = attribute_at + 1;
                }
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.scan(&inner, false);
                    at += 1;
                }
                TokenTree::Ident(ident) if ident == "use" && !is_punct(tokens.get(at + 1), '<') => {
                    let end = position(tokens, at, |token| is_punct(Some(token), ';'));
                    let is_reexport = match at.checked_sub(1).and_then(|before| tokens.get(before))
                    {
                        Some(TokenTree::Ident(before)) => before == "pub",
                        // `pub(crate) use`
                        Some(TokenTree::Group(_)) => {
                            at > 1 && word(tokens.get(at - 2)).as_deref() == Some("pub")
                        }
                        _ => false,
                    };
                    let tree = tokens.get(at + 1..end).unwrap_or_default();
                    self.import(&[], tree, is_reexport);
                    at = end + 1;
                }
                TokenTree::Ident(ident) if ident == "mod" => {
                    let name = word(tokens.get(at + 1)).unwrap_or_default();
                    let body = match tokens.get(at + 2) {
                        Some(TokenTree::Group(group)) => Body::Inline(module(group.stream())),
                        _ => Body::File { path: path_attribute.take() },
                    };
                    self.children.push(Child { name, body });
                    at += 3;
                }
                TokenTree::Ident(ident) => {
                    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
                    if is_module_level && !is_punct(before, '\'') && !is_punct(before, '*') {
                        self.define(&ident.to_string(), tokens, at);
                    }
                    at = self.path(tokens, at);
                }
                _ => at += 1,
            }
        }
    }

    fn define(&mut self, keyword: &str, tokens: &[TokenTree], at: usize) {
        let name_at = if keyword == "macro_rules" { at + 2 } else { at + 1 };
        let is_definition = DEFINITIONS.contains(&keyword) || keyword == "macro_rules";
        if let (true, Some(name)) = (is_definition, word(tokens.get(name_at)))
            && !DEFINITIONS.contains(&name.as_str())
            && !ITEMS.contains(&name.as_str())
        {
            self.items.insert(name);
        }
    }

    /// Takes in the path that may begin here; says where to go on.
    fn path(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let begins = !ends_with_colons(tokens.get(..at).unwrap_or_default())
            && !is_punct(at.checked_sub(1).and_then(|before| tokens.get(before)), '.');
        let (names, end) = names(tokens, at);
        match names.as_slice() {
            [word] if begins => _ = self.words.insert(word.clone()),
            [_, _, ..] if begins => self.paths.push(names),
            _ => {}
        }
        end
    }

    /// One tree of a `use`, after the path in front of its braces.
    fn import(&mut self, before: &[String], tokens: &[TokenTree], is_reexport: bool) {
        if is_punct(tokens.first(), ':') {
            // `::name` is another crate.
            return;
        }
        let (names, end) = names(tokens, 0);
        let mut path = [before, &names].concat();
        let rest = tokens.get(end..).unwrap_or_default();
        // `a::{…}` and `a::*` have colons left.
        let rest =
            if is_punct(rest.first(), ':') { rest.get(2..).unwrap_or_default() } else { rest };
        match rest.first() {
            Some(TokenTree::Group(group)) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for tree in inner.split(|token| is_punct(Some(token), ',')) {
                    self.import(&path, tree, is_reexport);
                }
            }
            Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                self.globs.push(Glob { path, is_reexport });
            }
            _ => {
                if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                    path.pop();
                }
                let renamed = rest.first().and_then(|_| word(rest.get(1)));
                if let Some(name) = renamed.or_else(|| path.last().cloned()) {
                    self.imports.push(Import { name, path, is_reexport });
                }
            }
        }
    }
}

/// The names `a::b::c` that begin here, and where they end.
fn names(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let Some(first) = word(tokens.get(at)) else { return (Vec::new(), at) };
    let (mut names, mut end) = (vec![first], at + 1);
    while ends_with_colons(tokens.get(..end + 2).unwrap_or_default())
        && let Some(name) = word(tokens.get(end + 2))
    {
        names.push(name);
        end += 3;
    }
    (names, end)
}

fn ends_with_colons(tokens: &[TokenTree]) -> bool {
    match tokens {
        [.., TokenTree::Punct(first), TokenTree::Punct(second)] => {
            first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':'
        }
        _ => false,
    }
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punct(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == punct)
}

fn position(tokens: &[TokenTree], from: usize, wanted: impl Fn(&TokenTree) -> bool) -> usize {
    let found = tokens.get(from..).and_then(|rest| rest.iter().position(wanted));
    found.map_or(tokens.len(), |position| from + position)
}

fn item_end(tokens: &[TokenTree], mut at: usize) -> usize {
    while is_punct(tokens.get(at), '#') {
        at += 2;
    }
    if word(tokens.get(at)).as_deref() == Some("pub") {
        at += 1;
        let is_restricted = matches!(tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        at += usize::from(is_restricted);
    }
    let first = word(tokens.get(at)).unwrap_or_default();
    let is_function = position(tokens, at, |token| is_keyword(token, "fn")) == at + 1;
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => {
            punct.as_char() == ';' || (punct.as_char() == ',' && !ITEMS.contains(&first.as_str()))
        }
        TokenTree::Group(group) => {
            group.delimiter() == Delimiter::Brace
                && (is_function || !STATEMENTS.contains(&first.as_str()))
        }
        _ => false,
    };
    position(tokens, at, ends) + 1
}

fn is_keyword(token: &TokenTree, keyword: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == keyword)
}

/// Returns `true` for `#[test]`, attributes such as `#[tokio::test]`, and a `#[cfg]` that holds in tests only.
fn is_for_tests(attribute: &Group) -> bool {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let (names, end) = names(&tokens, 0);
    if names.last().is_some_and(|name| name == "test") {
        return true;
    }
    match (names.first().map(String::as_str), tokens.get(end)) {
        (Some("cfg"), Some(TokenTree::Group(predicate))) => holds_in_tests_only(predicate.stream()),
        _ => false,
    }
}

fn holds_in_tests_only(predicate: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = predicate.into_iter().collect();
    let of_list = |group: &Group| -> Vec<bool> {
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        let parts = inner.split(|token| is_punct(Some(token), ','));
        let parts = parts.filter(|part| !part.is_empty());
        parts.map(|part| holds_in_tests_only(part.iter().cloned().collect())).collect()
    };
    match (word(tokens.first()).as_deref(), tokens.get(1)) {
        (Some("test"), None) => true,
        (Some("all"), Some(TokenTree::Group(list))) => of_list(list).contains(&true),
        (Some("any"), Some(TokenTree::Group(list))) => !of_list(list).contains(&false),
        _ => false,
    }
}
