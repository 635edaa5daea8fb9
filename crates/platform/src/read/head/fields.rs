//! The fields of a head other than its time: ids, numbers, levels, names, and what stands in brackets.

use super::evidence::{Name, level_of, level_of_phrase, name_of};
use super::group::{Bracketed, level_near_name};
use super::prose::is_english;
use super::scan::{MAX_BARE_NAMES, Scan};
use super::sets::{Forms, Marks, Places, form, mark, place};
use super::word::HeadWord;
use super::{HeadOf, beginning};
use crate::read::ids::{TraceIds, is_uuid, trace_ids_in_brackets};
use crate::read::keys::role;
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::steps;
use crate::read::time::stated_time;

impl<'a> Scan<'a> {
    pub(super) fn read_id(&mut self, word: &HeadWord<'a>) -> bool {
        self.read_request_id(word) || self.read_trace_ids(word) || self.pass_prefix(word)
    }

    /// Reads a request id, or its placeholder during the init phase.
    fn read_request_id(&mut self, word: &HeadWord<'a>) -> bool {
        let HeadWord { text, rest, .. } = *word;
        if is_uuid(text) && (self.fields > 0 || rest.starts_with('\t')) {
            self.head.is_of_runtime |= self.has_clock();
            self.head.request_id = self.head.request_id.or(Some(text));
            return self.take(text.len());
        }
        if text == "undefined" && word.is_preceded_by(mark::TAB) && self.has_clock() {
            self.head.is_of_runtime = true;
            return self.take(text.len());
        }
        false
    }

    /// Reads a trace id and a span id: `… | 5b8aa5a2d2c872e8321cf37308d69df2 051581bf3cb55c13 | declined`.
    fn read_trace_ids(&mut self, word: &HeadWord<'a>) -> bool {
        if !word.is_preceded_by(mark::BAR) {
            return false;
        }
        let Some(trace_id) = wire::ids::id(word.text) else { return false };
        let span = HeadWord::first_of(word.rest.trim_start(), mark::BLANK);
        let span_id = wire::ids::id(span.text).filter(|_| span.is_followed_by(mark::BAR));
        if span_id.is_none() {
            return false;
        }
        self.head.trace = Some(TraceIds { trace_id, span_id });
        self.take(span.bytes(self.head.rest))
    }

    /// Passes another program's prefix, after which a whole line begins.
    fn pass_prefix(&mut self, word: &HeadWord<'a>) -> bool {
        const CLOUDFRONT_BYTES: usize = 40;
        // glog, used before the flags of its program are known.
        const BEFORE_FLAGS: &str = " logging before flag.Parse: ";
        let HeadWord { text, rest, .. } = *word;
        if let Some(line) = rest.strip_prefix(BEFORE_FLAGS).filter(|_| text == "ERROR") {
            return self.begin_again(line);
        }
        // Kubernetes' log files: `TIME stderr F …`
        if self.has_clock() && matches!(text, "stdout" | "stderr") && rest.starts_with(" F ") {
            let is_begun = self.begin_again(rest.get(3..).unwrap_or_default());
            self.head.has_others |= is_begun;
            return is_begun;
        }
        let is_of_cloudfront = self.fields == 0
            && text.len() >= CLOUDFRONT_BYTES
            && text.strip_suffix("==").is_some_and(|id| {
                id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+/".contains(&byte))
            });
        if is_of_cloudfront {
            let rest = self.head.rest.get(text.len()..).unwrap_or_default();
            return self.begin_again(rest.strip_prefix(' ').unwrap_or(rest));
        }
        false
    }

