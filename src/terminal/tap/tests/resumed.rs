//! Taps of a terminal that resumes channels: what the second tap costs, and what makes it a full one again, or none.

use super::*;
use crate::{
    card::{
        link::{LinkError, Sensitivity},
        status::Status,
    },
    channel::ChannelError,
    terminal::tap::{DistanceBound, FastTap, ResumptionCache, TapError},
    token::{
        open::{AuthenticatedToken, ResumptionKey},
        resume::ResumeRule,
    },
};
use std::time::Duration;

const ID: Uuid = Uuid::from_u128(1);

/// A terminal that resumes channels, and admits everybody.
pub(super) struct FastFixture {
    pub(super) fixture: TapFixture,
    pub(super) cache: ResumptionCache,
    rule: ResumeRule,
}

impl FastFixture {
    pub(super) fn new() -> Self {
        let cache = ResumptionCache::new(Duration::from_secs(3600));
        Self { fixture: TapFixture::new(), cache, rule: ResumeRule::Private }
    }

    /// A tap whose key has not been kept yet.
    fn try_tap(&self, link: &mut dyn Link) -> Tapped {
        self.try_tap_within(link, None)
    }

    pub(super) fn try_tap_within(&self, link: &mut dyn Link, bound: Option<DistanceBound<'_>>) -> Tapped {
        let mut random = SystemRandom;
        let mut context = self.fixture.context(ApduFormat::Short, &mut random);
        let (cache, rule, era, clock) = (&self.cache, self.rule, self.cache.begin(), terminal_now as fn() -> Timestamp);
        let fast = FastTap { cache, rule, era, clock };
        let mut tapped = tap_card(link, &mut context, Depth::Authenticate, Some(fast), bound);
        for (item, value) in std::mem::take(&mut tapped.learned) {
            value.and_then(|value| self.fixture.memory.0.borrow_mut().insert(item, value));
        }
        tapped
    }

    pub(super) fn tap(&self, token: &mut SoftwareToken) -> Tapped {
        token.reset();
        let mut tapped = self.try_tap(token);
        if let Some(kept) = tapped.kept.take() {
            self.cache.keep(kept);
        }
        tapped
    }
}

pub(super) fn token_of(tapped: &Tapped) -> &AuthenticatedToken {
    let Ok(Seen::Authenticated(token)) = &tapped.result else { panic!("{:?}", tapped.result) };
    token
}

/// A link on which the answer to a command with this INS and P1 is altered or lost.
struct Bent<'a, F> {
    token: &'a mut SoftwareToken,
    command: (u8, u8),
    bend: F,
    sent: Vec<(u8, u8)>,
}

impl<F: FnMut(Vec<u8>) -> Result<Vec<u8>, LinkError>> Link for Bent<'_, F> {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        self.sent.push((command[1], command[2]));
        let answer = self.token.process(command);
        if (command[1], command[2]) == self.command { (self.bend)(answer) } else { Ok(answer) }
    }
}

#[test]
fn the_second_tap_takes_three_exchanges_and_no_signature() {
    for private in [false, true] {
        let terminal = FastFixture::new();
        let mut token = issued(&terminal.fixture, ID, private, 3);
        let first = terminal.tap(&mut token);
        assert!(!token_of(&first).is_resumed() && first.nonce_shown);
        for _ in 0..3 {
            let mut next = terminal.tap(&mut token);
            assert!(!next.nonce_shown, "it serves another tap");
            assert_eq!((next.exchanges, next.missed), (3, false));
            assert_eq!(authenticated(&next), (ID, &user()));
            let seen = token_of(&next);
            assert!(seen.is_resumed() && seen.proof().is_none());
            assert_eq!(seen.counter(), token_of(&first).counter());
            // A token that stays is queried over the same channel.
            let session = next.session.as_mut().unwrap();
            assert_eq!(session.heartbeat(&mut token).unwrap(), LifeCycle::Issued);
            assert!(session.dek().is_err());
        }
        // After 64 uses there is a full tap, and then resumption continues.
        let resumed: Vec<bool> = (0..63).map(|_| token_of(&terminal.tap(&mut token)).is_resumed()).collect();
        assert_eq!(resumed.iter().filter(|resumed| !**resumed).count(), 1);
        assert!(!resumed[61]);
    }
}

/// A key counts only once the token is admitted: until then, and where nothing is resumed, every tap is a full one.
#[test]
fn a_key_that_nobody_keeps_resumes_nothing() {
    let mut terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    assert!(terminal.try_tap(&mut token).kept.is_some());
    token.reset();
    assert!(!token_of(&terminal.try_tap(&mut token)).is_resumed());
    terminal.tap(&mut token);
    terminal.rule = ResumeRule::Never;
    assert!(!token_of(&terminal.tap(&mut token)).is_resumed());
    assert!(terminal.tap(&mut token).kept.is_none());
    terminal.rule = ResumeRule::Private;
    terminal.cache.forget(ID);
    assert!(!token_of(&terminal.tap(&mut token)).is_resumed());
}

