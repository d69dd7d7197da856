//! A list read row by row: each becomes a person to call, or a reason why not.

use std::{collections::BTreeSet, io::Read};

use super::{
    ListError, code,
    columns::{Cell, Columns, ConsentCells, Mapping},
    consent,
    records::RecordReader,
    seen::SeenNumbers,
};
use crate::domain::{
    Timestamp,
    audience::{Member, RejectedRow},
    consent::Consent,
    phone::{PhoneError, PhoneNumber, Region},
    zone::{Zone, ZoneError},
};

/// How a list is to be read.
#[derive(Debug, Clone)]
pub struct ListSettings {
    /// The country of numbers without `+`.
    pub region: Region,
    /// Which columns hold number and name, where the uploader said so.
    pub mapping: Mapping,
    /// When consents were given of which the list says no date.
    pub stated_at: Timestamp,
    /// The longest record, in bytes, before the file counts as broken; 1 MiB by default.
    pub max_record_bytes: usize,
}

impl ListSettings {
    /// Columns by their usual spellings, and the usual limit; `now` is when the list came.
    pub fn new(region: Region, now: Timestamp) -> Self {
        Self {
            region,
            mapping: Mapping::default(),
            stated_at: now,
            max_record_bytes: 1 << 20,
        }
    }
}

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A person to enroll; the number is not in any earlier row.
    Accepted {
        /// The line on which the row begins, from 1.
        line: u64,
        /// The cells as they were read.
        cells: Vec<String>,
        /// The person.
        member: Member,
    },
    /// A row that cannot be used, or whose number an earlier row has.
    Rejected(RejectedRow),
}

/// Reads a list, one [`Row`] at a time, as an iterator that ends at the first [`ListError`].
///
/// - Shape: every row of the file once, in its order; lines with nothing in them are not rows.
/// - Memory: one record, and twelve bytes for each accepted number.
/// - Blocks on its reader: run it where blocking is allowed.
pub struct ListReader<R> {
    records: RecordReader<R>,
    columns: Columns,
    region: Region,
    stated_at: Timestamp,
    seen: SeenNumbers,
    failed: bool,
}

impl<R: Read> ListReader<R> {
    /// Reads the header and decides what the columns mean.
    pub fn open(reader: R, settings: &ListSettings) -> Result<Self, ListError> {
        let mut records = RecordReader::open(reader, settings.max_record_bytes)?;
        let headers = read_header(&mut records)?;
        Ok(Self {
            records,
            columns: Columns::plan(headers, &settings.mapping)?,
            region: settings.region,
            stated_at: settings.stated_at,
            seen: SeenNumbers::default(),
            failed: false,
        })
    }

    /// The headers as they were read.
    pub fn headers(&self) -> &[String] {
        self.columns.headers()
    }

    /// The names that a text may use inside braces for this list: its columns by field name,
    /// `phone`, and `name` where the list has names.
    pub fn field_names(&self) -> BTreeSet<&str> {
        self.columns.placeholders()
    }

    fn next_row(&mut self) -> Result<Option<Row>, ListError> {
        let record = loop {
            match self.records.next()? {
                None => return Ok(None),
                Some(record) if record.is_blank() => {}
                Some(record) => break record,
            }
        };
        let line = record.line;
        let Some(cells) = record.cells() else {
            return Ok(Some(rejected(
                line,
                Fault::not_utf8(),
                record.cells_lossy(),
            )));
        };
        Ok(Some(match self.judge(line, &cells) {
            Ok(member) => Row::Accepted {
                line,
                cells,
                member,
            },
            Err(fault) => rejected(line, fault, cells),
        }))
    }

