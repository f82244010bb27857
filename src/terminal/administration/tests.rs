//! Changes to the software token, in one process, interrupted at every exchange.

use super::*;
use crate::card::apdu::ApduFormat;
use crate::{
    api::User,
    card::link::LinkError,
    card::link::Sensitivity as Hidden,
    crypto::{ec::KeyPair, random::SystemRandom, x509::Certificate},
    emulator::{SoftwareToken, VolatileStore},
    terminal::enrollment::tests::{EnrollmentFixture, Slot, ada, blank, ours, wordy},
    terminal::tap::{Depth, Seen, TapError},
};

mod keys;

/// A fixture that has enrolled a token.
fn enrolled(user: &User) -> (EnrollmentFixture, Slot) {
    let (fixture, mut slot) = (EnrollmentFixture::new(), blank());
    fixture.enroll(&mut slot, user).unwrap();
    (fixture, slot)
}

/// The same with a private token.
fn enrolled_privately(user: &User) -> (EnrollmentFixture, Slot) {
    let (fixture, mut slot) = (EnrollmentFixture::private(), ours());
    fixture.enroll(&mut slot, user).unwrap();
    (fixture, slot)
}

/// Gives the fixture a terminal of this role.
fn demote(fixture: &mut EnrollmentFixture, role: TerminalRole) {
    let class = CertificateProfile::Terminal(role);
    let key = KeyPair::generate(&mut SystemRandom).unwrap();
    let der = fixture.ca.issue(class, "terminal", key.public());
    fixture.credentials.certificate = Certificate::verify(&der, &fixture.credentials.ca, &[class]).unwrap();
    fixture.credentials.key = key;
}

fn writing(user: &User) -> TokenOperation {
    TokenOperation::Write(Layout::of(user).unwrap())
}

fn find(fixture: &EnrollmentFixture, slot: &mut Slot, what: &TokenOperation) -> Result<Target, AdministrationError> {
    slot.token.reset();
    fixture.with_context(ApduFormat::Short, |context| Target::find(slot, context, what))
}

/// Finds and changes, as the command does.
fn run(fixture: &EnrollmentFixture, slot: &mut Slot, what: &TokenOperation) -> Result<bool, AdministrationError> {
    let target = find(fixture, slot, what)?;
    slot.token.reset();
    fixture.with_context(ApduFormat::Short, |context| change(slot, context, &target, what, &mut false))
}

/// The user that a scan sees, or why it sees none.
fn scan(fixture: &EnrollmentFixture, slot: &mut Slot) -> Result<User, TapError> {
    slot.left = u32::MAX;
    match fixture.tap(slot, ApduFormat::Short, Depth::Authenticate).result? {
        Seen::Authenticated(token) => Ok(token.user),
        seen @ Seen::Identified(_) => panic!("{seen:?}"),
    }
}

/// A card that is removed after a number of exchanges; the answer to the last one is lost.
struct Torn<'a> {
    slot: &'a mut Slot,
    left: u32,
}

impl Link for Torn<'_> {
    fn transmit(&mut self, command: &[u8], hidden: Hidden) -> Result<Vec<u8>, LinkError> {
        let answer = self.slot.transmit(command, hidden)?;
        self.left -= 1;
        if self.left == 0 { Err(LinkError::CardRemoved) } else { Ok(answer) }
    }
}

/// Performs the change with the card removed after `n` exchanges; says whether it completed nevertheless.
fn torn(fixture: &EnrollmentFixture, slot: &mut Slot, what: &TokenOperation, n: u32) -> bool {
    let target = find(fixture, slot, what).unwrap();
    slot.token.reset();
    let mut link = Torn { slot, left: n };
    match fixture.with_context(ApduFormat::Short, |context| change(&mut link, context, &target, what, &mut false)) {
        Ok(done) => done,
        Err(AdministrationError::Token(TokenError::Link(LinkError::CardRemoved))) => false,
        Err(e) => panic!("lifted after {n}: {e}"),
    }
}

