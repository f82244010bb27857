//! Taps of tokens that `enroll` would not create: private ones, a CA key under the other KVN, an outdated remembered
//! certificate; and of cards that use other liberties of ISO 7816-4 than our token does.

mod distant;
mod forged;
mod resumed;
mod traced;

use crate::channel::CommandName;
use std::{cell::RefCell, collections::HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Depth, Seen, TapError, Tapped, tap_card};
use crate::{
    api::User,
    card::{
        apdu::{ApduFormat, Command},
        chaining::exchange,
        link::{Link, LinkError, Sensitivity as Tracing},
        tlv,
    },
    channel::{
        Step,
        scp03::{self, StaticKeys},
        scp11::{Handshake, Offer},
    },
    crypto::{
        Key128, aes,
        ec::{KeyPair, Point},
        random::{SystemRandom, bytes},
        sha256,
        x509::{self, Certificate, CertificateProfile, CertificateTemplate, TerminalRole},
    },
    emulator::{PersistentState, SoftwareToken, VolatileStore},
    terminal::enrollment::manifest::Manifest,
    token::{
        TokenError, commands,
        open::{AuthenticationContext, Credentials, RememberedItem, SlotWish, TokenMemory, identify},
        record::Layout,
        select::{LifeCycle, TokenMode},
        session::Session,
    },
};

const BEGIN: &str = "2026-11-01T00:00:00Z";
const END: &str = "2036-11-01T00:00:00Z";

fn new_key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

#[derive(Default)]
struct MapMemory(RefCell<HashMap<RememberedItem, Vec<u8>>>);

impl TokenMemory for MapMemory {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        self.0.borrow().get(item).cloned()
    }
}

/// A CA, one of its sets, and a terminal.
struct TapFixture {
    ca: KeyPair,
    set: KeyPair,
    set_certificate: Vec<u8>,
    credentials: Credentials,
    memory: MapMemory,
}

impl TapFixture {
    fn new() -> Self {
        let (ca, set, key) = (new_key(), new_key(), new_key());
        let class = CertificateProfile::Terminal(TerminalRole::Admin);
        let der = issue(&ca, class, "terminal", key.public(), (BEGIN, END));
        let certificate = Certificate::verify(&der, ca.public(), &[class]).unwrap();
        let set_certificate = issue(&ca, CertificateProfile::SetEcka, "set 0011223344", set.public(), (BEGIN, END));
        let credentials = Credentials { ca: *ca.public(), key, certificate, previous: None };
        Self { ca, set, set_certificate, credentials, memory: MapMemory::default() }
    }

    fn issue(&self, class: CertificateProfile, subject: &str, key: &Point) -> Vec<u8> {
        issue(&self.ca, class, subject, key, (BEGIN, END))
    }

    fn context<'a>(&'a self, format: ApduFormat, random: &'a mut SystemRandom) -> AuthenticationContext<'a> {
        let now = "2026-11-23T00:00:00Z".parse::<Timestamp>().unwrap();
        let (credentials, memory) = (&self.credentials, &self.memory);
        let (nonce, learned, slot) = ([7; 32], Vec::new(), SlotWish::No);
        let nonce_shown = false;
        AuthenticationContext { credentials, memory, nonce, now, format, random, learned, slot, nonce_shown }
    }

    /// Taps; what is learned is remembered, whatever the result.
    fn tap(&self, link: &mut dyn Link, format: ApduFormat) -> Tapped {
        let mut random = SystemRandom;
        let mut tapped = tap_card(link, &mut self.context(format, &mut random), Depth::Authenticate, None, None);
        for (item, value) in std::mem::take(&mut tapped.learned) {
            match value {
                Some(value) => self.memory.0.borrow_mut().insert(item, value),
                None => self.memory.0.borrow_mut().remove(&item),
            };
        }
        tapped
    }
}

fn issue(ca: &KeyPair, class: CertificateProfile, subject: &str, key: &Point, (begin, end): (&str, &str)) -> Vec<u8> {
    let template = CertificateTemplate {
        class,
        subject,
        key,
        not_before: begin.parse().unwrap(),
        not_after: end.parse().unwrap(),
    };
    x509::issue(ca, "Rollcall CA", &template, &mut SystemRandom).unwrap()
}

/// An SCP03 session in which every command must succeed.
struct Enrollment<'a> {
    token: &'a mut SoftwareToken,
    session: Session,
}

