//! Heartbeats timed in a tap: how many, which of them count, and the result of a tap whose heartbeat fails.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{
    resumed::{FastFixture, token_of},
    *,
};
use crate::{
    channel::ChannelError,
    terminal::{
        presence::{Policy, PresenceMode},
        tap::{
            DistanceBound, ResumptionCache, TooFar,
            distance::HEARTBEATS,
            tap_terminal::{Keys, ReaderResumption, TapTerminal},
        },
    },
    token::resume::ResumeRule,
};

const ID: Uuid = Uuid::from_u128(1);
const NEVER: Duration = Duration::from_secs(3600);

/// A token whose heartbeats can be altered by the link.
struct Line<'a, F> {
    token: &'a mut SoftwareToken,
    /// Gets the number of the heartbeat and its answer.
    heartbeat: F,
    heartbeats: usize,
}

impl<'a, F: FnMut(usize, Vec<u8>) -> Result<Vec<u8>, LinkError>> Line<'a, F> {
    fn new(token: &'a mut SoftwareToken, heartbeat: F) -> Self {
        Self { token, heartbeat, heartbeats: 0 }
    }
}

impl<F: FnMut(usize, Vec<u8>) -> Result<Vec<u8>, LinkError>> Link for Line<'_, F> {
    fn transmit(&mut self, command: &[u8], _: Tracing) -> Result<Vec<u8>, LinkError> {
        let answer = self.token.process(command);
        if command[1..4] != [0xCA, 1, 0] {
            return Ok(answer);
        }
        self.heartbeats += 1;
        (self.heartbeat)(self.heartbeats, answer)
    }
}

/// A tap bounded by this least time.
fn tap<F>(terminal: &FastFixture, line: &mut Line<'_, F>, least: Option<Duration>, max_extra: Duration) -> Tapped
where
    F: FnMut(usize, Vec<u8>) -> Result<Vec<u8>, LinkError>,
{
    line.token.reset();
    let least = move |token_id| least.filter(|_| token_id == ID);
    let bound = DistanceBound { max_extra, least: &least, heartbeats: HEARTBEATS };
    let mut tapped = terminal.try_tap_within(line, Some(bound));
    if let Some(kept) = tapped.kept.take() {
        terminal.cache.keep(kept);
    }
    tapped
}

/// One heartbeat if it is fast enough, three if not or if nothing is known; in full and resumed taps.
#[test]
fn a_tap_times_one_heartbeat_and_three_at_most() {
    for private in [false, true] {
        let terminal = FastFixture::new();
        let mut token = issued(&terminal.fixture, ID, private, 3);
        let full = terminal.tap(&mut token);
        assert_eq!(full.heartbeat, None, "nobody asked for it");
        for resumed in [false, true] {
            for (least, heartbeats, beyond) in
                [(None, 3, false), (Some(NEVER), 1, false), (Some(Duration::ZERO), 3, true)]
            {
                if !resumed {
                    terminal.cache.forget(ID);
                }
                let mut line = Line::new(&mut token, |_, answer| Ok(answer));
                let tapped = tap(&terminal, &mut line, least, Duration::ZERO);
                assert_eq!((token_of(&tapped).is_resumed(), line.heartbeats), (resumed, heartbeats), "{least:?}");
                let timed = tapped.heartbeat.unwrap();
                assert_eq!((timed.beyond(least).is_some(), timed.max_extra), (beyond, Duration::ZERO));
                assert!(!timed.took.is_zero() && timed.took <= tapped.timings.inside);
                if resumed {
                    assert_eq!(tapped.exchanges as usize, 3 + heartbeats);
                }
            }
        }
    }
}

/// One slow answer is not held against a token; three are.
#[test]
fn the_least_of_three_counts() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    let (least, extra, slow) =
        (Some(Duration::from_millis(100)), Duration::from_millis(200), Duration::from_millis(400));
    for (slow_ones, heartbeats, is_beyond) in [(0, 1, false), (1, 2, false), (2, 3, false), (3, 3, true)] {
        let mut line = Line::new(&mut token, |nth, answer| {
            if nth <= slow_ones {
                thread::sleep(slow);
            }
            Ok(answer)
        });
        let tapped = tap(&terminal, &mut line, least, extra);
        assert_eq!(line.heartbeats, heartbeats, "{slow_ones}");
        let beyond = tapped.heartbeat.unwrap().beyond(least);
        assert_eq!(beyond.is_some(), is_beyond, "{slow_ones}");
        assert!(beyond.is_none_or(|far| far.took >= slow && far.most == Duration::from_millis(300)));
    }
}

