//! Replacing the key of a set, and the CA of a private token, on the software token.

use super::*;
use crate::{
    card::chaining::exchange,
    crypto::ec::Point,
    terminal::administration::{
        rotate::{self, RotationAuthority},
        sets::{self, SetKey},
    },
    terminal::enrollment::tests::Ca,
};

/// A set of this CA.
fn fresh(ca: &Ca) -> SetKey {
    let key = KeyPair::generate(&mut SystemRandom).unwrap();
    let der = ca.issue(CertificateProfile::SetEcka, "set 01", key.public());
    let certificate =
        Certificate::verify(&der, crate::terminal::enrollment::TokenAuthority::ca(ca), &[CertificateProfile::SetEcka])
            .unwrap();
    let mut id = [0; 8];
    id.copy_from_slice(&crate::crypto::sha256(&[&der])[..8]);
    SetKey { id, key, certificate }
}

fn set_of(fixture: &EnrollmentFixture) -> [u8; 8] {
    *fixture.set.as_ref().unwrap().id.as_bytes()
}

fn replace(
    fixture: &EnrollmentFixture,
    slot: &mut Slot,
    to: &SetKey,
    lifted_after: u32,
) -> (Result<(Uuid, bool), AdministrationError>, Vec<Uuid>) {
    slot.token.reset();
    let mut begun = Vec::new();
    let mut note = |id| {
        begun.push(id);
        Ok(())
    };
    let mut link = Torn { slot, left: lifted_after };
    let done = fixture
        .with_context(ApduFormat::Short, |context| sets::replace(&mut link, context, (set_of(fixture), to), &mut note));
    (done, begun)
}

fn announced(slot: &mut Slot) -> Selected {
    slot.token.reset();
    identify(slot, ApduFormat::Short).unwrap().unwrap()
}

const fn lifted(e: &AdministrationError) -> bool {
    matches!(e, AdministrationError::Token(TokenError::Link(LinkError::CardRemoved)))
}

#[test]
fn a_set_key_is_replaced_wherever_the_card_was_lifted() {
    let mut n = 0;
    loop {
        n += 1;
        let (fixture, mut slot) = enrolled_privately(&ada());
        let to = fresh(&fixture.ca);
        let (torn, begun) = replace(&fixture, &mut slot, &to, n);
        assert!(torn.as_ref().is_ok_and(|(_, done)| *done) || torn.as_ref().is_err_and(lifted), "{n}: {torn:?}");
        assert_eq!(scan(&fixture, &mut slot).unwrap(), ada(), "lifted after {n}");
        // It announces one or the other, and `begin` was called first.
        let mode = announced(&mut slot).mode;
        assert!(mode == Some(TokenMode::Private(set_of(&fixture))) || begun.len() == 1, "lifted after {n}");
        let (whole, _) = replace(&fixture, &mut slot, &to, u32::MAX);
        let (id, _) = whole.unwrap();
        let selected = announced(&mut slot);
        assert_eq!((selected.mode, selected.ecka_kvn), (Some(TokenMode::Private(to.id)), 2), "lifted after {n}");
        assert_eq!(scan(&fixture, &mut slot).unwrap(), ada(), "lifted after {n}");
        slot.token.reset();
        announced(&mut slot);
        let old = exchange(&mut slot, &commands::ecka_certificate(1), ApduFormat::Short).unwrap();
        assert_eq!(old.status, Status::NO_DATA, "the old key is gone");
        let (again, begun) = replace(&fixture, &mut slot, &to, u32::MAX);
        assert_eq!((again.unwrap(), begun), ((id, false), Vec::new()));
        if torn.is_ok() {
            break;
        }
    }
    assert!(n > 18, "four channels take more than {n} exchanges");
}

#[test]
fn a_blocked_token_gets_the_key_and_stays_blocked() {
    let (fixture, mut slot) = enrolled_privately(&ada());
    run(&fixture, &mut slot, &TokenOperation::Block).unwrap();
    let to = fresh(&fixture.ca);
    assert!(replace(&fixture, &mut slot, &to, u32::MAX).0.unwrap().1);
    assert!(scan(&fixture, &mut slot).is_err());
    run(&fixture, &mut slot, &TokenOperation::Unblock).unwrap();
    assert_eq!(scan(&fixture, &mut slot).unwrap(), ada());
}

