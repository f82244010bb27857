//! Tests of limits: the longest certificate, and the words, names and dates that are just accepted; and PEM.

use super::{
    super::{Authority, Purpose, ServerName, TlsCertificate, TlsTemplate, TlsUse, from_pem, to_pem},
    walk::{Draft, class_value, extension, named, times},
    *,
};
use crate::crypto::{CryptoError, random::Random};

/// A certificate of this class and exactly this length. A signature has 70 to 72 bytes, so lengths are tried.
fn of_length(ca: &KeyPair, class: CertificateProfile, length: usize) -> Vec<u8> {
    let mut draft = Draft::good(ca, &key());
    draft.extensions[2] = extension("0603551d25", "", &class_value(class.number()));
    for filler in (0..100).cycle() {
        let mut longer = draft.clone();
        longer.extensions.push(extension("0603551d63", "", &"00".repeat(filler)));
        let der = longer.signed(ca);
        if der.len() == length {
            return der;
        }
    }
    unreachable!()
}

#[test]
fn the_longest_certificate_is_taken_and_one_byte_more_is_not() {
    let ca = key();
    let (terminal, token) = (CertificateProfile::Terminal(TerminalRole::Read), CertificateProfile::TokenEcka);
    for (class, limit) in [(terminal, 416), (token, 480)] {
        let read = |length, expected: &[CertificateProfile]| {
            Certificate::verify(&of_length(&ca, class, length), ca.public(), expected).map(|read| read.class())
        };
        assert_eq!(read(limit, &[class]).unwrap(), class);
        assert_eq!(read(limit, &CertificateProfile::ALL).unwrap(), class);
        for expected in [&[class][..], &CertificateProfile::ALL] {
            let refusal = read(limit + 1, expected).unwrap_err();
            assert!(matches!(refusal, CertificateError::TooLong { limit: l } if l == limit), "{refusal}");
            assert!(matches!(read(limit + 2, expected).unwrap_err(), CertificateError::TooLong { .. }));
        }
    }
}

#[test]
fn the_words_are_what_they_are() {
    assert_eq!(
        [TerminalRole::Read, TerminalRole::Write, TerminalRole::Admin].map(TerminalRole::word),
        ["read", "write", "admin"]
    );
    let words = ["terminal-read", "terminal-write", "terminal-admin", "token", "set", "identity", "server-signature"];
    assert_eq!(CertificateProfile::ALL.map(CertificateProfile::word), words);
    assert_eq!(CertificateProfile::ALL.map(|class| class.to_string()), words);
    assert_eq!(CertificateProfile::ALL.map(|class| Purpose::Class(class).word()), words);
    let sides = [TlsUse::Client, TlsUse::Server];
    assert_eq!(sides.map(TlsUse::word), ["tls-client", "tls-server"]);
    assert_eq!(sides.map(|side| Purpose::Tls(side).word()), ["tls-client", "tls-server"]);
}

fn drafted(change: impl FnOnce(&mut Draft)) -> Certificate {
    let ca = key();
    let mut draft = Draft::good(&ca, &key());
    change(&mut draft);
    Certificate::verify(&draft.signed(&ca), ca.public(), &CertificateProfile::ALL).unwrap()
}

#[test]
fn names_may_be_of_any_script_and_years_of_the_last_century() {
    assert_eq!(drafted(|draft| draft.subject = named(0x0C, "Zoë".as_bytes())).subject(), "Zoë");
    assert_eq!(drafted(|draft| draft.subject = named(0x0C, "ë".repeat(40).as_bytes())).subject(), "ë".repeat(40));
    let old = drafted(|draft| draft.validity = times("500102030405Z", "791231235959Z"));
    assert_eq!(old.not_before(), "1950-01-02T03:04:05Z".parse().unwrap());
    assert_eq!(old.not_after(), "1979-12-31T23:59:59Z".parse().unwrap());
}

