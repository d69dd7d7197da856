//! JSON text without a tree: what stands in a message is found where it is, and spliced into another.
//!
//! Pure. The media path moves one string of base64 from message to message; everything else about
//! JSON is `serde`'s. [`Scanner`] therefore reads only plain shapes (texts without escapes, objects
//! with at least one member) and says *none* to all others, which then go the long way.

use std::borrow::Cow;

/// How deep a value that is passed over may be.
const MAX_DEPTH: usize = 16;

/// A message made of a payload and what stands before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spliced<'a> {
    /// Up to and with the quote that opens the payload.
    pub before: &'a str,
    /// Escaped, where it has to be.
    pub payload: Cow<'a, str>,
    /// From the quote that closes it.
    pub after: &'a str,
}

impl<'a> Spliced<'a> {
    /// A message with this payload, which may be any text.
    pub fn new(before: &'a str, payload: &'a str, after: &'a str) -> Self {
        Self {
            before,
            payload: escaped(payload),
            after,
        }
    }

    /// Its parts in order.
    pub fn parts(&self) -> [&str; 3] {
        [self.before, &self.payload, self.after]
    }

    /// The whole message.
    pub fn to_text(&self) -> String {
        self.parts().concat()
    }
}

/// Whether `text` stands for itself between the quotes of a JSON string, as base64 does.
pub fn is_plain(text: &str) -> bool {
    find_special(text.as_bytes()).is_none()
}

/// What stands between the quotes of `text` as a JSON string. Base64 stands for itself.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let quoted = serde_json::Value::from(text).to_string();
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}

/// Reads a message from left to right; each method gives none where the text is not as plain as it
/// has to be.
#[derive(Debug, Clone)]
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    /// At the beginning of `text`.
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Enters an object.
    pub fn enter(&mut self) -> Option<()> {
        self.expect(b'{')
    }

    /// The name of a member, up to its colon.
    pub fn key(&mut self) -> Option<&'t str> {
        let key = self.string()?;
        self.expect(b':')?;
        Some(key)
    }

    /// After a member: whether another follows; otherwise the object was left.
    pub fn more(&mut self) -> Option<bool> {
        self.one_of(b',', b'}')
    }

    /// A text without escapes.
    pub fn string(&mut self) -> Option<&'t str> {
        self.expect(b'"')?;
        let rest = &self.text[self.at..];
        let length = find_special(rest.as_bytes())?;
        if rest.as_bytes()[length] != b'"' {
            return None;
        }
        self.at += length + 1;
        Some(&rest[..length])
    }

    /// The text `expected`: then true, otherwise none.
    pub fn is_string(&mut self, expected: &str) -> Option<bool> {
        (self.string()? == expected).then_some(true)
    }

    /// A whole number without a sign, of at most 15 digits.
    pub fn number(&mut self) -> Option<u64> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let length = digits(rest.as_bytes());
        let text = &rest[..length];
        let is_plain = matches!(length, 1..=15) && (length == 1 || !text.starts_with('0'));
        let is_whole = matches!(
            rest.as_bytes().get(length),
            Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
        );
        if !is_plain || !is_whole {
            return None;
        }
        self.at += length;
        text.parse().ok()
    }

    /// Passes over any value, as long as it is plain.
    pub fn skip(&mut self) -> Option<()> {
        self.skip_value(MAX_DEPTH)
    }

    /// Whether nothing follows.
    pub fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    fn skip_value(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => {
                self.at += 1;
                if self.peek()? == b'}' {
                    self.at += 1;
                    return Some(());
                }
                loop {
                    self.key()?;
                    self.skip_value(depth)?;
                    if !self.one_of(b',', b'}')? {
                        return Some(());
                    }
                }
            }
            b'[' => {
                self.at += 1;
                if self.peek()? == b']' {
                    self.at += 1;
                    return Some(());
                }
                loop {
                    self.skip_value(depth)?;
                    if !self.one_of(b',', b']')? {
                        return Some(());
                    }
                }
            }
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.skip_number(),
        }
    }

    /// Passes over a number without an exponent.
    fn skip_number(&mut self) -> Option<()> {
        let bytes = &self.text.as_bytes()[self.at..];
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let whole = digits(&bytes[sign..]);
        if whole == 0 || (whole > 1 && bytes[sign] == b'0') {
            return None;
        }
        let mut length = sign + whole;
        if bytes.get(length) == Some(&b'.') {
            let fraction = digits(&bytes[length + 1..]);
            if fraction == 0 {
                return None;
            }
            length += 1 + fraction;
        }
        if matches!(bytes.get(length), Some(b'e' | b'E')) {
            return None;
        }
        self.at += length;
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..]
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Whether `yes` stands next rather than `no`.
    fn one_of(&mut self, yes: u8, no: u8) -> Option<bool> {
        let byte = self.peek()?;
        (byte == yes || byte == no).then(|| {
            self.at += 1;
            byte == yes
        })
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// Where the first quote, backslash or control character stands: what ends a plain text. Eight bytes
/// at a time; of the bits set in a word, the lowest is the first that is meant.
fn find_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let backslashes = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quotes | backslashes | controls) & HIGH;
        if found != 0 {
            return Some(n * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let is_special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    let place = rest.iter().position(is_special)?;
    Some(words.len() * 8 + place)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn the_first_special_byte_is_found_wherever_it_is(bytes in vec(any::<u8>(), 0..64)) {
            let expected = bytes.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
            prop_assert_eq!(find_special(&bytes), expected);
        }

        #[test]
        fn what_is_escaped_reads_back(text in any::<String>()) {
            let whole = Spliced::new("\"", &text, "\"").to_text();
            prop_assert_eq!(serde_json::from_str::<String>(&whole).unwrap(), text);
        }

        #[test]
        fn what_is_passed_over_is_json(text in "[\\[\\]{}\",:a0-9.truefalsn\\- ]{0,24}") {
            let mut scanner = Scanner::new(&text);
            if scanner.skip().is_some() && scanner.is_at_end() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn values_of_every_kind_are_passed_over() {
        for text in [
            "{}",
            "[]",
            "0",
            "-1.50",
            "\"é\"",
            "true",
            " [ 1 , {\"a\" : [ null, false ]} ] ",
        ] {
            let mut scanner = Scanner::new(text);
            assert_eq!(scanner.skip(), Some(()), "{text}");
            assert!(scanner.is_at_end(), "{text}");
        }
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        for text in [
            "",
            "{",
            "[1,]",
            "01",
            "1.",
            "-",
            "1e3",
            "\"\\n\"",
            "\"a",
            deep.as_str(),
        ] {
            assert_eq!(Scanner::new(text).skip(), None, "{text}");
        }
    }

    #[test]
    fn members_are_read_in_turn() {
        let mut scanner = Scanner::new(r#" { "a" : "b" , "n":17} "#);
        assert_eq!(scanner.enter(), Some(()));
        assert_eq!((scanner.key(), scanner.string()), (Some("a"), Some("b")));
        assert_eq!(scanner.more(), Some(true));
        assert_eq!((scanner.key(), scanner.number()), (Some("n"), Some(17)));
        assert_eq!(scanner.more(), Some(false));
        assert!(scanner.is_at_end());
    }
}