impl Enrollment<'_> {
    fn tell(&mut self, command: &Command) {
        self.send(command);
    }

    fn send(&mut self, command: &Command) -> Vec<u8> {
        self.session.send(&mut *self.token, CommandName::PutKey, command).unwrap()
    }

    fn generate(&mut self, command: &Command) -> Point {
        Point::parse(tlv::only(&self.send(command), 0xB0).unwrap()).unwrap()
    }
}

/// An ISSUED token of this fixture with its CA key under this KVN.
fn issued(fixture: &TapFixture, id: Uuid, private: bool, ca_kvn: u8) -> SoftwareToken {
    certified(fixture, id, private, ca_kvn, &|class, subject, key| fixture.issue(class, subject, key))
}

/// Certifies a token's own key and its identity key.
type Certify<'a> = &'a dyn Fn(CertificateProfile, &str, &Point) -> Vec<u8>;

fn certified(fixture: &TapFixture, id: Uuid, private: bool, ca_kvn: u8, certify: Certify<'_>) -> SoftwareToken {
    let start = StaticKeys::all(&Key128::new([8; 16]));
    let keys = StaticKeys::all(&Key128::new([9; 16]));
    let state = PersistentState::blank(&start, &mut SystemRandom).unwrap();
    let mut token = SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom));
    identify(&mut token, ApduFormat::Short).unwrap().unwrap();
    let (command, state) = scp03::begin(bytes(&mut SystemRandom).unwrap());
    let (_, choose) = state.handle(exchange(&mut token, &command, ApduFormat::Short).unwrap()).unwrap();
    let Step::Send(command, state) = choose.with(&start).unwrap() else { panic!("no step") };
    let messaging = state.handle(exchange(&mut token, &command, ApduFormat::Short).unwrap()).unwrap();
    let mut run = Enrollment { token: &mut token, session: Session::new(messaging, ApduFormat::Short) };
    let (mut manifest, ca, name) = (Manifest::default(), fixture.credentials.ca, id.to_string());

    run.tell(&commands::put_token_keys(&keys, run.session.dek().unwrap()).unwrap());
    (1..=3).for_each(|kid| manifest.check_value(kid, 1, aes::check_value(&keys.enc).unwrap()));
    run.tell(&commands::put_ca_key(ca_kvn, &ca));
    manifest.point(0x10, ca_kvn, &ca);
    let mode = [&[u8::from(private)], &id.as_bytes()[..]].concat();
    run.tell(&commands::write_object(0x0100, &mode));
    manifest.object(0x0100, 0, &mode);
    let own = run.generate(&commands::generate_ecka_key(0x41));
    let der = certify(CertificateProfile::TokenEcka, &name, &own);
    run.tell(&commands::store_ecka_certificate(0x41, &der));
    manifest.point(0x11, 0x41, &own);
    manifest.object(0xBF21, 0x41, &der);
    if private {
        run.tell(&commands::put_set_key(1, &fixture.set.scalar().unwrap(), run.session.dek().unwrap()).unwrap());
        run.tell(&commands::store_ecka_certificate(1, &fixture.set_certificate));
        manifest.point(0x11, 1, fixture.set.public());
        manifest.object(0xBF21, 1, &fixture.set_certificate);
    }
    let identity = run.generate(&commands::generate_identity_key());
    let der = certify(CertificateProfile::Identity, &name, &identity);
    run.tell(&commands::write_object(0x7F21, &der));
    manifest.point(0x21, 1, &identity);
    manifest.object(0x7F21, 0, &der);
    let record = Layout::of(&user()).unwrap().compact;
    run.tell(&commands::write_object(0x0101, &record));
    manifest.object(0x0101, 0, &record);
    run.tell(&commands::set_status(LifeCycle::Issued, Some(manifest.digest())));
    token.reset();
    token
}

fn user() -> User {
    User { id: "7".into(), name: "Ada Lovelace".into(), fields: [("room".into(), "B17".into())].into() }
}

fn authenticated(tapped: &Tapped) -> (Uuid, &User) {
    match &tapped.result {
        Ok(Seen::Authenticated(token)) => (token.token_id, &token.user),
        other => panic!("{other:?}"),
    }
}

