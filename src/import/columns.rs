//! What the columns of a list mean: which holds the number, which the name, what the rest are
//! called inside braces.

use std::collections::{BTreeMap, BTreeSet};

use super::ListError;
use crate::domain::{contact::Fields, suppression::email_address, text::field_name};

/// The uploader's word on which columns hold the number, the name and what the rules need, by header.
///
/// What is `None` is found by the usual spellings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// The header of the column with the numbers.
    pub phone: Option<String>,
    /// The header of the column with the names.
    pub name: Option<String>,
    /// The header of the column with the e-mail addresses.
    pub email: Option<String>,
    /// The header of the column with the time zones.
    pub time_zone: Option<String>,
    /// The header of the column that says whether people agreed to be called.
    pub consent: Option<String>,
    /// The header of the column that says where they did.
    pub consent_source: Option<String>,
    /// The header of the column that says when.
    pub consent_date: Option<String>,
}

/// More than any list of people has; a header with more is something else.
const MAX_COLUMNS: usize = 512;

/// Spellings of the phone column, best first; blanks, case and punctuation are not compared.
pub(super) const PHONE_HEADERS: &[&str] = &[
    "phone",
    "phonenumber",
    "mobile",
    "mobilenumber",
    "mobilephone",
    "mobilephonenumber",
    "phonemobile",
    "cell",
    "cellphone",
    "cellnumber",
    "cellphonenumber",
    "telephone",
    "telephonenumber",
    "tel",
    "telnumber",
    "telno",
    "phoneno",
    "mobileno",
    "contactnumber",
    "contactphone",
    "contactphonenumber",
    "contactno",
    "customerphone",
    "primaryphone",
    "primaryphonenumber",
    "phone1",
    "directphone",
    "workphone",
    "businessphone",
    "homephone",
    "msisdn",
    "e164",
    "telefon",
    "telefonnummer",
    "handy",
    "telefono",
    "teléfono",
    "telefone",
    "téléphone",
    "number",
];

/// What messages offer as the phone column's name.
pub(super) const PHONE_EXAMPLES: &str =
    "Phone Number, Mobile, Cell, Telephone, Tel, Contact Number";

const NAME_HEADERS: &[&str] = &["name", "fullname"];
const FIRST_NAME_HEADERS: &[&str] = &["firstname", "fname", "givenname", "forename", "vorname"];
const LAST_NAME_HEADERS: &[&str] = &["lastname", "lname", "surname", "familyname", "nachname"];
const OTHER_NAME_HEADERS: &[&str] = &[
    "contactname",
    "customername",
    "clientname",
    "leadname",
    "displayname",
    "contact",
    "customer",
];

pub(super) const EMAIL_HEADERS: &[&str] = &[
    "email",
    "emailaddress",
    "mail",
    "mailaddress",
    "primaryemail",
    "workemail",
    "contactemail",
    "customeremail",
];
/// `zone` alone is not among them: it is as often a part of a town or of a sales plan.
const ZONE_HEADERS: &[&str] = &[
    "timezone",
    "timezoneid",
    "timezonename",
    "ianatimezone",
    "localtimezone",
    "tz",
    "zeitzone",
];
const CONSENT_HEADERS: &[&str] = &[
    "consent",
    "consentkind",
    "consenttype",
    "consentstatus",
    "callconsent",
    "phoneconsent",
    "voiceconsent",
    "tcpaconsent",
    "hasconsent",
    "optin",
    "optinstatus",
    "optedin",
];
const CONSENT_SOURCE_HEADERS: &[&str] = &["consentsource", "consentorigin", "optinsource"];
const CONSENT_DATE_HEADERS: &[&str] = &[
    "consentdate",
    "consentat",
    "consenttime",
    "consenttimestamp",
    "consentgivenat",
    "optindate",
    "optinat",
    "optintime",
    "optintimestamp",
];

/// The meaning of each column of one list.
#[derive(Debug)]
pub(super) struct Columns {
    headers: Vec<String>,
    /// What each column is called inside braces; unique.
    field_names: Vec<String>,
    phone: usize,
    name: NameColumns,
    email: Option<usize>,
    zone: Option<usize>,
    consent: Option<usize>,
    consent_source: Option<usize>,
    consent_date: Option<usize>,
}

/// A cell with something in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) header: &'a str,
    pub(super) text: &'a str,
}

