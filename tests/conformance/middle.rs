//! A man in the middle who holds the set key of a private token: to the terminal he is a token of the set, to the token
//! a terminal. He can read, but any change is detected: the proof is bound to the token's channel.

use rollcall::{
    card::{
        apdu::Received,
        link::{Link, LinkError, Sensitivity},
        status::Status,
        tlv,
    },
    channel::{messaging::Messaging, scp11},
    crypto::ec::{KeyPair, Point},
};

use crate::{
    guard::ATTACKS,
    tap_rig::{MapMemory, credentials, proved, tap},
    terminal::{Answer, CardRig, Channel, new_key},
};

/// What the man in the middle does to the answer of INTERNAL AUTHENTICATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Record,
    TokenId,
    Counter,
    SignWithTheSetKey,
    SignWithHisOwn,
    OldProof,
}

struct Middle<'a> {
    rig: &'a mut CardRig,
    terminal: Point,
    set: KeyPair,
    change: Change,
    old: Vec<u8>,
    /// Towards the terminal, and towards the token.
    sides: Option<(Messaging, Channel)>,
    pieces: Vec<u8>,
    waiting: Vec<u8>,
    seen: Option<Vec<u8>>,
}

impl Middle<'_> {
    /// Two key agreements in place of one. ECDH of the two static keys needs but one of the private ones.
    fn agree(&mut self, request: &[u8]) -> Vec<u8> {
        let (left, right) = (new_key(), new_key());
        let fixed = self.set.agree(&self.terminal).unwrap();
        let theirs = Point::parse(&request[18..83]).unwrap();
        let ours = scp11::request(right.public());
        let answer = self.rig.plain("80820111", &ours);
        assert_eq!(answer.sw, 0x9000);
        let token = Point::parse(&answer.data[3..68]).unwrap();
        let derived = scp11::derive(&right.agree(&token).unwrap(), &fixed).unwrap();
        let receipt = derived.receipt(&ours, &answer.data[..68]).unwrap();
        assert_eq!(answer.data[70..], receipt, "he is a terminal to the token");
        let to_token = Channel { keys: derived.keys, chain: receipt, counter: 0 };
        let derived = scp11::derive(&left.agree(&theirs).unwrap(), &fixed).unwrap();
        let point = [&[0x5F, 0x49, 0x41][..], left.public().as_bytes()].concat();
        let receipt = derived.receipt(request, &point).unwrap();
        self.sides = Some((Messaging::new(derived.keys, receipt), to_token));
        [&point[..], &[0x86, 0x10], &receipt].concat()
    }

    /// Opens a command of the terminal's, sends it to the token, and changes the answer.
    fn relay(&mut self, header: [u8; 4], data: &[u8]) -> Vec<u8> {
        let (terminal, mut token) = self.sides.take().expect("a channel");
        let mut terminal = terminal;
        let lc = [u8::try_from(data.len()).unwrap()];
        let plain = terminal.open(header, &lc, data).unwrap().expect("a right command").to_vec();
        let Answer { data, sw } = self.rig.secure(&mut token, &hex::encode(header), &plain);
        let told = if header[1] == 0x88 { self.changed(&data) } else { data };
        let status = Status(sw);
        let sealed = if status.is_ok() { terminal.seal(&told, status).unwrap() } else { Vec::new() };
        self.sides = Some((terminal, token));
        [&sealed[..], &sw.to_be_bytes()].concat()
    }

    fn changed(&mut self, proof: &[u8]) -> Vec<u8> {
        self.seen = Some(proof.to_vec());
        let mut reader = tlv::TlvReader::new(proof);
        let [mut id, mut counter, mut signature, mut record] =
            [0x83, 0x80, 0x9E, 0x53].map(|tag| reader.value(tag).unwrap().to_vec());
        match self.change {
            Change::Nothing => {}
            Change::Record => record[3] = b'e',
            Change::TokenId => id[0] ^= 1,
            Change::Counter => counter[3] += 1,
            Change::SignWithTheSetKey => signature = self.set.sign(&record).unwrap(),
            Change::SignWithHisOwn => signature = new_key().sign(&record).unwrap(),
            Change::OldProof => return self.old.clone(),
        }
        let objects = [(0x83, id), (0x80, counter), (0x9E, signature), (0x53, record)];
        objects.iter().flat_map(|(tag, value)| tlv::object(*tag, value)).collect()
    }

    fn answer(&mut self, received: &Received<'_>) -> Vec<u8> {
        let [cla, ins, ..] = received.header;
        if cla & 0x10 != 0 {
            self.pieces.extend_from_slice(received.data);
            return vec![0x90, 0];
        }
        let data = [&std::mem::take(&mut self.pieces)[..], received.data].concat();
        match (cla, ins) {
            (0x80, 0x82) => [&self.agree(&data)[..], &[0x90, 0]].concat(),
            (0x04 | 0x84, _) => self.relay(received.header, &data),
            _ => {
                let answer = self.rig.plain(&hex::encode(received.header), &data);
                [&answer.data[..], &answer.sw.to_be_bytes()].concat()
            }
        }
    }
}

