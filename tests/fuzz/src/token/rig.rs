//! A token with a secret on it, terminals of every role, and the check of every answer.

use std::sync::LazyLock;

use jiff::Timestamp;
use rollcall::{
    card::{
        apdu::{ApduFormat, CHAINING, Command, Received, Response},
        chaining::exchange,
        link::{Link, LinkError, Sensitivity},
        status::Status,
    },
    channel::{
        Step,
        messaging::Messaging,
        scp03::{self, StaticKeys},
        scp11::{self, Handshake, Offer},
    },
    crypto::{
        Key128,
        ec::{KeyPair, Point},
        x509::{CertificateProfile, CertificateTemplate, TerminalRole, issue},
    },
    emulator::{PersistentState, SoftwareToken, VolatileStore},
};
use serde_json::Value;

use crate::input::{Counting, Input, pair};

/// Contained in every object that may be read only in a session.
const SECRET: &[u8] = b"NOT IN CLEAR";
/// A private token with everything on it, whose CA is the pair of 42.
const SAVED: &str = include_str!("../../../saved/virtual-token-1.json");
/// Instructions that always need a session, whatever the parameters.
const GUARDED: [u8; 9] = [0xB1, 0xD7, 0xDA, 0xD8, 0xF1, 0xE2, 0xE4, 0xF0, 0x88];

static CA: LazyLock<KeyPair> = LazyLock::new(|| pair(0x42));
static TERMINAL: LazyLock<KeyPair> = LazyLock::new(|| pair(0x51));
static CERTIFICATES: LazyLock<[Vec<u8>; 3]> =
    LazyLock::new(|| [TerminalRole::Read, TerminalRole::Write, TerminalRole::Admin].map(certificate));
static STATES: LazyLock<[PersistentState; 5]> = LazyLock::new(|| {
    [
        saved("issued", true),
        saved("issued", false),
        saved("blocked", true),
        saved("terminated", true),
        PersistentState::blank(&start_keys(), &mut Counting(1)).expect("a state"),
    ]
});

fn start_keys() -> StaticKeys {
    StaticKeys::all(&Key128::new([0x77; 16]))
}

fn saved(life: &str, private: bool) -> PersistentState {
    let mut file: Value = serde_json::from_str(SAVED).expect("JSON");
    let secret = hex::encode_upper([b"\xA2\x01\x61\x61\x02\x6C", SECRET].concat());
    for object in ["record", "details", "portrait"] {
        file[object] = secret.clone().into();
    }
    file["life"] = life.into();
    file["mode"]["private"] = private.into();
    PersistentState::from_file(file.to_string().as_bytes()).expect("a state")
}

fn certificate(role: TerminalRole) -> Vec<u8> {
    let moment = |text: &str| text.parse::<Timestamp>().expect("a moment");
    let template = CertificateTemplate {
        subject: "terminal",
        class: CertificateProfile::Terminal(role),
        key: TERMINAL.public(),
        not_before: moment("2026-11-01T00:00:00Z"),
        not_after: moment("2036-10-30T00:00:00Z"),
    };
    issue(&CA, "Rollcall CA", &template, &mut Counting(9)).expect("a certificate")
}

/// What authorizes a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: anybody can send it.
    Unproved,
    /// The session of a terminal with this role, or (0) of an enroller.
    By(u8),
}

/// The terminal's side of a session.
struct Open {
    messaging: Messaging,
    role: u8,
}

pub struct Rig {
    token: SoftwareToken,
    open: Option<Open>,
    selected: Vec<u8>,
    /// The APDUs of the last sound command.
    last: Vec<Vec<u8>>,
    stored: Vec<u8>,
    randoms: u8,
}

/// The token as a card, every answer of which is judged.
struct Judged<'a>(&'a mut Rig, Sent);

impl Link for Judged<'_> {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        Ok(self.0.send(command, self.1))
    }
}

impl Rig {
    pub fn new(choice: u8) -> Self {
        let state = STATES[usize::from(choice) % STATES.len()].clone();
        let stored = state.to_file().expect("a file").to_vec();
        let token = SoftwareToken::new(state, Box::new(VolatileStore), Box::new(Counting(choice)));
        let mut rig = Self { token, open: None, selected: Vec::new(), last: Vec::new(), stored, randoms: choice };
        rig.select();
        rig
    }

    fn ephemeral(&mut self) -> KeyPair {
        self.randoms = self.randoms.wrapping_add(1);
        KeyPair::generate(&mut Counting(self.randoms)).expect("a key")
    }

