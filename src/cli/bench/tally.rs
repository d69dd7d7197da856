//! What became of the numbered frames of one direction of a call.

use std::{collections::BTreeSet, ops::AddAssign};

/// Frames of one direction, so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// The number behind the highest that came.
    next: u32,
    /// Lower ones that did not come yet.
    missing: BTreeSet<u32>,
    n_doubled: u64,
    n_reordered: u64,
}

/// What became of the frames of a direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Frames {
    pub n_sent: u64,
    /// Never came.
    pub n_lost: u64,
    /// Came once more.
    pub n_doubled: u64,
    /// Came behind a later one.
    pub n_reordered: u64,
}

impl Tally {
    /// A frame came. Whether it is the first of all.
    pub fn take(&mut self, number: u32) -> bool {
        let is_first = self.next == 0;
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if self.missing.remove(&number) {
            self.n_reordered += 1;
        } else {
            self.n_doubled += 1;
        }
        is_first
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// The sums, when `n_sent` frames were sent: those behind the last that came are missing too.
    pub fn frames(&self, n_sent: u32) -> Frames {
        let behind = n_sent.saturating_sub(self.next);
        Frames {
            n_sent: n_sent.into(),
            n_lost: self.missing.len() as u64 + u64::from(behind),
            n_doubled: self.n_doubled,
            n_reordered: self.n_reordered,
        }
    }
}

impl Frames {
    /// Whether each came once and in its place.
    pub fn are_whole(&self) -> bool {
        self.n_lost + self.n_doubled + self.n_reordered == 0
    }
}

impl AddAssign for Frames {
    fn add_assign(&mut self, other: Self) {
        self.n_sent += other.n_sent;
        self.n_lost += other.n_lost;
        self.n_doubled += other.n_doubled;
        self.n_reordered += other.n_reordered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(numbers: &[u32], n_sent: u32) -> (u64, u64, u64) {
        let mut tally = Tally::default();
        for number in numbers {
            tally.take(*number);
        }
        let frames = tally.frames(n_sent);
        (frames.n_lost, frames.n_doubled, frames.n_reordered)
    }

    #[test]
    fn lost_doubled_and_reordered_frames_are_told_apart() {
        assert_eq!(counted(&[0, 1, 2, 3], 4), (0, 0, 0));
        assert_eq!(counted(&[0, 2, 3], 4), (1, 0, 0));
        assert_eq!(counted(&[2, 3], 6), (4, 0, 0));
        assert_eq!(counted(&[0, 2, 1, 3], 4), (0, 0, 1));
        assert_eq!(counted(&[0, 1, 1, 2, 0, 3], 4), (0, 2, 0));
        assert_eq!(counted(&[0, 3, 1, 1], 4), (1, 1, 1));
        assert_eq!(counted(&[], 3), (3, 0, 0));
    }

    #[test]
    fn the_first_frame_is_the_first_that_comes() {
        let mut tally = Tally::default();
        assert!(tally.is_empty());
        assert!(tally.take(5) && !tally.take(6) && !tally.take(0));
    }
}