    /// Reads a process or line number after other fields, such as `8` of Spring and `8#8:` of nginx, or the time since the start.
    pub(super) fn read_number(&mut self, word: &HeadWord<'a>) -> bool {
        const MAX_DIGITS: usize = 20;
        let text = word.text;
        // tracing-subscriber's time since the start: `0.000537818s`.
        let of_seconds = || text.strip_suffix('s').filter(|number| number.contains('.'));
        let uptime = text.strip_suffix("ms").or_else(of_seconds);
        let is_number = uptime
            .unwrap_or(text)
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"#:*.".contains(&byte));
        // A list of values is no head.
        let is_value = word.is_followed_by(mark::COMMA | mark::SEMICOLON);
        if !is_number || is_value || text.len() > MAX_DIGITS || self.after_first.is_some() {
            return false;
        }
        if self.fields == 0 {
            if uptime.is_some() && word.is_followed_by(mark::CAPITAL) {
                self.after_clock = Some(place::TIMED);
                return self.take(text.len());
            }
            let next = beginning(word.rest).trim_start();
            let is_before_time = || stated_time(next).is_some_and(|time| time.has_clock);
            // Minutes and seconds since the start, `00:05`, are before a level.
            let marks =
                if text.contains(':') { mark::CAPITAL } else { mark::CAPITAL | mark::GROUP };
            let may_be_head = !self.is_indented && (word.is_followed_by(marks) || is_before_time());
            if !may_be_head {
                return false;
            }
            self.after_first = Some(place::NUMBERED);
            return self.take_on_trial(text.len());
        }
        let is_begin = self.after_clock == Some(place::GO_TIMED) && !self.has_group;
        let may_be_process = self.head.severity.is_none() && !is_begin;
        let is_process = may_be_process || beginning(word.rest).trim_start().starts_with("---");
        if !is_process {
            return false;
        }
        self.head.has_others = true;
        self.take(word.bytes(self.head.rest))
    }

    pub(super) fn read_level(&mut self, word: &HeadWord<'a>) -> bool {
        if let Some(known) = self.head.severity {
            // Ruby's logger names the level after its letter.
            let is_again = Severity::of_text(word.text, LevelWordSet::Upper) == Some(known);
            if !is_again {
                return false;
            }
            return self.take(word.text.len());
        }
        if let Some(phrase) = level_of_phrase(self.head.rest) {
            return self.take_level(phrase.severity, phrase.bytes);
        }
        let place = self.place();
        // `Error: no stock` in a message is the name of an exception.
        let may_be_exception = self.of != HeadOf::Line && place == place::FIRST;
        if may_be_exception && Forms::of(word.text) == form::CAPITALISED {
            return false;
        }
        let Some(severity) = level_of(word, place) else { return false };
        self.take_level(severity, word.bytes(self.head.rest))
    }

    /// Reads a name before the level.
    pub(super) fn read_name(&mut self, word: &HeadWord<'a>) -> bool {
        if self.head.severity.is_some() {
            let is_column = word.is_preceded_by(mark::BAR) && word.is_followed_by(mark::BAR);
            if !is_column {
                return false;
            }
            self.head.has_others = true;
            return self.take(word.text.len());
        }
        let place = self.place();
        let Some(name) = name_of(word, place).filter(|_| !is_other_field(word.text, place)) else {
            return false;
        };
        if name == Name::Bare {
            if self.bare_names == MAX_BARE_NAMES || is_english(word.text) {
                return false;
            }
            self.bare_names += 1;
        }
        self.has_group |= name == Name::Sure;
        if place == place::FIRST {
            self.after_first = Some(place::NAMED);
        }
        self.take_on_trial(word.text.len())
    }

    /// Reads a time, a level, ids or a name in brackets, zerolog's `<nil>` in place of a time, or a file in braces, as Airflow writes it.
    pub(super) fn read_group(&mut self) -> bool {
        let Some(group) = Bracketed::at_start(self.head.rest) else { return false };
        let is_apart = group.is_apart() || group.open == b'[' && self.is_level_in_brackets(&group);
        let is_symbol = !group.inner.bytes().any(|byte| byte.is_ascii_alphanumeric());
        if !is_apart || is_symbol || group.inner.contains('\n') || !self.allows_group(&group) {
            return false;
        }
        if group.inner == "nil" {
            self.after_clock = Some(place::TIMED);
        } else {
            self.head.has_context |= group.inner.contains('=');
            self.read_in_group(group.inner);
        }
        self.take(group.bytes)
    }

    /// `[14:13:20][ERROR]declined`
    fn is_level_in_brackets(&self, group: &Bracketed<'_>) -> bool {
        self.has_clock() && Severity::of_text(group.inner, LevelWordSet::UpperUsual).is_some()
    }

    /// Returns `true` if brackets of this kind with this content are a field here, and not the beginning of a message.
    fn allows_group(&self, group: &Bracketed<'_>) -> bool {
        let is_level = |words| Severity::of_text(group.inner, words).is_some();
        match group.open {
            // `shop: [WARN] low`, `shop[WARN] low`
            _ if self.place() == place::NAMED => {
                group.open == b'['
                    && (self.before.intersects(mark::COLON) || self.before == Marks::NONE)
                    && is_level(LevelWordSet::Upper)
            }
            b'[' => true,
            // A sentence may begin with parentheses.
            b'(' => {
                let is_begin = self.fields == 0 || self.after_clock == Some(place::GO_TIMED);
                !is_begin
                    || is_level(LevelWordSet::UpperUsual)
                    || is_level(LevelWordSet::Usual) && !is_english(beginning(group.after))
                    || group.after.starts_with(" [")
            }
            b'<' => {
                let is_alone = self.fields == 0 || self.has_clock();
                is_alone && (group.inner == "nil" || is_level(LevelWordSet::Usual))
            }
            _ => {
                self.has_clock() && group.inner.contains(':') && !group.inner.contains(['"', '\''])
            }
        }
    }

    fn read_in_group(&mut self, inner: &'a str) {
        let of_text = |word: &str| match word.as_bytes() {
            [letter @ b'A'..=b'Z'] => Severity::of_letter(*letter),
            _ => Severity::of_text(word, LevelWordSet::Any),
        };
        if let Some(time) = stated_time(inner) {
            self.set_time(&time, place::TIMED);
            let following =
                inner.get(time.bytes..).unwrap_or_default().trim_start_matches([':', ' ', ',']);
            let word = following.split([' ', '/']).next();
            self.head.has_others |= word.is_some_and(|word| word.len() < following.len());
            let found = word.filter(|_| time.has_clock).and_then(of_text);
            self.head.severity = self.head.severity.or(found);
            return;
        }
        if let Some(ids) = trace_ids_in_brackets(inner) {
            self.head.trace = Some(ids);
            return;
        }
        self.has_group = true;
        let found = of_text(inner);
        self.head.has_others |= found.is_none() || self.head.severity.is_some();
        self.head.severity =
            self.head.severity.or(found).or_else(|| level_near_name(inner, self.has_clock()));
    }

    /// Reads the priority of syslog, `<11>` (RFC 5424, 6.2.1), with the version that may follow.
    pub(super) fn read_priority(&mut self) -> bool {
        const MAX_DIGITS: usize = 3;
        let Some(rest) = self.head.rest.strip_prefix('<').filter(|_| self.fields == 0) else {
            return false;
        };
        let digits = rest.bytes().take(MAX_DIGITS).take_while(u8::is_ascii_digit).count();
        steps::count(digits);
        let (priority, following) = rest.split_at_checked(digits).unwrap_or_default();
        let Some(after) = following.strip_prefix('>').filter(|after| !after.starts_with(' '))
        else {
            return false;
        };
        let number = priority.parse::<i64>().ok().filter(|number| *number < 192);
        let Some(severity) = number.and_then(|number| Severity::of_syslog(number % 8)) else {
            return false;
        };
        let version = usize::from(after.starts_with("1 "));
        self.take_level(severity, priority.len() + 2 + version)
    }
}

/// Returns `true` for a level, and for a pair whose key has a meaning in a logger's record: neither is a name.
fn is_other_field(word: &str, place: Places) -> bool {
    match word.split_once('=') {
        Some((key, _)) => role(key).is_some(),
        None => place == place::FIRST && Severity::of_text(word, LevelWordSet::Usual).is_some(),
    }
}