#[test]
fn pem_carries_the_same_bytes() {
    let ca = key();
    let der = issued(&ca, &key(), CertificateProfile::Identity, TOKEN);
    let pem = to_pem(&der).unwrap();
    assert!(pem.starts_with(b"-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(from_pem(&pem), Some(der.clone()));
    assert_eq!(from_pem(&der), None);
    // As others write it: after an explanation, after a key, in longer lines, or with the older label.
    let text = String::from_utf8(pem).unwrap();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let written = [
        format!("Certificate:\n    Data: of a door\n{text}"),
        format!("{}{text}", String::from_utf8(ca.to_pem().unwrap().to_vec()).unwrap()),
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----"),
        text.replace('\n', "\r\n"),
        text.replace("CERTIFICATE", "X509 CERTIFICATE"),
        format!("{text}-----BEGIN PGP SIGNATURE-----\n\niQ==\n=aB1c\n-----END PGP SIGNATURE-----\n"),
        format!("{text}{}", text.replace(&base64[..64], "cut")),
    ];
    for text in written {
        assert_eq!(from_pem(text.as_bytes()).as_ref(), Some(&der), "{text}");
    }
    for bad in [
        text.replace("CERTIFICATE", "PRIVATE KEY"),
        text.replace("END CERTIFICATE", "END OF IT"),
        text.replace(&base64[..64], &base64[..63]),
        text.replace(&base64[..64], &format!("{}*", &base64[..63])),
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        String::new(),
    ] {
        assert_eq!(from_pem(bad.as_bytes()), None, "{bad}");
    }
    assert!(to_pem(&der[1..]).is_err());
}

/// A source that always gives the same byte; keys are not made with it.
struct Constant(u8);

impl Random for Constant {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        buffer.fill(self.0);
        Ok(())
    }
}

#[test]
fn a_serial_number_is_positive_and_keeps_its_length_and_its_randomness() {
    let ca = key();
    let pair = key();
    for (random, first) in [(0x00, 0x40), (0xFF, 0x7F), (0x95, 0x55), (0x2A, 0x6A)] {
        let template = CertificateTemplate {
            class: CertificateProfile::Identity,
            subject: TOKEN,
            key: pair.public(),
            not_before: from(),
            not_after: to(),
        };
        let der = issue(&ca, ISSUER, &template, &mut Constant(random)).unwrap();
        let read = Certificate::verify(&der, ca.public(), &[CertificateProfile::Identity]).unwrap();
        assert_eq!(read.serial(), [first, random, random, random, random, random, random, random]);
    }
}

#[test]
fn an_authority_and_a_tls_certificate_say_who_and_when() {
    let (ca, pair) = (key(), key());
    let second = SignedDuration::from_secs(1);
    let authority = Authority::issue(&ca, ISSUER, from(), to(), &mut Constant(0x11)).unwrap();
    assert_eq!(authority.serial(), [0x51, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11]);
    let template = TlsTemplate {
        usage: TlsUse::Server,
        names: &[ServerName::parse("localhost").unwrap()],
        subject: "a server",
        key: pair.public(),
        not_before: from(),
        not_after: to(),
    };
    let tls = TlsCertificate::issue(&ca, ISSUER, &template, &mut Constant(0x22)).unwrap();
    assert_eq!(tls.serial(), [0x62, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22]);
    assert_eq!(tls.subject(), "a server");
    for check in [&|now| authority.check_time(now), &|now| tls.check_time(now)]
        as [&dyn Fn(Timestamp) -> Result<(), CertificateError>; 2]
    {
        assert!(matches!(check(from() - second), Err(CertificateError::NotYetValid { .. })));
        assert!(check(from()).is_ok() && check(to()).is_ok());
        assert!(matches!(check(to() + second), Err(CertificateError::Expired { .. })));
    }
    let text = |der: &[u8]| String::from_utf8_lossy(der).into_owned();
    assert!(text(tls.der()).contains("localhost"), "the names of a server are in its certificate");
}
