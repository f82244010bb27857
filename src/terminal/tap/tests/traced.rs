//! Taps are recorded and replayed: with the same outcome, whatever the card does, and without secrets in the trace.

use std::{fs, sync::Arc};

use proptest::{prelude::*, test_runner::TestCaseResult};
use uuid::Uuid;

use super::{Seen, TapFixture, Tapped, issued};
use crate::{
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError, Sensitivity},
        trace::{
            Recorder, Trace, TraceError, TraceRecord, Traced,
            write::{Mask, TraceOptions},
        },
    },
    crypto::{
        CryptoError,
        random::{Random, SystemRandom},
        sha256,
    },
    emulator::SoftwareToken,
    terminal::tap::{Depth, DistanceBound, TapError, replay::play, tap_card},
    token::{
        record::masked_user,
        trace_points::{DIGEST, mask},
    },
};

/// A card whose answer to one APDU is altered.
struct Bent<'a> {
    card: &'a mut SoftwareToken,
    apdu: usize,
    at: usize,
    bend: &'a dyn Fn(Vec<u8>) -> Result<Vec<u8>, LinkError>,
}

impl Link for Bent<'_> {
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError> {
        self.apdu += 1;
        let answer = self.card.transmit(command, sensitivity)?;
        if self.apdu == self.at { (self.bend)(answer) } else { Ok(answer) }
    }
}

/// Records one tap.
fn record(link: &mut dyn Link, masked: bool, tap: impl FnOnce(&mut dyn Link) -> Tapped) -> (Tapped, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let clock = || "2026-11-23T00:00:00Z".parse().unwrap();
    let options = TraceOptions { mask: masked.then_some(mask as Mask), digest: DIGEST, clock };
    let recorder = Arc::new(Recorder::create(&path, options).unwrap());
    let mut link = Traced::new(link, recorder.begin("reader", &[]));
    link.note(&|| TraceRecord::Tap { server_nonce: false, again: false });
    let tapped = tap(&mut link);
    drop(link);
    assert!(recorder.finish().is_none());
    (tapped, fs::read_to_string(path).unwrap())
}

fn replay(text: &str) -> Tapped {
    let trace = Trace::parse(text.as_bytes(), sha256).unwrap();
    let mut all = play(&trace, &mut SystemRandom).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0).tapped
}

fn same(recorded: &Tapped, played: &Tapped, masked: bool) -> TestCaseResult {
    prop_assert_eq!(recorded.failure(), played.failure());
    prop_assert_eq!((recorded.exchanges, recorded.told), (played.exchanges, played.told));
    if let (Ok(Seen::Authenticated(one)), Ok(Seen::Authenticated(other))) = (&recorded.result, &played.result) {
        prop_assert_eq!((one.token_id, one.counter()), (other.token_id, other.counter()));
        if masked {
            prop_assert_eq!(masked_user(&one.user), other.user.clone());
        } else {
            prop_assert_eq!(&one.user, &other.user);
            prop_assert_eq!(one.proof(), other.proof());
        }
    }
    Ok(())
}

/// Open and private, first tap and remembered, short and extended APDUs, with and without the holder.
#[test]
fn honest_taps_are_played() {
    for (private, ca_kvn) in [(false, 3), (true, 3), (false, 4)] {
        for format in [ApduFormat::Short, ApduFormat::Extended] {
            let fixture = TapFixture::new();
            let mut card = issued(&fixture, Uuid::from_u128(7), private, ca_kvn);
            for masked in [false, true, false] {
                let (tapped, text) = record(&mut card, masked, |link| fixture.tap(link, format));
                assert!(tapped.result.is_ok(), "{:?}", tapped.result);
                same(&tapped, &replay(&text), masked).unwrap();
            }
        }
    }
}