/// An answer with a wrong R-MAC is not timed, and the tap fails; a key that the token held is dropped.
#[test]
fn an_answer_that_anybody_may_have_made_has_no_time() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    for nth in 1..=HEARTBEATS {
        for resumed in [true, false] {
            let mut line = Line::new(&mut token, |at, mut answer: Vec<u8>| {
                answer[0] ^= u8::from(at == nth);
                Ok(answer)
            });
            let tapped = tap(&terminal, &mut line, None, NEVER);
            let error = tapped.result.as_ref().unwrap_err();
            assert!(matches!(error, TapError::Token(TokenError::Channel(ChannelError::ResponseMac))), "{error:?}");
            assert_eq!(
                (tapped.heartbeat, tapped.session.is_none(), tapped.exchanges as usize >= 3 + nth),
                (None, true, true)
            );
            assert_eq!(tapped.exchanges as usize == 3 + nth, resumed, "{nth}");
        }
        assert!(!token_of(&terminal.tap(&mut token)).is_resumed());
    }
}

#[test]
fn a_card_that_is_lifted_at_its_heartbeat_loses_no_key() {
    let terminal = FastFixture::new();
    let mut token = issued(&terminal.fixture, ID, false, 3);
    terminal.tap(&mut token);
    let mut line = Line::new(&mut token, |_, _| Err(LinkError::CardRemoved));
    let tapped = tap(&terminal, &mut line, None, NEVER);
    assert!(tapped.result.as_ref().is_err_and(TapError::is_departure));
    assert_eq!(tapped.heartbeat, None);
    assert!(token_of(&terminal.tap(&mut token)).is_resumed());
    // A full tap has not kept its key yet.
    terminal.cache.forget(ID);
    let mut line = Line::new(&mut token, |_, _| Err(LinkError::CardRemoved));
    assert!(tap(&terminal, &mut line, None, NEVER).result.is_err());
    assert!(!token_of(&terminal.tap(&mut token)).is_resumed());
}

/// Identifying a reader may require its driver, which waits for whoever holds the card: so it is done before
/// connecting.
#[test]
fn what_holds_at_a_reader_is_asked_before_the_card_is_held() {
    #[derive(Default)]
    struct Asked(Mutex<Vec<String>>);
    impl Policy for Asked {
        fn presence(&self, _: &str) -> PresenceMode {
            PresenceMode::Field
        }
        fn max_extra(&self, reader: &str) -> Option<Duration> {
            self.0.lock().unwrap().push(format!("distance {reader}"));
            None
        }
    }
    struct Blank;
    impl TokenMemory for Blank {
        fn recall(&self, _: &RememberedItem) -> Option<Vec<u8>> {
            None
        }
    }
    let asked = Arc::new(Asked::default());
    let resumption = {
        let asked = Arc::clone(&asked);
        let rule = move |reader: &str| {
            asked.0.lock().unwrap().push(format!("resume {reader}"));
            ResumeRule::Never
        };
        ReaderResumption { cache: ResumptionCache::new(NEVER), rule: Arc::new(rule) }
    };
    let terminal = TapTerminal {
        keys: Keys::new(TapFixture::new().credentials),
        memory: Arc::new(Blank),
        exchange: Duration::from_millis(100),
        tap: Duration::from_millis(100),
        format: ApduFormat::Short,
        depth: Depth::Authenticate,
        nonces: None,
        portraits: false,
        clock: Timestamp::now,
        resumption: Some(resumption),
        policy: Arc::<Asked>::clone(&asked),
    };
    let (tapped, card) = terminal.tap("nowhere");
    assert!(tapped.result.is_err() && card.is_none(), "no such reader");
    assert_eq!(*asked.0.lock().unwrap(), ["resume nowhere", "distance nowhere"]);
}

/// A time above the bound is shown above it, however small the difference.
#[test]
fn the_message_of_what_is_too_far_does_not_contradict_itself() {
    for (took, most, said) in [
        (45_001, 45_000, ("45.1", "45.0")),
        (45_000, 44_999, ("45.0", "44.9")),
        (45_051, 45_049, ("45.1", "45.0")),
        (120_000, 45_000, ("120.0", "45.0")),
        (1_000, 999, ("1.0", "0.9")),
    ] {
        let far = TooFar { took: Duration::from_micros(took), most: Duration::from_micros(most) };
        let expected = format!("the token answered after {} ms, and at most {} ms is allowed here", said.0, said.1);
        assert_eq!(far.to_string(), expected);
    }
}
