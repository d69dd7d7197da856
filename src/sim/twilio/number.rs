//! What a telephone number tells by itself: its shape, its country, its American notation.

/// A plus sign and 7 to 15 digits, the first not zero.
pub fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// `(AAA) BBB-CCCC` for North American numbers, the number itself for all others.
pub fn formatted(number: &str) -> String {
    match number.strip_prefix("+1") {
        Some(digits) if digits.len() == 10 && digits.is_ascii() => {
            format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..])
        }
        Some(_) | None => number.to_owned(),
    }
}

/// The ISO code of the number's country, or nothing when the simulator does not know it.
pub fn country(number: &str) -> &'static str {
    COUNTRIES
        .iter()
        .find(|(prefix, _)| number.starts_with(prefix))
        .map_or("", |(_, country)| country)
}

const COUNTRIES: [(&str, &str); 12] = [
    ("+1", "US"),
    ("+31", "NL"),
    ("+33", "FR"),
    ("+34", "ES"),
    ("+353", "IE"),
    ("+39", "IT"),
    ("+41", "CH"),
    ("+43", "AT"),
    ("+44", "GB"),
    ("+49", "DE"),
    ("+61", "AU"),
    ("+91", "IN"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_notation_and_country_follow_the_number() {
        assert!(is_e164("+15005550010"));
        for wrong in [
            "15005550010",
            "+0500555001",
            "+1",
            "+1500555001O",
            "+1234567890123456",
        ] {
            assert!(!is_e164(wrong), "{wrong}");
        }
        assert_eq!(formatted("+15005550010"), "(500) 555-0010");
        assert_eq!(formatted("+436601234567"), "+436601234567");
        assert_eq!(country("+436601234567"), "AT");
        assert_eq!(country("+999123456"), "");
    }
}