impl Link for Middle<'_> {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        let received = Received::parse(command).expect("our terminal's APDU");
        if received.header[1] == 0xC0 {
            let at = self.waiting.len().min(0xF0);
            let rest = self.waiting.split_off(at);
            return Ok(self.pass(rest));
        }
        self.waiting = self.answer(&received);
        let at = (self.waiting.len() - 2).min(0xF0);
        let rest = self.waiting.split_off(at);
        Ok(self.pass(rest))
    }
}

impl Middle<'_> {
    /// Returns what is in `waiting`, and keeps the rest for GET RESPONSE.
    fn pass(&mut self, rest: Vec<u8>) -> Vec<u8> {
        let piece = std::mem::replace(&mut self.waiting, rest);
        if self.waiting.len() <= 2 {
            return [&piece[..], &std::mem::take(&mut self.waiting)].concat();
        }
        let more = u8::try_from(self.waiting.len() - 2).unwrap_or(0);
        [&piece[..], &[0x61, more]].concat()
    }
}

case!(EachCard, man_in_the_middle_with_the_set_key);
fn man_in_the_middle_with_the_set_key(kind: &str) {
    let mut rig = CardRig::private(kind);
    let credentials = credentials(&rig);
    let mut old = Vec::new();
    for change in [
        Change::Nothing,
        Change::Record,
        Change::TokenId,
        Change::Counter,
        Change::SignWithTheSetKey,
        Change::SignWithHisOwn,
        Change::OldProof,
    ] {
        rig.card.reset();
        let mut middle = Middle {
            terminal: *credentials.key.public(),
            set: rig.set.clone(),
            rig: &mut rig,
            change,
            old: old.clone(),
            sides: None,
            pieces: Vec::new(),
            waiting: Vec::new(),
            seen: None,
        };
        let tapped = tap(&credentials, &MapMemory::default(), &mut middle);
        old = middle.seen.expect("he reads the proof and the record: that is the price of a leaked set key");
        ATTACKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let failure = tapped.failure().unwrap_or_else(|| panic!("{change:?} was not seen"));
        assert_eq!(failure.code, "token.not-genuine", "{change:?}: {failure:?}");
        assert_eq!(failure.class.exit_status(), 77);
        assert!(tapped.session.is_none());
    }
}

case!(EachCard, man_in_the_middle_without_a_key);
/// A relay that changes nothing is the card itself; it has no keys and sees nothing.
fn man_in_the_middle_without_a_key(kind: &str) {
    let mut rig = CardRig::private(kind);
    let (credentials, id) = (credentials(&rig), rig.id);
    rig.card.reset();
    let mut relay = crate::tap_rig::Liar::honest(&mut rig);
    let tapped = tap(&credentials, &MapMemory::default(), &mut relay);
    assert_eq!(proved(&tapped), Some(id));
    let seen: Vec<u8> = relay.answers.concat();
    assert!(!seen.windows(16).any(|window| window == id), "the token id crossed the air in clear");
    assert!(!seen.windows(7).any(|window| window == crate::terminal::RECORD), "the record crossed the air in clear");
}