/// Heartbeats of a distance bound are replayed too, in the same number, even if one failed.
#[test]
fn heartbeats_that_were_timed_are_played() {
    let fixture = TapFixture::new();
    let mut card = issued(&fixture, Uuid::from_u128(7), false, 3);
    assert!(fixture.tap(&mut card, ApduFormat::Short).result.is_ok());
    let bend = |_: Vec<u8>| Err(LinkError::CardRemoved);
    for (heartbeats, at, exchanges, begun) in
        [(0, 0, 5, 0), (1, 0, 6, 1), (3, 0, 8, 3), (3, 6, 6, 1), (3, 7, 7, 2), (3, 8, 8, 3)]
    {
        card.reset();
        let mut link = Bent { card: &mut card, apdu: 0, at, bend: &bend };
        let (tapped, text) = record(&mut link, false, |link| {
            let mut random = SystemRandom;
            let bound = DistanceBound { max_extra: std::time::Duration::ZERO, least: &|_| None, heartbeats };
            tap_card(link, &mut fixture.context(ApduFormat::Short, &mut random), Depth::Authenticate, None, Some(bound))
        });
        assert_eq!((tapped.result.is_ok(), tapped.exchanges), (at == 0, exchanges));
        assert_eq!(text.matches("\"kind\":\"heartbeat\"").count(), begun);
        same(&tapped, &replay(&text), false).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a card does wrong, replaying its recording gives the same result.
    #[test]
    fn taps_of_cards_that_do_anything_wrong_are_played(
        at in 1..12_usize, how in 0..6_u8, byte: prop::sample::Index, bit in 0..8_u8, masked: bool, remembered: bool,
    ) {
        let fixture = TapFixture::new();
        let mut card = issued(&fixture, Uuid::from_u128(7), false, 3);
        if remembered {
            prop_assert!(fixture.tap(&mut card, ApduFormat::Short).result.is_ok());
        }
        let bend = |mut answer: Vec<u8>| {
            let place = byte.index(answer.len());
            match how {
                0 => return Err(LinkError::CardRemoved),
                1 => answer.truncate(place),
                2 => answer = vec![0x90, 0],
                3 => answer.insert(place, 0),
                _ => answer[place] ^= 1 << bit,
            }
            Ok(answer)
        };
        let mut link = Bent { card: &mut card, apdu: 0, at, bend: &bend };
        let (tapped, text) = record(&mut link, masked, |link| fixture.tap(link, ApduFormat::Short));
        same(&tapped, &replay(&text), masked)?;
    }
}

/// A card that another program reset is tried again, and the second attempt counts; at another reader, or without a
/// prior reset, it is a separate tap.
#[test]
fn a_second_attempt_takes_the_place_of_the_first() {
    let fixture = TapFixture::new();
    let mut card = issued(&fixture, Uuid::from_u128(7), false, 3);
    let reset = |_| Err(LinkError::CardReset);
    let mut bent = Bent { card: &mut card, apdu: 0, at: 2, bend: &reset };
    let (first, one) = record(&mut bent, true, |link| fixture.tap(link, ApduFormat::Short));
    assert!(first.result.as_ref().is_err_and(TapError::worth_another_try));
    let (_, two) = record(&mut card, true, |link| fixture.tap(link, ApduFormat::Short));
    let scene = |text: &str| Trace::parse(text.as_bytes(), sha256).unwrap().scenes.remove(0);
    let again = |reader: &str| {
        let mut scene = scene(&two);
        scene.reader = reader.to_owned();
        for record in scene.records.as_mut().unwrap() {
            if let TraceRecord::Tap { again, .. } = record {
                *again = true;
            }
        }
        scene
    };
    let codes = |scenes| {
        let all = play(&Trace { personal: false, scenes }, &mut SystemRandom).unwrap();
        all.iter().map(|one| one.tapped.failure().map_or("", |failure| failure.code)).collect::<Vec<_>>()
    };
    assert_eq!(codes(vec![scene(&one), again("reader")]), [""]);
    assert_eq!(codes(vec![scene(&one), scene(&two)]), ["card.reset", ""]);
    assert_eq!(codes(vec![scene(&one), again("other")]), ["card.reset", ""]);
    assert_eq!(codes(vec![scene(&two), again("reader")]), ["", ""]);
}

/// The system's randomness, recording what was drawn.
#[derive(Default)]
struct RecordingRandom(Vec<Vec<u8>>);

impl Random for RecordingRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        SystemRandom.fill(buffer)?;
        self.0.push(buffer.to_vec());
        Ok(())
    }
}

