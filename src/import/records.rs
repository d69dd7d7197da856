//! Delimited text cut into records, in bounded memory, each with the line on which it begins.
//!
//! The grammar of quotes and line ends is `csv-core`'s. Used directly, rather than through `csv`,
//! it allows a limit on the length of a record, exact line numbers and a word about quotes that
//! are never closed.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::{
    ListError,
    encoding::{check_text, delimiter, is_line_end},
};

const CHUNK_BYTES: usize = 64 * 1024;

/// Reads records from a stream.
pub(super) struct RecordReader<R> {
    source: R,
    parser: csv_core::Reader,
    chunk: Vec<u8>,
    position: usize,
    max_bytes: usize,
    lines: LineCounter,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One record; its bytes are valid until the next one is read.
pub(super) struct Record<'a> {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    text: &'a [u8],
    ends: &'a [usize],
}

impl Record<'_> {
    /// The cells as text, or `None` when the record is not UTF-8.
    pub(super) fn cells(&self) -> Option<Vec<String>> {
        // Checked as a whole first: a cell boundary cannot cut a character of valid UTF-8.
        let text = std::str::from_utf8(self.text).ok()?;
        Some(self.ranges().map(|range| text[range].to_owned()).collect())
    }

    /// The cells as text, with a mark in place of what is not UTF-8.
    pub(super) fn cells_lossy(&self) -> Vec<String> {
        self.ranges()
            .map(|range| String::from_utf8_lossy(&self.text[range]).into_owned())
            .collect()
    }

    /// Whether there is nothing in it but blanks, as in the empty rows that spreadsheets append.
    pub(super) fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }

    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, end)| start..*end)
    }
}

impl<R: Read> RecordReader<R> {
    /// Reads the first bytes, refuses what is not UTF-8 text and finds the delimiter.
    ///
    /// `max_bytes` bounds one record, and with it the memory this reader holds.
    pub(super) fn open(mut source: R, max_bytes: usize) -> Result<Self, ListError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let n_head = fill(&mut source, &mut chunk).map_err(ListError::Read)?;
        chunk.truncate(n_head);
        let position = check_text(&chunk)?;
        let delimiter = delimiter(&chunk[position..]);
        Ok(Self {
            source,
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            chunk,
            position,
            max_bytes,
            lines: LineCounter::default(),
            text: vec![0; 1024],
            ends: vec![0; 32],
        })
    }

    /// The next record, or `None` at the end of the file; empty lines are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, ListError> {
        if !self.skip_empty_lines()? {
            return Ok(None);
        }
        let line = self.lines.line();
        let (n_text, n_ends) = self.read_record(line)?;
        Ok(Some(Record {
            line,
            text: &self.text[..n_text],
            ends: &self.ends[..n_ends],
        }))
    }

    /// Whether there is a record after the line ends that come next.
    fn skip_empty_lines(&mut self) -> Result<bool, ListError> {
        while self.refill()? {
            let rest = &self.chunk[self.position..];
            let n = rest.iter().take_while(|b| is_line_end(**b)).count();
            self.lines.count(&rest[..n]);
            self.position += n;
            if self.position < self.chunk.len() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads one record into `text` and `ends` and returns how much of them it fills.
    fn read_record(&mut self, line: u64) -> Result<(usize, usize), ListError> {
        let (mut n_read, mut n_text, mut n_ends) = (0, 0, 0);
        loop {
            let at_end = !self.refill()?;
            // At the end a line end is added. A record that does not stop there is inside quotes.
            let input = if at_end {
                b"\n"
            } else {
                &self.chunk[self.position..]
            };
            let (result, n_in, n_out, n_new_ends) =
                self.parser
                    .read_record(input, &mut self.text[n_text..], &mut self.ends[n_ends..]);
            if !at_end {
                self.lines.count(&input[..n_in]);
                self.position += n_in;
                n_read += n_in;
            }
            n_text += n_out;
            n_ends += n_new_ends;
            if n_read > self.max_bytes {
                let max_bytes = self.max_bytes;
                return Err(ListError::RecordTooLong { line, max_bytes });
            }
            match result {
                ReadRecordResult::Record => return Ok((n_text, n_ends)),
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {
                    if at_end {
                        return Err(ListError::UnclosedQuote { line });
                    }
                }
            }
        }
    }

    /// Reads on when the chunk is used up; false at the end of the file.
    fn refill(&mut self) -> Result<bool, ListError> {
        if self.position < self.chunk.len() {
            return Ok(true);
        }
        self.chunk.resize(CHUNK_BYTES, 0);
        let n = fill(&mut self.source, &mut self.chunk).map_err(ListError::Read)?;
        self.chunk.truncate(n);
        self.position = 0;
        Ok(n > 0)
    }
}

/// Reads until `buffer` is full or the source has ended.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match source.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// Counts line ends in all three conventions.
#[derive(Default)]
struct LineCounter {
    n_ends: u64,
    after_cr: bool,
}

impl LineCounter {
    /// The line on which the next byte is, from 1.
    fn line(&self) -> u64 {
        self.n_ends + 1
    }

    fn count(&mut self, bytes: &[u8]) {
        for b in bytes {
            let ends = *b == b'\r' || (*b == b'\n' && !self.after_cr);
            self.n_ends += u64::from(ends);
            self.after_cr = *b == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], max_bytes: usize) -> Result<Vec<(u64, Vec<String>)>, ListError> {
        let mut reader = RecordReader::open(text, max_bytes)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next()? {
            records.push((record.line, record.cells_lossy()));
        }
        Ok(records)
    }

    #[test]
    fn a_record_knows_the_line_on_which_it_begins() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "a,b\n\n\"1\n2\",x\n3,y\n".replace('\n', end);
            let lines: Vec<u64> = read(text.as_bytes(), 100)
                .unwrap()
                .iter()
                .map(|(line, _)| *line)
                .collect();
            assert_eq!(lines, [1, 3, 5], "{end:?}");
        }
    }

    #[test]
    fn quotes_and_a_missing_last_line_end_are_read() {
        let records = read(b"\"say \"\"hi\"\"\",b\n1,\"2\"", 100).unwrap();
        assert_eq!(records[0].1, ["say \"hi\"", "b"]);
        assert_eq!(records[1].1, ["1", "2"]);
    }

    #[test]
    fn a_record_longer_than_the_limit_stops_the_reading() {
        let endless = io::repeat(b'x').take(1 << 40);
        let mut reader = RecordReader::open(endless, 1 << 20).unwrap();
        assert!(matches!(
            reader.next(),
            Err(ListError::RecordTooLong { line: 1, .. })
        ));
        assert!(reader.text.len() < 4 << 20, "memory follows the limit");
    }

    #[test]
    fn a_quote_that_is_never_closed_is_an_error() {
        assert!(matches!(
            read(b"a,b\n1,\"2\n3,4\n5,6\n", 100),
            Err(ListError::UnclosedQuote { line: 2 })
        ));
    }

    #[test]
    fn a_record_may_be_longer_than_a_chunk() {
        let long = "é".repeat(CHUNK_BYTES);
        let text = format!("a,b\n\"{long}\",2\n3,4\n");
        let records = read(text.as_bytes(), 1 << 20).unwrap();
        assert_eq!(records[1].1, [long.as_str(), "2"]);
        assert_eq!(records[2], (3, vec!["3".to_owned(), "4".to_owned()]));
    }
}