/// The cells about consent of a row that says whether there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConsentCells<'a> {
    pub(super) kind: Cell<'a>,
    pub(super) source: Option<Cell<'a>>,
    pub(super) date: Option<Cell<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameColumns {
    None,
    One(usize),
    FirstAndLast(usize, usize),
}

impl Columns {
    /// Decides what the columns mean.
    pub(super) fn plan(headers: Vec<String>, mapping: &Mapping) -> Result<Self, ListError> {
        if headers.len() > MAX_COLUMNS {
            return Err(ListError::TooManyColumns {
                columns: headers.len(),
                max: MAX_COLUMNS,
            });
        }
        let phone = match &mapping.phone {
            Some(header) => find_header(&headers, header)?,
            None => match find_spelling(&headers, PHONE_HEADERS) {
                Some(column) => column,
                None => return Err(ListError::NoPhoneColumn { headers }),
            },
        };
        let name = match &mapping.name {
            Some(header) => NameColumns::One(find_header(&headers, header)?),
            None => find_name(&headers),
        };
        let find = |asked: &Option<String>, spellings| match asked {
            Some(header) => find_header(&headers, header).map(Some),
            None => Ok(find_spelling(&headers, spellings)),
        };
        Ok(Self {
            phone,
            name,
            email: find(&mapping.email, EMAIL_HEADERS)?,
            zone: find(&mapping.time_zone, ZONE_HEADERS)?,
            consent: find(&mapping.consent, CONSENT_HEADERS)?,
            consent_source: find(&mapping.consent_source, CONSENT_SOURCE_HEADERS)?,
            consent_date: find(&mapping.consent_date, CONSENT_DATE_HEADERS)?,
            field_names: name_fields(&headers, phone, name),
            headers,
        })
    }

    pub(super) fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The header of the phone column.
    pub(super) fn phone_header(&self) -> &str {
        &self.headers[self.phone]
    }

    /// The names that a text may use inside braces for this list.
    pub(super) fn placeholders(&self) -> BTreeSet<&str> {
        let name = (self.name != NameColumns::None).then_some("name");
        let fields = self.field_columns().map(|(_, field)| field);
        std::iter::once("phone").chain(name).chain(fields).collect()
    }

    /// The phone cell of a row.
    pub(super) fn phone<'a>(&self, cells: &'a [String]) -> &'a str {
        cell(cells, self.phone)
    }

    /// The name in a row, as the list wrote it.
    pub(super) fn name(&self, cells: &[String]) -> Option<String> {
        let name = match self.name {
            NameColumns::None => return None,
            NameColumns::One(column) => clean(cell(cells, column)),
            NameColumns::FirstAndLast(first, last) => {
                let both = [clean(cell(cells, first)), clean(cell(cells, last))];
                both.join(" ").trim().to_owned()
            }
        };
        (!name.is_empty()).then_some(name)
    }

    /// The e-mail address in a row, lower case; none where the cell holds something else.
    pub(super) fn email(&self, cells: &[String]) -> Option<String> {
        email_address(self.optional(cells, self.email)?.text)
    }

    /// The time zone in a row, as the list wrote it.
    pub(super) fn zone<'a>(&'a self, cells: &'a [String]) -> Option<Cell<'a>> {
        self.optional(cells, self.zone)
    }

    /// What a row says about consent, as the list wrote it.
    pub(super) fn consent<'a>(&'a self, cells: &'a [String]) -> Option<ConsentCells<'a>> {
        Some(ConsentCells {
            kind: self.optional(cells, self.consent)?,
            source: self.optional(cells, self.consent_source),
            date: self.optional(cells, self.consent_date),
        })
    }

    /// The cell of a column that the list may lack, unless it is empty.
    fn optional<'a>(&'a self, cells: &'a [String], column: Option<usize>) -> Option<Cell<'a>> {
        let column = column?;
        let text = cell(cells, column).trim();
        let header = &self.headers[column];
        (!text.is_empty()).then_some(Cell { header, text })
    }

    /// The cells of a row that have something in them, by field name.
    pub(super) fn fields(&self, cells: &[String]) -> Fields {
        self.field_columns()
            .map(|(column, field)| (field, clean(cell(cells, column))))
            .filter(|(_, value)| !value.is_empty())
            .map(|(field, value)| (field.to_owned(), value))
            .collect()
    }

    /// The columns that become fields: all, so that every header can be used inside braces, but
    /// for those called `phone` and `name`, which the number and the name already are.
    fn field_columns(&self) -> impl Iterator<Item = (usize, &str)> {
        let named = self.field_names.iter().map(String::as_str).enumerate();
        named.filter(|(_, field)| !matches!(*field, "phone" | "name"))
    }
}

