//! Views of a text: as it is, and with its escapes decoded. Each place in a view has a place in the text.

use std::ops::Range;

/// Maximum number of encodings on top of each other: a URL within JSON has two.
const MAX_ENCODINGS: usize = 2;

/// Reads the escape at the beginning of a text.
type Decoder = fn(&str) -> Option<DecodedChar>;

const DECODERS: [Decoder; 2] = [of_percent, of_json];

struct DecodedChar {
    character: char,
    /// Bytes of the text that encode the character.
    bytes: usize,
}

pub(super) struct View {
    /// In lower case (ASCII), because some servers change the case.
    lower: String,
    /// For each byte the place in the text at which its character begins, then the end of the text.
    places: Vec<usize>,
}

impl View {
    /// Calls a function with each view of a text. No view is longer than the text, and three exist at a time.
    pub(super) fn each(text: &str, see: &mut impl FnMut(&Self)) {
        let plain = Self { lower: text.to_ascii_lowercase(), places: (0..=text.len()).collect() };
        plain.each_within(MAX_ENCODINGS, see);
    }

    fn each_within(&self, encodings: usize, see: &mut impl FnMut(&Self)) {
        see(self);
        let Some(fewer) = encodings.checked_sub(1) else { return };
        for decoder in DECODERS {
            if let Some(decoded) = self.decoded(decoder) {
                decoded.each_within(fewer, see);
            }
        }
    }

    /// The view with these escapes decoded; `None` if there are none.
    fn decoded(&self, decoder: Decoder) -> Option<Self> {
        let mut view = Self { lower: String::new(), places: Vec::new() };
        let mut rest = self.lower.as_str();
        let mut is_changed = false;
        while let Some(plain) = rest.chars().next() {
            let place = self.place(self.lower.len() - rest.len());
            let escape = decoder(rest);
            is_changed |= escape.is_some();
            let DecodedChar { character, bytes } =
                escape.unwrap_or(DecodedChar { character: plain, bytes: plain.len_utf8() });
            view.lower.push(character.to_ascii_lowercase());
            view.places.extend(std::iter::repeat_n(place, character.len_utf8()));
            rest = rest.get(bytes..).unwrap_or_default();
        }
        view.places.push(self.place(self.lower.len()));
        is_changed.then_some(view)
    }

    fn place(&self, at: usize) -> usize {
        self.places.get(at).or(self.places.last()).copied().unwrap_or_default()
    }

    /// The place in the text of each occurrence of a lower-case text, with this number of bytes around it.
    pub(super) fn find(
        &self,
        text: &str,
        before: usize,
        after: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let starts = self.lower.match_indices(text).map(|(start, _)| start);
        starts.map(move |start| {
            self.place(start.saturating_sub(before))..self.place(start + text.len() + after)
        })
    }
}

/// `%41`, or several for a character of several bytes (RFC 3986, 2.1).
fn of_percent(text: &str) -> Option<DecodedChar> {
    let mut encoded = Vec::new();
    for escape in text.as_bytes().chunks(3).take(4) {
        let [b'%', high, low] = *escape else { return None };
        encoded.push(u8::try_from(hexadecimal(&[high, low])?).ok()?);
        if let Some(character) =
            std::str::from_utf8(&encoded).ok().and_then(|text| text.chars().next())
        {
            return Some(DecodedChar { character, bytes: 3 * encoded.len() });
        }
    }
    None
}

/// `\/`, `\n`, `\u0041`, or two of the latter for a character beyond U+FFFF (RFC 8259, 7).
fn of_json(text: &str) -> Option<DecodedChar> {
    let escaped = text.strip_prefix('\\')?.chars().next()?;
    let short = |character| Some(DecodedChar { character, bytes: 2 });
    match escaped {
        '"' | '\\' | '/' => short(escaped),
        'b' => short('\u{8}'),
        'f' => short('\u{c}'),
        'n' => short('\n'),
        'r' => short('\r'),
        't' => short('\t'),
        'u' => {
            let first = code_unit(text)?;
            let second = text.get(6..).and_then(code_unit);
            let units = [first, second.unwrap_or_default()];
            let character = char::decode_utf16(units).next()?.ok()?;
            Some(DecodedChar { character, bytes: 6 * character.len_utf16() })
        }
        _ => None,
    }
}

fn code_unit(text: &str) -> Option<u16> {
    hexadecimal(text.strip_prefix("\\u")?.as_bytes().get(..4)?)
}

/// Two or four hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
        Some(value << 4 | digit)
    })
}