#[test]
fn who_has_no_part_in_it_is_left_as_he_is() {
    let (mut fixture, mut slot) = enrolled_privately(&ada());
    let to = fresh(&fixture.ca);
    // A move that cannot be recorded is not started.
    slot.token.reset();
    let before = serde_json::to_string(slot.token.state()).unwrap();
    let mut refuse = |_| Err(AdministrationError::NotNoted("full".into()));
    let from = set_of(&fixture);
    let refused =
        fixture.with_context(ApduFormat::Short, |context| sets::replace(&mut slot, context, (from, &to), &mut refuse));
    assert!(matches!(refused, Err(AdministrationError::NotNoted(_))), "{refused:?}");
    assert_eq!(serde_json::to_string(slot.token.state()).unwrap(), before);
    // A token of another set, and one in open mode.
    let mut begin = |_| panic!("it is not begun");
    slot.token.reset();
    let other =
        fixture.with_context(ApduFormat::Short, |context| sets::replace(&mut slot, context, ([9; 8], &to), &mut begin));
    assert!(matches!(&other, Err(AdministrationError::OtherSet(id)) if *id == hex::encode(from)), "{other:?}");
    let (open, mut in_open) = enrolled(&ada());
    in_open.token.reset();
    let refused =
        open.with_context(ApduFormat::Short, |context| sets::replace(&mut in_open, context, (from, &to), &mut begin));
    assert!(matches!(refused, Err(AdministrationError::Open)), "{refused:?}");
    // A terminal that may write, but nothing more.
    demote(&mut fixture, TerminalRole::Write);
    let (refused, _) = replace(&fixture, &mut slot, &to, u32::MAX);
    assert!(matches!(refused, Err(AdministrationError::Role { .. })), "{refused:?}");
}

/// The new CA, and the one set to which all its tokens move.
struct Moving<'a>(&'a EnrollmentFixture, SetKey);

impl RotationAuthority for Moving<'_> {
    fn certify(&mut self, id: Uuid, ecka: &Point, identity: &Point) -> Result<(Vec<u8>, Vec<u8>), AdministrationError> {
        let issue = |class, key: &Point| self.0.ca.issue(class, &id.to_string(), key);
        Ok((issue(CertificateProfile::TokenEcka, ecka), issue(CertificateProfile::Identity, identity)))
    }

    fn follower(&mut self, _: [u8; 8]) -> Result<SetKey, AdministrationError> {
        Ok(self.1.clone())
    }
}

fn rotate(
    fixture: &EnrollmentFixture,
    set: &SetKey,
    slot: &mut Slot,
    lifted_after: u32,
) -> Result<(Uuid, bool), AdministrationError> {
    slot.token.reset();
    let mut link = Torn { slot, left: lifted_after };
    let mut authority = Moving(fixture, set.clone());
    fixture.with_context(ApduFormat::Short, |context| rotate::rotate(&mut link, context, None, &mut authority))
}

#[test]
fn a_private_token_goes_to_another_ca_wherever_it_was_lifted() {
    let mut n = 0;
    loop {
        n += 1;
        let (old, mut slot) = enrolled_privately(&ada());
        let mut fixture = EnrollmentFixture::new();
        let set = fresh(&fixture.ca);
        fixture.credentials.previous = Some(Box::new(old.credentials));
        let torn = rotate(&fixture, &set, &mut slot, n);
        assert!(torn.is_ok() || torn.as_ref().is_err_and(lifted), "{n}: {torn:?}");
        assert_eq!(scan(&fixture, &mut slot).unwrap(), ada(), "lifted after {n}");
        let (id, _) = rotate(&fixture, &set, &mut slot, u32::MAX).unwrap();
        // From here on only the new CA is trusted.
        fixture.credentials.previous = None;
        assert_eq!(announced(&mut slot).mode, Some(TokenMode::Private(set.id)), "lifted after {n}");
        assert_eq!(scan(&fixture, &mut slot).unwrap(), ada(), "lifted after {n}");
        if let Ok(whole) = torn {
            assert_eq!(whole, (id, true));
            break;
        }
    }
    assert!(n > 25, "{n}");
}