/// A cell, or nothing where the row is too short.
pub(super) fn cell(cells: &[String], column: usize) -> &str {
    cells.get(column).map_or("", String::as_str)
}

/// A value without outer blanks and with one kind of line end.
pub(super) fn clean(value: &str) -> String {
    let value = value.trim();
    if value.contains('\r') {
        value.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        value.to_owned()
    }
}

/// The column with this header: as written, else as [`field_name`] writes both.
fn find_header(headers: &[String], header: &str) -> Result<usize, ListError> {
    let exact = headers.iter().position(|seen| seen.trim() == header.trim());
    let wanted = field_name(header);
    let alike = || {
        let mut names = headers.iter().map(|seen| field_name(seen));
        names.position(|name| !name.is_empty() && name == wanted)
    };
    exact.or_else(alike).ok_or_else(|| ListError::NoSuchColumn {
        header: header.to_owned(),
        headers: headers.to_vec(),
    })
}

/// The first column with the best of these spellings.
pub(super) fn find_spelling(headers: &[String], spellings: &[&str]) -> Option<usize> {
    let names: Vec<String> = headers
        .iter()
        .map(|header| field_name(header).replace('_', ""))
        .collect();
    spellings
        .iter()
        .find_map(|spelling| names.iter().position(|name| name == spelling))
}

fn find_name(headers: &[String]) -> NameColumns {
    let first = find_spelling(headers, FIRST_NAME_HEADERS);
    let last = find_spelling(headers, LAST_NAME_HEADERS);
    match (find_spelling(headers, NAME_HEADERS), first, last) {
        (Some(column), _, _) => NameColumns::One(column),
        (None, Some(first), Some(last)) => NameColumns::FirstAndLast(first, last),
        (None, first, last) => find_spelling(headers, OTHER_NAME_HEADERS)
            .or(first)
            .or(last)
            .map_or(NameColumns::None, NameColumns::One),
    }
}

