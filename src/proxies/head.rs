//! Parses the header that a proxy sends first (the PROXY protocol of `HAProxy`, versions 1 and 2): the client's
//! address.
//!
//! It reads not one byte beyond the header, and accepts nothing that the specification does not define.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header that is read, in bytes: room for some hundred bytes of what version 2 may add.
pub const HEAD_MAX: usize = 2048;

/// How many bytes are needed to tell the versions apart; no header is shorter.
const FIRST: usize = 12;
/// The first bytes of version 2.
const SIGNATURE: [u8; FIRST] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2: the signature, version and command, family and transport, the length of the rest.
const FIXED: usize = FIRST + 4;
/// The longest line of version 1, including its end.
const LINE_MAX: usize = 107;

/// Why bytes are not a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It begins with neither version.
    #[error("its connection does not begin with one")]
    None,
    /// A line of version 1 that violates the specification.
    #[error("a line that is not valid in version 1")]
    Line,
    /// Bytes of version 2 that violate the specification.
    #[error("bytes that are not valid in version 2")]
    Binary,
    /// Version 2 with UDP or a Unix socket.
    #[error("it describes a connection that is not TCP")]
    Transport,
    /// Longer than [`HEAD_MAX`].
    #[error("it is longer than {HEAD_MAX} bytes")]
    Long,
}

/// What the reader of a header does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadStep {
    /// Read this many more bytes, at least 1; all of them belong to the header.
    Read(usize),
    /// The header is complete: the client's address. `None` when the proxy connects for itself, for a health check.
    Done(Option<SocketAddr>),
}

/// What to do after these first bytes of a connection.
///
/// # Errors
/// [`HeadError`] as soon as they can no longer become a header.
pub fn next_step(head: &[u8]) -> Result<HeadStep, HeadError> {
    if head.len() < FIRST {
        return Ok(HeadStep::Read(FIRST - head.len()));
    }
    if head.starts_with(&SIGNATURE) {
        return binary(head);
    }
    let line = head.strip_prefix(b"PROXY ").ok_or(HeadError::None)?;
    let (body, ended) = line.strip_suffix(b"\r\n").map_or((line, false), |body| (body, true));
    // Only half of the line end may have arrived.
    let body = if ended { body } else { body.strip_suffix(b"\r").unwrap_or(body) };
    if head.len() > LINE_MAX || !body.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(HeadError::Line);
    }
    if ended { text(body).map(HeadStep::Done) } else { Ok(HeadStep::Read(1)) }
}

/// Parses a line of version 1 after `PROXY`.
fn text(line: &[u8]) -> Result<Option<SocketAddr>, HeadError> {
    let line = str::from_utf8(line).map_err(|_| HeadError::Line)?;
    let fields: Vec<&str> = line.split(' ').collect();
    match fields[..] {
        // The rest of such a line is to be ignored.
        ["UNKNOWN", ..] => Ok(None),
        [family @ ("TCP4" | "TCP6"), source, target, source_port, target_port] => {
            let address = |text: &str| match family {
                "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4),
                _ => text.parse::<Ipv6Addr>().map(IpAddr::V6),
            };
            let (source, target) = (address(source), address(target));
            let (Ok(source), Ok(_), Some(port), Some(_)) = (source, target, port(source_port), port(target_port))
            else {
                return Err(HeadError::Line);
            };
            Ok(Some(SocketAddr::new(source.to_canonical(), port)))
        }
        _ => Err(HeadError::Line),
    }
}

/// 0 to 65535, without leading zeros or a sign.
fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

