//! Uploaded lists: from the bytes of a file to people who can be called, row by row.
//!
//! This module knows how people write lists: encodings, delimiters, quotes, what they call the
//! phone column and how spreadsheets spoil numbers. It reads any [`std::io::Read`] in one pass and
//! holds one record at a time, so that a list of any length fits in memory.
//!
//! It does not know campaigns, stores or uploads. Whether a person is already in the campaign is
//! the store's answer; where the bytes come from and what happens to the rows is the caller's.

mod columns;
mod consent;
mod encoding;
mod list;
mod records;
mod seen;
mod suppressions;

use std::io;

pub use columns::Mapping;
pub use list::{ListReader, ListSettings, Row};
pub use suppressions::{SuppressionReader, SuppressionRow};

/// The codes of rows that are rejected for what they contain; duplicates have theirs in
/// [`crate::domain::audience::RejectedRow`].
pub mod code {
    /// The phone cell is empty.
    pub const PHONE_MISSING: &str = "phoneMissing";
    /// The number looks right but does not exist in its country.
    pub const PHONE_INVALID: &str = "phoneInvalid";
    /// A spreadsheet rounded the number; its digits are lost.
    pub const PHONE_SCIENTIFIC_NOTATION: &str = "phoneScientificNotation";
    /// The phone cell holds something else than a number.
    pub const PHONE_NOT_A_NUMBER: &str = "phoneNotANumber";
    /// The cell of the e-mail address holds something else.
    pub const EMAIL_INVALID: &str = "emailInvalid";
    /// The row has neither a number nor an e-mail address.
    pub const NAMES_NOBODY: &str = "namesNobody";
    /// The cell of the time zone names none.
    pub const ZONE_UNKNOWN: &str = "zoneUnknown";
    /// The cell of the consent says neither yes nor no.
    pub const CONSENT_UNKNOWN: &str = "consentUnknown";
    /// The cell of the consent's date is no date.
    pub const CONSENT_DATE_UNKNOWN: &str = "consentDateUnknown";
    /// The row has more cells than the header.
    pub const TOO_MANY_CELLS: &str = "tooManyCells";
    /// The row holds bytes that are not UTF-8.
    pub const NOT_UTF8: &str = "notUtf8";
}

/// Why a list cannot be read at all, or not to its end. The words are for the uploader.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The bytes stopped coming.
    #[error("the file could not be read")]
    Read(#[source] io::Error),
    /// The file is something else than UTF-8 text.
    #[error("this file is {found}; save it as \"CSV UTF-8\" and upload it again")]
    NotUtf8Text {
        /// What it seems to be.
        found: &'static str,
    },
    /// No header, no rows.
    #[error("the file is empty")]
    Empty,
    /// No column is known to hold phone numbers.
    #[error(
        "no phone column among {}; name one of them \"Phone\" (or {}), or say which one it is",
        quoted(headers),
        columns::PHONE_EXAMPLES
    )]
    NoPhoneColumn {
        /// The headers of the file.
        headers: Vec<String>,
    },
    /// No column is known to hold phone numbers or e-mail addresses.
    #[error(
        "no column of numbers or e-mail addresses among {}; name one of them \"Phone\" or \"E-Mail\"",
        quoted(headers)
    )]
    NobodyNamed {
        /// The headers of the file.
        headers: Vec<String>,
    },
    /// The mapping names a header that the file does not have.
    #[error("there is no column {header:?} in the file, only {}", quoted(headers))]
    NoSuchColumn {
        /// The header that was asked for.
        header: String,
        /// The headers of the file.
        headers: Vec<String>,
    },
    /// The header has more columns than any list of people.
    #[error("the header has {columns} columns; at most {max} are read")]
    TooManyColumns {
        /// How many there are.
        columns: usize,
        /// How many are read.
        max: usize,
    },
    /// One record is longer than the limit, as when the line ends are missing.
    #[error("the row that begins on line {line} is longer than {max_bytes} bytes")]
    RecordTooLong {
        /// Where the record begins, from 1.
        line: u64,
        /// The limit.
        max_bytes: usize,
    },
    /// The file ends inside a quoted cell, which may have swallowed rows.
    #[error("a quote in the row that begins on line {line} is never closed")]
    UnclosedQuote {
        /// Where the record begins, from 1.
        line: u64,
    },
}

/// The first headers, for a message.
fn quoted(headers: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<_> = headers
        .iter()
        .take(SHOWN)
        .map(|header| format!("{:?}", header.chars().take(40).collect::<String>()))
        .collect();
    let more = headers.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}