/// A unique name for each column: `_2` for the second of a kind, `column_3` for the third column
/// when it has no header. `phone` and `name` are kept for the columns that mean them.
fn name_fields(headers: &[String], phone: usize, name: NameColumns) -> Vec<String> {
    let mut owners = BTreeMap::from([("phone".to_owned(), phone)]);
    match name {
        NameColumns::One(column) => _ = owners.insert("name".to_owned(), column),
        NameColumns::FirstAndLast(..) => _ = owners.insert("name".to_owned(), usize::MAX),
        NameColumns::None => {}
    }
    let mut names = Vec::with_capacity(headers.len());
    for (column, header) in headers.iter().enumerate() {
        let base = match field_name(header) {
            empty if empty.is_empty() => format!("column_{}", column + 1),
            name => name,
        };
        let name = (1_usize..)
            .map(|n| {
                if n == 1 {
                    base.clone()
                } else {
                    format!("{base}_{n}")
                }
            })
            .find(|name| owners.get(name).is_none_or(|owner| *owner == column))
            .expect("there are more numbers than columns");
        owners.insert(name.clone(), column);
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(headers: &str, phone: Option<&str>, name: Option<&str>) -> Result<Columns, ListError> {
        let headers = headers.split(',').map(str::to_owned).collect();
        let mapping = Mapping {
            phone: phone.map(str::to_owned),
            name: name.map(str::to_owned),
            ..Mapping::default()
        };
        Columns::plan(headers, &mapping)
    }

    /// The headers taken for number and name, joined by `|`.
    fn taken(headers: &str) -> String {
        let Ok(columns) = plan(headers, None, None) else {
            return "none".to_owned();
        };
        let header = |column: usize| columns.headers[column].as_str();
        let mut taken = vec![header(columns.phone)];
        match columns.name {
            NameColumns::None => {}
            NameColumns::One(column) => taken.push(header(column)),
            NameColumns::FirstAndLast(first, last) => taken.extend([header(first), header(last)]),
        }
        taken.join("|")
    }

    // proves F-44
    #[test]
    fn the_columns_of_real_lists_are_found() {
        for (headers, expected) in [
            ("phone", "phone"),
            ("name,phone", "phone|name"),
            ("Name,Phone Number", "Phone Number|Name"),
            ("id,phone_number,full_name", "phone_number|full_name"),
            ("ID,Contact ID,PhoneNumber", "PhoneNumber"),
            ("First Name,Last Name,Mobile", "Mobile|First Name|Last Name"),
            ("LAST_NAME,FIRST_NAME,CELL", "CELL|FIRST_NAME|LAST_NAME"),
            ("Mobile Number,Company Name", "Mobile Number"),
            ("contact_number,contact_name", "contact_number|contact_name"),
            (
                "Telephone,Customer Name,File Name",
                "Telephone|Customer Name",
            ),
            ("Name,tel", "tel|Name"),
            ("Number,Name", "Number|Name"),
            ("Number,Phone,Name", "Phone|Name"),
            ("Home Phone,Mobile,Name", "Mobile|Name"),
            ("Phone #,First name", "Phone #|First name"),
            ("E-mail,Cell Phone,Surname", "Cell Phone|Surname"),
            ("Phone,Phone,Name", "Phone|Name"),
            (
                "Vorname,Nachname,Telefonnummer",
                "Telefonnummer|Vorname|Nachname",
            ),
            ("  PHONE  ,  NAME  ", "  PHONE  |  NAME  "),
            ("Account Number,Order Number", "none"),
            ("Name,Address", "none"),
            ("Ann,+12025550100", "none"),
            ("Phone-Number,Username,Full-Name", "Phone-Number|Full-Name"),
            ("Phone 1,Phone 2,Given Name", "Phone 1|Given Name"),
            (",Phone,", "Phone"),
        ] {
            assert_eq!(taken(headers), expected, "{headers}");
        }
    }

    #[test]
    fn a_mapping_wins_over_the_spelling() {
        let columns = plan("Phone,Office,Name,Nick", Some("office"), Some("Nick")).unwrap();
        assert_eq!(columns.phone_header(), "Office");
        assert_eq!(
            columns.placeholders().into_iter().collect::<Vec<_>>(),
            ["name", "name_2", "nick", "office", "phone", "phone_2"]
        );
        let cells = ["1", "2", "Ann", "Nan"].map(str::to_owned);
        assert_eq!(columns.name(&cells).as_deref(), Some("Nan"));
        assert_eq!(columns.fields(&cells)["phone_2"], "1");
        assert_eq!(columns.fields(&cells)["name_2"], "Ann");
    }

    #[test]
    fn a_mapping_to_a_column_that_is_not_there_is_refused() {
        let error = plan("Phone,Name", Some("Cell"), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no column \"Cell\" in the file, only \"Phone\", \"Name\""
        );
        assert!(plan("Phone,Name", None, Some("Nick")).is_err());
        assert!(plan("Phone,", Some("--"), None).is_err());
    }

    #[test]
    fn a_list_without_a_phone_column_says_what_it_has() {
        let message = plan("Name,City", None, None).unwrap_err().to_string();
        assert!(message.contains("\"Name\", \"City\""), "{message}");
        assert!(message.contains("Mobile"), "{message}");
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let columns = plan("Phone,City,city,,City 2,--", None, None).unwrap();
        assert_eq!(
            columns.field_names,
            [
                "phone", "city", "city_2", "column_4", "city_2_2", "column_6"
            ]
        );
    }

    #[test]
    fn joined_names_are_kept_as_fields_too() {
        let columns = plan("First Name,Last Name,Phone", None, None).unwrap();
        let cells = [" Ann ", "Lee", "1"].map(str::to_owned);
        assert_eq!(columns.name(&cells).as_deref(), Some("Ann Lee"));
        assert_eq!(columns.fields(&cells)["first_name"], "Ann");
        let short = [String::new(), "Lee".to_owned()];
        assert_eq!(columns.name(&short).as_deref(), Some("Lee"));
        assert_eq!(columns.phone(&short), "");
    }

    #[test]
    fn a_header_of_a_thousand_columns_is_refused() {
        let error = plan(&"Phone,".repeat(1000), None, None).unwrap_err();
        assert!(matches!(error, ListError::TooManyColumns { .. }));
    }
}
