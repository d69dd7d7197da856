//! Where a page of a list ended, as the text that a client hands back.

use std::{fmt, num::NonZeroU32, str::FromStr};

use super::{Page, StoreError, StoreResult};

/// A place in a list that is sorted by a number and then by an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What the list is sorted by.
    pub number: i64,
    /// What tells equal numbers apart; may be empty where there are none.
    pub id: String,
}

impl Position {
    /// Before the first item of an ascending list.
    pub const START: Self = Self {
        number: i64::MIN,
        id: String::new(),
    };

    /// Before the first item of a descending list.
    pub const END: Self = Self {
        number: i64::MAX,
        id: String::new(),
    };

    /// The place after an item.
    pub fn at(number: i64, id: impl Into<String>) -> Self {
        Self {
            number,
            id: id.into(),
        }
    }

    /// Reads a cursor; `first` where there is none.
    pub fn read(cursor: Option<&str>, first: Self) -> StoreResult<Self> {
        cursor.map_or(Ok(first), str::parse)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number, self.id)
    }
}

impl FromStr for Position {
    type Err = StoreError;

    fn from_str(cursor: &str) -> StoreResult<Self> {
        let wrong = || StoreError::BadCursor;
        let (number, id) = cursor.split_once('.').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Self::at(number, id))
    }
}

/// The page of up to `limit` of `rows`, of which one more was asked for: it says whether there is a
/// next page.
pub fn cut<T>(mut rows: Vec<(Position, T)>, limit: NonZeroU32, total: u64) -> Page<T> {
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| has_more)
        .map(|(position, _)| position.to_string());
    Page {
        items: rows.into_iter().map(|(_, item)| item).collect(),
        total,
        next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_anything_else_is_refused() {
        let position = Position::at(-5, "att_1.2");
        assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        assert!("x".parse::<Position>().is_err());
        assert!("x.y".parse::<Position>().is_err());
    }

    #[test]
    fn the_extra_row_becomes_the_cursor_of_the_last_shown() {
        let rows = |n: i64| (1..=n).map(|i| (Position::at(i, ""), i)).collect();
        let limit = NonZeroU32::new(2).unwrap();
        let page = cut(rows(3), limit, 7);
        assert_eq!((page.items, page.next), (vec![1, 2], Some("2.".to_owned())));
        assert_eq!(cut::<i64>(rows(2), limit, 2).next, None);
    }
}