    /// Makes a person of a row, unless its number is missing, wrong or known.
    fn judge(&mut self, line: u64, cells: &[String]) -> Result<Member, Fault> {
        let n_headers = self.columns.headers().len();
        // Delimiters at the end of a row add cells without content, which harm nothing.
        let mut surplus = cells.iter().skip(n_headers);
        if surplus.any(|cell| !cell.trim().is_empty()) {
            return Err(Fault::too_many_cells(cells.len(), n_headers));
        }
        let header = self.columns.phone_header();
        let phone = PhoneNumber::normalize(self.columns.phone(cells), self.region)
            .map_err(|error| Fault::of_phone(error, header))?;
        let zone = self.columns.zone(cells).map(read_zone).transpose()?;
        let consent = self.columns.consent(cells);
        let consent = consent.map(|said| read_consent(said, self.stated_at));
        let consent = consent.transpose()?;
        self.seen
            .insert(&phone, line)
            .map_err(|earlier| Fault::duplicate(earlier, header))?;
        Ok(Member {
            phone,
            name: self.columns.name(cells),
            fields: self.columns.fields(cells),
            email: self.columns.email(cells),
            zone,
            consent,
        })
    }
}

fn read_zone(cell: Cell<'_>) -> Result<Zone, Fault> {
    let unknown = |error: ZoneError| Fault::of_cell(code::ZONE_UNKNOWN, error.to_string(), cell);
    cell.text.parse().map_err(unknown)
}

fn read_consent(said: ConsentCells<'_>, stated_at: Timestamp) -> Result<Consent, Fault> {
    let kind = consent::kind(said.kind.text).ok_or_else(|| {
        let reason = "this is no consent; write it as written, express, implied or withdrawn";
        Fault::of_cell(code::CONSENT_UNKNOWN, reason.to_owned(), said.kind)
    })?;
    let at = said.date.map(|cell| {
        let reason = "this is no date; write it as 2026-03-31";
        let unknown = || Fault::of_cell(code::CONSENT_DATE_UNKNOWN, reason.to_owned(), cell);
        consent::instant(cell.text).ok_or_else(unknown)
    });
    let source = said.source.map_or("uploaded list", |cell| cell.text);
    Ok(Consent {
        kind,
        source: source.to_owned(),
        at: at.transpose()?.unwrap_or(stated_at),
    })
}

impl<R: Read> Iterator for ListReader<R> {
    type Item = Result<Row, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.next_row();
        self.failed = row.is_err();
        row.transpose()
    }
}

fn read_header(records: &mut RecordReader<impl Read>) -> Result<Vec<String>, ListError> {
    while let Some(record) = records.next()? {
        if !record.is_blank() {
            return record.cells().ok_or(ListError::NotUtf8Text {
                found: "in another encoding than UTF-8",
            });
        }
    }
    Err(ListError::Empty)
}

/// What is wrong with a row.
pub(super) struct Fault {
    code: &'static str,
    reason: String,
    column: Option<String>,
}

impl Fault {
    pub(super) fn not_utf8() -> Self {
        Self {
            code: code::NOT_UTF8,
            reason: "the row is not UTF-8 text; save the file as \"CSV UTF-8\"".to_owned(),
            column: None,
        }
    }

    fn too_many_cells(n_cells: usize, n_headers: usize) -> Self {
        Self {
            code: code::TOO_MANY_CELLS,
            reason: format!("the row has {n_cells} cells under {n_headers} headers"),
            column: None,
        }
    }

    pub(super) fn of_phone(error: PhoneError, header: &str) -> Self {
        let code = match error {
            PhoneError::Empty => code::PHONE_MISSING,
            PhoneError::ScientificNotation => code::PHONE_SCIENTIFIC_NOTATION,
            PhoneError::NotANumber => code::PHONE_NOT_A_NUMBER,
            PhoneError::Invalid => code::PHONE_INVALID,
        };
        Self {
            code,
            reason: error.to_string(),
            column: Some(header.to_owned()),
        }
    }

    pub(super) fn of_email(cell: Cell<'_>) -> Self {
        let reason = "this is not written like an e-mail address";
        Self::of_cell(code::EMAIL_INVALID, reason.to_owned(), cell)
    }