    /// Sends an APDU and holds the token to its promises.
    pub fn send(&mut self, apdu: &[u8], sent: Sent) -> Vec<u8> {
        let answer = self.token.process(apdu);
        let status = u16::from_be_bytes(*answer.last_chunk().expect("a status"));
        let received = Received::parse(apdu);
        let limit = if received.as_ref().is_some_and(|r| r.extended) { 514 } else { 258 };
        assert!(answer.len() <= limit, "{} bytes", answer.len());
        assert!(matches!(status >> 8, 0x61 | 0x63 | 0x67..=0x6A | 0x6D | 0x6E | 0x90), "{status:04X}");
        assert!(status >> 8 == 0x61 || status == 0x9000 || answer.len() == 2, "data with {status:04X}");
        assert!(!answer.windows(SECRET.len()).any(|window| window == SECRET), "a secret in clear");
        if let (Sent::Unproved, Some(received)) = (sent, &received) {
            let [cla, ins, ..] = received.header;
            let accepted = matches!(status >> 8, 0x90 | 0x61) && cla & CHAINING == 0;
            assert!(!(accepted && GUARDED.contains(&ins)), "{ins:02X} accepted from anybody");
        }
        self.judge_store(sent);
        answer
    }

    fn judge_store(&mut self, sent: Sent) {
        let stored = self.token.state().to_file().expect("a file");
        if *stored == self.stored {
            return;
        }
        assert_ne!(sent, Sent::Unproved, "stored for anybody");
        let again = PersistentState::from_file(&stored).expect("what was stored loads");
        assert_eq!(again.to_file().expect("a file"), stored);
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
        let (mut before, mut after) = (parse(&self.stored), parse(&stored));
        let counter = |state: &Value| state["counter"].as_u64().expect("a number");
        if after["life"] != "blank" && after["life"] != "terminated" {
            assert!(counter(&after) >= counter(&before), "the use counter fell");
        }
        if sent == Sent::By(1) {
            for state in [&mut before, &mut after] {
                state["counter"] = 0.into();
                state["date"] = "".into();
            }
            assert_eq!(before, after, "a READ terminal wrote");
        }
        self.stored = stored.to_vec();
    }

    pub fn reset(&mut self) {
        self.token.reset();
        self.open = None;
        self.selected.clear();
    }

    pub fn select(&mut self) {
        self.open = None;
        self.last.clear();
        let answer = self.send(b"\x00\xA4\x04\x00\x0A\xF0ROLLCALL\x01\x00", Sent::Unproved);
        let response = Response::parse(&answer).expect("a status");
        assert!(response.status.is_ok());
        self.selected = response.data;
    }

    /// The public key that a terminal would have read from the certificate.
    fn point(&self, kvn: u8) -> Option<Point> {
        let state: Value = serde_json::from_slice(&self.stored).expect("JSON");
        let scalar = hex::decode(state["ecka_keys"][kvn.to_string()]["in_force"]["pair"].as_str()?).ok()?;
        Some(*KeyPair::from_scalar(&scalar.try_into().ok()?).ok()?.public())
    }

    /// A session of this role, with the token's own key or that of its set. It may be refused, for instance when the
    /// keys are gone by now.
    pub fn open(&mut self, role: u8, set: bool) {
        self.select();
        let certificate = &CERTIFICATES[usize::from(role) - 1];
        let kvn = if set { 1 } else { 0x41 };
        if let Some(messaging) = self.handshake(certificate, kvn) {
            self.open = Some(Open { messaging, role });
        }
    }

    fn handshake(&mut self, certificate: &[u8], kvn: u8) -> Option<Messaging> {
        let point = self.point(kvn)?;
        let select = self.selected.clone();
        let offer = Offer {
            select: &select,
            terminal_key: &TERMINAL,
            terminal_certificate: certificate,
            ca_kvn: 3,
            card_key: &point,
            card_kvn: kvn,
            ephemeral: self.ephemeral(),
        };
        let mut step = Handshake::begin(offer).expect("begun");
        loop {
            match step {
                Step::Send(command, next) => {
                    let response =
                        exchange(&mut Judged(self, Sent::Unproved), &command, ApduFormat::Short).expect("an answer");
                    step = next.handle(response).ok()?;
                }
                Step::Done(opened) => return Some(opened.messaging),
            }
        }
    }

    /// Flips one bit of the certificate, which must be rejected.
    pub fn open_with_bent_certificate(&mut self, input: &mut Input<'_>) {
        self.select();
        let mut certificate = CERTIFICATES[2].clone();
        let place = usize::from(u16::from_be_bytes([input.byte(), input.byte()])) % certificate.len();
        certificate[place] ^= 1 << (input.byte() % 8);
        assert!(self.handshake(&certificate, 0x41).is_none(), "byte {place} of the certificate");
    }

