//! How records look as bytes, in both directions: `consume -f` prints with the same format that
//! `produce -f` reads with.
//!
//! A format is literal text with fields: `%k` key, `%v` value, `%h` headers, `%o` offset, `%p`
//! partition, `%t` topic, `%T` timestamp in milliseconds, `%%` a percent sign; `\n`, `\r`, `\t`,
//! `\0`, `\\` and `\xNN` are bytes. The word `json` alone is one object a line.
//!
//! Key and value go through untouched, whatever bytes they have. A format does not quote, so what
//! it prints can be read back as long as no field holds the literal that ends it; `json` can
//! always be read back. An absent key and an empty one look the same, and are read as absent.

mod headers;
mod json;
mod print;
mod read;

pub(crate) use json::RecordObject;
pub(crate) use print::preview;
pub(crate) use read::{InputError, Reader, Shape, Unit};

/// One record a line: what both directions do unless told otherwise.
pub(crate) const DEFAULT: &str = "%v\\n";

/// How a record looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Literals and fields in turn.
    Template(Vec<Part>),
    /// One JSON object a line.
    Json,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// These bytes.
    Literal(Vec<u8>),
    /// This field of the record.
    Field(Field),
}

/// What of a record is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `%k`
    Key,
    /// `%v`
    Value,
    /// `%h`
    Headers,
    /// `%o`
    Offset,
    /// `%p`
    Partition,
    /// `%t`
    Topic,
    /// `%T`
    Timestamp,
}

impl Field {
    const ALL: [(char, Self); 7] = [
        ('k', Self::Key),
        ('v', Self::Value),
        ('h', Self::Headers),
        ('o', Self::Offset),
        ('p', Self::Partition),
        ('t', Self::Topic),
        ('T', Self::Timestamp),
    ];

    /// The letter after the percent sign.
    fn letter(self) -> char {
        let known = Self::ALL.iter().find(|(_, field)| *field == self);
        known.map_or('?', |(letter, _)| *letter)
    }
}

/// Why a text is not a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFormat {
    /// A percent sign before something that is no field.
    #[error(
        "`%{0}` is no field of a record: use %k key, %v value, %h headers, %o offset, %p partition, %t topic, %T timestamp, %% percent"
    )]
    UnknownField(char),
    /// A backslash before something that is no escape.
    #[error("`\\{0}` is no escape: use \\n, \\r, \\t, \\0, \\\\ or \\xNN")]
    UnknownEscape(String),
    /// A percent sign or backslash with nothing after it.
    #[error("the format ends in the middle of `{0}`")]
    Unfinished(char),
    /// Nothing at all.
    #[error("the format is empty")]
    Empty,
    /// Where one field ends and the next begins cannot be known.
    #[error("`%{0}%{1}` cannot be read back: put a separator between them, for example \\t")]
    NothingBetween(char, char),
    /// A field that stands twice would have to hold the same twice.
    #[error("`%{0}` stands twice")]
    Twice(char),
    /// Nothing that a record consists of.
    #[error("the format has neither %v nor %k")]
    NoContent,
}

impl Format {
    /// Reads a format as it is typed.
    ///
    /// # Errors
    /// [`InvalidFormat`], with what would have been right.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidFormat> {
        if text == "json" {
            return Ok(Self::Json);
        }
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match c {
                '%' => match characters.next().ok_or(InvalidFormat::Unfinished('%'))? {
                    '%' => literal.push(b'%'),
                    letter => {
                        let known = Field::ALL.iter().find(|(known, _)| *known == letter);
                        let (_, field) = known.ok_or(InvalidFormat::UnknownField(letter))?;
                        if !literal.is_empty() {
                            parts.push(Part::Literal(std::mem::take(&mut literal)));
                        }
                        parts.push(Part::Field(*field));
                    }
                },
                '\\' => literal.push(escape(&mut characters)?),
                c => literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if parts.is_empty() {
            return Err(InvalidFormat::Empty);
        }
        Ok(Self::Template(parts))
    }
}

/// The byte that an escape stands for, its backslash already read.
fn escape(characters: &mut std::str::Chars<'_>) -> Result<u8, InvalidFormat> {
    match characters.next().ok_or(InvalidFormat::Unfinished('\\'))? {
        'n' => Ok(b'\n'),
        'r' => Ok(b'\r'),
        't' => Ok(b'\t'),
        '0' => Ok(0),
        '\\' => Ok(b'\\'),
        'x' => {
            let digits: String = characters.by_ref().take(2).collect();
            let byte = u8::from_str_radix(&digits, 16).ok();
            byte.filter(|_| digits.len() == 2 && !digits.starts_with('+'))
                .ok_or_else(|| InvalidFormat::UnknownEscape(format!("x{digits}")))
        }
        other => Err(InvalidFormat::UnknownEscape(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_fields_and_escapes_are_told_apart() {
        assert_eq!(Format::parse("json"), Ok(Format::Json));
        assert_eq!(
            Format::parse(r"%p:%o 100%%\t\x00\xffé\\%v"),
            Ok(Format::Template(vec![
                Part::Field(Field::Partition),
                Part::Literal(b":".to_vec()),
                Part::Field(Field::Offset),
                Part::Literal(b" 100%\t\x00\xff\xc3\xa9\\".to_vec()),
                Part::Field(Field::Value),
            ]))
        );
    }

    #[test]
    fn what_is_no_format_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", InvalidFormat::Empty),
            ("%", InvalidFormat::Unfinished('%')),
            ("%v\\", InvalidFormat::Unfinished('\\')),
            ("%s", InvalidFormat::UnknownField('s')),
            ("\\q", InvalidFormat::UnknownEscape("q".into())),
            ("\\x1", InvalidFormat::UnknownEscape("x1".into())),
            ("\\xzz", InvalidFormat::UnknownEscape("xzz".into())),
            ("\\x+1", InvalidFormat::UnknownEscape("x+1".into())),
        ] {
            assert_eq!(Format::parse(text), Err(expected), "{text:?}");
        }
    }
}
