//! What the carrier takes for a call.
//!
//! It is told some time after the end, or never: it is asked for a number of times, ever later, and then
//! given up. What is not known stays unknown; no estimate takes its place.

use std::{fmt, str::FromStr, time::Duration};

use super::Timestamp;

/// How often a price is asked for.
const MOST_QUESTIONS: u32 = 7;

/// How many times as long the wait is after each question.
const LATER_BY: u32 = 4;

/// Decimal places of a price that are kept.
const PLACES: usize = 6;

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// In millionths of the currency's unit. Below zero it is a credit.
    pub millionths: i64,
    /// Which currency.
    pub currency: Currency,
}

/// A currency by its three letters, such as `USD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// The text does not name a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency has three letters")]
pub struct CurrencyError;

/// What is known of what the carrier takes for a call that was answered and is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierPrice {
    /// Not told yet.
    Awaited {
        /// When to ask again.
        ask_at: Timestamp,
        /// How often it was asked for.
        n_asked: u32,
    },
    /// Told.
    Known(Price),
    /// Asked for often enough. Nobody knows it.
    GivenUp,
}

impl CarrierPrice {
    /// Of a call that ended at `now`, to be asked for after `first`.
    pub fn awaited(now: Timestamp, first: Duration) -> Self {
        Self::Awaited {
            ask_at: now + first,
            n_asked: 0,
        }
    }

    /// What is known when the carrier was asked once more, at `now`, and said `told`: none when it gave no
    /// price, or no answer. `first` is the wait before the first question. What is known stays.
    #[must_use]
    pub fn asked(self, told: Option<Price>, now: Timestamp, first: Duration) -> Self {
        let Self::Awaited { n_asked, .. } = self else {
            return self;
        };
        let n_asked = n_asked + 1;
        match told {
            Some(price) => Self::Known(price),
            None if n_asked >= MOST_QUESTIONS => Self::GivenUp,
            None => Self::Awaited {
                ask_at: now + first * LATER_BY.pow(n_asked),
                n_asked,
            },
        }
    }

    /// The price, once it is known.
    pub fn known(self) -> Option<Price> {
        match self {
            Self::Known(price) => Some(price),
            Self::Awaited { .. } | Self::GivenUp => None,
        }
    }

    /// When to ask, while it is awaited.
    pub fn ask_at(self) -> Option<Timestamp> {
        match self {
            Self::Awaited { ask_at, .. } => Some(ask_at),
            Self::Known(_) | Self::GivenUp => None,
        }
    }

    /// The name of what is known, in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Awaited { .. } => "awaited",
            Self::Known(_) => "known",
            Self::GivenUp => "givenUp",
        }
    }
}

/// A decimal number such as `-0.0130` in millionths, rounded to the nearest; none for anything else.
pub fn millionths(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) {
        return None;
    }
    let (kept, rest) = part.split_at(part.len().min(PLACES));
    let rounds_up = rest.as_bytes().first().is_some_and(|digit| *digit >= b'5');
    let part: i64 = format!("{kept:0<PLACES$}").parse().ok()?;
    let amount = whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(part + i64::from(rounds_up))?;
    Some(if is_negative { -amount } else { amount })
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| CurrencyError)?;
        if letters.iter().all(u8::is_ascii_alphabetic) {
            Ok(Self(letters.map(|letter| letter.to_ascii_uppercase())))
        } else {
            Err(CurrencyError)
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("its letters are ASCII"))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Price {
    /// Such as `0.014 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.millionths.unsigned_abs();
        let sign = if self.millionths < 0 { "-" } else { "" };
        let part = format!("{:0PLACES$}", amount % 1_000_000);
        let part = match part.trim_end_matches('0') {
            short if short.len() < 2 => &part[..2],
            long => long,
        };
        write!(f, "{sign}{}.{part} {}", amount / 1_000_000, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: Timestamp = Timestamp::constant(1_760_000_000, 0);
    const FIRST: Duration = Duration::from_secs(60);

    fn usd(millionths: i64) -> Price {
        Price {
            millionths,
            currency: "USD".parse().unwrap(),
        }
    }

    // proves F-28
    #[test]
    fn a_price_is_read_exactly_or_not_at_all() {
        for (text, read) in [
            ("-0.0130", Some(-13_000)),
            ("0.014", Some(14_000)),
            ("-1", Some(-1_000_000)),
            ("0", Some(0)),
            ("12.", Some(12_000_000)),
            ("-0.0000005", Some(-1)),
            ("0.00000049", Some(0)),
            ("", None),
            ("-", None),
            (".5", None),
            ("1e3", None),
            ("+1", None),
            ("--1", None),
            ("1.2.3", None),
            ("1,5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(millionths(text), read, "{text:?}");
        }
    }

    #[test]
    fn a_price_is_shown_with_two_places_or_more() {
        let shown = [14_000, 1_500_000, 0, -13_500, 1].map(|amount| usd(amount).to_string());
        let expected = ["0.014", "1.50", "0.00", "-0.0135", "0.000001"];
        assert_eq!(shown, expected.map(|amount| format!("{amount} USD")));
    }

    #[test]
    fn a_currency_has_three_letters() {
        assert_eq!("usd".parse::<Currency>().unwrap().to_string(), "USD");
        for wrong in ["", "US", "USDT", "U5D", "ÄÖ"] {
            assert_eq!(wrong.parse::<Currency>(), Err(CurrencyError), "{wrong}");
        }
    }

    // proves F-28
    #[test]
    fn a_price_that_never_comes_is_asked_for_ever_later_and_given_up() {
        let mut price = CarrierPrice::awaited(ENDED, FIRST);
        let mut questions = Vec::new();
        while let Some(ask_at) = price.ask_at() {
            questions.push(ask_at.duration_since(ENDED).as_secs());
            price = price.asked(None, ask_at, FIRST);
        }
        assert_eq!(questions, [60, 300, 1_260, 5_100, 20_460, 81_900, 327_660]);
        assert_eq!(price, CarrierPrice::GivenUp);
        assert_eq!(price.asked(Some(usd(1)), ENDED, FIRST).known(), None);
    }

    // proves F-28
    #[test]
    fn a_price_that_is_told_stays() {
        let told = CarrierPrice::awaited(ENDED, FIRST).asked(Some(usd(14_000)), ENDED, FIRST);
        assert_eq!(told, CarrierPrice::Known(usd(14_000)));
        assert_eq!(told.asked(Some(usd(1)), ENDED, FIRST), told);
        assert_eq!(told.asked(None, ENDED, FIRST), told);
    }
}
