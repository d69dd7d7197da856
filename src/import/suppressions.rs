//! A list of people who must not be contacted, read row by row.
//!
//! Such a list is believed as far as it can be read: a row whose number is spoiled still names an
//! address, a time that cannot be read leaves the entry in force, and a list without a header is one
//! all the same. To refuse a row would be to call somebody who said no.

use std::io::Read;

use super::{
    ListError,
    columns::{Cell, EMAIL_HEADERS, PHONE_HEADERS, cell, clean, find_spelling},
    consent,
    list::Fault,
    records::RecordReader,
};
use crate::domain::{
    Timestamp,
    audience::RejectedRow,
    phone::{PhoneNumber, Region},
    suppression::{Subject, email_address},
};

/// The longest record, in bytes, before the file counts as broken.
const MAX_RECORD: usize = 1 << 20;

/// The longest reason; what is longer is cut.
const MAX_REASON: usize = 500;

const REASON_HEADERS: &[&str] = &[
    "reason",
    "optoutreason",
    "suppressionreason",
    "unsubscribereason",
    "note",
    "notes",
    "comment",
    "comments",
];
const TIME_HEADERS: &[&str] = &[
    "time",
    "date",
    "at",
    "timestamp",
    "optoutdate",
    "optoutat",
    "optouttime",
    "optedoutat",
    "suppressedat",
    "unsubscribedat",
    "unsubscribedate",
    "addedat",
    "createdat",
    "dateadded",
];

/// Which columns hold what, and what they are called.
struct Columns {
    headers: Vec<String>,
    phone: Option<usize>,
    email: Option<usize>,
    reason: Option<usize>,
    time: Option<usize>,
}

/// One row of a list of people who must not be contacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionRow {
    /// Whom it names: by number, by address, by both.
    pub subjects: Vec<Subject>,
    /// As the list puts it.
    pub reason: Option<String>,
    /// Since when, where the list says so.
    pub at: Option<Timestamp>,
    /// What of the row could not be used.
    pub rejected: Option<RejectedRow>,
}

/// Reads such a list, one [`SuppressionRow`] at a time, as an iterator that ends at the first
/// [`ListError`].
///
/// - Memory: one record.
/// - Blocks on its reader: run it where blocking is allowed.
pub struct SuppressionReader<R> {
    records: RecordReader<R>,
    columns: Columns,
    region: Region,
    /// The first row of a list without a header.
    first: Option<(u64, Vec<String>)>,
    failed: bool,
}

impl Columns {
    fn of(headers: Vec<String>) -> Result<Self, ListError> {
        let find = |spellings| find_spelling(&headers, spellings);
        let (phone, email) = (find(PHONE_HEADERS), find(EMAIL_HEADERS));
        if phone.is_none() && email.is_none() {
            return Err(ListError::NobodyNamed { headers });
        }
        Ok(Self {
            phone,
            email,
            reason: find(REASON_HEADERS),
            time: find(TIME_HEADERS),
            headers,
        })
    }

    /// The columns of a list whose first row names somebody; none where that is a header.
    fn of_first_row(cells: &[String], region: Region) -> Option<Self> {
        let is_number = |cell: &String| PhoneNumber::normalize(cell, region).is_ok();
        let phone = cells.iter().position(is_number);
        let email = cells.iter().position(|cell| email_address(cell).is_some());
        (phone.is_some() || email.is_some()).then(|| Self {
            headers: (1..=cells.len()).map(|n| format!("column {n}")).collect(),
            phone,
            email,
            reason: None,
            time: None,
        })
    }

    /// The cell of a column, unless there is none or nothing is in it.
    fn cell<'a>(&'a self, cells: &'a [String], column: Option<usize>) -> Option<Cell<'a>> {
        let column = column?;
        let text = cell(cells, column).trim();
        let header = &self.headers[column];
        (!text.is_empty()).then_some(Cell { header, text })
    }