    /// MUTUAL AUTHENTICATE without a certificate before it, whole or bent: never a session.
    pub fn agree_alone(&mut self, input: &mut Input<'_>) {
        self.open = None;
        let mut request = scp11::request(self.ephemeral().public());
        if input.byte() & 1 == 1 {
            let place = usize::from(input.byte()) % request.len();
            request[place] ^= input.byte();
        }
        let header = [0x80, 0x82, input.pick(&[0x41, 1, 2, 0, 0xFF]), 0x11];
        let length = u8::try_from(request.len()).expect("short");
        let answer = self.send(&[&header[..], &[length], &request, &[0]].concat(), Sent::Unproved);
        assert_eq!(answer.len(), 2, "an answer without a certificate");
    }

    /// A session under SCP03, where the token is still before ISSUED and has its start keys.
    pub fn enroll(&mut self) {
        self.select();
        let (command, state) = scp03::begin([self.randoms; 8]);
        let Ok(answer) = exchange(&mut Judged(self, Sent::Unproved), &command, ApduFormat::Short) else { return };
        let Ok((_, choose)) = state.handle(answer) else { return };
        let Ok(Step::Send(command, state)) = choose.with(&start_keys()) else { return };
        let Ok(answer) = exchange(&mut Judged(self, Sent::By(0)), &command, ApduFormat::Short) else { return };
        if let Ok(messaging) = state.handle(answer) {
            self.open = Some(Open { messaging, role: 0 });
        }
    }

    /// A sound command in the session, if there is one. A refusal leaves it to the token whether the session goes on.
    pub fn secure(&mut self, (header, data): &([u8; 4], Vec<u8>), extended: bool) {
        let Some(mut open) = self.open.take() else { return };
        let format = if extended { ApduFormat::Extended } else { ApduFormat::Short };
        let [cla, ins, p1, p2] = *header;
        let command = Command::new(cla, ins, p1, p2).data(data.clone()).answered();
        let wrapped = open.messaging.wrap(&command, format).expect("wrapped");
        self.last = wrapped.encode(format).iter().map(|apdu| apdu.to_vec()).collect();
        let answer = exchange(&mut Judged(self, Sent::By(open.role)), &wrapped, format).expect("an answer");
        let unwrapped = open.messaging.unwrap(&answer);
        if !answer.status.carries_mac() || ins == 0xA4 || ins == 0xC0 {
            // Rejected, with or without ending the session: both are allowed.
            self.open = Some(open);
            return;
        }
        let unwrapped = unwrapped.expect("what the token sealed opens");
        assert_eq!(unwrapped.status, Status::OK);
        if open.role == 1 {
            assert!(matches!(ins, 0xCA | 0xB1 | 0x88), "{ins:02X} accepted from READ");
        }
        self.open = Some(open);
    }

    /// A command of the session with something changed on its way: refused, and the session is over.
    pub fn bent(&mut self, (header, data): &([u8; 4], Vec<u8>), extended: bool, input: &mut Input<'_>) {
        let Some(mut open) = self.open.take() else { return };
        let format = if extended { ApduFormat::Extended } else { ApduFormat::Short };
        let [cla, ins, p1, p2] = *header;
        if matches!(ins, 0xA4 | 0xC0 | 0x2A | 0x50 | 0x82) {
            return;
        }
        let command = Command::new(cla, ins, p1, p2).data(data.clone()).answered();
        let wrapped = open.messaging.wrap(&command, format).expect("wrapped");
        let mut payload = wrapped.payload().to_vec();
        let place = usize::from(u16::from_be_bytes([input.byte(), input.byte()])) % payload.len();
        payload[place] ^= 1 << (input.byte() % 8);
        let [cla, ins, p1, p2] = wrapped.header();
        let bent = Command::new(cla, ins, p1, p2).data(payload).answered();
        let answer = exchange(&mut Judged(self, Sent::Unproved), &bent, format).expect("an answer");
        assert!(!answer.status.is_ok(), "byte {place} of the command");
        let after = open.messaging.wrap(&Command::new(0x80, 0xCA, 1, 1), ApduFormat::Short).expect("wrapped");
        let answer = exchange(&mut Judged(self, Sent::Unproved), &after, ApduFormat::Short).expect("an answer");
        assert!(!answer.status.is_ok(), "the session goes on after a wrong C-MAC");
    }

    /// Replays the last sound command: it must be rejected, and store nothing.
    pub fn replay(&mut self) {
        self.open = None;
        for apdu in std::mem::take(&mut self.last) {
            let [cla, ins, ..] = apdu[..] else { continue };
            if matches!(ins, 0xA4 | 0xC0 | 0x2A | 0x50) {
                continue;
            }
            let answer = self.send(&apdu, Sent::Unproved);
            assert!(cla & CHAINING != 0 || answer.len() == 2, "an answer to a replay");
            assert!(cla & CHAINING != 0 || answer != [0x90, 0], "a replay accepted");
        }
    }
}