#[test]
fn a_token_goes_through_its_states_and_repeating_changes_nothing() {
    let (fixture, mut slot) = enrolled(&ada());
    assert!(!run(&fixture, &mut slot, &TokenOperation::Unblock).unwrap());
    for _ in 0..2 {
        assert!(run(&fixture, &mut slot, &TokenOperation::Block).unwrap());
        assert!(!run(&fixture, &mut slot, &TokenOperation::Block).unwrap());
        let refused = scan(&fixture, &mut slot);
        assert!(matches!(refused, Err(TapError::Token(TokenError::NotIssued(LifeCycle::Blocked)))), "{refused:?}");
        assert!(run(&fixture, &mut slot, &TokenOperation::Unblock).unwrap());
        assert!(!run(&fixture, &mut slot, &TokenOperation::Unblock).unwrap());
        assert_eq!(scan(&fixture, &mut slot).unwrap(), ada());
    }
    run(&fixture, &mut slot, &TokenOperation::Block).unwrap();
    assert!(run(&fixture, &mut slot, &TokenOperation::Terminate).unwrap());
    assert!(!run(&fixture, &mut slot, &TokenOperation::Terminate).unwrap());
    for what in [TokenOperation::Block, TokenOperation::Unblock, writing(&ada())] {
        let refused = run(&fixture, &mut slot, &what);
        let gone = TokenError::NotIssued(LifeCycle::Terminated);
        assert!(
            matches!(refused, Err(AdministrationError::Token(ref e)) if e.to_string() == gone.to_string()),
            "{refused:?}"
        );
    }
}

#[test]
fn a_state_is_set_by_the_next_run_wherever_the_card_was_lifted() {
    for what in [TokenOperation::Block, TokenOperation::Terminate] {
        let mut n = 0;
        loop {
            n += 1;
            let (fixture, mut slot) = enrolled(&ada());
            let whole = torn(&fixture, &mut slot, &what, n);
            assert!(run(&fixture, &mut slot, &what).is_ok(), "{what:?} lifted after {n}");
            slot.token.reset();
            let state = identify(&mut slot, ApduFormat::Short).unwrap().unwrap().state;
            assert_eq!(state, what.target(LifeCycle::Issued), "{what:?} lifted after {n}");
            if whole {
                break;
            }
        }
        assert!(n > 4, "a channel takes more than {n} exchanges");
    }
}

/// The answer to any command is lost and the work is retried with the same card: a change that was carried out counts
/// as done, and no other card is mistaken for it.
#[test]
fn what_was_carried_out_before_its_answer_was_lost_is_done() {
    for (enrolled, what) in [
        (enrolled as fn(&User) -> _, TokenOperation::Block),
        (enrolled, TokenOperation::Terminate),
        (enrolled, writing(&wordy())),
        (enrolled_privately, TokenOperation::Block),
        (enrolled_privately, writing(&wordy())),
    ] {
        let mut n = 0;
        loop {
            n += 1;
            let (fixture, mut slot) = enrolled(&ada());
            let target = find(&fixture, &mut slot, &what).unwrap();
            let mut is_sent = false;
            let mut attempt = |left| {
                slot.token.reset();
                let mut link = Torn { slot: &mut slot, left };
                fixture
                    .with_context(ApduFormat::Short, |context| change(&mut link, context, &target, &what, &mut is_sent))
            };
            if attempt(n).is_ok() {
                break;
            }
            assert!(attempt(u32::MAX).unwrap(), "{what:?}, answer {n}");
            assert!(is_sent);
            let target = find(&fixture, &mut slot, &what).unwrap();
            assert_eq!(target.state, what.target(LifeCycle::Issued), "{what:?}, answer {n}");
            if let TokenOperation::Write(_) = what {
                assert_eq!(scan(&fixture, &mut slot).unwrap(), wordy());
            }
        }
        assert!(n > 4, "{what:?}: a channel takes more than {n} exchanges");
    }
}

/// Another user with more than the compact record holds.
fn wordier() -> User {
    User { id: "9".into(), ..wordy() }
}

#[test]
fn a_torn_write_shows_the_old_or_the_new_user_and_the_next_run_finishes_it() {
    let same = User { name: "José Núñez the younger".into(), ..wordy() };
    for (old, new) in [
        (ada(), wordy()),
        (wordy(), ada()),
        (wordy(), same),
        (wordy(), wordier()),
        (ada(), User { id: "3".into(), ..ada() }),
    ] {
        // Only in this case do the details of one user stand beside the compact record of the other.
        let may_refuse = old == wordy() && new == wordier();
        let (fixture, mut slot) = enrolled(&old);
        let mut n = 0;
        loop {
            n += 1;
            run(&fixture, &mut slot, &writing(&old)).unwrap();
            let whole = torn(&fixture, &mut slot, &writing(&new), n);
            match scan(&fixture, &mut slot) {
                Ok(seen) => assert!(seen == old || seen == new, "lifted after {n}: {seen:?}"),
                Err(e) => assert!(may_refuse, "lifted after {n}: {e}"),
            }
            assert!(run(&fixture, &mut slot, &writing(&new)).unwrap());
            assert_eq!(scan(&fixture, &mut slot).unwrap(), new, "lifted after {n}");
            if whole {
                break;
            }
        }
        assert!(n > 5, "a write takes more than {n} exchanges");
    }
}

