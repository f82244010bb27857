//! Tests of issuing and reading, with what both groups of tests share.

mod edges;
mod walk;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    Certificate, CertificateError, CertificateProfile, CertificateTemplate, DerError, IssueError, TERMINAL_LIMIT,
    TerminalRole, der::only, issue,
};
use crate::crypto::{ec::KeyPair, random::SystemRandom};

const TOKEN: &str = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf";
const ISSUER: &str = "Rollcall CA";

fn key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

fn from() -> Timestamp {
    "2026-11-22T15:04:05Z".parse().unwrap()
}

fn to() -> Timestamp {
    "2036-11-19T15:04:05Z".parse().unwrap()
}

fn issued(ca: &KeyPair, key: &KeyPair, class: CertificateProfile, subject: &str) -> Vec<u8> {
    let template = CertificateTemplate { class, subject, key: key.public(), not_before: from(), not_after: to() };
    issue(ca, ISSUER, &template, &mut SystemRandom).unwrap()
}

#[test]
fn what_is_issued_says_what_was_asked() {
    let ca = key();
    for class in CertificateProfile::ALL {
        let subject = if matches!(class, CertificateProfile::Terminal(_)) { "terminal-0" } else { TOKEN };
        let pair = key();
        let der = issued(&ca, &pair, class, subject);
        let read = Certificate::verify(&der, ca.public(), &[class]).unwrap();
        assert_eq!((read.der(), read.class(), read.subject()), (&der[..], class, subject));
        assert_eq!((read.point(), read.authority()), (pair.public(), ca.public().key_identifier()));
        assert_eq!((read.not_before(), read.not_after()), (from(), to()));
        assert_eq!(&read.not_before_digits(), b"261122150405");
        assert_eq!(&read.not_after_digits(), b"361119150405");
        assert_eq!(read.serial().len(), 8);
    }
}

#[test]
fn sizes_stay_within_what_cards_take() {
    let ca = key();
    let pair = key();
    let terminal = issued(&ca, &pair, CertificateProfile::Terminal(TerminalRole::Admin), "terminal-12345");
    assert!((365..=375).contains(&terminal.len()), "{}", terminal.len());
    let token = issued(&ca, &pair, CertificateProfile::TokenEcka, TOKEN);
    assert!((390..=396).contains(&token.len()), "{}", token.len());
    assert!(issued(&ca, &pair, CertificateProfile::Identity, &"x".repeat(64)).len() <= 480);
    let long = CertificateTemplate {
        class: CertificateProfile::Terminal(TerminalRole::Read),
        subject: &"x".repeat(64),
        key: pair.public(),
        not_before: from(),
        not_after: to(),
    };
    let refusal = issue(&ca, ISSUER, &long, &mut SystemRandom).unwrap_err();
    assert!(matches!(refusal, IssueError::Refused(CertificateError::TooLong { limit: TERMINAL_LIMIT })), "{refusal}");
}

#[test]
fn nothing_is_issued_outside_the_profile() {
    let (ca, pair) = (key(), key());
    let good = CertificateTemplate {
        class: CertificateProfile::Identity,
        subject: TOKEN,
        key: pair.public(),
        not_before: from(),
        not_after: to(),
    };
    for subject in ["", "two\nlines", "\u{1b}[2J", &"x".repeat(65)] {
        let refusal = issue(&ca, ISSUER, &CertificateTemplate { subject, ..good }, &mut SystemRandom).unwrap_err();
        assert!(matches!(refusal, IssueError::Name), "{subject:?}: {refusal}");
    }
    for (not_before, not_after) in [
        (to(), from()),
        (from(), from()),
        (from(), "2050-01-01T00:00:00Z".parse().unwrap()),
        ("1999-12-31T23:59:59Z".parse().unwrap(), to()),
    ] {
        let refusal =
            issue(&ca, ISSUER, &CertificateTemplate { not_before, not_after, ..good }, &mut SystemRandom).unwrap_err();
        assert!(matches!(refusal, IssueError::Validity), "{refusal}");
    }
}

#[test]
fn every_class_is_refused_where_another_is_expected() {
    let (ca, pair) = (key(), key());
    for class in CertificateProfile::ALL {
        let der = issued(&ca, &pair, class, "subject");
        let others: Vec<_> = CertificateProfile::ALL.into_iter().filter(|other| *other != class).collect();
        let refusal = Certificate::verify(&der, ca.public(), &others).unwrap_err();
        assert!(matches!(refusal, CertificateError::Class { found } if found == class.word()), "{refusal}");
        assert!(Certificate::verify(&der, ca.public(), &[]).is_err());
    }
}

#[test]
fn another_authority_is_refused() {
    let (ca, pair) = (key(), key());
    let der = issued(&ca, &pair, CertificateProfile::Identity, TOKEN);
    let refusal = Certificate::verify(&der, key().public(), &CertificateProfile::ALL).unwrap_err();
    assert!(matches!(refusal, CertificateError::Signature), "{refusal}");
}

#[test]
fn time_is_checked_to_the_second() {
    let (ca, pair) = (key(), key());
    let der = issued(&ca, &pair, CertificateProfile::Identity, TOKEN);
    let read = Certificate::verify(&der, ca.public(), &[CertificateProfile::Identity]).unwrap();
    let second = SignedDuration::from_secs(1);
    assert!(matches!(read.check_time(from() - second), Err(CertificateError::NotYetValid { .. })));
    assert!(read.check_time(from()).is_ok());
    assert!(read.check_time(to()).is_ok());
    assert!(matches!(read.check_time(to() + second), Err(CertificateError::Expired { .. })));
}

// Made by python-cryptography: tests/vectors/make.py.
#[test]
fn certificates_of_another_author_are_read() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/scp11a.json")).unwrap();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    let ca = crate::crypto::ec::Point::parse(&bytes(&vectors["ca"]["point"])).unwrap();
    assert_eq!(ca.key_identifier().to_vec(), bytes(&vectors["ca"]["id"]));
    for (der, class, subject) in [
        (&vectors["terminal"]["certificate"], CertificateProfile::Terminal(TerminalRole::Read), "terminal vector"),
        (&vectors["token"]["ecka_certificate"], CertificateProfile::TokenEcka, TOKEN),
        (&vectors["token"]["identity_certificate"], CertificateProfile::Identity, TOKEN),
    ] {
        let read = Certificate::verify(&bytes(der), &ca, &[class]).unwrap();
        assert_eq!((read.subject(), read.class()), (subject, class));
    }
}