    /// Whom a row names, and what is wrong with it.
    fn people(&self, cells: &[String], region: Region) -> (Vec<Subject>, Option<Fault>) {
        let (phone, email) = (self.cell(cells, self.phone), self.cell(cells, self.email));
        if phone.is_none() && email.is_none() {
            return (Vec::new(), Some(Fault::names_nobody()));
        }
        let phone = phone.map(|cell| {
            let read = PhoneNumber::normalize(cell.text, region);
            read.map(Subject::Phone)
                .map_err(|error| Fault::of_phone(error, cell.header))
        });
        let email = email.map(|cell| {
            let read = email_address(cell.text);
            read.map(Subject::Email)
                .ok_or_else(|| Fault::of_email(cell))
        });
        let (mut subjects, mut fault) = (Vec::new(), None);
        for named in [phone, email].into_iter().flatten() {
            match named {
                Ok(subject) => subjects.push(subject),
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        (subjects, fault)
    }
}

impl<R: Read> SuppressionReader<R> {
    /// Reads the header, if there is one, and decides what the columns mean; `region` is the country
    /// of numbers without `+`.
    pub fn open(reader: R, region: Region) -> Result<Self, ListError> {
        let mut records = RecordReader::open(reader, MAX_RECORD)?;
        let (line, cells) = first_row(&mut records)?;
        let (columns, first) = match Columns::of_first_row(&cells, region) {
            Some(columns) => (columns, Some((line, cells))),
            None => (Columns::of(cells)?, None),
        };
        Ok(Self {
            records,
            columns,
            region,
            first,
            failed: false,
        })
    }

    fn next_row(&mut self) -> Result<Option<SuppressionRow>, ListError> {
        if let Some((line, cells)) = self.first.take() {
            return Ok(Some(self.judge(line, cells)));
        }
        loop {
            let Some(record) = self.records.next()? else {
                return Ok(None);
            };
            if record.is_blank() {
                continue;
            }
            let line = record.line;
            return Ok(Some(match record.cells() {
                Some(cells) => self.judge(line, cells),
                None => SuppressionRow {
                    subjects: Vec::new(),
                    reason: None,
                    at: None,
                    rejected: Some(Fault::not_utf8().row(line, record.cells_lossy())),
                },
            }));
        }
    }

    fn judge(&self, line: u64, cells: Vec<String>) -> SuppressionRow {
        let columns = &self.columns;
        let (subjects, fault) = columns.people(&cells, self.region);
        let reason = columns.cell(&cells, columns.reason);
        let reason = reason.map(|cell| clean(cell.text).chars().take(MAX_REASON).collect());
        let time = columns.cell(&cells, columns.time);
        SuppressionRow {
            subjects,
            reason,
            at: time.and_then(|cell| consent::instant(cell.text)),
            rejected: fault.map(|fault| fault.row(line, cells)),
        }
    }
}

impl<R: Read> Iterator for SuppressionReader<R> {
    type Item = Result<SuppressionRow, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.next_row();
        self.failed = row.is_err();
        row.transpose()
    }
}

fn first_row(records: &mut RecordReader<impl Read>) -> Result<(u64, Vec<String>), ListError> {
    while let Some(record) = records.next()? {
        if !record.is_blank() {
            let found = "in another encoding than UTF-8";
            let cells = record.cells().ok_or(ListError::NotUtf8Text { found })?;
            return Ok((record.line, cells));
        }
    }
    Err(ListError::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<SuppressionRow>, ListError> {
        SuppressionReader::open(bytes, Region::US)?.collect()
    }

    fn subjects(row: &SuppressionRow) -> Vec<String> {
        let text = |subject: &Subject| match subject {
            Subject::Phone(phone) => phone.to_string(),
            Subject::Email(email) => email.clone(),
            Subject::Hash(hash) => hash.clone(),
        };
        row.subjects.iter().map(text).collect()
    }

    #[test]
    fn a_row_names_a_person_by_number_by_address_or_by_both() {
        let rows = read(
            b"E-Mail;Mobile;Reason;Opt-out date\n\
              Ann@Example.com;(202) 555-0143;\"said; no\";2026-03-31\n;+44 20 7946 0018;;\n\
              ben@example.com;;;soon\n",
        )
        .unwrap();
        let named: Vec<_> = rows.iter().map(subjects).collect();
        let both = ["+12025550143".to_owned(), "ann@example.com".to_owned()];
        assert_eq!(named[0], both);
        assert_eq!(named[1], ["+442079460018"]);
        assert_eq!(named[2], ["ben@example.com"]);
        assert_eq!(rows[0].reason.as_deref(), Some("said; no"));
        assert_eq!(rows[0].at, "2026-03-31T00:00:00Z".parse().ok());
        assert_eq!((rows[1].reason.clone(), rows[2].at), (None, None));
        assert!(rows.iter().all(|row| row.rejected.is_none()));
    }

    #[test]
    fn what_can_be_used_of_a_row_is_used_and_the_rest_is_named() {
        let rows =
            read(b"phone,email,reason\n12,ann@example.com\n,,\n,,said no\n2025550143,ann\nx,y\n")
                .unwrap();
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                let rejected = row.rejected.as_ref().unwrap();
                (rejected.line, rejected.code.as_str(), row.subjects.len())
            })
            .collect();
        assert_eq!(
            found,
            [
                (2, "phoneInvalid", 1),
                (4, "namesNobody", 0),
                (5, "emailInvalid", 1),
                (6, "phoneNotANumber", 0),
            ]
        );
    }

    #[test]
    fn a_list_without_a_header_begins_with_its_first_line() {
        let rows = read(b"2025550143\n+1 202 555 0144\n").unwrap();
        let named: Vec<_> = rows.iter().flat_map(subjects).collect();
        assert_eq!(named, ["+12025550143", "+12025550144"]);
        let rows = read(b"1,ann@example.com\n2,ben@example.com\n").unwrap();
        let named: Vec<_> = rows.iter().flat_map(subjects).collect();
        assert_eq!(named, ["ann@example.com", "ben@example.com"]);
        assert!(matches!(
            read(b"Name,City\nAnn,Bonn\n"),
            Err(ListError::NobodyNamed { .. })
        ));
        assert!(matches!(read(b"\n\n"), Err(ListError::Empty)));
    }
}
