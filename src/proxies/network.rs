//! A network as an operator writes it: an address, or one with a prefix length.

use std::{fmt, net::IpAddr, str::FromStr};

/// A range of addresses with a common prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// The prefix length: 0 to 32, or to 128.
    fixed: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, or a network whose host bits are 0: 192.0.2.7, 192.0.2.0/24, 2001:db8::/32")]
pub struct BadNetwork;

impl Network {
    /// Whether this address is in the network; an IPv4 address may also be given as `::ffff:192.0.2.7`.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && (bits(address) ^ bits(self.address)) & self.mask() == 0
    }

    /// The prefix as a mask, aligned to the highest of 128 bits.
    const fn mask(&self) -> u128 {
        match self.fixed {
            0 => 0,
            fixed => u128::MAX << (128 - fixed),
        }
    }
}

/// The bits of an address, aligned to the highest of 128 bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => address.into(),
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, fixed) = text.split_once('/').map_or((text, None), |(address, fixed)| (address, Some(fixed)));
        let address: IpAddr = address.parse().map_err(|_| BadNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let fixed = match fixed {
            None => most,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().ok().filter(|fixed| *fixed <= most).ok_or(BadNetwork)?
            }
            Some(_) => return Err(BadNetwork),
        };
        let network = Self { address, fixed };
        // The listener sees IPv4 as such, and an extra bit is a typo that would be noticed late.
        let plain = address == address.to_canonical() && bits(address) & !network.mask() == 0;
        plain.then_some(network).ok_or(BadNetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, address, inside) in [
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "::1", true),
            ("::/0", "192.0.2.7", false),
            ("::1", "::1", true),
        ] {
            let read: Network = network.parse().unwrap();
            assert_eq!(read.contains(address.parse().unwrap()), inside, "{network} {address}");
            assert_eq!(read.to_string().parse(), Ok(read));
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "/",
            "proxy.example.org",
            "192.0.2.7/",
            "192.0.2.7/24",
            "192.0.2.0/33",
            "192.0.2.0/+24",
            "192.0.2.0/-1",
            "192.0.2.0/24/24",
            "192.0.2",
            "2001:db8::/129",
            "2001:db8::1/64",
            "::ffff:192.0.2.7",
            " 192.0.2.7",
            "192.0.2.7:443",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(BadNetwork), "{bad}");
        }
    }
}