#[test]
fn two_cards_with_one_key_fall_apart_at_the_second_use() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    let state = PersistentState::from_file(&token.state().to_file().unwrap()).unwrap();
    let mut copy = SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom));
    assert!(token_of(&terminal.tap(&mut token)).is_resumed());
    let refused = terminal.tap(&mut copy);
    assert!(matches!(&refused.result, Err(TapError::Token(TokenError::Cloned { last: 63, found: 63, .. }))));
    assert_eq!(refused.failure().unwrap().code, "token.counter");
    // Neither is resumed any longer.
    assert!(!token_of(&terminal.tap(&mut token)).is_resumed());
}

#[test]
fn a_lower_use_counter_is_a_copy() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    let kept = terminal.cache.take(TokenMode::Open(ID), ResumeRule::Open, terminal_now).remove(0);
    let higher = ResumptionKey { counter: kept.key().counter + 1, ..kept.key().clone() };
    terminal.cache.keep(kept.used(higher));
    let refused = terminal.tap(&mut token);
    assert!(matches!(&refused.result, Err(TapError::Token(TokenError::Cloned { last: 65_537, found: 65_536, .. }))));
}

/// Full taps elsewhere increment the use counter: a resumed tap reports the current value, and keeps it.
#[test]
fn a_resumed_tap_knows_the_counter_of_taps_elsewhere() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    let first = token_of(&terminal.tap(&mut token)).counter();
    token.reset();
    assert!(terminal.fixture.tap(&mut token, ApduFormat::Short).result.is_ok());
    let resumed = terminal.tap(&mut token);
    assert_eq!((token_of(&resumed).is_resumed(), token_of(&resumed).counter()), (true, first + 1));
    let kept = terminal.cache.take(TokenMode::Open(ID), ResumeRule::Open, terminal_now).remove(0);
    assert_eq!(kept.key().counter, first + 1);
}

fn terminal_now() -> Timestamp {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

/// A token that has lost its slots costs one more exchange, and the same tap becomes a full one; likewise if its
/// certificate has to be read again.
#[test]
fn a_miss_leads_to_a_full_tap() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    // Another terminal's key under the same name matches nothing.
    let stale = |terminal: &FastFixture| {
        let kept = terminal.cache.take(TokenMode::Open(ID), ResumeRule::Open, terminal_now).remove(0);
        let other = ResumptionKey { key: Key128::new([0; 16]).into(), ..kept.key().clone() };
        terminal.cache.keep(kept.used(other));
    };
    stale(&terminal);
    let missed = terminal.tap(&mut token);
    assert_eq!((token_of(&missed).is_resumed(), missed.exchanges, missed.missed), (false, 6, true));
    assert!(token_of(&terminal.tap(&mut token)).is_resumed());
    stale(&terminal);
    terminal.fixture.memory.0.borrow_mut().clear();
    assert!(!token_of(&terminal.tap(&mut token)).is_resumed());
    // The remembered certificate has expired, and is read again too.
    stale(&terminal);
    let ended = ("2026-10-01T00:00:00Z", "2026-10-08T00:00:00Z");
    let ended = issue(&terminal.fixture.ca, CertificateProfile::TokenEcka, &ID.to_string(), new_key().public(), ended);
    let item = RememberedItem::Ecka(TokenMode::Open(ID), 0x41);
    terminal.fixture.memory.0.borrow_mut().insert(item, ended);
    assert!(!token_of(&terminal.tap(&mut token)).is_resumed());
}

/// Two terminals with one key share a slot: each full tap at one evicts the key of the other, which notices the miss.
#[test]
fn copies_of_a_terminal_evict_each_other() {
    for private in [false, true] {
        let mut terminal = FastFixture::new();
        let mut token = issued(&terminal.fixture, ID, private, 3);
        let mut other = ResumptionCache::new(Duration::from_secs(3600));
        let missed: Vec<bool> = (0..6)
            .map(|_| {
                let tapped = terminal.tap(&mut token);
                assert!(!token_of(&tapped).is_resumed());
                std::mem::swap(&mut terminal.cache, &mut other);
                tapped.missed
            })
            .collect();
        // A token of a set does not reveal which one it is, so it may never have had a key here.
        assert_eq!(missed, [false, false, !private, !private, !private, !private]);
    }
}

