//! A scriptable terminal: enrollment, both handshakes and secure messaging, where every step can be altered.

use std::sync::Arc;

use rollcall::{
    card::{apdu, tlv},
    channel::{messaging::SessionKeys, scp11},
    crypto::{
        Key128, aes,
        cmac::cmac,
        ec::{KeyPair, Point},
        kdf,
        random::SystemRandom,
        sha256,
    },
};

use crate::{
    card::{Card, blank},
    draft::{ADMIN, Draft, ECKA, IDENTITY, SET, from_hex, name},
};

/// `{1: "a", 2: "b"}`.
pub const RECORD: [u8; 7] = [0xA2, 1, 0x61, b'a', 2, 0x61, b'b'];
/// The start key of every card here, used for all three keys.
pub const START: [u8; 16] = [0x77; 16];
pub const SELECT: &str = "00A404000AF0524F4C4C43414C4C0100";
pub const KVN_OWN: u8 = 0x41;

/// An answer, put together from its pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub data: Vec<u8>,
    pub sw: u16,
}

/// One side of a secure channel, whose keys, chaining value and counter a test may change.
#[derive(Clone)]
pub struct Channel {
    pub keys: SessionKeys,
    pub chain: [u8; 16],
    pub counter: u32,
}

impl Channel {
    /// The MAC chaining value after this command, whose first eight bytes are its C-MAC.
    pub fn mac(&self, header: [u8; 4], sealed: &[u8]) -> [u8; 16] {
        let length = sealed.len() + 8;
        let lc = match u8::try_from(length) {
            Ok(short) => vec![short],
            Err(_) => [&[0][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
        };
        cmac(&self.keys.mac, &[&self.chain, &header, &lc, sealed]).unwrap()
    }

    /// Whole blocks, encrypted with the ICV of the present counter.
    pub fn encrypt(&self, blocks: &[u8]) -> Vec<u8> {
        aes::cbc_encrypt(&self.keys.enc, &self.icv(0), blocks).unwrap()
    }

    fn icv(&self, top: u8) -> [u8; 16] {
        let mut block = [0; 16];
        block[0] = top;
        block[12..].copy_from_slice(&self.counter.to_be_bytes());
        aes::block_encrypt(&self.keys.enc, &block).unwrap()
    }

    /// The protected data field of a command.
    pub fn seal(&mut self, header: [u8; 4], data: &[u8]) -> Vec<u8> {
        self.counter += 1;
        let sealed = if data.is_empty() { Vec::new() } else { self.encrypt(&padded(data)) };
        self.finish(header, sealed)
    }

    /// Appends the C-MAC to encrypted data, whatever they are.
    pub fn finish(&mut self, header: [u8; 4], mut sealed: Vec<u8>) -> Vec<u8> {
        self.chain = self.mac(header, &sealed);
        sealed.extend_from_slice(&self.chain[..8]);
        sealed
    }

    /// A protected command as short APDUs.
    pub fn command(&mut self, header: &str, data: &[u8]) -> Vec<Vec<u8>> {
        let header: [u8; 4] = from_hex(header).try_into().unwrap();
        let sealed = self.seal(header, data);
        apdus(header, &sealed)
    }

    /// The plain data of an answer, whose R-MAC must hold. An error status has none.
    pub fn open(&self, answer: &Answer) -> Result<Answer, String> {
        if answer.sw != 0x9000 {
            return if answer.data.is_empty() { Ok(answer.clone()) } else { Err("data with an error status".into()) };
        }
        let (sealed, mac) = answer.data.split_last_chunk::<8>().ok_or("no R-MAC")?;
        let full = cmac(&self.keys.rmac, &[&self.chain, sealed, &answer.sw.to_be_bytes()]).unwrap();
        if full[..8] != mac[..] {
            return Err("wrong R-MAC".into());
        }
        if sealed.is_empty() {
            return Ok(Answer { data: Vec::new(), sw: answer.sw });
        }
        let plain = aes::cbc_decrypt(&self.keys.enc, &self.icv(0x80), sealed).unwrap();
        let end = plain.iter().rposition(|byte| *byte != 0).filter(|end| plain[*end] == 0x80).ok_or("no padding")?;
        Ok(Answer { data: plain[..end].to_vec(), sw: answer.sw })
    }
}

/// ISO/IEC 9797-1, method 2.
pub fn padded(data: &[u8]) -> Vec<u8> {
    let mut out = [data, &[0x80]].concat();
    out.resize(out.len().next_multiple_of(16), 0);
    out
}

/// A command as short APDUs, chained where it is long, with Le 00 in the last.
pub fn apdus(header: [u8; 4], data: &[u8]) -> Vec<Vec<u8>> {
    let [cla, ins, p1, p2] = header;
    if data.is_empty() {
        return vec![vec![cla, ins, p1, p2, 0]];
    }
    let pieces: Vec<&[u8]> = data.chunks(240).collect();
    let (last, more) = pieces.split_last().unwrap();
    let head = |cla: u8, piece: &[u8]| [&[cla, ins, p1, p2, u8::try_from(piece.len()).unwrap()][..], piece].concat();
    let mut out: Vec<_> = more.iter().map(|piece| head(cla | apdu::CHAINING, piece)).collect();
    out.push([head(cla, last), vec![0]].concat());
    out
}

/// A card with everything around it.
pub struct CardRig {
    pub card: Box<dyn Card>,
    pub own: Option<Point>,
    pub own_certificate: Vec<u8>,
    pub identity_certificate: Vec<u8>,
    pub set_certificate: Vec<u8>,
    pub ca: KeyPair,
    pub terminal: KeyPair,
    pub set: KeyPair,
    pub keys: Key128,
    pub id: [u8; 16],
    /// What a slot that is filled in the channel of the last key agreement holds.
    pub resumption: Option<Arc<Key128>>,
    /// Manifest entries of what was put.
    entries: Vec<Vec<u8>>,
}

impl CardRig {
    pub fn blank(kind: &str) -> Self {
        let mut rig = Self {
            card: blank(kind, START),
            own: None,
            own_certificate: Vec::new(),
            identity_certificate: Vec::new(),
            set_certificate: Vec::new(),
            ca: new_key(),
            terminal: new_key(),
            set: new_key(),
            keys: Key128::new([0x55; 16]),
            id: [9; 16],
            resumption: None,
            entries: Vec::new(),
        };
        rig.select();
        rig
    }

    pub fn issued(kind: &str) -> Self {
        let mut rig = Self::blank(kind);
        rig.enroll(false);
        rig
    }

    pub fn private(kind: &str) -> Self {
        let mut rig = Self::blank(kind);
        rig.enroll(true);
        rig
    }

    /// One APDU, and its pieces by GET RESPONSE.
    pub fn send(&mut self, apdu: &[u8]) -> Answer {
        let mut data = Vec::new();
        let mut answer = self.card.process(apdu);
        loop {
            let sw = answer.split_last_chunk::<2>().map(|(_, sw)| u16::from_be_bytes(*sw)).expect("a status");
            data.extend_from_slice(&answer[..answer.len() - 2]);
            if sw >> 8 != 0x61 {
                return Answer { data, sw };
            }
            answer = self.card.process(&[0, 0xC0, 0, 0, 0]);
        }
    }

    /// The status of one APDU in hexadecimal.
    pub fn raw(&mut self, digits: &str) -> u16 {
        self.send(&from_hex(digits)).sw
    }

    /// Several APDUs, of which only the last may fail; its answer, or the first other one than 9000.
    pub fn chain(&mut self, apdus: &[Vec<u8>]) -> Answer {
        let (last, pieces) = apdus.split_last().unwrap();
        for piece in pieces {
            let answer = self.send(piece);
            if answer.sw != 0x9000 {
                return answer;
            }
        }
        self.send(last)
    }

    /// A plain command.
    pub fn plain(&mut self, header: &str, data: &[u8]) -> Answer {
        let header: [u8; 4] = from_hex(header).try_into().unwrap();
        self.chain(&apdus(header, data))
    }

    pub fn select(&mut self) -> Vec<u8> {
        let answer = self.send(&from_hex(SELECT));
        assert_eq!(answer.sw, 0x9000);
        answer.data
    }

    pub fn verify_certificate(&mut self, certificate: &[u8]) -> u16 {
        self.plain("802A0310", certificate).sw
    }

    /// The answer to MUTUAL AUTHENTICATE, and the channel when it was 9000. The receipt is checked.
    pub fn agree(&mut self, kvn: u8, card_key: &Point) -> (u16, Option<Channel>) {
        let ephemeral = new_key();
        let request = scp11::request(ephemeral.public());
        let answer = self.plain(&format!("8082{kvn:02X}11"), &request);
        if answer.sw != 0x9000 {
            return (answer.sw, None);
        }
        let point = Point::parse(&answer.data[3..68]).unwrap();
        let fixed = self.terminal.agree(card_key).unwrap();
        let derived = scp11::derive(&ephemeral.agree(&point).unwrap(), &fixed).unwrap();
        let receipt = derived.receipt(&request, &answer.data[..68]).unwrap();
        self.resumption = Some(derived.resumption);
        let right = answer.data[68..] == [&[0x86, 0x10][..], &receipt].concat();
        (answer.sw, right.then_some(Channel { keys: derived.keys, chain: receipt, counter: 0 }))
    }

    /// SELECT, a certificate of this class, key agreement with the token's own key: awaits the first C-MAC.
    pub fn agreed(&mut self, class: u8) -> Channel {
        let draft = Draft::new(class, self.terminal.public(), &self.ca);
        self.agreed_with(&draft)
    }

    pub fn agreed_with(&mut self, draft: &Draft) -> Channel {
        let key = self.own.expect("an own key");
        self.handshake(draft, KVN_OWN, &key)
    }

    pub fn under_set_key(&mut self, class: u8) -> Channel {
        let draft = Draft::new(class, self.terminal.public(), &self.ca);
        let key = *self.set.public();
        self.handshake(&draft, 1, &key)
    }

    fn handshake(&mut self, draft: &Draft, kvn: u8, key: &Point) -> Channel {
        self.select();
        let certificate = draft.sign(&self.ca);
        assert_eq!(self.verify_certificate(&certificate), 0x9000);
        self.agree(kvn, key).1.expect("a right receipt")
    }

    /// An open channel: the first C-MAC was accepted.
    pub fn open(&mut self, class: u8) -> Channel {
        let mut channel = self.agreed(class);
        assert_eq!(self.status(&mut channel, "04CABF21", &from_hex("A60483021141")), 0x9000);
        channel
    }

    pub fn secure(&mut self, channel: &mut Channel, header: &str, data: &[u8]) -> Answer {
        let apdus = channel.command(header, data);
        let answer = self.chain(&apdus);
        channel.open(&answer).unwrap_or_else(|fault| panic!("{header}: {fault}"))
    }

    pub fn status(&mut self, channel: &mut Channel, header: &str, data: &[u8]) -> u16 {
        self.secure(channel, header, data).sw
    }

    pub fn accept(&mut self, channel: &mut Channel, header: &str, data: &[u8]) -> Vec<u8> {
        let answer = self.secure(channel, header, data);
        assert_eq!(answer.sw, 0x9000, "{header}");
        answer.data
    }

    /// INITIALIZE UPDATE with these static keys, and what EXTERNAL AUTHENTICATE has to say: its data, and the channel.
    pub fn initialize(&mut self, key: &Key128) -> (Vec<u8>, Channel) {
        let host = [7; 8];
        let answer = self.plain("80500000", &host);
        assert_eq!((answer.sw, answer.data.len()), (0x9000, 29));
        let context: [u8; 16] = [&host[..], &answer.data[13..21]].concat().try_into().unwrap();
        let derived = |constant| Key128::new(kdf::scp03_block(key, constant, 128, &context).unwrap());
        let keys = SessionKeys { enc: derived(4), mac: derived(6), rmac: derived(7), dek: key.clone() };
        let cryptogram = kdf::scp03_block(&keys.mac, 1, 64, &context).unwrap();
        let mut channel = Channel { keys, chain: [0; 16], counter: 0 };
        let data = channel.finish([0x84, 0x82, 0x33, 0], cryptogram[..8].to_vec());
        (data, channel)
    }

    /// An SCP03 session: the role of enrollment.
    pub fn scp03(&mut self, key: &Key128) -> Channel {
        let (data, channel) = self.initialize(key);
        assert_eq!(self.plain("84823300", &data).sw, 0x9000);
        channel
    }

    fn object(&mut self, tag: &str, kvn: u8, value: &[u8]) {
        self.entries.push([&from_hex(tag)[..], &[kvn], &sha256(&[value])].concat());
    }

    pub fn manifest(&self) -> [u8; 32] {
        let mut entries = self.entries.clone();
        entries.sort();
        sha256(&[&entries.concat()])
    }

    /// Everything up to, and without, SET STATUS ISSUED. The SCP03 session stays open.
    pub fn prepare(&mut self, private: bool) -> Channel {
        let mut channel = self.scp03(&Key128::new(START));
        self.accept(&mut channel, "84F04007", &[]);
        let keys = put_keys(&self.keys, &channel.keys.dek);
        self.accept(&mut channel, "84D80081", &keys);
        let check = aes::check_value(&self.keys).unwrap();
        self.entries = (1..=3).map(|kid| [&[kid, 1][..], &check].concat()).collect();
        let ca = *self.ca.public();
        self.accept(&mut channel, "84D80010", &ca_key(3, &ca));
        self.entries.push([&[0x10, 3][..], ca.as_bytes()].concat());
        self.own_key(&mut channel);
        self.identity_key(&mut channel);
        let mode = [&[u8::from(private)][..], &self.id].concat();
        self.accept(&mut channel, "84DA0100", &mode);
        self.object("0100", 0, &mode);
        self.accept(&mut channel, "84DA0101", &RECORD);
        self.object("0101", 0, &RECORD);
        if private {
            self.set_key(&mut channel);
        }
        channel
    }

    /// A certificate of this token's, as terminals expect it: its subject is the token id.
    pub fn certify(&self, class: u8, key: &Point) -> Vec<u8> {
        let mut draft = Draft::new(class, key, &self.ca);
        draft.fields[5] = name(&uuid::Uuid::from_bytes(self.id).to_string());
        draft.sign(&self.ca)
    }

    fn own_key(&mut self, channel: &mut Channel) {
        let answer = self.accept(channel, "84F10011", &[KVN_OWN, 0xF0, 1, 0]);
        let point = Point::parse(tlv::only(&answer, 0xB0).unwrap()).unwrap();
        self.own = Some(point);
        self.own_certificate = self.certify(ECKA, &point);
        let certificate = self.own_certificate.clone();
        self.accept(channel, "84E29000", &store(KVN_OWN, &certificate));
        self.entries.push([&[0x11, KVN_OWN][..], point.as_bytes()].concat());
        self.object("BF21", KVN_OWN, &certificate);
    }

    fn identity_key(&mut self, channel: &mut Channel) {
        let answer = self.accept(channel, "84F10021", &[1, 0xF0, 1, 0]);
        let point = Point::parse(tlv::only(&answer, 0xB0).unwrap()).unwrap();
        self.identity_certificate = self.certify(IDENTITY, &point);
        let certificate = self.identity_certificate.clone();
        self.accept(channel, "84DA7F21", &certificate);
        self.entries.push([&[0x21, 1][..], point.as_bytes()].concat());
        self.object("7F21", 0, &certificate);
    }

    fn set_key(&mut self, channel: &mut Channel) {
        let data = set_key(1, &self.set, &channel.keys.dek);
        self.accept(channel, "84D80011", &data);
        let point = *self.set.public();
        self.set_certificate = Draft::new(SET, &point, &self.ca).sign(&self.ca);
        let certificate = self.set_certificate.clone();
        self.accept(channel, "84E29000", &store(1, &certificate));
        self.entries.push([&[0x11, 1][..], point.as_bytes()].concat());
        self.object("BF21", 1, &certificate);
    }

    fn enroll(&mut self, private: bool) {
        let mut channel = self.prepare(private);
        let manifest = self.manifest();
        self.accept(&mut channel, "84F0401F", &manifest);
        self.select();
    }

    pub fn set_status(&mut self, state: u8) {
        let mut channel = self.agreed(ADMIN);
        self.accept(&mut channel, &format!("84F040{state:02X}"), &[]);
        self.select();
    }
}

pub fn new_key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

/// PUT KEY of an SCP03 set, all three alike.
pub fn put_keys(key: &Key128, dek: &Key128) -> Vec<u8> {
    let sealed = aes::cbc_encrypt(dek, &[0; 16], key.expose()).unwrap();
    let block = [&[0x88, 0x10][..], &sealed, &[3], &aes::check_value(key).unwrap()].concat();
    [&[1][..], &block, &block, &block].concat()
}

pub fn ca_key(kvn: u8, point: &Point) -> Vec<u8> {
    [&[kvn, 0xB0, 0x41][..], point.as_bytes(), &[0xF0, 1, 0, 0]].concat()
}

pub fn set_key(kvn: u8, key: &KeyPair, dek: &Key128) -> Vec<u8> {
    let sealed = aes::cbc_encrypt(dek, &[0; 16], &*key.scalar().unwrap()).unwrap();
    [&[kvn, 0xB1, 0x20][..], &sealed, &[0xF0, 1, 0, 0]].concat()
}

pub fn store(kvn: u8, certificate: &[u8]) -> Vec<u8> {
    [&[0xA6, 4, 0x83, 2, 0x11, kvn][..], &tlv::object(0xBF21, certificate)].concat()
}

pub fn part(offset: u16, data: &[u8]) -> Vec<u8> {
    [&[0x54, 2][..], &offset.to_be_bytes(), &tlv::object(0x53, data)].concat()
}

pub fn commit(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&[0x80, 2][..], &length, &[0x81, 32], &sha256(&[data])].concat()
}
