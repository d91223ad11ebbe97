//! Bytes to records.
//!
//! Input is cut into units first, each of them one record, and the fields are found within their
//! unit; so a line that lacks a separator is an error of that line and never swallows the next.

use std::io::{self, BufRead};

use ratatoskr_core::{bytes::Bytes, limits, record::Record, time::Timestamp};

use super::{Field, Format, InvalidFormat, Part, headers, json};

/// Longest unit in bytes: a batch cannot carry more.
const UNIT_BYTES_MAX: usize = limits::BATCH_BYTES_MAX as usize;

/// What of the input makes one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Unit {
    /// Everything up to a line end, or up to the literal that ends the format.
    Newline,
    /// All of a file, or of stdin.
    Eof,
}

/// Why the input is not what its format says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// It cannot be read.
    #[error("cannot read the input")]
    Io(#[from] io::Error),
    /// A record is not as its format says.
    #[error("record {number} of the input: {reason}")]
    Record {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads records from one file or stdin.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: R,
    shape: Shape,
    number: u64,
}

/// A format made ready for reading.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// What stands before the first field.
    prefix: Vec<u8>,
    /// Each field with what ends it; the last one ends with its unit. Empty for JSON.
    fields: Vec<(Field, Vec<u8>)>,
    /// What ends a unit; empty where only the end of the input does.
    terminator: Vec<u8>,
}

impl Format {
    /// The format made ready for reading. Where `unit` is not given, the literal that ends the
    /// format ends a record, and a format that ends with a field takes the whole input as one.
    ///
    /// # Errors
    /// [`InvalidFormat`] where it can only be printed.
    pub(crate) fn for_reading(&self, unit: Option<Unit>) -> Result<Shape, InvalidFormat> {
        let mut shape = Shape {
            prefix: Vec::new(),
            fields: Vec::new(),
            terminator: Vec::new(),
        };
        match self {
            Self::Json => shape.terminator = b"\n".to_vec(),
            Self::Template(parts) => {
                for part in parts {
                    match (part, shape.fields.last_mut()) {
                        (Part::Literal(literal), None) => shape.prefix.clone_from(literal),
                        (Part::Literal(literal), Some((_, end))) => end.clone_from(literal),
                        (Part::Field(field), before) => {
                            if let Some((before, end)) = before
                                && end.is_empty()
                            {
                                let (a, b) = (before.letter(), field.letter());
                                return Err(InvalidFormat::NothingBetween(a, b));
                            }
                            if shape.fields.iter().any(|(known, _)| known == field) {
                                return Err(InvalidFormat::Twice(field.letter()));
                            }
                            shape.fields.push((*field, Vec::new()));
                        }
                    }
                }
                let content = |(field, _): &(Field, _)| matches!(field, Field::Key | Field::Value);
                if !shape.fields.iter().any(content) {
                    return Err(InvalidFormat::NoContent);
                }
                if let Some((_, end)) = shape.fields.last_mut() {
                    shape.terminator = std::mem::take(end);
                }
            }
        }
        match unit {
            Some(Unit::Eof) => shape.terminator.clear(),
            Some(Unit::Newline) if shape.terminator.is_empty() => {
                shape.terminator = b"\n".to_vec();
            }
            _ => {}
        }
        Ok(shape)
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads records of this shape.
    pub(crate) const fn new(input: R, shape: Shape) -> Self {
        Self {
            input,
            shape,
            number: 0,
        }
    }

    /// The next record with the bytes of input that it took; `None` at the end.
    ///
    /// # Errors
    /// [`InputError`]; the records after a wrong one can still be read, unless it was too long.
    pub(crate) fn next(&mut self) -> Result<Option<(Record, usize)>, InputError> {
        loop {
            let Some((unit, taken)) = self.unit()? else {
                return Ok(None);
            };
            let blank_json = self.shape.fields.is_empty() && unit.trim_ascii().is_empty();
            if blank_json {
                continue;
            }
            self.number += 1;
            let record = self
                .shape
                .record(unit)
                .map_err(|reason| self.wrong(reason))?;
            return Ok(Some((record, taken)));
        }
    }

    fn wrong(&self, reason: String) -> InputError {
        InputError::Record {
            number: self.number,
            reason,
        }
    }

    /// The next unit without its terminator, and how many bytes it took with it.
    fn unit(&mut self) -> Result<Option<(Vec<u8>, usize)>, InputError> {
        let terminator = &self.shape.terminator;
        let mut unit = Vec::new();
        let most = (UNIT_BYTES_MAX + terminator.len()) as u64;
        let mut ended = false;
        if let Some(last) = terminator.last() {
            while !ended && (unit.len() as u64) < most {
                let room = most - unit.len() as u64;
                let mut input = io::Read::take(&mut self.input, room);
                if input.read_until(*last, &mut unit)? == 0 {
                    break;
                }
                ended = unit.ends_with(terminator);
            }
        } else {
            io::Read::read_to_end(&mut io::Read::take(&mut self.input, most + 1), &mut unit)?;
        }
        let taken = unit.len();
        if ended {
            unit.truncate(taken - terminator.len());
        } else if unit.is_empty() {
            return Ok(None);
        }
        if unit.len() > UNIT_BYTES_MAX || (!ended && taken as u64 == most && !terminator.is_empty())
        {
            self.number += 1;
            return Err(self.wrong(format!(
                "longer than {UNIT_BYTES_MAX} bytes, the most that a record batch can carry"
            )));
        }
        Ok(Some((unit, taken)))
    }

    /// Whether nothing more is at hand without waiting for the input.
    pub(crate) fn would_wait(&self) -> bool
    where
        R: Buffered,
    {
        !self.input.has_buffered()
    }
}

/// An input that knows whether it holds bytes that nobody has taken yet.
pub(crate) trait Buffered {
    /// Whether reading on needs no waiting.
    fn has_buffered(&self) -> bool;
}

impl<R: io::Read> Buffered for io::BufReader<R> {
    fn has_buffered(&self) -> bool {
        !self.buffer().is_empty()
    }
}

impl Shape {
    fn record(&self, unit: Vec<u8>) -> Result<Record, String> {
        if self.fields.is_empty() {
            return json::read(&unit);
        }
        // Slices of one buffer: key and value are not copied.
        let mut rest = Bytes::from(unit);
        if !rest.starts_with(&self.prefix) {
            return Err(format!("does not begin with {:?}", shown(&self.prefix)));
        }
        let _ = rest.split_to(self.prefix.len());
        let mut record = Record::default();
        for (at, (field, end)) in self.fields.iter().enumerate() {
            let text = if at + 1 == self.fields.len() {
                std::mem::take(&mut rest)
            } else {
                let found = memchr::memmem::find(&rest, end)
                    .ok_or_else(|| format!("no {:?} after %{}", shown(end), field.letter()))?;
                let text = rest.split_to(found);
                let _ = rest.split_to(end.len());
                text
            };
            place(&mut record, *field, text)?;
        }
        Ok(record)
    }
}

/// Puts the bytes of one field where they belong.
fn place(record: &mut Record, field: Field, text: Bytes) -> Result<(), String> {
    let number = |text: &Bytes| str::from_utf8(text).ok()?.trim().parse::<i64>().ok();
    match field {
        Field::Key => record.key = (!text.is_empty()).then_some(text),
        Field::Value => record.value = Some(text),
        Field::Headers => {
            record.headers = headers::read(&text)
                .ok_or_else(|| format!("{:?} are no headers (name=value,…)", shown(&text)))?;
        }
        Field::Timestamp => {
            let ms = number(&text)
                .ok_or_else(|| format!("{:?} is no time in milliseconds", shown(&text)))?;
            record.timestamp = (ms >= 0).then(|| Timestamp::new(ms));
        }
        // Where the record was when it was printed says nothing about where it goes now.
        Field::Offset | Field::Partition | Field::Topic => {}
    }
    Ok(())
}

/// The first bytes of what is wrong, for an error.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(60)];
    String::from_utf8_lossy(cut).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatoskr_core::record::ConsumedRecord;