fn binary(head: &[u8]) -> Result<HeadStep, HeadError> {
    let Some((fixed, rest)) = head.split_at_checked(FIXED) else { return Ok(HeadStep::Read(FIXED - head.len())) };
    let [command, family, high, low] = [fixed[FIRST], fixed[FIRST + 1], fixed[FIRST + 2], fixed[FIRST + 3]];
    // Two addresses of the family, and after them two ports.
    let length: usize = u16::from_be_bytes([high, low]).into();
    let addresses = match (command, family) {
        // LOCAL: a receiver ignores all that follows.
        (0x20, _) => None,
        (0x21, 0x00) => Some(0),
        (0x21, 0x11) => Some(2 * 4 + 4),
        (0x21, 0x21) => Some(2 * 16 + 4),
        (0x21, 0x12 | 0x22 | 0x31 | 0x32) => return Err(HeadError::Transport),
        _ => return Err(HeadError::Binary),
    };
    if addresses.is_some_and(|least| length < least) {
        return Err(HeadError::Binary);
    }
    if FIXED + length > HEAD_MAX {
        return Err(HeadError::Long);
    }
    match length.checked_sub(rest.len()) {
        Some(0) => {}
        Some(missing) => return Ok(HeadStep::Read(missing)),
        None => return Err(HeadError::Binary),
    }
    let Some(addresses) = addresses else { return Ok(HeadStep::Done(None)) };
    let (addresses, more) = rest.split_at(addresses);
    if family != 0 {
        skip(more)?;
    }
    Ok(HeadStep::Done(source(addresses)))
}

/// The first of two addresses and the first of two ports, which follow both.
fn source(addresses: &[u8]) -> Option<SocketAddr> {
    let (both, ports) = addresses.split_last_chunk::<4>()?;
    let (first, _) = both.split_at(both.len() / 2);
    let address = match first.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(first).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(first).ok()?),
    };
    Some(SocketAddr::new(address.to_canonical(), u16::from_be_bytes([ports[0], ports[1]])))
}

