//! Cards with genuine certificates of our CA and the matching keys that are nevertheless not what they claim: one case
//! for each check that changing single bytes does not reach.

use super::*;
use crate::channel::CommandName;
use crate::{card::status::Status, crypto::x509::CertificateError, failure::ExitClass};

const ID: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const PAST: (&str, &str) = ("2026-10-01T00:00:00Z", "2026-10-08T00:00:00Z");
const FUTURE: (&str, &str) = ("2026-12-01T00:00:00Z", "2036-11-01T00:00:00Z");
const OWN: RememberedItem = RememberedItem::Ecka(TokenMode::Open(ID), 0x41);
const IDENTITY: RememberedItem = RememberedItem::Identity(ID);

/// The error of the first tap of this token, from which the terminal learned nothing about `item`.
fn refusal(fixture: &TapFixture, token: &mut dyn Link, item: RememberedItem) -> TokenError {
    let tapped = fixture.tap(token, ApduFormat::Short);
    assert!(tapped.session.is_none());
    assert_eq!(fixture.memory.recall(&item), None);
    match tapped.result {
        Err(TapError::Token(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A token whose certificate of this class is replaced, by one of the right CA for the right key.
fn token_with(fixture: &TapFixture, bent: CertificateProfile, other: Certify<'_>) -> SoftwareToken {
    certified(fixture, ID, false, 3, &|class, subject, key| match class {
        class if class == bent => other(class, subject, key),
        class => fixture.issue(class, subject, key),
    })
}

#[test]
fn a_certificate_of_another_class_does_not_stand_for_the_tokens_own() {
    for (bent, item) in [(CertificateProfile::TokenEcka, OWN), (CertificateProfile::Identity, IDENTITY)] {
        for class in CertificateProfile::ALL.into_iter().filter(|class| *class != bent) {
            let fixture = TapFixture::new();
            let mut token = token_with(&fixture, bent, &|_, subject, key| fixture.issue(class, subject, key));
            let error = refusal(&fixture, &mut token, item);
            let found = class.word();
            assert!(
                matches!(error, TokenError::Certificate(CertificateError::Class { found: f }) if f == found),
                "{class} for {bent}: {error:?}"
            );
        }
    }
}

#[test]
fn a_certificate_of_another_token_does_not_stand_for_its_own() {
    for (bent, item) in [(CertificateProfile::TokenEcka, OWN), (CertificateProfile::Identity, IDENTITY)] {
        for subject in [OTHER.to_string(), ID.simple().to_string(), "somebody".to_owned()] {
            let fixture = TapFixture::new();
            let mut token = token_with(&fixture, bent, &|class, _, key| fixture.issue(class, &subject, key));
            let error = refusal(&fixture, &mut token, item);
            assert!(matches!(error, TokenError::IdentityMismatch), "{bent} of {subject}: {error:?}");
        }
    }
}

#[test]
fn a_certificate_outside_of_its_life_is_refused() {
    for (bent, item) in [(CertificateProfile::TokenEcka, OWN), (CertificateProfile::Identity, IDENTITY)] {
        for life in [PAST, FUTURE] {
            let fixture = TapFixture::new();
            let mut token = token_with(&fixture, bent, &|class, name, key| issue(&fixture.ca, class, name, key, life));
            assert!(outside(life, &refusal(&fixture, &mut token, item)), "{bent}, {life:?}");
        }
    }
}

/// A card enrolled where the clock is fast is not a forgery; one with a certificate of another CA is, whatever its date.
#[test]
fn only_a_certificate_of_our_ca_can_be_early() {
    for bent in [CertificateProfile::TokenEcka, CertificateProfile::Identity] {
        let (fixture, others) = (TapFixture::new(), new_key());
        let failure = |ca: &KeyPair| {
            let mut token = token_with(&fixture, bent, &|class, name, key| issue(ca, class, name, key, FUTURE));
            fixture.tap(&mut token, ApduFormat::Short).failure().unwrap()
        };
        let early = failure(&fixture.ca);
        assert_eq!((early.code, early.class), ("token.certificate-not-yet-valid", ExitClass::Refused), "{bent}");
        assert_eq!(
            early.message,
            "the card's certificate is valid only from 2026-12-01T00:00:00Z, and the clock here says \
             2026-11-23T00:00:00Z"
        );
        assert_eq!(failure(&others).code, "token.not-genuine", "{bent}");
    }
}

fn outside(life: (&str, &str), error: &TokenError) -> bool {
    match error {
        TokenError::Certificate(CertificateError::Expired { .. }) => life == PAST,
        TokenError::Certificate(CertificateError::NotYetValid { .. }) => life == FUTURE,
        _ => false,
    }
}

#[test]
fn the_certificate_of_a_set_is_one_of_a_set_and_alive() {
    let item = |fixture: &TapFixture| {
        let set = sha256(&[&fixture.set_certificate])[..8].try_into().unwrap();
        RememberedItem::Ecka(TokenMode::Private(set), 1)
    };
    for class in CertificateProfile::ALL.into_iter().filter(|class| *class != CertificateProfile::SetEcka) {
        let mut fixture = TapFixture::new();
        fixture.set_certificate = fixture.issue(class, "set 0011223344", fixture.set.public());
        let mut token = issued(&fixture, ID, true, 3);
        let error = refusal(&fixture, &mut token, item(&fixture));
        assert!(matches!(error, TokenError::Certificate(CertificateError::Class { .. })), "{class}: {error:?}");
    }
    for life in [PAST, FUTURE] {
        let mut fixture = TapFixture::new();
        fixture.set_certificate =
            issue(&fixture.ca, CertificateProfile::SetEcka, "set 0011223344", fixture.set.public(), life);
        let mut token = issued(&fixture, ID, true, 3);
        assert!(outside(life, &refusal(&fixture, &mut token, item(&fixture))), "{life:?}");
    }
}

/// Every wrong certificate that a terminal might remember, for an item and its class.
fn stale(fixture: &TapFixture, class: CertificateProfile) -> Vec<Vec<u8>> {
    let (name, key) = (ID.to_string(), new_key());
    vec![
        issue(&fixture.ca, class, &name, key.public(), PAST),
        issue(&fixture.ca, class, &name, key.public(), FUTURE),
        fixture.issue(class, &OTHER.to_string(), key.public()),
        fixture.issue(CertificateProfile::SetEcka, &name, key.public()),
        issue(&new_key(), class, &name, key.public(), (BEGIN, END)),
        vec![0x30, 0],
    ]
}

#[test]
fn what_is_remembered_is_verified_again_and_read_anew() {
    let fixture = TapFixture::new();
    let mut token = issued(&fixture, ID, false, 3);
    for (item, class) in [(OWN, CertificateProfile::TokenEcka), (IDENTITY, CertificateProfile::Identity)] {
        for (n, der) in stale(&fixture, class).into_iter().enumerate() {
            // An own certificate with another subject contradicts SELECT, so reading it again would not help.
            if (item, n) == (OWN, 2) {
                continue;
            }
            fixture.memory.0.borrow_mut().insert(item, der.clone());
            token.reset();
            assert_eq!(authenticated(&fixture.tap(&mut token, ApduFormat::Short)), (ID, &user()), "{class} {n}");
            assert_ne!(fixture.memory.recall(&item), Some(der), "{class} {n}");
        }
    }
}

#[test]
fn what_is_remembered_wrongly_is_forgotten_when_the_token_has_nothing_better() {
    for (item, class) in [(OWN, CertificateProfile::TokenEcka), (IDENTITY, CertificateProfile::Identity)] {
        let fixture = TapFixture::new();
        let expired = |class: CertificateProfile, name: &str, key: &Point| issue(&fixture.ca, class, name, key, PAST);
        let mut token = token_with(&fixture, class, &expired);
        // Remembered: an expired one, and one of an earlier key, which a wrong receipt reveals.
        let earlier = fixture.issue(class, &ID.to_string(), new_key().public());
        let over = expired(class, &ID.to_string(), new_key().public());
        for der in if item == OWN { vec![over, earlier] } else { vec![over] } {
            fixture.memory.0.borrow_mut().insert(item, der);
            token.reset();
            assert!(outside(PAST, &refusal(&fixture, &mut token, item)), "{class}");
        }
    }
}

/// A man in the middle that answers some commands itself.
struct Middle<'a, F: FnMut(&[u8], Vec<u8>) -> Vec<u8>> {
    token: &'a mut SoftwareToken,
    change: F,
}

impl<F: FnMut(&[u8], Vec<u8>) -> Vec<u8>> Link for Middle<'_, F> {
    fn transmit(&mut self, command: &[u8], _: Tracing) -> Result<Vec<u8>, LinkError> {
        let answer = self.token.process(command);
        Ok((self.change)(command, answer))
    }
}

/// Replaces these bytes by others of the same length, wherever they occur.
fn replaced(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + old.len()].copy_from_slice(new);
    bytes
}

const SELECT: u8 = 0xA4;

#[test]
fn the_key_version_fits_the_mode_or_nothing_more_is_asked() {
    let all: [(bool, u8, &[u8]); 2] = [(false, 0x41, &[0, 1, 2, 0x40, 0x42]), (true, 1, &[0, 0x41, 0x10])];
    for (private, right, wrong) in all {
        let fixture = TapFixture::new();
        let mut token = issued(&fixture, ID, private, 3);
        for kvn in wrong {
            let change = |command: &[u8], answer: Vec<u8>| match command[1] {
                SELECT => replaced(answer, &[0x82, 1, right], &[0x82, 1, *kvn]),
                _ => answer,
            };
            let tapped = fixture.tap(&mut Middle { token: &mut token, change }, ApduFormat::Short);
            assert!(matches!(tapped.result, Err(TapError::Token(TokenError::Form(CommandName::Select)))), "{kvn:02X}");
            assert_eq!(tapped.exchanges, 1, "{kvn:02X}");
            token.reset();
        }
    }
}

#[test]
fn a_token_that_is_selected_anew_is_the_same_one() {
    let fixture = TapFixture::new();
    let mut token = issued(&fixture, ID, false, 3);
    let earlier = fixture.issue(CertificateProfile::TokenEcka, &ID.to_string(), new_key().public());
    fixture.memory.0.borrow_mut().insert(OWN, earlier);
    let mut selections = 0;
    let change = |command: &[u8], answer: Vec<u8>| {
        selections += usize::from(command[1] == SELECT);
        match (command[1], selections) {
            (SELECT, 2) => replaced(answer, ID.as_bytes(), OTHER.as_bytes()),
            _ => answer,
        }
    };
    let tapped = fixture.tap(&mut Middle { token: &mut token, change }, ApduFormat::Short);
    assert!(
        matches!(tapped.result, Err(TapError::Token(TokenError::Form(CommandName::Select)))),
        "{:?}",
        tapped.result
    );
}

/// The channel belongs to one token, and the proof to another.
#[test]
fn the_proof_is_that_of_the_token_that_select_named() {
    let fixture = TapFixture::new();
    let mut token = certified(&fixture, OTHER, false, 3, &|class, subject, key| match class {
        CertificateProfile::TokenEcka => fixture.issue(class, &ID.to_string(), key),
        _ => fixture.issue(class, subject, key),
    });
    let change = |command: &[u8], answer: Vec<u8>| match command[1] {
        SELECT => replaced(answer, OTHER.as_bytes(), ID.as_bytes()),
        _ => answer,
    };
    let error = refusal(&fixture, &mut Middle { token: &mut token, change }, IDENTITY);
    assert!(matches!(error, TokenError::IdentityMismatch), "{error:?}");
}

#[test]
fn the_lookup_of_a_ca_names_the_key_of_a_ca() {
    let fixture = TapFixture::new();
    let mut token = issued(&fixture, ID, false, 4);
    for key in [0x11, 0x21, 0] {
        let change = |command: &[u8], answer: Vec<u8>| match command {
            [0, 0xCA, 0, 0x83, ..] => replaced(answer, &[0x10, 4], &[key, 4]),
            _ => answer,
        };
        token.reset();
        let tapped = fixture.tap(&mut Middle { token: &mut token, change }, ApduFormat::Short);
        assert!(matches!(tapped.result, Err(TapError::Token(TokenError::Form(_)))), "{key:02X}: {:?}", tapped.result);
    }
}

/// The token has our CA's key under the KVN that we tried, so it is the certificate itself that it rejects.
#[test]
fn a_certificate_refused_under_the_right_key_is_not_tried_again() {
    for status in [Status::WRONG_DATA, Status::NO_DATA] {
        let fixture = TapFixture::new();
        let mut token = issued(&fixture, ID, false, 3);
        let mut tried = 0;
        let change = |command: &[u8], answer: Vec<u8>| {
            if command[1] != 0x2A {
                return answer;
            }
            tried += usize::from(command[0] & 0x10 == 0);
            status.0.to_be_bytes().to_vec()
        };
        let tapped = fixture.tap(&mut Middle { token: &mut token, change }, ApduFormat::Extended);
        let refused = matches!(tapped.result, Err(TapError::Token(TokenError::TerminalRefused(s))) if s == status);
        assert!(refused, "{:?}", tapped.result);
        assert_eq!(tried, 1);
    }
}

#[test]
fn a_blocked_token_is_neither_identified_nor_spoken_to() {
    let fixture = TapFixture::new();
    let mut token = issued(&fixture, ID, false, 3);
    let mut session = fixture.tap(&mut token, ApduFormat::Short).session.unwrap();
    session.tell(&mut token, CommandName::SetStatus, &commands::set_status(LifeCycle::Blocked, None)).unwrap();
    for depth in [Depth::Identify, Depth::Authenticate] {
        token.reset();
        let mut context = AuthenticationContext {
            credentials: &fixture.credentials,
            memory: &fixture.memory,
            nonce: [7; 32],
            now: "2026-11-23T00:00:00Z".parse::<Timestamp>().unwrap(),
            format: ApduFormat::Short,
            random: &mut SystemRandom,
            learned: Vec::new(),
            slot: SlotWish::No,
            nonce_shown: false,
        };
        let tapped = tap_card(&mut token, &mut context, depth, None, None);
        assert_eq!(tapped.failure().unwrap().code, "token.blocked", "{depth:?}");
        assert_eq!(tapped.exchanges, 1, "{depth:?}");
    }
}
