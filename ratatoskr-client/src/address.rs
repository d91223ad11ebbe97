//! Where a broker is: `ratatoskr://host:port`.

use std::{fmt, str::FromStr};

use crate::Error;

/// The port of a broker that names none.
pub const PORT_DEFAULT: u16 = 7660;

/// Host and port of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = Error;

    /// `ratatoskr://HOST[:PORT]`, or without the scheme; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidAddress {
            address: text.chars().take(300).collect(),
        };
        let rest = text.strip_prefix("ratatoskr://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(invalid)?;
                (host, port.strip_prefix(':'))
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let unfit = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]".contains(c);
        if host.is_empty() || host.contains(unfit) {
            return Err(invalid());
        }
        let port = match port {
            None => PORT_DEFAULT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(invalid)?,
        };
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_scheme_and_port() {
        for (text, shown) in [
            ("ratatoskr://broker:7000", "broker:7000"),
            ("ratatoskr://broker/", "broker:7660"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("ratatoskr://[::1]:9", "[::1]:9"),
            ("[::1]", "[::1]:7660"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "ratatoskr://",
            ":1",
            "a:b",
            "a:0",
            "a:65536",
            "[::1",
            "kafka://a:1",
            "a b",
            "u@h",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?} passed");
        }
    }
}
