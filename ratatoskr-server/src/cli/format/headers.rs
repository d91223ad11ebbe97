//! Headers as one piece of text: `name=value,name=value`.
//!
//! A header without a value has no `=`. Bytes that would be taken for the punctuation, line ends
//! and tabs are escaped with a backslash, so that what is printed can be read back.

use ratatoskr_core::{bytes::Bytes, record::Header};

/// Bytes that are escaped, each with the letter that follows its backslash.
const ESCAPES: [(u8, u8); 6] = [
    (b'\\', b'\\'),
    (b',', b','),
    (b'=', b'='),
    (b'\n', b'n'),
    (b'\r', b'r'),
    (b'\t', b't'),
];

/// Appends the text of `headers` to `out`.
pub(super) fn print(headers: &[Header], out: &mut Vec<u8>) {
    for (at, header) in headers.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        escape(header.key.as_bytes(), out);
        if let Some(value) = &header.value {
            out.push(b'=');
            escape(value, out);
        }
    }
}

/// Reads what `print` wrote; `None` where a name is empty or not UTF-8, or an escape is unknown.
pub(super) fn read(text: &[u8]) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    if text.is_empty() {
        return Some(headers);
    }
    let mut name: Option<Vec<u8>> = None;
    let mut piece = Vec::new();
    let mut bytes = text.iter();
    loop {
        match bytes.next() {
            Some(b'\\') => {
                let letter = bytes.next()?;
                let (byte, _) = ESCAPES.iter().find(|(_, known)| known == letter)?;
                piece.push(*byte);
            }
            Some(b'=') if name.is_none() => name = Some(std::mem::take(&mut piece)),
            end @ (Some(b',') | None) => {
                let piece = std::mem::take(&mut piece);
                headers.push(match name.take() {
                    Some(name) => header(name, Some(piece))?,
                    None => header(piece, None)?,
                });
                if end.is_none() {
                    return Some(headers);
                }
            }
            Some(byte) => piece.push(*byte),
        }
    }
}

fn header(name: Vec<u8>, value: Option<Vec<u8>>) -> Option<Header> {
    let key = String::from_utf8(name).ok().filter(|key| !key.is_empty())?;
    Some(Header {
        key,
        value: value.map(Bytes::from),
    })
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match ESCAPES.iter().find(|(known, _)| known == byte) {
            Some((_, letter)) => out.extend([b'\\', *letter]),
            None => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_their_text_whatever_they_hold() {
        let headers = vec![
            Header {
                key: "trace,id=1".into(),
                value: Some(Bytes::from_static(b"a\\b\tc\r\n\xff\x00=,")),
            },
            Header {
                key: "absent".into(),
                value: None,
            },
            Header {
                key: "empty".into(),
                value: Some(Bytes::new()),
            },
        ];
        let mut text = Vec::new();
        print(&headers, &mut text);
        assert!(!text.contains(&b'\n') && !text.contains(&b'\t'));
        assert_eq!(read(&text), Some(headers));
    }

    #[test]
    fn what_are_no_headers_is_refused() {
        for bad in [
            &b"=x"[..],
            b"a=1,,b=2",
            b"a=1,",
            b"\xff=1",
            b"a=\\q",
            b"a=\\",
        ] {
            assert_eq!(read(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(read(b""), Some(Vec::new()));
    }
}