    use super::*;

    fn records(format: &str, unit: Option<Unit>, input: &[u8]) -> Result<Vec<Record>, InputError> {
        let shape = Format::parse(format).unwrap().for_reading(unit).unwrap();
        let mut reader = Reader::new(input, shape);
        let mut records = Vec::new();
        let mut taken = 0;
        while let Some((record, bytes)) = reader.next()? {
            records.push(record);
            taken += bytes;
        }
        assert_eq!(taken, input.len(), "every byte belongs to a record");
        Ok(records)
    }

    fn values(format: &str, unit: Option<Unit>, input: &[u8]) -> Vec<Vec<u8>> {
        let records = records(format, unit, input).unwrap();
        let value = |record: Record| record.value.unwrap_or_default().to_vec();
        records.into_iter().map(value).collect()
    }

    fn reason(format: &str, input: &[u8]) -> String {
        records(format, None, input).unwrap_err().to_string()
    }

    #[test]
    fn one_record_a_line_whatever_the_lines_hold() {
        let input = b"a\r\n\n\xff\x00\nlast";
        let expected: [&[u8]; 4] = [b"a\r", b"", b"\xff\x00", b"last"];
        assert_eq!(values("%v\\n", None, input), expected);
        assert_eq!(values("%v", Some(Unit::Newline), input), expected);
        assert_eq!(values("%v\\n", None, b""), [b""; 0]);
        assert_eq!(values("%v\\n", None, b"\n"), [b""]);
    }

