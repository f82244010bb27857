//! Certificates for TLS between terminal and server (RFC 5280, 4.2.1.12): from the same CA, but never of a card's
//! class.

use std::{fmt, net::IpAddr};

use jiff::Timestamp;
use openssl::{
    error::ErrorStack,
    x509::{X509Builder, X509Extension, extension::SubjectAlternativeName},
};

use super::{
    CertificateError, IssueError, Purpose, TlsUse,
    issue::{Common, begin, finish, standard_extensions, subject_key_identifier},
    leaf,
    walk::CertificateHead,
};
use crate::crypto::{
    ec::{KeyPair, Point},
    random::Random,
};

/// The longest TLS certificate that is read, in bytes, with room for a dozen names.
const LIMIT: usize = 2048;

/// A name under which a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl ServerName {
    /// An address, or a DNS name of letters, digits, hyphens and dots (RFC 1123, 2.1); `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Ip(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        (text.len() <= 253 && text.split('.').all(label)).then(|| Self::Dns(text.to_ascii_lowercase()))
    }
}

/// The content of a TLS certificate to issue.
#[derive(Debug, Clone, Copy)]
pub struct TlsTemplate<'a> {
    /// The side that it is for.
    pub usage: TlsUse,
    /// The names of a server, at least one; a client has none.
    pub names: &'a [ServerName],
    /// The common name, which is only for people.
    pub subject: &'a str,
    /// The certified key.
    pub key: &'a Point,
    /// The start of its validity; fractions of a second are cut off.
    pub not_before: Timestamp,
    /// The end of its validity; fractions of a second are cut off.
    pub not_after: Timestamp,
}

/// A TLS certificate that was verified under a CA's point and read strictly, except for the names of a server, which
/// the TLS library checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsCertificate {
    der: Vec<u8>,
    head: CertificateHead,
}

impl TlsCertificate {
    /// Like [`super::Certificate::verify`]; a certificate for the other side, or of a card's class, is refused.
    ///
    /// # Errors
    /// As [`super::Certificate::verify`].
    pub fn verify(der: &[u8], ca: &Point, expected: TlsUse) -> Result<Self, CertificateError> {
        let leaf = leaf::verify(der, ca, LIMIT)?;
        if leaf.purpose != Purpose::Tls(expected) {
            return Err(CertificateError::Class { found: leaf.purpose.word() });
        }
        Ok(Self { der: der.to_vec(), head: leaf.head })
    }

    /// The same under any of several CAs; `None` if it is valid under none of them.
    pub fn verify_under(der: &[u8], authorities: &[Point], expected: TlsUse) -> Option<Self> {
        authorities.iter().find_map(|ca| Self::verify(der, ca, expected).ok())
    }

    /// Issues one under the CA's key; `issuer` is the common name in the CA's own certificate.
    ///
    /// # Errors
    /// [`IssueError::Name`] also for a server without names or a client with some; [`IssueError::Validity`],
    /// [`IssueError::Refused`]; [`IssueError::Crypto`] when OpenSSL or `random` fails.
    pub fn issue(
        ca: &KeyPair,
        issuer: &str,
        template: &TlsTemplate<'_>,
        random: &mut dyn Random,
    ) -> Result<Self, IssueError> {
        let &TlsTemplate { usage, names, subject, key, not_before, not_after } = template;
        if names.is_empty() != (usage == TlsUse::Client) {
            return Err(IssueError::Name);
        }
        let mut builder = begin(&Common { issuer, subject, key, not_before, not_after }, random)?;
        standard_extensions(&mut builder, ca.public(), Purpose::Tls(usage))?;
        builder.append_extension(subject_key_identifier(key)?)?;
        let names = alternative_names(&builder, names, subject)?;
        builder.append_extension(names)?;
        Ok(Self::verify(&finish(builder, ca)?, ca.public(), usage)?)
    }

    /// Refuses a certificate that is not valid at this time.
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`] or [`CertificateError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), CertificateError> {
        self.head.check_time(now)
    }

    /// The certificate as it was given, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The names of a server, so that a renewed certificate can keep them; names of other kinds are skipped.
    pub fn names(&self) -> Vec<ServerName> {
        let names = openssl::x509::X509::from_der(&self.der).ok().and_then(|der| der.subject_alt_names());
        let one = |name: &openssl::x509::GeneralNameRef| match (name.dnsname(), name.ipaddress()) {
            (Some(dns), _) => ServerName::parse(dns),
            (_, Some(&[a, b, c, d])) => Some(ServerName::Ip([a, b, c, d].into())),
            (_, Some(bytes)) => <[u8; 16]>::try_from(bytes).ok().map(|bytes| ServerName::Ip(bytes.into())),
            _ => None,
        };
        names.map(|names| names.iter().filter_map(one).collect()).unwrap_or_default()
    }

    /// The common name of the subject.
    pub fn subject(&self) -> &str {
        &self.head.subject
    }

    /// The certified key.
    pub const fn point(&self) -> &Point {
        &self.head.point
    }

    /// The serial number as big-endian bytes without leading zeros, 1 to 20.
    pub fn serial(&self) -> &[u8] {
        &self.head.serial
    }

    /// The start of its validity.
    pub const fn not_before(&self) -> Timestamp {
        self.head.not_before.moment
    }

    /// The end of its validity.
    pub const fn not_after(&self) -> Timestamp {
        self.head.not_after.moment
    }
}

/// The name of a client is this prefix and its common name, percent-encoded (RFC 3986, 2.1).
const CLIENT_URI: &str = "rollcall:terminal:";

