//! A card that answers RESUME and resumed presence arbitrarily: with any bytes, or, if it holds the key, with any
//! content under correct MACs.
//!
//! Invariant: without the key nobody is admitted, whatever is answered; with it only the token that owns the key, whose
//! counter has not decreased, and which has fewer uses left than before.

use std::sync::LazyLock;

use jiff::Timestamp;
use rollcall::{
    card::{
        apdu::{ApduFormat, Received, Response},
        link::{Link, LinkError, Sensitivity},
        status::Status,
        tlv::object,
    },
    channel::{
        messaging::Messaging,
        resumption::{NONCE, Resumed, TID},
    },
    crypto::{
        Key128,
        x509::{Certificate, CertificateProfile, CertificateTemplate, TerminalRole, issue},
    },
    emulator::{PersistentState, SoftwareToken, VolatileStore},
    token::{
        credentials::{AuthenticationContext, Credentials, NoMemory, ResumptionKey, SlotWish},
        select::{Selected, TokenMode},
    },
};
use serde_json::Value;

use crate::input::{Counting, Input, pair};

const SAVED: &str = include_str!("../../saved/virtual-token-1.json");
const COUNTER: u32 = 65_540;
const USES: u8 = 40;

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| {
    let (ca, key) = (pair(0x42), pair(0x51));
    let class = CertificateProfile::Terminal(TerminalRole::Read);
    let template = CertificateTemplate {
        subject: "terminal",
        class,
        key: key.public(),
        not_before: moment("2026-11-01T00:00:00Z"),
        not_after: moment("2036-10-30T00:00:00Z"),
    };
    let der = issue(&ca, "Rollcall CA", &template, &mut Counting(9)).expect("a certificate");
    let certificate = Certificate::verify(&der, ca.public(), &[class]).expect("a good one");
    Credentials { ca: *ca.public(), key, certificate, previous: None }
});

/// The answer to SELECT of an open token that is issued.
static SELECT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut file: Value = serde_json::from_str(SAVED).expect("JSON");
    file["life"] = "issued".into();
    file["mode"]["private"] = false.into();
    let state = PersistentState::from_file(file.to_string().as_bytes()).expect("a state");
    let mut token = SoftwareToken::new(state, Box::new(VolatileStore), Box::new(Counting(1)));
    let mut answer = token.process(b"\x00\xA4\x04\x00\x0A\xF0ROLLCALL\x01\x00");
    answer.truncate(answer.len() - 2);
    answer
});

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn key() -> Key128 {
    Key128::new([0x4B; 16])
}

/// The card.
struct Hostile<'a> {
    input: Input<'a>,
    /// Whether it holds the key and says so.
    holds_key: bool,
    channel: Option<Messaging>,
    id: [u8; 16],
}

impl Hostile<'_> {
    fn resume(&mut self, data: &[u8]) -> Vec<u8> {
        if !self.holds_key {
            return self.input.run().to_vec();
        }
        let terminal: [u8; NONCE] = data[TID..].try_into().expect("a number");
        let card = [self.input.byte(); NONCE];
        let resumed = Resumed::derive(&key(), &terminal, &card, &SELECT).expect("derived");
        self.channel = Some(resumed.messaging);
        [&card[..], &resumed.cryptogram, b"\x90\x00"].concat()
    }

    /// Under a right R-MAC, once it has one.
    fn secured(&mut self, received: &Received<'_>) -> Vec<u8> {
        let plain = self.plain();
        let Some(mut channel) = self.channel.take().filter(|_| self.input.byte() & 15 != 15) else {
            return self.input.run().to_vec();
        };
        let lc = [u8::try_from(received.data.len()).expect("short")];
        channel.open(received.header, &lc, received.data).expect("opened").expect("our terminal's C-MAC");
        let sealed = channel.seal(&plain, Status::OK).expect("sealed");
        self.channel = Some(channel);
        [&sealed[..], b"\x90\x00"].concat()
    }

    /// An answer to presence with any part in it changed, or any bytes.
    fn plain(&mut self) -> Vec<u8> {
        let choice = self.input.byte();
        if choice & 1 == 1 {
            return self.input.run().iter().copied().take(200).collect();
        }
        let mut id = self.id;
        id[0] ^= u8::from(choice & 2 != 0);
        let counter = COUNTER.wrapping_add(u32::from(self.input.byte())).wrapping_sub(4);
        let mut record = self.input.run().to_vec();
        record.resize(120, 0);
        let objects = [
            object(0x83, &id),
            object(0x80, &counter.to_be_bytes()),
            object(0x88, &[self.input.byte()]),
            object(0x53, &record),
        ];
        objects.concat()
    }
}

impl Link for Hostile<'_> {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        let received = Received::parse(command).expect("our terminal's APDU");
        Ok(match received.header[1] {
            0xA4 => [&SELECT[..], b"\x90\x00"].concat(),
            0x86 => self.resume(received.data),
            _ if received.header[0] & 4 != 0 => self.secured(&received),
            _ => self.input.run().to_vec(),
        })
    }
}

/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let holds_key = input.byte() & 3 != 0;
    let response = Response::parse(&[&SELECT[..], b"\x90\x00"].concat()).expect("a status");
    let selected = Selected::parse(response).expect("of our form").expect("our application");
    let Some(TokenMode::Open(id)) = selected.mode else { panic!("an open token") };
    let until = moment("2036-10-30T00:00:00Z");
    let known = ResumptionKey { uses_left: USES, ..ResumptionKey::fresh(id, key().into(), COUNTER, until) };
    let mut context = AuthenticationContext {
        credentials: &CREDENTIALS,
        memory: &NoMemory,
        nonce: [0; 32],
        now: moment("2026-11-22T00:00:00Z"),
        format: ApduFormat::Short,
        random: &mut Counting(input.byte()),
        learned: Vec::new(),
        slot: SlotWish::No,
    };
    let mut card = Hostile { input, holds_key, channel: None, id: *id.as_bytes() };
    let mut held = None;
    let resumed = context.resume(&mut card, &selected, std::slice::from_ref(&known), &mut held);
    assert_eq!(held.is_some(), holds_key, "which key a card holds");
    if let Ok(Some(mut token)) = resumed {
        assert!(holds_key, "let in without the key");
        assert_eq!(token.key.token_id, known.token_id);
        assert!(token.key.counter >= COUNTER && token.key.uses_left < USES);
        let _ = token.user(&mut card);
    }
}