/// Skips the extensions of version 2: a type, two bytes of length, a value, and so on to the end.
fn skip(mut more: &[u8]) -> Result<(), HeadError> {
    while let Some((&[_, high, low], rest)) = more.split_first_chunk::<3>() {
        more = rest.get(u16::from_be_bytes([high, low]).into()..).ok_or(HeadError::Binary)?;
    }
    if more.is_empty() { Ok(()) } else { Err(HeadError::Binary) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads from these bytes as from a connection: the content of the header, and how many bytes remain.
    fn read(sent: &[u8]) -> Result<(Option<SocketAddr>, usize), Option<HeadError>> {
        let mut at = 0;
        loop {
            match next_step(&sent[..at]).map_err(Some)? {
                HeadStep::Done(source) => return Ok((source, sent.len() - at)),
                HeadStep::Read(more) => {
                    assert!(more > 0 && at + more <= HEAD_MAX);
                    at += more;
                }
            }
            if at > sent.len() {
                return Err(None); // it ends too early
            }
        }
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xC0, 0x01, 0x1D, 0x13];

    fn ipv6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0xC0, 0x01, 0x1D, 0x13]].concat()
    }

    #[test]
    fn a_head_says_who_is_behind_the_proxy_and_what_follows_stays() {
        let more = [0x04, 0, 2, 9, 9, 0x02, 0, 0];
        for (head, source) in [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 49153 7443\r\n".to_vec(), Some("192.0.2.7:49153")),
            (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(), Some("255.255.255.255:65535")),
            (b"PROXY TCP6 2001:db8::7 ::1 1 0\r\n".to_vec(), Some("[2001:db8::7]:1")),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 0\r\n".to_vec(), Some("192.0.2.7:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 whatever 65535\r\n".to_vec(), None),
            (version_2(0x21, 0x11, &IPV4), Some("192.0.2.7:49153")),
            (version_2(0x21, 0x11, &[&IPV4[..], &more].concat()), Some("192.0.2.7:49153")),
            (version_2(0x21, 0x21, &ipv6("2001:db8::7")), Some("[2001:db8::7]:49153")),
            (version_2(0x21, 0x21, &ipv6("::ffff:192.0.2.7")), Some("192.0.2.7:49153")),
            (version_2(0x20, 0x00, &[]), None),
            (version_2(0x20, 0x11, &IPV4), None),
            (version_2(0x20, 0x32, &[1, 2, 3]), None),
            (version_2(0x21, 0x00, &[]), None),
            (version_2(0x21, 0x00, &[1, 2, 3]), None),
            (version_2(0x21, 0x11, &[&IPV4[..], &[0x04, 0x07, 0xE1], &[0; 2017]].concat()), Some("192.0.2.7:49153")),
        ] {
            let source = source.map(|source| source.parse().unwrap());
            assert_eq!(read(&head), Ok((source, 0)), "{head:?}");
            assert_eq!(read(&[&head[..], b"\x16\x03\x01"].concat()), Ok((source, 3)), "{head:?}");
            for short in 0..head.len() {
                assert_eq!(read(&head[..short]), Err(None), "{short} of {head:?}");
            }
        }
    }

    #[test]
    fn what_is_not_to_the_letter_is_refused() {
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 92], b"\r\n".to_vec()].concat();
        for line in [
            &b"PROXY TCP4 192.0.2.7 198.51.100.1 49153\r\n"[..],
            b"PROXY TCP4 192.0.2.7 198.51.100.1 49153 7443 \r\n",
            b"PROXY TCP4  192.0.2.7 198.51.100.1 49153 7443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 49153 7443\n\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 49153 7443\r \r\n",
            b"PROXY TCP4 192.0.2.07 198.51.100.1 49153 7443\r\n",
            b"PROXY TCP4 192.0.2 198.51.100.1 49153 7443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 7443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 7443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 01 7443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 \r\n",
            b"PROXY TCP4 2001:db8::7 ::1 1 1\r\n",
            b"PROXY TCP6 192.0.2.7 198.51.100.1 1 1\r\n",
            b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
            b"PROXY UDP4 192.0.2.7 198.51.100.1 1 1\r\n",
            b"PROXY tcp4 192.0.2.7 198.51.100.1 1 1\r\n",
            b"PROXY UNKNOWNS\r\n",
            b"PROXY UNKNOWN \x00\r\n",
            b"PROXY UNKNOWN \xFF\r\n",
            b"PROXY        \r\n",
            &long,
        ] {
            assert_eq!(read(line), Err(Some(HeadError::Line)), "{}", line.escape_ascii());
        }
        for none in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\x00"[..], b"GET / HTTP/1.1\r\n", &[0; 16]] {
            assert_eq!(read(none), Err(Some(HeadError::None)), "{}", none.escape_ascii());
        }
        for (command, family, rest, error) in [
            (0x11, 0x11, &IPV4[..], HeadError::Binary),
            (0x22, 0x11, &IPV4, HeadError::Binary),
            (0x31, 0x11, &IPV4, HeadError::Binary),
            (0x21, 0x10, &IPV4, HeadError::Binary),
            (0x21, 0x13, &IPV4, HeadError::Binary),
            (0x21, 0x41, &IPV4, HeadError::Binary),
            (0x21, 0x11, &IPV4[..11], HeadError::Binary),
            (0x21, 0x21, &IPV4, HeadError::Binary),
            (0x21, 0x12, &IPV4, HeadError::Transport),
            (0x21, 0x31, &[0; 216], HeadError::Transport),
            (0x21, 0x11, &[&IPV4[..], &[4, 0]].concat(), HeadError::Binary),
            (0x21, 0x11, &[&IPV4[..], &[4, 0, 2, 9]].concat(), HeadError::Binary),
            (0x21, 0x11, &[0; HEAD_MAX - FIXED + 1], HeadError::Long),
            (0x20, 0x00, &[0; HEAD_MAX], HeadError::Long),
        ] {
            assert_eq!(read(&version_2(command, family, rest)), Err(Some(error)), "{command:02X} {family:02X}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_within_bounds(
            start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", &SIGNATURE]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = read(&[start, &rest].concat());
        }

        #[test]
        fn addresses_come_back_from_both_versions(source in any::<[u8; 4]>(), port in any::<u16>()) {
            let expected = Ok((Some(SocketAddr::from((source, port))), 0));
            let address = Ipv4Addr::from(source);
            prop_assert_eq!(read(format!("PROXY TCP4 {address} 192.0.2.1 {port} 7443\r\n").as_bytes()), expected);
            let rest = [&source[..], &[192, 0, 2, 1], &port.to_be_bytes(), &[0, 0]].concat();
            prop_assert_eq!(read(&version_2(0x21, 0x11, &rest)), expected);
        }
    }
}