    pub(super) fn names_nobody() -> Self {
        Self {
            code: code::NAMES_NOBODY,
            reason: "the row has neither a number nor an e-mail address".to_owned(),
            column: None,
        }
    }

    fn of_cell(code: &'static str, reason: String, cell: Cell<'_>) -> Self {
        Self {
            code,
            reason,
            column: Some(cell.header.to_owned()),
        }
    }

    fn duplicate(earlier: u64, header: &str) -> Self {
        Self {
            code: RejectedRow::DUPLICATE_IN_FILE,
            reason: format!("line {earlier} has the same number"),
            column: Some(header.to_owned()),
        }
    }

    /// The row that it is wrong with.
    pub(super) fn row(self, line: u64, cells: Vec<String>) -> RejectedRow {
        RejectedRow {
            line,
            code: self.code.to_owned(),
            reason: self.reason,
            column: self.column,
            cells,
        }
    }
}

fn rejected(line: u64, fault: Fault, cells: Vec<String>) -> Row {
    Row::Rejected(fault.row(line, cells))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::consent::ConsentKind;

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn read(bytes: &[u8]) -> Result<Vec<Row>, ListError> {
        ListReader::open(bytes, &ListSettings::new(Region::US, NOW))?.collect()
    }

    fn members(rows: &[Row]) -> Vec<&Member> {
        let accepted = rows.iter().filter_map(|row| match row {
            Row::Accepted { member, .. } => Some(member),
            Row::Rejected(_) => None,
        });
        accepted.collect()
    }

    /// Line and code of each rejected row.
    fn codes(rows: &[Row]) -> Vec<(u64, &str)> {
        let rejected = rows.iter().filter_map(|row| match row {
            Row::Accepted { .. } => None,
            Row::Rejected(row) => Some((row.line, row.code.as_str())),
        });
        rejected.collect()
    }

    #[test]
    fn a_row_becomes_a_person() {
        let rows = read(b"Name,Phone Number,City\nAnn Lee,(202) 555-0143,Denver\n").unwrap();
        let [
            Row::Accepted {
                line,
                cells,
                member,
            },
        ] = rows.as_slice()
        else {
            panic!("one accepted row, not {rows:?}");
        };
        assert_eq!(*line, 2);
        assert_eq!(cells, &["Ann Lee", "(202) 555-0143", "Denver"]);
        assert_eq!(member.phone.as_str(), "+12025550143");
        assert_eq!(member.name.as_deref(), Some("Ann Lee"));
        assert_eq!(member.fields["city"], "Denver");
        assert_eq!(member.fields["phone_number"], "(202) 555-0143");
        assert_eq!(member.fields.len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_named_and_the_others_are_kept() {
        let rows = read(
            b"Name,Phone\nA,\nB,12345\nC,6.14E+10\nD,ask for it\nE,2025550101\n\
              F,+1 202-555-0101\nG,2025550102,surplus\nH\n\n,,\nJ,2025550104,,\n",
        )
        .unwrap();
        assert_eq!(
            codes(&rows),
            [
                (2, "phoneMissing"),
                (3, "phoneInvalid"),
                (4, "phoneScientificNotation"),
                (5, "phoneNotANumber"),
                (7, "duplicateInFile"),
                (8, "tooManyCells"),
                (9, "phoneMissing"),
            ]
        );
        assert_eq!(members(&rows).len(), 2);
        assert_eq!(rows.len(), 9);
    }

    // proves F-70
    #[test]
    fn what_the_rules_need_is_read_from_its_columns_and_stays_a_field() {
        let rows = read(
            b"Phone,E-Mail,Time Zone,Consent,Consent Source,Consent Date,Zone\n\
              2025550101,Ann@Example.com,Eastern,yes,web form,2026-01-02,North\n\
              2025550102,not known,,no,,,\n\
              2025550103,,,,web form,2026-01-02,\n",
        )
        .unwrap();
        let members = members(&rows);
        let [ann, ben, cat] = members[..] else {
            panic!("three accepted rows, not {rows:?}");
        };
        assert_eq!(ann.email.as_deref(), Some("ann@example.com"));
        assert_eq!(ann.zone, "America/New_York".parse().ok());
        let given = Consent {
            kind: ConsentKind::Express,
            source: "web form".to_owned(),
            at: "2026-01-02T00:00:00Z".parse().unwrap(),
        };
        assert_eq!(ann.consent.as_ref(), Some(&given));
        assert_eq!(ann.fields["time_zone"], "Eastern");
        assert_eq!(ann.fields["zone"], "North");
        assert_eq!(ann.fields["e_mail"], "Ann@Example.com");
        assert_eq!((&ben.email, &ben.zone), (&None, &None));
        let withdrawn = Consent {
            kind: ConsentKind::Withdrawn,
            source: "uploaded list".to_owned(),
            at: NOW,
        };
        assert_eq!(ben.consent.as_ref(), Some(&withdrawn));
        // Where and when alone are no consent.
        assert_eq!(cat.consent, None);
    }

    #[test]
    fn a_cell_that_the_rules_cannot_read_costs_the_row_and_no_number() {
        let rows = read(
            b"Phone,Timezone,Consent,Consent date\n2025550101,Middle Earth,,\n\
              2025550101,,perhaps,\n2025550101,,yes,01/02/2026\n2025550101,UTC,yes,\n",
        )
        .unwrap();
        assert_eq!(
            codes(&rows),
            [
                (2, "zoneUnknown"),
                (3, "consentUnknown"),
                (4, "consentDateUnknown")
            ]
        );
        let Some(Row::Rejected(row)) = rows.first() else {
            panic!("the first row names no zone");
        };
        assert_eq!(row.column.as_deref(), Some("Timezone"));
        assert!(row.reason.contains("America/New_York"), "{}", row.reason);
        assert_eq!(members(&rows).len(), 1);
    }

    #[test]
    fn a_duplicate_names_the_line_before_it() {
        let rows = read(b"Phone\n2025550101\n2025550102\n(202) 555 0101\n").unwrap();
        let Some(Row::Rejected(row)) = rows.last() else {
            panic!("the last row is a duplicate");
        };
        assert_eq!(row.reason, "line 2 has the same number");
        assert_eq!(row.column.as_deref(), Some("Phone"));
        assert_eq!(row.cells, ["(202) 555 0101"]);
    }

    #[test]
    fn a_bad_byte_far_into_the_file_costs_its_row_only() {
        let mut text = b"Phone,Note\n".to_vec();
        for n in 0..2000 {
            text.extend(format!("20255501{:02},{}\n", n % 100, "x".repeat(60)).bytes());
        }
        text.extend(b"2125550101,\xE9\n2125550102,ok\n");
        let rows = read(&text).unwrap();
        assert_eq!(codes(&rows).last(), Some(&(2002, code::NOT_UTF8)));
        assert_eq!(members(&rows).len(), 101);
    }

    #[test]
    fn a_file_without_rows_or_header_is_told_apart() {
        assert!(matches!(read(b""), Err(ListError::Empty)));
        assert!(matches!(
            read(b"\xEF\xBB\xBF\r\n\r\n"),
            Err(ListError::Empty)
        ));
        assert_eq!(read(b"Phone,Name").unwrap(), []);
    }

    #[test]
    fn reading_ends_at_the_first_error() {
        let text = b"Phone\n2025550101\n\"2025550102\n";
        let mut rows = ListReader::open(&text[..], &ListSettings::new(Region::US, NOW)).unwrap();
        assert!(rows.next().unwrap().is_ok());
        assert!(matches!(
            rows.next(),
            Some(Err(ListError::UnclosedQuote { line: 3 }))
        ));
        assert!(rows.next().is_none());
    }

    // proves F-45
    #[test]
    fn the_same_list_in_any_dress_gives_the_same_people() {
        let plain =
            "Name,Phone,Note\n\"Zoë, \"\"Z\"\"\",2025550101,\"two\nlines\"\n李,2025550102,b\n";
        let expected = read(plain.as_bytes()).unwrap();
        assert_eq!(members(&expected)[0].fields["note"], "two\nlines");
        for delimiter in [",", ";", "\t", "|"] {
            for end in ["\n", "\r\n", "\r"] {
                for mark in ["", "\u{feff}"] {
                    let text = plain
                        .replace(',', delimiter)
                        .replace(&format!("Zoë{delimiter}"), "Zoë,")
                        .replace('\n', end);
                    let rows = read(format!("{mark}{text}").as_bytes()).unwrap();
                    let dress = format!("{delimiter:?} {end:?} {mark:?}");
                    assert_eq!(members(&rows), members(&expected), "{dress}");
                }
            }
        }
    }

    #[test]
    fn the_sample_list_has_three_hundred_people() {
        let rows = read(include_bytes!("../../demo/people.csv")).unwrap();
        assert_eq!(members(&rows).len(), 300);
        assert!(
            members(&rows)
                .iter()
                .all(|member| is_fictional(&member.phone))
        );
        let mut n_by_code = BTreeMap::new();
        for (_, code) in codes(&rows) {
            *n_by_code.entry(code).or_insert(0) += 1;
        }
        let expected = [
            ("duplicateInFile", 6),
            ("phoneInvalid", 5),
            ("phoneMissing", 4),
            ("phoneNotANumber", 3),
            ("phoneScientificNotation", 2),
            ("tooManyCells", 1),
        ];
        assert_eq!(n_by_code, BTreeMap::from(expected));
    }

    /// Whether the number is from a range set aside for films and examples.
    fn is_fictional(phone: &PhoneNumber) -> bool {
        let digits = phone.as_str();
        let in_us = digits.starts_with("+1") && digits.len() == 12 && &digits[5..10] == "55501";
        in_us || (digits.starts_with("+442079460") && digits.len() == 13)
    }

    fn arb_cell() -> impl Strategy<Value = String> {
        prop_oneof![
            "\\+1202555010[0-9]",
            "[0-9]{0,12}",
            "[a-z \"\r\n,;]{0,8}",
            "\\PC{0,6}",
        ]
    }

    /// A cell with quotes around it.
    fn quote(cell: &str) -> String {
        format!("\"{}\"", cell.replace('"', "\"\""))
    }

    proptest! {
        // proves F-46
        #[test]
        fn every_row_is_accepted_or_rejected(
            table in prop::collection::vec(prop::collection::vec(arb_cell(), 1..5), 0..20)
        ) {
            let mut text = "\"Phone\",\"Name\",\"Note\"\n".to_owned();
            for row in &table {
                let cells: Vec<_> = row.iter().map(|cell| quote(cell)).collect();
                text.push_str(&(cells.join(",") + "\n"));
            }
            let rows = read(text.as_bytes()).unwrap();
            let n_blank = table
                .iter()
                .filter(|row| row.iter().all(|cell| cell.bytes().all(|b| b.is_ascii_whitespace())))
                .count();
            prop_assert_eq!(members(&rows).len() + codes(&rows).len(), table.len() - n_blank);
            let numbers: BTreeSet<_> = members(&rows).iter().map(|m| m.phone.clone()).collect();
            prop_assert_eq!(numbers.len(), members(&rows).len());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let mut list = b"Phone,Name\n".to_vec();
            list.extend(&bytes);
            let _ = read(&list);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-z,;\"\r\n\t +().é-]{0,200}") {
            let rows = read(format!("Phone,Name\n{text}").as_bytes());
            let is_quote_open = matches!(rows, Err(ListError::UnclosedQuote { .. }));
            prop_assert!(rows.is_ok() || is_quote_open && text.contains('"'));
        }
    }
}
