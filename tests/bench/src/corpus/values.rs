//! What placeholders stand for.

use crate::random::{self, Random};
use crate::workload::THINGS;

pub struct Values {
    pub number: u64,
    pub name: String,
    pub account: String,
    pub region: &'static str,
    pub stream: String,
    thing: &'static str,
    request_id: String,
    trace_hex: String,
}

const REGIONS: [&str; 6] =
    ["eu-west-1", "us-east-1", "eu-central-1", "us-west-2", "ap-northeast-1", "eu-north-1"];
const ROLES: [&str; 5] = ["-service", "-api-prod", "-worker", "", "-handler-v2"];

const MIXED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Values {
    pub(super) fn new(number: u64, random: &mut Random) -> Self {
        let thing = *random::nth(&THINGS, number);
        let name = format!("{thing}{}", random::nth(&ROLES, number));
        Self {
            number,
            name,
            account: format!("{:012}", random.below(1_000_000_000_000)),
            region: random.pick(&REGIONS),
            stream: format!("2026/11/21/[$LATEST]{:032x}", random.next_u128()),
            thing,
            request_id: String::new(),
            trace_hex: String::new(),
        }
    }

    pub(super) fn begin_invocation(&mut self, random: &mut Random) {
        self.request_id = random.uuid();
        self.trace_hex = format!("{:032x}", random.next_u128());
    }

    /// Renders a text: `{name}`, `{account}`, `{region}`, `{stream}`, `{thing}`, `{request}` and `{trace}` are the function's and
    /// the invocation's; `{uuid}`, `{ip}`, `{xray}`, `{n:LIMIT}`, `{hex:DIGITS}`, `{upper:DIGITS}`, `{base32:DIGITS}` and
    /// `{mixed:DIGITS}` are random;
    /// `{a|b|c}` is one of several texts.
    pub(super) fn of(&self, text: &str, random: &mut Random) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, behind)) = behind.split_once('}') else { break };
            out.push_str(&self.value(name, random));
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    fn value(&self, name: &str, random: &mut Random) -> String {
        let number = |text: &str| text.parse::<u64>().unwrap_or(1);
        if name.contains('|') {
            let texts: Vec<_> = name.split('|').collect();
            let at = usize::try_from(random.below(texts.len() as u64)).unwrap_or(0);
            return texts.get(at).map(|text| (*text).to_owned()).unwrap_or_default();
        }
        let characters = |alphabet: &[u8], length: u64, random: &mut Random| -> String {
            (0..length)
                .filter_map(|_| {
                    let at = usize::try_from(random.below(alphabet.len() as u64)).ok()?;
                    alphabet.get(at).copied().map(char::from)
                })
                .collect()
        };
        match name.split_once(':') {
            Some(("n", limit)) => random.below(number(limit)).to_string(),
            Some(("hex", length)) => characters(b"0123456789abcdef", number(length), random),
            Some(("upper", length)) => {
                characters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", number(length), random)
            }
            Some(("base32", length)) => characters(random::BASE_32_HEX, number(length), random),
            Some(("mixed", length)) => characters(MIXED, number(length), random),
            _ => match name {
                "name" => self.name.clone(),
                "account" => self.account.clone(),
                "region" => self.region.to_owned(),
                "stream" => self.stream.clone(),
                "thing" => self.thing.to_owned(),
                "request" => self.request_id.clone(),
                "trace" => self.trace_hex.clone(),
                "uuid" => random.uuid(),
                "ip" => random.ip_address(),
                "xray" => {
                    format!("1-{:08x}-{:024x}", random.below(1 << 32), random.next_u128() >> 32)
                }
                other => format!("{{{other}}}"),
            },
        }
    }
}