#[test]
fn neither_keys_nor_the_holder_are_in_it() {
    let fixture = TapFixture::new();
    let mut card = issued(&fixture, Uuid::from_u128(7), false, 3);
    let mut random = RecordingRandom::default();
    let mut dek = Vec::new();
    let (tapped, text) = record(&mut card, true, |link| {
        let credentials = &fixture.credentials;
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        let memory = &fixture.memory;
        let format = ApduFormat::Short;
        let mut context = crate::token::open::AuthenticationContext {
            credentials,
            memory,
            nonce: [7; 32],
            now,
            format,
            random: &mut random,
            learned: Vec::new(),
            slot: crate::token::open::SlotWish::No,
            nonce_shown: false,
        };
        let tapped = tap_card(link, &mut context, Depth::Authenticate, None, None);
        dek = tapped.session.as_ref().unwrap().dek().unwrap().expose().to_vec();
        tapped
    });
    let Ok(Seen::Authenticated(token)) = &tapped.result else { panic!("{:?}", tapped.result) };
    let mut secrets =
        vec![fixture.credentials.key.scalar().unwrap().to_vec(), fixture.ca.scalar().unwrap().to_vec(), dek];
    secrets.extend(random.0);
    secrets.extend([token.user.name.clone().into_bytes(), token.user.id.clone().into_bytes()]);
    secrets.retain(|secret| secret.len() > 3);
    assert!(secrets.len() >= 5);
    let text = text.to_lowercase();
    for secret in secrets {
        assert!(!text.contains(&hex::encode(&secret)), "{secret:02x?}");
    }
}

/// A tap whose record was altered after parsing, which the hash chain of the file does not detect.
fn played_bent(text: &str, bend: impl Fn(&mut TraceRecord)) -> Result<Tapped, TraceError> {
    let mut trace = Trace::parse(text.as_bytes(), sha256).unwrap();
    trace.scenes[0].records.as_mut().unwrap().iter_mut().for_each(bend);
    play(&trace, &mut SystemRandom).map(|mut all| all.remove(0).tapped)
}

fn code(played: Result<Tapped, TraceError>) -> &'static str {
    match played {
        Ok(tapped) => tapped.failure().map_or("", |failure| failure.code),
        Err(error) => crate::failure::Failure::from(error).code,
    }
}

/// With the holder in the trace, signature and certificates are verified again; without, the signature is trusted.
#[test]
fn what_can_be_verified_is_verified_anew() {
    let fixture = TapFixture::new();
    let mut card = issued(&fixture, Uuid::from_u128(7), false, 3);
    let whole = record(&mut card, false, |link| fixture.tap(link, ApduFormat::Short)).1;
    let masked = record(&mut card, true, |link| fixture.tap(link, ApduFormat::Short)).1;
    let other_nonce = |record: &mut TraceRecord| {
        if let TraceRecord::Visit(visit) = record {
            visit.nonce = "08".repeat(32);
        }
    };
    assert_eq!(code(played_bent(&whole, |_| ())), "");
    assert_eq!(code(played_bent(&whole, other_nonce)), "token.not-genuine");
    assert_eq!(code(played_bent(&masked, other_nonce)), "");
    let late = |record: &mut TraceRecord| {
        if let TraceRecord::Visit(visit) = record {
            visit.now = "2046-11-23T00:00:00Z".parse().unwrap();
        }
    };
    // The certificate is rejected, so the dialogue ends before the recorded one.
    assert_eq!(code(played_bent(&whole, late)), "trace.diverged");
    let withhold = |record: &mut TraceRecord| {
        if let TraceRecord::Answer(answer) = record {
            answer.data = None;
        }
    };
    assert_eq!(code(played_bent(&masked, withhold)), "trace.withheld");
    let receipt = |record: &mut TraceRecord| {
        if let TraceRecord::Receipt(receipt) = record {
            receipt.holds = false;
        }
    };
    assert_eq!(code(played_bent(&masked, receipt)), "trace.diverged");
}
