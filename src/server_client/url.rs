//! The URL of a server, parsed in the same way everywhere.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// The port of a URL that names none (RFC 9110, 4.2.2).
const HTTPS: u16 = 443;

/// `https://HOST:PORT`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    host: String,
    port: u16,
}

/// Why a text is not the URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadServerUrl {
    /// It is another URL, or not a URL.
    #[error("expected https://host:port")]
    Form,
    /// It names no possible host.
    #[error("expected https://host:port, and this names no host")]
    Host,
    /// The port is out of range or not a number.
    #[error("expected https://host:port with a port from 1 to 65535")]
    Port,
}

impl ServerUrl {
    /// The name or address in the form for a resolver: IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 if the URL names none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, for messages.
    pub fn place(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.place())
    }
}

impl FromStr for ServerUrl {
    type Err = BadServerUrl;

    /// A trailing slash is accepted, and the scheme in capitals (RFC 3986, 3.1); a user, a path and a query are not.
    fn from_str(text: &str) -> Result<Self, BadServerUrl> {
        let (scheme, place) = text.split_once("://").ok_or(BadServerUrl::Form)?;
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(BadServerUrl::Form);
        }
        let place = place.strip_suffix('/').unwrap_or(place);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if !place.chars().all(plain) {
            return Err(BadServerUrl::Form);
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(BadServerUrl::Host)?;
                address.parse::<Ipv6Addr>().map_err(|_| BadServerUrl::Host)?;
                (address, port)
            }
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        if !host.contains(|c: char| c.is_ascii_alphanumeric()) || host.contains(['[', ']']) {
            return Err(BadServerUrl::Host);
        }
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or(BadServerUrl::Port)?
            }
            None if port.is_empty() => HTTPS,
            _ => return Err(BadServerUrl::Port),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_a_server_is_a_url() {
        for (text, told, host) in [
            ("https://door.example.org:7443/", "https://door.example.org:7443", "door.example.org"),
            ("https://localhost", "https://localhost:443", "localhost"),
            ("https://[::1]:7443", "https://[::1]:7443", "::1"),
            ("https://[2001:db8::7]", "https://[2001:db8::7]:443", "2001:db8::7"),
            ("https://192.0.2.7:1", "https://192.0.2.7:1", "192.0.2.7"),
            ("https://a:65535", "https://a:65535", "a"),
            ("HTTPS://a:1", "https://a:1", "a"),
            ("Https://a", "https://a:443", "a"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.host()), (told, host));
            assert!(told.ends_with(&format!(":{}", url.port())), "{text}: {}", url.port());
            assert_eq!(told.parse(), Ok(url));
        }
        let (form, host, port) = (BadServerUrl::Form, BadServerUrl::Host, BadServerUrl::Port);
        for (bad, why) in [
            ("", form),
            ("http://a", form),
            ("a:7443", form),
            ("https://a/b", form),
            ("https://u:p@a", form),
            ("https://a?b", form),
            ("https://a b", form),
            ("https://", host),
            ("https://:7443", host),
            ("https://:::", host),
            ("https://.", host),
            ("https://[::1", host),
            ("https://[door]:7443", host),
            ("https://a]", host),
            ("https://localhost:99999", port),
            ("https://localhost:0", port),
            ("https://localhost:", port),
            ("https://localhost:https", port),
            ("https://::1", host),
            ("https://a:1:2", port),
            ("https://[::1]7443", port),
        ] {
            assert_eq!(bad.parse::<ServerUrl>(), Err(why), "{bad}");
        }
    }
}
