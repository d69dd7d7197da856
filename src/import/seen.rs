//! The numbers that a list has had so far.

use std::collections::{HashMap, hash_map::Entry};

use crate::domain::phone::PhoneNumber;

/// Every accepted number and the line it was on.
///
/// Twelve bytes a number (its digits fit in 50 bits), so that a million take under 48 MiB even
/// while the table grows.
#[derive(Default)]
pub(super) struct SeenNumbers(HashMap<[u32; 2], u32>);

impl SeenNumbers {
    /// Remembers a number, or returns the line on which it was before.
    pub(super) fn insert(&mut self, phone: &PhoneNumber, line: u64) -> Result<(), u64> {
        match self.0.entry(pack(phone)) {
            Entry::Occupied(earlier) => Err(u64::from(*earlier.get())),
            Entry::Vacant(free) => {
                free.insert(u32::try_from(line).unwrap_or(u32::MAX));
                Ok(())
            }
        }
    }
}

/// The digits as one number, in halves: a `u64` would align the entries to 16 bytes.
fn pack(phone: &PhoneNumber) -> [u32; 2] {
    let digits = phone
        .as_str()
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    [(digits >> 32) as u32, digits as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once_and_its_first_line_is_kept() {
        let mut seen = SeenNumbers::default();
        let first: PhoneNumber = "+12025550100".parse().unwrap();
        let longest: PhoneNumber = "+999999999999999".parse().unwrap();
        assert_eq!(seen.insert(&first, 2), Ok(()));
        assert_eq!(seen.insert(&longest, 3), Ok(()));
        assert_eq!(seen.insert(&first, 9), Err(2));
        assert_eq!(seen.insert(&longest, 10), Err(3));
    }
}
