//! What the first bytes of a file say about it: that it is UTF-8 text, and its delimiter.

use super::ListError;

const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Tried in this order when two are equally frequent.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The length of the byte order mark at the start of `head`.
///
/// Errors when `head`, the first bytes of a file, is not UTF-8 text. A character cut off by the
/// end of `head` is fine.
pub(super) fn check_text(head: &[u8]) -> Result<usize, ListError> {
    let refuse = |found| Err(ListError::NotUtf8Text { found });
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        return refuse("UTF-16 text");
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\xD0\xCF\x11\xE0") {
        return refuse("a spreadsheet, not text");
    }
    if head.contains(&0) {
        return refuse("UTF-16 or not text");
    }
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_some() => {
            refuse("in another encoding than UTF-8, such as Windows-1252")
        }
        _ if head.starts_with(UTF8_MARK) => Ok(UTF8_MARK.len()),
        _ => Ok(0),
    }
}

/// The delimiter that the header line uses most outside quotes; a comma when it uses none.
pub(super) fn delimiter(text: &[u8]) -> u8 {
    let header = text
        .split(|b| is_line_end(*b))
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for b in header {
        match DELIMITERS.iter().position(|delimiter| delimiter == b) {
            Some(index) if !quoted => counts[index] += 1,
            _ => quoted ^= *b == b'"',
        }
    }
    let mut best = 0;
    for index in 1..DELIMITERS.len() {
        if counts[index] > counts[best] {
            best = index;
        }
    }
    DELIMITERS[best]
}

/// Whether a line ends at this byte, in any of the three conventions.
pub(super) fn is_line_end(b: u8) -> bool {
    matches!(b, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_counted_outside_quotes() {
        assert_eq!(delimiter(b"Name;Phone\na,b,c,d"), b';');
        assert_eq!(delimiter(b"\"Last, First, Title\";Phone\n"), b';');
        assert_eq!(delimiter(b"\r\n\r\nName\tPhone\r"), b'\t');
        assert_eq!(delimiter(b"Name|Phone"), b'|');
        assert_eq!(delimiter(b"Phone"), b',');
        assert_eq!(delimiter(b""), b',');
    }

    #[test]
    fn what_is_not_utf8_text_is_named() {
        let found = |head: &[u8]| check_text(head).unwrap_err().to_string();
        assert!(found(b"\xFF\xFEP\0h\0").contains("UTF-16"));
        assert!(found(b"P\0h\0o\0").contains("UTF-16"));
        assert!(found(b"PK\x03\x04rest").contains("spreadsheet"));
        assert!(found(b"Name\nRen\xE9e\n").contains("Windows-1252"));
        assert!(found(b"Name\nRen\xE9e\n").contains("save it as \"CSV UTF-8\""));
    }

    #[test]
    fn a_character_cut_by_the_end_of_the_head_is_text() {
        assert_eq!(check_text(b"\xEF\xBB\xBFZo\xC3").unwrap(), 3);
        assert_eq!(check_text("Zoë".as_bytes()).unwrap(), 0);
    }
}