#[test]
fn details_that_nothing_points_to_are_emptied() {
    let (fixture, mut slot) = enrolled(&wordy());
    run(&fixture, &mut slot, &writing(&ada())).unwrap();
    slot.token.reset();
    let left = fixture.with_context(ApduFormat::Short, |context| {
        let selected = identify(&mut slot, ApduFormat::Short)?.unwrap();
        context.open(&mut slot, &selected)?.session.read_details(&mut slot)
    });
    assert!(matches!(left, Err(TokenError::Refused { status: Status::NO_DATA, .. })), "{left:?}");
}

#[test]
fn a_role_may_do_what_is_its_own_and_no_card_is_touched_for_more() {
    let (mut fixture, mut slot) = enrolled(&ada());
    for (role, allowed) in [(TerminalRole::Read, 0), (TerminalRole::Write, 1), (TerminalRole::Admin, 3)] {
        demote(&mut fixture, role);
        for (n, what) in [writing(&wordy()), TokenOperation::Block, TokenOperation::Unblock].iter().enumerate() {
            let target = find(&fixture, &mut slot, what).unwrap();
            slot.left = if n < allowed { u32::MAX } else { 0 };
            let result = fixture
                .with_context(ApduFormat::Short, |context| change(&mut slot, context, &target, what, &mut false));
            slot.left = u32::MAX;
            assert_eq!(matches!(result, Ok(true)), n < allowed, "{role:?} {what:?}: {result:?}");
            assert_eq!(
                matches!(result, Err(AdministrationError::Role { .. })),
                n >= allowed,
                "{role:?} {what:?}: {result:?}"
            );
        }
    }
}

#[test]
fn a_blocked_token_is_written_by_an_administrator_only() {
    let (mut fixture, mut slot) = enrolled(&ada());
    run(&fixture, &mut slot, &TokenOperation::Block).unwrap();
    demote(&mut fixture, TerminalRole::Write);
    let refused = run(&fixture, &mut slot, &writing(&wordy()));
    assert!(
        matches!(refused, Err(AdministrationError::Token(TokenError::NotIssued(LifeCycle::Blocked)))),
        "{refused:?}"
    );
    demote(&mut fixture, TerminalRole::Admin);
    assert!(run(&fixture, &mut slot, &writing(&wordy())).unwrap());
    assert!(run(&fixture, &mut slot, &TokenOperation::Unblock).unwrap());
    assert_eq!(scan(&fixture, &mut slot).unwrap(), wordy());
}

#[test]
fn another_card_than_the_confirmed_one_is_only_selected() {
    let (fixture, mut first) = enrolled(&ada());
    let mut second = blank();
    fixture.enroll(&mut second, &wordy()).unwrap();
    for what in [TokenOperation::Block, TokenOperation::Terminate, writing(&ada())] {
        let target = find(&fixture, &mut first, &what).unwrap();
        second.token.reset();
        second.left = 1;
        let result =
            fixture.with_context(ApduFormat::Short, |context| change(&mut second, context, &target, &what, &mut false));
        second.left = u32::MAX;
        assert!(matches!(result, Err(AdministrationError::OtherCard)), "{result:?}");
        assert_eq!(scan(&fixture, &mut second).unwrap(), wordy());
    }
}

#[test]
fn looking_takes_one_exchange_and_a_blank_card_is_refused() {
    let mut slot = blank();
    for what in [TokenOperation::Block, TokenOperation::Terminate, writing(&ada())] {
        slot.left = 1;
        let refused = find(&EnrollmentFixture::new(), &mut slot, &what);
        assert!(
            matches!(refused, Err(AdministrationError::Token(TokenError::NotIssued(LifeCycle::Blank)))),
            "{refused:?}"
        );
    }
    let (fixture, mut slot) = enrolled(&ada());
    slot.left = 1;
    assert!(find(&fixture, &mut slot, &TokenOperation::Block).is_ok());
}

