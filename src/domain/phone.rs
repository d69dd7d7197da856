//! Telephone numbers in E.164 form, and how people's spellings of them become that.

use std::{fmt, str::FromStr};

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region as Country};

/// A telephone number that a carrier can dial: `+` and 7 to 15 digits.
///
/// `Debug` shows the last four digits only, so that a number cannot reach a log by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

/// Why a text is not a number that can be dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Nothing but blanks.
    #[error("the phone number is empty")]
    Empty,
    /// A spreadsheet rounded the number (`6.14E+10`): its digits are lost.
    #[error("a spreadsheet turned the number into scientific notation; format the column as text")]
    ScientificNotation,
    /// Not written like a telephone number.
    #[error("this is not written like a phone number")]
    NotANumber,
    /// Written like one, but no such number exists in its country.
    #[error("no such number exists in its country")]
    Invalid,
}

/// The country that a number without `+` is meant to be in, as two capital letters (ISO 3166).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region(Country);

/// The text is not two letters that name a country with telephone numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a country code such as US or GB")]
pub struct RegionError(String);

impl Region {
    /// The United States.
    pub const US: Self = Self(Country::US);

    /// The two letters.
    pub fn code(self) -> String {
        self.0.as_region_str().as_str().to_owned()
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let error = || RegionError(text.chars().take(20).collect());
        let country = Country::from_code(&text.trim().to_ascii_uppercase()).map_err(|_| error())?;
        let has_numbers = PHONE_NUMBER_UTIL
            .get_country_code_for_region(country)
            .is_some();
        has_numbers.then_some(Self(country)).ok_or_else(error)
    }
}

impl PhoneNumber {
    /// Reads a number as people write it; `region` is the country of one without `+`.
    ///
    /// Accepts blanks, dashes, brackets and the `00` prefix. Reading its own result again changes
    /// nothing.
    pub fn normalize(text: &str, region: Region) -> Result<Self, PhoneError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PhoneError::Empty);
        }
        if is_scientific_notation(text) {
            return Err(PhoneError::ScientificNotation);
        }
        let number = PHONE_NUMBER_UTIL
            .parse(text, Some(region.0))
            .map_err(|_| PhoneError::NotANumber)?;
        if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
            return Err(PhoneError::Invalid);
        }
        let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
        e164.parse()
    }

    /// Whether the numbering plan of its country has such a number.
    ///
    /// Reading E.164 ([`FromStr`]) does not ask, so that what is stored stays readable.
    pub fn is_assignable(&self) -> bool {
        PHONE_NUMBER_UTIL
            .parse(&self.0, None)
            .is_ok_and(|number| PHONE_NUMBER_UTIL.is_valid_number(&number))
    }

    /// Whether `text` is this number as people write it, with its country or without.
    pub fn is_written_as(&self, text: &str) -> bool {
        // Reading numbers is slow, and most texts are none or another one.
        let last = |text: &str| -> Vec<u8> {
            let digits = text.bytes().rev().filter(u8::is_ascii_digit);
            digits.take(4).collect()
        };
        if last(text) != last(&self.0) {
            return false;
        }
        let parsed = PHONE_NUMBER_UTIL.parse(&self.0, None).ok();
        let country = parsed.and_then(|number| number.get_region_code());
        let region = country.map_or(Region::US, Region);
        Self::normalize(text, region).is_ok_and(|number| number == *self)
    }

    /// The number with `+`, as carriers want it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number with all but its last four digits hidden: for logs and lists.
    pub fn masked(&self) -> String {
        format!("…{}", &self.0[self.0.len() - 4..])
    }
}

fn is_scientific_notation(text: &str) -> bool {
    let text = text.trim_start_matches('+');
    text.contains(['e', 'E'])
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'e' | b'E' | b'+'))
}

impl FromStr for PhoneNumber {
    type Err = PhoneError;

    /// Reads E.164 exactly; for anything else see [`PhoneNumber::normalize`].
    fn from_str(text: &str) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError::NotANumber)?;
        let fits = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(PhoneError::NotANumber)
        }
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalize(text: &str, region: &str) -> Result<String, PhoneError> {
        PhoneNumber::normalize(text, region.parse().unwrap()).map(|number| number.to_string())
    }

    #[test]
    fn spellings_of_one_number_become_the_same() {
        for text in [
            "(202) 555-0143",
            "202-555-0143",
            "+1 202 555 0143",
            "001 202 555 0143",
        ] {
            let region = if text.starts_with("00") { "GB" } else { "US" };
            assert_eq!(
                normalize(text, region),
                Ok("+12025550143".to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            normalize("020 7946 0018", "GB"),
            Ok("+442079460018".to_owned())
        );
        assert_eq!(
            normalize("+44 (0)20 7946 0018", "US"),
            Ok("+442079460018".to_owned())
        );
    }

    // proves F-47
    #[test]
    fn reading_a_result_again_changes_nothing() {
        let first = normalize("0491 570 156", "AU").unwrap();
        assert_eq!(normalize(&first, "US"), Ok(first));
    }

    #[test]
    fn what_is_wrong_with_a_number_is_named() {
        assert_eq!(normalize("  ", "US"), Err(PhoneError::Empty));
        assert_eq!(
            normalize("6.14E+10", "AU"),
            Err(PhoneError::ScientificNotation)
        );
        assert_eq!(normalize("call me", "US"), Err(PhoneError::NotANumber));
        assert_eq!(normalize("12345", "US"), Err(PhoneError::Invalid));
        assert_eq!(
            normalize("+999 12345678", "US"),
            Err(PhoneError::NotANumber)
        );
    }

    #[test]
    fn a_region_is_a_country_with_numbers() {
        assert_eq!("us".parse(), Ok(Region::US));
        assert!("ZZ".parse::<Region>().is_err());
        assert!("USA".parse::<Region>().is_err());
    }

    #[test]
    fn a_number_prints_its_last_four_digits_only() {
        let number: PhoneNumber = "+12025550143".parse().unwrap();
        assert_eq!(format!("{number:?}"), "…0143");
    }
}