#[test]
fn private_tokens_are_told_apart_inside_the_channel_only() {
    for (format, first, next, warm) in [(ApduFormat::Short, 9, 7, 5), (ApduFormat::Extended, 6, 5, 4)] {
        let fixture = TapFixture::new();
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let mut tokens = ids.map(|id| issued(&fixture, id, true, 3));
        // The second token of the set shares the certificate of the first.
        for (round, expected) in [[first, next], [warm, warm]].into_iter().enumerate() {
            for ((token, id), expected) in tokens.iter_mut().zip(ids).zip(expected) {
                token.reset();
                let tapped = fixture.tap(token, format);
                assert_eq!(authenticated(&tapped), (id, &user()));
                assert_eq!((tapped.told, tapped.exchanges), (None, expected), "{format:?}, round {round}");
                assert_eq!(tapped.session.unwrap().heartbeat(token).unwrap(), LifeCycle::Issued);
            }
        }
    }
}

#[test]
fn a_set_certificate_that_select_does_not_name_is_refused() {
    let mut fixture = TapFixture::new();
    let mut token = issued(&fixture, Uuid::from_u128(1), true, 3);
    fixture.set_certificate = fixture.issue(CertificateProfile::SetEcka, "set 5566778899", fixture.set.public());
    let named = <[u8; 8]>::try_from(&sha256(&[&fixture.set_certificate])[..8]).unwrap();
    let selected = identify(&mut token, ApduFormat::Short).unwrap().unwrap();
    assert_ne!(selected.mode, Some(TokenMode::Private(named)));
    // A man in the middle that swaps one certificate of the CA for another.
    let Some(TokenMode::Private(told)) = selected.mode else { panic!("{selected:?}") };
    let item = RememberedItem::Ecka(TokenMode::Private(told), 1);
    fixture.memory.0.borrow_mut().insert(item, fixture.set_certificate.clone());
    token.reset();
    let tapped = fixture.tap(&mut token, ApduFormat::Short);
    assert!(matches!(tapped.result, Err(TapError::Token(TokenError::IdentityMismatch))), "{:?}", tapped.result);
}

#[test]
fn the_ca_key_is_found_under_its_other_version() {
    for private in [false, true] {
        let fixture = TapFixture::new();
        let mut token = issued(&fixture, Uuid::from_u128(1), private, 4);
        for format in [ApduFormat::Short, ApduFormat::Extended, ApduFormat::Short] {
            token.reset();
            assert_eq!(authenticated(&fixture.tap(&mut token, format)), (Uuid::from_u128(1), &user()));
        }
    }
}

/// The card is then in the middle of a session, which only SELECT leaves.
#[test]
fn a_remembered_certificate_of_an_earlier_key_is_replaced_in_the_same_tap() {
    let fixture = TapFixture::new();
    let id = Uuid::from_u128(1);
    let mut token = issued(&fixture, id, false, 3);
    let earlier = fixture.issue(CertificateProfile::TokenEcka, &id.to_string(), new_key().public());
    let item = RememberedItem::Ecka(TokenMode::Open(id), 0x41);
    for format in [ApduFormat::Short, ApduFormat::Extended] {
        fixture.memory.0.borrow_mut().insert(item, earlier.clone());
        token.reset();
        assert_eq!(authenticated(&fixture.tap(&mut token, format)), (id, &user()));
        assert_ne!(fixture.memory.recall(&item).as_ref(), Some(&earlier));
    }
}

/// 6985 at the first C-MAC: the token's date is after the end of the terminal's certificate.
#[test]
fn an_outdated_terminal_is_not_told_that_the_token_is_blocked() {
    for private in [false, true] {
        let mut fixture = TapFixture::new();
        let mut token = issued(&fixture, Uuid::from_u128(1), private, 3);
        let class = CertificateProfile::Terminal(TerminalRole::Read);
        let life = ("2026-10-01T00:00:00Z", "2026-10-08T00:00:00Z");
        let der = issue(&fixture.ca, class, "terminal", fixture.credentials.key.public(), life);
        fixture.credentials.certificate = Certificate::verify(&der, fixture.ca.public(), &[class]).unwrap();
        let tapped = fixture.tap(&mut token, ApduFormat::Short);
        assert_eq!(tapped.failure().unwrap().code, "token.refused-terminal", "private: {private}");
    }
}