#[test]
fn a_private_token_goes_through_its_states_too() {
    let (fixture, mut slot) = enrolled_privately(&ada());
    assert!(!run(&fixture, &mut slot, &TokenOperation::Unblock).unwrap());
    for user in [wordy(), ada()] {
        assert!(run(&fixture, &mut slot, &writing(&user)).unwrap());
        assert_eq!(scan(&fixture, &mut slot).unwrap(), user);
        assert!(run(&fixture, &mut slot, &TokenOperation::Block).unwrap());
        assert!(!run(&fixture, &mut slot, &TokenOperation::Block).unwrap());
        slot.token.reset();
        let state = identify(&mut slot, ApduFormat::Short).unwrap().unwrap().state;
        assert_eq!(state, LifeCycle::Issued, "a stranger does not see that it is blocked");
        assert!(scan(&fixture, &mut slot).is_err());
        assert!(run(&fixture, &mut slot, &TokenOperation::Unblock).unwrap());
        assert_eq!(scan(&fixture, &mut slot).unwrap(), user);
    }
    run(&fixture, &mut slot, &TokenOperation::Block).unwrap();
    assert!(run(&fixture, &mut slot, &TokenOperation::Terminate).unwrap());
    assert!(!run(&fixture, &mut slot, &TokenOperation::Terminate).unwrap());
}

#[test]
fn a_private_token_that_was_lifted_is_finished_by_the_next_run() {
    for what in [TokenOperation::Block, TokenOperation::Terminate, writing(&wordy())] {
        let mut n = 0;
        loop {
            n += 1;
            let (fixture, mut slot) = enrolled_privately(&ada());
            let whole = torn(&fixture, &mut slot, &what, n);
            let target = run(&fixture, &mut slot, &what).map(|_| find(&fixture, &mut slot, &what));
            let state = target.unwrap().unwrap().state;
            assert_eq!(state, what.target(LifeCycle::Issued), "{what:?} lifted after {n}");
            if whole {
                break;
            }
        }
        assert!(n > 9, "two channels take more than {n} exchanges");
    }
}

#[test]
fn a_blocked_private_token_says_so_to_whoever_may_not_unblock_it() {
    let (mut fixture, mut slot) = enrolled_privately(&ada());
    demote(&mut fixture, TerminalRole::Write);
    assert!(run(&fixture, &mut slot, &writing(&wordy())).unwrap());
    demote(&mut fixture, TerminalRole::Admin);
    run(&fixture, &mut slot, &TokenOperation::Block).unwrap();
    demote(&mut fixture, TerminalRole::Write);
    let refused = run(&fixture, &mut slot, &writing(&ada()));
    assert!(
        matches!(refused, Err(AdministrationError::Token(TokenError::NotIssued(LifeCycle::Blocked)))),
        "{refused:?}"
    );
}

#[test]
fn another_token_of_the_set_than_the_confirmed_one_is_left_as_it_is() {
    let (fixture, mut first) = enrolled_privately(&ada());
    let mut second = ours();
    fixture.enroll(&mut second, &wordy()).unwrap();
    for what in [TokenOperation::Block, TokenOperation::Terminate, writing(&ada())] {
        let target = find(&fixture, &mut first, &what).unwrap();
        second.token.reset();
        let result =
            fixture.with_context(ApduFormat::Short, |context| change(&mut second, context, &target, &what, &mut false));
        assert!(matches!(result, Err(AdministrationError::OtherCard)), "{result:?}");
        assert_eq!(scan(&fixture, &mut second).unwrap(), wordy());
    }
    // Blocked in the meantime, it is no longer the token that was confirmed.
    let target = find(&fixture, &mut first, &TokenOperation::Terminate).unwrap();
    run(&fixture, &mut first, &TokenOperation::Block).unwrap();
    first.token.reset();
    let result = fixture.with_context(ApduFormat::Short, |context| {
        change(&mut first, context, &target, &TokenOperation::Terminate, &mut false)
    });
    assert!(matches!(result, Err(AdministrationError::OtherCard)), "{result:?}");
}

/// An attacker with the extracted key of a set can present another token's certificate, but cannot answer under its
/// key.
#[test]
fn the_own_certificate_of_another_token_opens_nothing() {
    let (fixture, mut first) = enrolled_privately(&ada());
    let mut second = ours();
    fixture.enroll(&mut second, &wordy()).unwrap();
    let saved = |slot: &Slot| serde_json::to_value(slot.token.state()).unwrap();
    let (mut state, other) = (saved(&first), saved(&second));
    state["ecka_keys"]["65"]["in_force"]["certificate"] = other["ecka_keys"]["65"]["in_force"]["certificate"].clone();
    let liar = serde_json::from_str(&state.to_string()).unwrap();
    first.token = SoftwareToken::new(liar, Box::new(VolatileStore), Box::new(SystemRandom));
    let refused = run(&fixture, &mut first, &TokenOperation::Block);
    let receipt = TokenError::Channel(crate::channel::ChannelError::Receipt);
    assert!(
        matches!(&refused, Err(AdministrationError::Token(e)) if e.to_string() == receipt.to_string()),
        "{refused:?}"
    );
}
