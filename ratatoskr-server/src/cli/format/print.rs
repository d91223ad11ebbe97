//! Records to bytes.

use std::io::{self, Write};

use ratatoskr_core::{bytes::Bytes, record::ConsumedRecord, time::Timestamp};

use super::{Field, Format, Part, headers, json};

/// Characters of a key or value that a table shows.
const PREVIEW_CHARACTERS: usize = 40;

/// How a key or value begins, on one line of a table.
pub(crate) fn preview(bytes: Option<&Bytes>) -> String {
    let Some(bytes) = bytes else {
        return "-".to_owned();
    };
    // A character has at most four bytes.
    let start = &bytes[..bytes.len().min(4 * PREVIEW_CHARACTERS)];
    let text = String::from_utf8_lossy(start);
    let mut characters = text.chars();
    let mut shown = String::new();
    for c in characters.by_ref().take(PREVIEW_CHARACTERS) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

impl Format {
    /// Writes one record, in one call of `out`, so that records do not mix on a shared pipe.
    ///
    /// # Errors
    /// Whatever `out` answers.
    pub(crate) fn print(&self, record: &ConsumedRecord, out: &mut impl Write) -> io::Result<()> {
        let mut line = Vec::new();
        match self {
            Self::Json => json::print(record, &mut line)?,
            Self::Template(parts) => {
                for part in parts {
                    match part {
                        Part::Literal(bytes) => line.extend_from_slice(bytes),
                        Part::Field(field) => print_field(*field, record, &mut line)?,
                    }
                }
            }
        }
        out.write_all(&line)
    }
}

fn print_field(field: Field, record: &ConsumedRecord, line: &mut Vec<u8>) -> io::Result<()> {
    match field {
        Field::Key => line.extend_from_slice(record.record.key.as_deref().unwrap_or_default()),
        Field::Value => line.extend_from_slice(record.record.value.as_deref().unwrap_or_default()),
        Field::Headers => headers::print(&record.record.headers, line),
        Field::Offset => write!(line, "{}", record.offset)?,
        Field::Partition => write!(line, "{}", record.partition)?,
        Field::Topic => write!(line, "{}", record.topic)?,
        Field::Timestamp => {
            let timestamp = record.record.timestamp.unwrap_or(Timestamp::NONE);
            write!(line, "{timestamp}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::record::Record;

    use super::*;

    fn printed(format: &str, record: Record) -> String {
        let record = ConsumedRecord {
            topic: "orders".parse().unwrap(),
            partition: 2.into(),
            offset: 17.into(),
            record,
        };
        let mut out = Vec::new();
        let format = Format::parse(format).unwrap();
        format.print(&record, &mut out).unwrap();
        out.escape_ascii().to_string()
    }

    fn sample() -> Record {
        Record::new("paid\r\n\u{e9}")
            .with_key(vec![0xff, b'k'])
            .with_header("trace", "a,b")
            .with_timestamp(Timestamp::new(1_700_000_000_123))
    }

    #[test]
    fn every_field_is_printed() {
        assert_eq!(
            printed("%t/%p@%o %T [%k] {%h} %v.\\n", sample()),
            r"orders/2@17 1700000000123 [\xffk] {trace=a\\,b} paid\r\n\xc3\xa9.\n"
        );
    }

    #[test]
    fn the_json_of_a_record_does_not_change() {
        insta::assert_snapshot!(printed("json", sample()).replace("\\\"", "\""));
        insta::assert_snapshot!(printed("json", Record::default()).replace("\\\"", "\""));
    }

    #[test]
    fn a_preview_is_one_line_and_no_longer_than_it_may_be() {
        let preview = |bytes: &[u8]| preview(Some(&Bytes::copy_from_slice(bytes)));
        assert_eq!(preview(b"one\ntwo\x1b[1m"), r"one\ntwo\u{1b}[1m");
        assert_eq!(preview("é".repeat(40).as_bytes()), "é".repeat(40));
        assert_eq!(preview(&[b'x'; 41]), format!("{}…", "x".repeat(40)));
        assert_eq!(preview(&[0xff; 3]), "\u{fffd}".repeat(3));
        assert_eq!(super::preview(None), "-");
    }

    #[test]
    fn what_is_absent_prints_as_nothing() {
        assert_eq!(printed("%k|%v|%h|%T", Record::default()), "|||-1");
    }
}