/// What a man in the middle changes costs a full tap or the whole tap, and never admits anybody.
#[test]
fn changed_answers_gain_nothing() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    for (command, bits) in [((0x86, 0), 24 * 8), ((0x88, 2), 200)] {
        for bit in (0..bits).step_by(7) {
            token.reset();
            let bend = |mut answer: Vec<u8>| {
                answer[bit / 8] ^= 1 << (bit % 8);
                Ok(answer)
            };
            let mut link = Bent { token: &mut token, command, bend, sent: Vec::new() };
            let tapped = terminal.try_tap(&mut link);
            if command.0 == 0x86 {
                assert!(!token_of(&tapped).is_resumed(), "bit {bit}");
            } else {
                let error = tapped.result.unwrap_err();
                assert!(matches!(error, TapError::Token(TokenError::Channel(ChannelError::ResponseMac))), "{error:?}");
            }
            if let Some(kept) = tapped.kept {
                terminal.cache.keep(kept);
            }
            // A token that holds the key but then fails makes a full tap the next time.
            assert_eq!(token_of(&terminal.tap(&mut token)).is_resumed(), command.0 == 0x86, "bit {bit}");
        }
    }
}

/// A malformed answer says nothing about the key: any card can send it.
#[test]
fn an_answer_of_another_form_is_a_miss() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    for answer in [vec![0x90, 0], vec![0; 10], vec![0x6D, 0], [vec![0; 30], vec![0x90, 0]].concat()] {
        let there = terminal.cache.take(TokenMode::Open(ID), ResumeRule::Open, terminal_now);
        assert_eq!(there.len(), 1, "{answer:?}");
        for kept in there {
            terminal.cache.keep(kept);
        }
        token.reset();
        let bend = |_| Ok(answer.clone());
        let mut link = Bent { token: &mut token, command: (0x86, 0), bend, sent: Vec::new() };
        let tapped = terminal.try_tap(&mut link);
        assert!(!token_of(&tapped).is_resumed());
        if let Some(kept) = tapped.kept {
            terminal.cache.keep(kept);
        }
    }
}

#[test]
fn a_card_that_was_lifted_meanwhile_loses_no_key() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    for command in [(0x86, 0), (0x88, 2)] {
        token.reset();
        let bend = |_| Err(LinkError::CardRemoved);
        let mut link = Bent { token: &mut token, command, bend, sent: Vec::new() };
        assert!(matches!(terminal.try_tap(&mut link).result, Err(TapError::Token(TokenError::Link(_)))));
        assert!(token_of(&terminal.tap(&mut token)).is_resumed(), "{command:?}");
    }
}

/// A release without slots answers 6A80: the proof is requested without a slot, in the same channel, and the token is
/// not asked for a slot again.
#[test]
fn a_token_without_slots_is_asked_once() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    let old = |_| Ok(Status::WRONG_DATA.0.to_be_bytes().to_vec());
    let asked = |sent: &[(u8, u8)]| sent.iter().filter(|(ins, _)| *ins == 0x88).map(|(_, p1)| *p1).collect::<Vec<_>>();
    let mut link = Bent { token: &mut token, command: (0x88, 1), bend: old, sent: Vec::new() };
    let tapped = terminal.try_tap(&mut link);
    assert_eq!(asked(&link.sent), [1, 0]);
    assert!(!token_of(&tapped).is_resumed() && tapped.kept.is_none());
    assert!(!terminal.cache.wants_slot(TokenMode::Open(ID), ResumeRule::Open));
    // If no slot was requested, 6A80 is a refusal, and nothing is retried.
    token.reset();
    let mut link = Bent { token: &mut token, command: (0x88, 0), bend: old, sent: Vec::new() };
    let refused = terminal.try_tap(&mut link);
    assert_eq!(asked(&link.sent), [0]);
    assert!(matches!(refused.result, Err(TapError::Token(TokenError::Refused { status: Status::WRONG_DATA, .. }))));
}

/// Tokens of a set do not reveal which one they are: every key is tried.
#[test]
fn tokens_of_a_set_are_found_by_their_keys() {
    let terminal = FastFixture::new();
    let mut tokens = [1, 2, 3].map(|id| issued(&terminal.fixture, Uuid::from_u128(id), true, 3));
    for token in &mut tokens {
        terminal.tap(token);
    }
    for round in 0..2 {
        for (id, token) in (1..).zip(&mut tokens) {
            let tapped = terminal.tap(token);
            assert_eq!(authenticated(&tapped).0, Uuid::from_u128(id));
            assert!(token_of(&tapped).is_resumed(), "round {round}, token {id}");
        }
    }
    // Where private tokens may not be resumed, none is.
    let terminal = FastFixture { rule: ResumeRule::Open, ..terminal };
    assert!(!token_of(&terminal.tap(&mut tokens[0])).is_resumed());
}