    #[test]
    fn without_an_end_the_whole_input_is_one_record() {
        let input = b"a\r\n\n\xff\nlast\n";
        assert_eq!(values("%v", None, input), [input]);
        assert_eq!(values("%v\\n", Some(Unit::Eof), input), [input]);
    }

    #[test]
    fn an_end_of_several_bytes_may_begin_within_a_record() {
        let expected: [&[u8]; 2] = [b"a\n-", b"\n-\nb"];
        assert_eq!(
            values("%v\\n--\\n", None, b"a\n-\n--\n\n-\nb\n--\n"),
            expected
        );
    }

    #[test]
    fn fields_are_found_within_their_line() {
        let read = records("<%T> %k|%h|%v\\n", None, b"<5> key|a=1|v|v\n<-1> ||\n").unwrap();
        let first = Record::new("v|v")
            .with_key("key")
            .with_header("a", "1")
            .with_timestamp(Timestamp::new(5));
        assert_eq!(read, [first, Record::new("")]);
    }

    #[test]
    fn a_line_that_is_not_as_the_format_says_is_named() {
        for (format, input, expected) in [
            ("%k\\t%v\\n", "a\tb\nno tab\nc\td\n", "record 2"),
            ("%k\\t%v\\n", "no tab\n", "no \"\\t\" after %k"),
            ("<%v>\\n", "x>\n", "does not begin with \"<\""),
            ("%T %v\\n", "noon x\n", "no time"),
            ("%h|%v\\n", "=|x\n", "no headers"),
            ("json", "{\"value\":\"a\"}\n{\"valeu\":\"b\"}\n", "record 2"),
            ("json", "{\"value_base64\":\"?\"}\n", "base64"),
        ] {
            let reason = reason(format, input.as_bytes());
            assert!(reason.contains(expected), "{format}: {reason}");
        }
    }

    #[test]
    fn a_wrong_line_leaves_the_next_ones_readable() {
        let format = Format::parse("%k:%v\\n").unwrap();
        let shape = format.for_reading(None).unwrap();
        let mut reader = Reader::new(&b"a:1\nbad\nb:2\n"[..], shape);
        assert!(reader.next().is_ok());
        assert!(reader.next().is_err());
        let (record, _) = reader.next().unwrap().unwrap();
        assert_eq!(record, Record::new("2").with_key("b"));
    }

    #[test]
    fn formats_that_can_only_be_printed_are_refused_for_reading() {
        let readable = |text: &str| {
            let format = Format::parse(text).unwrap();
            format.for_reading(None).map(drop)
        };
        assert_eq!(
            readable("%k%v\\n"),
            Err(InvalidFormat::NothingBetween('k', 'v'))
        );
        assert_eq!(readable("%v %v\\n"), Err(InvalidFormat::Twice('v')));
        assert_eq!(readable("%o %p\\n"), Err(InvalidFormat::NoContent));
        assert_eq!(readable("json"), Ok(()));
    }

    #[test]
    fn a_unit_may_have_the_largest_size_and_not_one_byte_more() {
        let mut input = vec![b'x'; UNIT_BYTES_MAX];
        assert_eq!(values("%v", None, &input), [input.clone()]);
        input.push(b'\n');
        assert_eq!(values("%v\\n", None, &input).len(), 1);
        input[UNIT_BYTES_MAX] = b'x';
        assert!(reason("%v", &input).contains("longer than"));
        input.push(b'\n');
        assert!(reason("%v\\n", &input).contains("longer than"));
    }

    proptest! {
        #[test]
        fn json_reads_back_what_it_prints(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
            headers in proptest::collection::vec((".{0,5}", proptest::option::of(".{0,5}")), 0..3),
            ms in proptest::option::of(0..i64::MAX),
        ) {
            let record = Record {
                key: key.map(Bytes::from),
                value: value.map(Bytes::from),
                headers: headers
                    .into_iter()
                    .map(|(key, value)| ratatoskr_core::record::Header { key, value: value.map(Bytes::from) })
                    .collect(),
                timestamp: ms.map(Timestamp::new),
            };
            let mut text = Vec::new();
            let consumed = ConsumedRecord {
                topic: "t".parse().unwrap(),
                partition: 0.into(),
                offset: 0.into(),
                record: record.clone(),
            };
            Format::Json.print(&consumed, &mut text).unwrap();
            prop_assert_eq!(records("json", None, &text).unwrap(), [record]);
        }

        #[test]
        fn lines_read_back_what_they_print(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut printed: Vec<u8> = Vec::new();
            for value in values("%v\\n", None, &input) {
                printed.extend_from_slice(&value);
                printed.push(b'\n');
            }
            if !input.is_empty() && !input.ends_with(b"\n") {
                printed.pop();
            }
            prop_assert_eq!(printed, input);
        }
    }
}
