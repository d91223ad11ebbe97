//! Prints a frame field by field, so that a change of layout shows up as the field that moved.

use std::fmt::Write;

use crate::wire::{FRAME_HEADER_BYTES, Kind};

/// The fields of the header: name, first byte, one past the last.
const FIELDS: [(&str, usize, usize); 7] = [
    ("length", 0, 4),
    ("crc32", 4, 8),
    ("version", 8, 9),
    ("kind", 9, 10),
    ("flags", 10, 12),
    ("correlation", 12, 20),
    ("body length", 20, 24),
];

pub(super) fn frame(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (name, from, to) in FIELDS {
        let field = &bytes[from..to];
        let value = field
            .iter()
            .fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        let note = match name {
            "kind" => format!("kind {}", kind(bytes[from])),
            "crc32" => name.into(),
            _ => format!("{name} {value}"),
        };
        line(&mut out, from, field, &note);
    }
    let body_length = u32::from_be_bytes(bytes[20..24].try_into().unwrap()) as usize;
    let body_end = FRAME_HEADER_BYTES + body_length;
    block(&mut out, bytes, FRAME_HEADER_BYTES, body_end, "body");
    let value = rmpv(&bytes[FRAME_HEADER_BYTES..body_end]);
    writeln!(out, "     = {value}").unwrap();
    block(&mut out, bytes, body_end, bytes.len(), "batches");
    out
}

fn kind(code: u8) -> String {
    let name = Kind::from_code(code & 0x7f).map_or("?", Kind::name);
    if code & 0x80 == 0 {
        name.into()
    } else {
        format!("{name}, response")
    }
}

fn block(out: &mut String, bytes: &[u8], from: usize, to: usize, name: &str) {
    for (index, chunk) in bytes[from..to].chunks(16).enumerate() {
        let text: String = chunk
            .iter()
            .map(|&b| {
                if (b' '..=b'~').contains(&b) {
                    b as char
                } else {
                    '.'
                }
            })
            .collect();
        line(out, from + index * 16, chunk, &format!("{name} {text}"));
    }
}

fn line(out: &mut String, at: usize, bytes: &[u8], note: &str) {
    writeln!(out, "{at:04} {:<48}{note}", hex(bytes, " ")).unwrap();
}

fn hex(bytes: &[u8], between: &str) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(between)
}

/// The body's `MessagePack` value in JSON's manner.
fn rmpv(body: &[u8]) -> String {
    let value: Value = rmp_serde::from_slice(body).unwrap();
    value.0
}

struct Value(String);

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Printer)
    }
}

struct Printer;

impl<'de> serde::de::Visitor<'de> for Printer {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a MessagePack value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value(v.to_string()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value(v.to_string()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value(v.to_string()))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value(format!("{v:?}")))
    }

    fn visit_bytes<E>(self, v: &[u8]) -> Result<Value, E> {
        Ok(Value(format!("h'{}'", hex(v, ""))))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value("null".into()))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value("null".into()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Value(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value(format!("[{}]", items.join(", "))))
    }
}
