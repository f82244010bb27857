use super::*;
use crate::{
    api::User,
    card::{apdu::ApduFormat, chaining::exchange},
    terminal::enrollment::{
        Ending, EnrollError, HolderSource,
        journal::JournalEntry,
        tests::{EnrollmentFixture, ada, blank, ours, wordy},
    },
    terminal::tap::{Depth, Seen},
    token::{open::identify, select::TokenMode},
};

#[test]
fn a_private_token_names_its_set_and_proves_its_own_id() {
    let fixture = EnrollmentFixture::private();
    let set = fixture.set.as_ref().unwrap().id;
    for user in [ada(), wordy()] {
        let mut slot = ours();
        let report = fixture.enroll(&mut slot, &user).unwrap();
        assert_eq!((report.ending, report.test_keys, report.set), (Ending::Enrolled, false, Some(set)));
        let selected = identify(&mut slot, ApduFormat::Short).unwrap().unwrap();
        assert_eq!(selected.mode, Some(TokenMode::Private(*set.as_bytes())));
        let tapped = fixture.tap(&mut slot, ApduFormat::Short, Depth::Authenticate);
        let Ok(Seen::Authenticated(token)) = tapped.result else { panic!("{:?}", tapped.result) };
        assert_eq!((token.token_id, &token.user), (report.token_id, &user));
        // Seen again, it is opened to learn which token it is.
        let again = fixture.enroll(&mut slot, &user);
        assert!(matches!(again, Err(EnrollError::AlreadyIssued(Some(id))) if id == report.token_id), "{again:?}");
    }
}

#[test]
fn a_card_with_test_keys_gets_no_set_key_and_is_told_so_at_once() {
    let fixture = EnrollmentFixture::private();
    let mut slot = blank();
    let before = slot.left;
    assert!(matches!(fixture.enroll(&mut slot, &ada()), Err(EnrollError::TestKeysPrivate)));
    assert_eq!(before - slot.left, 2, "SELECT and INITIALIZE UPDATE only");
    // Started in open mode, the card no longer shows it; the journal does.
    let mut open = EnrollmentFixture::new();
    slot.left = 12;
    open.enroll(&mut slot, &ada()).unwrap_err();
    slot.left = u32::MAX;
    open.set.clone_from(&fixture.set);
    assert!(matches!(open.enroll(&mut slot, &ada()), Err(EnrollError::TestKeysPrivate)));
    // Without its journal, the card itself refuses the key.
    let mut elsewhere = EnrollmentFixture::new();
    elsewhere.set.clone_from(&fixture.set);
    assert!(matches!(elsewhere.enroll(&mut slot, &ada()), Err(EnrollError::TestKeysPrivate)));
}

/// A set and its members.
struct Counted(Set, Vec<String>);

impl SetProvider for Counted {
    fn join(&mut self, card: &str) -> Result<Set, PkiError> {
        self.1.push(card.to_owned());
        Ok(self.0.clone())
    }

    fn leave(&mut self, card: &str) -> Result<(), PkiError> {
        self.1.retain(|one| one != card);
        Ok(())
    }
}

/// No user is left for any card.
struct Nobody;

impl HolderSource for Nobody {
    fn user(&mut self, _: &str, _: Option<&JournalEntry>) -> Result<User, EnrollError> {
        Err(EnrollError::NobodyLeft)
    }
}

#[test]
fn a_card_that_nobody_gets_takes_no_place_unless_it_was_begun() {
    let fixture = EnrollmentFixture::private();
    let mut sets = Counted(fixture.set.clone().unwrap(), Vec::new());
    let mut slot = ours();
    let refused = fixture.enroll_into(&mut slot, &mut Nobody, Some(&mut sets));
    assert!(matches!(refused, Err(EnrollError::NobodyLeft)) && sets.1.is_empty());
    slot.left = 12;
    fixture.enroll_into(&mut slot, &mut &ada(), Some(&mut sets)).unwrap_err();
    slot.left = u32::MAX;
    assert!(fixture.enroll_into(&mut slot, &mut Nobody, Some(&mut sets)).is_err());
    assert!(!sets.1.is_empty());
}

#[test]
fn what_was_begun_in_one_mode_is_not_finished_in_another() {
    let mut fixture = EnrollmentFixture::private();
    let set = fixture.set.take();
    let mut slot = ours();
    slot.left = 12;
    fixture.enroll(&mut slot, &ada()).unwrap_err();
    slot.left = u32::MAX;
    fixture.set = set;
    let report = fixture.enroll(&mut slot, &ada()).unwrap();
    assert_eq!((report.ending, report.set), (Ending::Enrolled, fixture.set.as_ref().map(|set| set.id)));
}

/// Until the first valid C-MAC, two tokens of one set differ only in the ephemeral key and the receipt.
#[test]
fn two_tokens_of_one_set_select_alike() {
    let fixture = EnrollmentFixture::private();
    let told = [ada(), wordy()].map(|user| {
        let mut slot = ours();
        fixture.enroll(&mut slot, &user).unwrap();
        slot.token.reset();
        let selected = identify(&mut slot, ApduFormat::Short).unwrap().unwrap();
        let certificate = crate::token::commands::ecka_certificate(selected.ecka_kvn);
        (selected.raw, exchange(&mut slot, &certificate, ApduFormat::Short).unwrap())
    });
    assert_eq!(told[0], told[1]);
}