/// As an administrator would: the certificate of the own key is read through a channel under the set key.
fn block_private(fixture: &TapFixture, token: &mut SoftwareToken) {
    token.reset();
    let selected = identify(token, ApduFormat::Short).unwrap().unwrap();
    let mut random = SystemRandom;
    let mut channel = fixture.context(ApduFormat::Short, &mut random).open(token, &selected).unwrap();
    let der = channel.session.send(token, CommandName::GetCertificate, &commands::ecka_certificate(0x41)).unwrap();
    let own = Certificate::verify(&der, fixture.ca.public(), &[CertificateProfile::TokenEcka]).unwrap();
    let selected = identify(token, ApduFormat::Short).unwrap().unwrap();
    let offer = Offer {
        select: &selected.raw,
        terminal_key: &fixture.credentials.key,
        terminal_certificate: fixture.credentials.certificate.der(),
        ca_kvn: 3,
        card_key: own.point(),
        card_kvn: 0x41,
        ephemeral: new_key(),
    };
    let mut step = Handshake::begin(offer).unwrap();
    let opened = loop {
        match step {
            Step::Send(command, next) => {
                step = next.handle(exchange(token, &command, ApduFormat::Short).unwrap()).unwrap();
            }
            Step::Done(opened) => break opened,
        }
    };
    let mut session = Session::new(opened.messaging, ApduFormat::Short);
    session.tell(token, CommandName::SetStatus, &commands::set_status(LifeCycle::Blocked, None)).unwrap();
}

/// SELECT does not show it, because that would distinguish the token from the rest of its set; it shows in the channel.
#[test]
fn a_blocked_private_token_is_told_from_an_outdated_terminal() {
    let fixture = TapFixture::new();
    let mut token = issued(&fixture, Uuid::from_u128(1), true, 3);
    block_private(&fixture, &mut token);
    for format in [ApduFormat::Short, ApduFormat::Extended] {
        token.reset();
        let tapped = fixture.tap(&mut token, format);
        assert_eq!(tapped.failure().unwrap().code, "token.blocked");
        assert!(tapped.session.is_none());
    }
}

/// A token that claims to have our CA's key must have a certificate signed by it.
#[test]
fn a_token_of_others_is_told_from_a_forged_one() {
    let (mut fixture, others) = (TapFixture::new(), TapFixture::new());
    for private in [false, true] {
        let mut token = issued(&others, Uuid::from_u128(1), private, 3);
        let failure = fixture.tap(&mut token, ApduFormat::Short).failure().unwrap();
        assert_eq!(failure.code, "token.other-authority");
    }
    // Its certificate is signed by somebody other than the CA whose key it has.
    fixture.ca = new_key();
    let mut token = issued(&fixture, Uuid::from_u128(1), false, 3);
    let failure = fixture.tap(&mut token, ApduFormat::Short).failure().unwrap();
    assert_eq!(failure.code, "token.not-genuine");
}

/// A card that returns answers in pieces of this length, and optionally asks for the right Le first.
struct Miserly {
    token: SoftwareToken,
    piece: usize,
    corrects: bool,
    waiting: Vec<u8>,
}

impl Link for Miserly {
    fn transmit(&mut self, command: &[u8], _: Tracing) -> Result<Vec<u8>, LinkError> {
        if command[1] != 0xC0 {
            let mut answer = self.token.process(command);
            while let [rest @ .., 0x61, _] = &answer[..] {
                answer = [rest, &self.token.process(&[0, 0xC0, 0, 0, 0])].concat();
            }
            self.waiting = answer;
            if self.waiting.len() <= self.piece + 2 {
                return Ok(std::mem::take(&mut self.waiting));
            }
            // ISO/IEC 7816-4, 5.6: "further data bytes are available", the first of them not yet sent.
            return Ok(vec![0x61, self.next()]);
        }
        let [.., le] = *command else { panic!("no Le") };
        if self.corrects && le != self.next() {
            return Ok(vec![0x6C, self.next()]);
        }
        let rest = self.waiting.split_off(self.waiting.len().min(usize::from(le).min(self.piece)));
        let piece = std::mem::replace(&mut self.waiting, rest);
        match self.waiting.len() {
            0..=1 => Err(LinkError::Malformed(0)),
            2 => Ok([piece, std::mem::take(&mut self.waiting)].concat()),
            _ => Ok([&piece[..], &[0x61, self.next()]].concat()),
        }
    }
}

impl Miserly {
    fn next(&self) -> u8 {
        u8::try_from((self.waiting.len() - 2).min(self.piece)).unwrap_or(0)
    }
}

#[test]
fn answers_come_in_pieces_of_any_length() {
    for (piece, corrects) in [(8, false), (16, true), (100, false), (128, true), (255, false), (255, true)] {
        let fixture = TapFixture::new();
        let id = Uuid::from_u128(1);
        let token = issued(&fixture, id, false, 3);
        let mut card = Miserly { token, piece, corrects, waiting: Vec::new() };
        assert_eq!(authenticated(&fixture.tap(&mut card, ApduFormat::Short)), (id, &user()), "{piece} {corrects}");
    }
}