/// The names of a server, or that of a client as a URI, because some other verifiers refuse a certificate without any.
fn alternative_names(builder: &X509Builder, names: &[ServerName], subject: &str) -> Result<X509Extension, ErrorStack> {
    let mut extension = SubjectAlternativeName::new();
    if names.is_empty() {
        extension.uri(&client_uri(subject));
    }
    for name in names {
        match name {
            ServerName::Dns(name) => extension.dns(name),
            ServerName::Ip(address) => extension.ip(&address.to_string()),
        };
    }
    extension.build(&builder.x509v3_context(None, None))
}

fn client_uri(subject: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    std::iter::once(CLIENT_URI.to_owned()).chain(subject.bytes().map(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{
        random::SystemRandom,
        x509::{Certificate, CertificateProfile},
    };

    fn issued(ca: &KeyPair, usage: TlsUse, names: &[ServerName]) -> Result<TlsCertificate, IssueError> {
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let template = TlsTemplate {
            usage,
            names,
            subject: "somebody",
            key: key.public(),
            not_before: "2026-11-22T00:00:00Z".parse().unwrap(),
            not_after: "2026-11-29T00:00:00Z".parse().unwrap(),
        };
        TlsCertificate::issue(ca, "Rollcall CA", &template, &mut SystemRandom)
    }

    #[test]
    fn each_side_is_refused_as_the_other_and_as_a_card() {
        let ca = KeyPair::generate(&mut SystemRandom).unwrap();
        let names = ["localhost", "127.0.0.1", "::1"].map(|name| ServerName::parse(name).unwrap());
        let client = issued(&ca, TlsUse::Client, &[]).unwrap();
        let server = issued(&ca, TlsUse::Server, &names).unwrap();
        for (certificate, right, wrong) in
            [(&client, TlsUse::Client, TlsUse::Server), (&server, TlsUse::Server, TlsUse::Client)]
        {
            let der = certificate.der();
            assert_eq!(TlsCertificate::verify(der, ca.public(), right).unwrap(), *certificate);
            assert_eq!(certificate.names(), if right == TlsUse::Server { &names[..] } else { &[] });
            for refusal in [
                TlsCertificate::verify(der, ca.public(), wrong).unwrap_err(),
                Certificate::verify(der, ca.public(), &CertificateProfile::ALL).unwrap_err(),
            ] {
                let found = right.word();
                assert!(matches!(refusal, CertificateError::Class { found: f } if f == found), "{refusal}");
            }
        }
    }

    #[test]
    fn a_client_has_its_name_as_a_uri_and_both_sides_identify_their_key() {
        let ca = KeyPair::generate(&mut SystemRandom).unwrap();
        let names = [ServerName::parse("localhost").unwrap()];
        for (usage, names) in [(TlsUse::Client, &[][..]), (TlsUse::Server, &names[..])] {
            let certificate = issued(&ca, usage, names).unwrap();
            let read = openssl::x509::X509::from_der(certificate.der()).unwrap();
            let identifier = certificate.point().key_identifier();
            assert_eq!(read.subject_key_id().unwrap().as_slice(), identifier);
            let names = read.subject_alt_names().unwrap();
            let uri = names.iter().next().unwrap().uri();
            assert_eq!(uri, (usage == TlsUse::Client).then_some("rollcall:terminal:somebody"));
        }
        assert_eq!(client_uri("Tür 2/a,b"), "rollcall:terminal:T%C3%BCr%202%2Fa%2Cb");
    }

    #[test]
    fn the_longest_name_of_a_client_fits() {
        let ca = KeyPair::generate(&mut SystemRandom).unwrap();
        let subject = "\u{1F6AA}".repeat(64);
        let template = TlsTemplate {
            usage: TlsUse::Client,
            names: &[],
            subject: &subject,
            key: ca.public(),
            not_before: "2026-11-22T00:00:00Z".parse().unwrap(),
            not_after: "2026-11-29T00:00:00Z".parse().unwrap(),
        };
        TlsCertificate::issue(&ca, "Rollcall CA", &template, &mut SystemRandom).unwrap();
    }

    #[test]
    fn a_card_certificate_is_no_tls_certificate() {
        let ca = KeyPair::generate(&mut SystemRandom).unwrap();
        for class in CertificateProfile::ALL {
            let template = crate::crypto::x509::CertificateTemplate {
                class,
                subject: "somebody",
                key: ca.public(),
                not_before: "2026-11-22T00:00:00Z".parse().unwrap(),
                not_after: "2026-11-29T00:00:00Z".parse().unwrap(),
            };
            let der = crate::crypto::x509::issue(&ca, "Rollcall CA", &template, &mut SystemRandom).unwrap();
            for usage in [TlsUse::Client, TlsUse::Server] {
                let refusal = TlsCertificate::verify(&der, ca.public(), usage).unwrap_err();
                assert!(matches!(refusal, CertificateError::Class { found } if found == class.word()), "{refusal}");
            }
        }
    }

    #[test]
    fn a_server_has_names_and_a_client_has_none() {
        let ca = KeyPair::generate(&mut SystemRandom).unwrap();
        let name = [ServerName::parse("localhost").unwrap()];
        assert!(matches!(issued(&ca, TlsUse::Server, &[]), Err(IssueError::Name)));
        assert!(matches!(issued(&ca, TlsUse::Client, &name), Err(IssueError::Name)));
    }

    #[test]
    fn names_are_dns_names_or_addresses() {
        assert_eq!(ServerName::parse("Door-1.example.ORG"), Some(ServerName::Dns("door-1.example.org".into())));
        assert_eq!(ServerName::parse("::1"), Some(ServerName::Ip("::1".parse().unwrap())));
        for bad in ["", ".", "a..b", "-a", "a-", "a b", "a,DNS:b", "*.example.org", "ü", &"a".repeat(64), "a\n"] {
            assert_eq!(ServerName::parse(bad), None, "{bad:?}");
        }
    }
}
