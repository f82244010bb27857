//! A terminal in the same process: certificates, both handshakes, and secure messaging over the real client code.

use std::sync::{Arc, Mutex};

use crate::{
    card::{
        apdu::{ApduFormat, Command, Response},
        chaining::exchange,
        status::Status,
        tlv,
    },
    channel::{
        Step,
        messaging::Messaging,
        scp03::{self, StaticKeys},
        scp11::{Handshake, Offer, Opened},
    },
    crypto::{
        Key128, aes,
        ec::{KeyPair, Point},
        random::{Random, SystemRandom, bytes},
        sha256,
    },
    emulator::{PersistentState, SoftwareToken, StateStore, StateStoreError},
};

/// The states that a token saved, and whether saving fails.
#[derive(Clone, Default)]
pub(super) struct Recorder(pub(super) Arc<Mutex<Vec<Vec<u8>>>>, pub(super) Arc<Mutex<bool>>);

impl StateStore for Recorder {
    fn save(&mut self, state: &PersistentState) -> Result<(), StateStoreError> {
        if *self.1.lock().unwrap() {
            return Err(StateStoreError::InUse("nowhere".into()));
        }
        self.0.lock().unwrap().push(state.to_file().unwrap().to_vec());
        Ok(())
    }
}

pub(super) const READ: u8 = 1;
pub(super) const WRITE: u8 = 2;
pub(super) const ADMIN: u8 = 3;
pub(super) const ECKA: u8 = 8;
pub(super) const SET: u8 = 9;
pub(super) const IDENTITY: u8 = 10;
pub(super) const NOW: &str = "261101000000";
pub(super) const LATER: &str = "361030000000";

pub(super) fn new_key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

/// A draft of a certificate: every field can be altered before it is signed.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) class: u8,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) point: Vec<u8>,
    pub(super) usage: Vec<u8>,
    pub(super) authority: Vec<u8>,
    pub(super) more_extensions: Vec<u8>,
    pub(super) subject: Vec<u8>,
}

impl Draft {
    pub(super) fn new(class: u8, key: &Point, ca: &KeyPair) -> Self {
        Self {
            class,
            not_before: NOW.to_owned(),
            not_after: LATER.to_owned(),
            point: key.as_bytes().to_vec(),
            usage: if class == IDENTITY { vec![3, 2, 7, 0x80] } else { vec![3, 2, 3, 8] },
            authority: ca.public().key_identifier().to_vec(),
            more_extensions: Vec::new(),
            subject: b"somebody".to_vec(),
        }
    }

    pub(super) fn sign(&self, ca: &KeyPair) -> Vec<u8> {
        let tbs = self.tbs();
        let algorithm = hex::decode("300a06082a8648ce3d040302").unwrap();
        let signature = [&[0][..], &ca.sign(&tbs).unwrap()].concat();
        tlv::object(0x30, &[tbs, algorithm, tlv::object(3, &signature)].concat())
    }

    fn tbs(&self) -> Vec<u8> {
        let name = |text: &[u8]| {
            let attribute = [&[6, 3, 0x55, 4, 3][..], &tlv::object(0x0C, text)].concat();
            tlv::object(0x30, &tlv::object(0x31, &tlv::object(0x30, &attribute)))
        };
        let time = |digits: &str| tlv::object(0x17, format!("{digits}Z").as_bytes());
        let key = hex::decode("301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        let class = [&hex::decode("060a2b0601040181fd5952").unwrap()[..], &[self.class]].concat();
        let extensions = [
            extension(15, true, &self.usage),
            extension(35, false, &tlv::object(0x30, &tlv::object(0x80, &self.authority))),
            extension(37, false, &tlv::object(0x30, &class)),
            self.more_extensions.clone(),
        ]
        .concat();
        let fields = [
            hex::decode("a003020102").unwrap(),
            tlv::object(2, &[0x11; 8]),
            hex::decode("300a06082a8648ce3d040302").unwrap(),
            name(b"Rollcall CA"),
            tlv::object(0x30, &[time(&self.not_before), time(&self.not_after)].concat()),
            name(&self.subject),
            tlv::object(0x30, &[key, self.point.clone()].concat()),
            tlv::object(0xA3, &tlv::object(0x30, &extensions)),
        ];
        tlv::object(0x30, &fields.concat())
    }
}

/// An extension under id-ce.
pub(super) fn extension(arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xFF] } else { &[] };
    tlv::object(0x30, &[&[6, 3, 0x55, 0x1D, arc][..], flag, &tlv::object(4, value)].concat())
}

/// A token and its environment.
pub(super) struct Rig {
    pub(super) token: SoftwareToken,
    pub(super) saved: Recorder,
    pub(super) ca: KeyPair,
    pub(super) terminal: KeyPair,
    pub(super) set: KeyPair,
    pub(super) start: StaticKeys,
    pub(super) keys: StaticKeys,
    pub(super) id: [u8; 16],
    /// Manifest entries of the stored objects, by their first bytes.
    pub(super) entries: Vec<Vec<u8>>,
    pub(super) private: bool,
}

/// An open channel on the terminal's side.
pub(super) struct Open {
    pub(super) messaging: Messaging,
    pub(super) binding: [u8; 32],
    /// The key that a slot would store; zeros under SCP03.
    pub(super) resumption: Key128,
    pub(super) format: ApduFormat,
}

impl Rig {
    /// A selected BLANK token with its own start keys.
    pub(super) fn blank() -> Self {
        Self::with_start_keys(StaticKeys::all(&Key128::new([0x77; 16])), Box::new(SystemRandom))
    }

    pub(super) fn with_start_keys(start: StaticKeys, random: Box<dyn Random + Send>) -> Self {
        let saved = Recorder::default();
        let state = PersistentState::blank(&start, &mut SystemRandom).unwrap();
        let mut rig = Self {
            token: SoftwareToken::new(state, Box::new(saved.clone()), random),
            saved,
            ca: new_key(),
            terminal: new_key(),
            set: new_key(),
            start,
            keys: StaticKeys::all(&Key128::new([0x55; 16])),
            id: bytes(&mut SystemRandom).unwrap(),
            entries: Vec::new(),
            private: false,
        };
        rig.select();
        rig
    }

    pub(super) fn issued() -> Self {
        let mut rig = Self::blank();
        rig.enroll(false);
        rig
    }

    pub(super) fn issued_private() -> Self {
        let mut rig = Self::blank();
        rig.enroll(true);
        rig
    }

    pub(super) fn raw(&mut self, apdu: &str) -> String {
        hex::encode_upper(self.token.process(&hex::decode(apdu.replace(' ', "")).unwrap()))
    }

    pub(super) fn send(&mut self, command: &Command) -> Response {
        exchange(&mut self.token, command, ApduFormat::Short).unwrap()
    }

    pub(super) fn select(&mut self) -> Vec<u8> {
        let answer = self.send(&Command::new(0, 0xA4, 4, 0).data(*b"\xF0ROLLCALL\x01").answered());
        assert!(answer.status.is_ok());
        answer.data
    }

    pub(super) fn scp03(&mut self, keys: &StaticKeys) -> Open {
        let (command, state) = scp03::begin(bytes(&mut SystemRandom).unwrap());
        let response = self.send(&command);
        let (_, choose) = state.handle(response).unwrap();
        let Step::Send(command, state) = choose.with(keys).unwrap() else { panic!("no step") };
        let response = self.send(&command);
        Open {
            messaging: state.handle(response).unwrap(),
            binding: [0; 32],
            resumption: Key128::new([0; 16]),
            format: ApduFormat::Short,
        }
    }

    /// Select, certificate, key agreement: the channel awaits its first C-MAC.
    pub(super) fn agree(&mut self, draft: &Draft, kvn: u8, key: &Point) -> Open {
        let select = self.select();
        let certificate = draft.sign(&self.ca);
        let offer = Offer {
            select: &select,
            terminal_key: &self.terminal.clone(),
            terminal_certificate: &certificate,
            ca_kvn: 3,
            card_key: key,
            card_kvn: kvn,
            ephemeral: new_key(),
        };
        let mut step = Handshake::begin(offer).unwrap();
        loop {
            match step {
                Step::Send(command, next) => {
                    let response = self.send(&command);
                    step = next.handle(response).unwrap();
                }
                Step::Done(opened) => {
                    let Opened { messaging, binding, resumption } = opened;
                    let resumption = (*resumption).clone();
                    return Open { messaging, binding, resumption, format: ApduFormat::Short };
                }
            }
        }
    }

    pub(super) fn role(&mut self, class: u8) -> Open {
        let draft = Draft::new(class, self.terminal.public(), &self.ca);
        let key = self.own_point();
        self.agree(&draft, 0x41, &key)
    }

    pub(super) fn under_set_key(&mut self, class: u8) -> Open {
        let draft = Draft::new(class, self.terminal.public(), &self.ca);
        let key = *self.set.public();
        self.agree(&draft, 1, &key)
    }

    pub(super) fn own_point(&self) -> Point {
        *self.token.state().ecka(0x41).unwrap().pair.0.public()
    }

    pub(super) fn secure(&mut self, open: &mut Open, command: &Command) -> Response {
        let format = open.format;
        let wrapped = open.messaging.wrap(command, format).unwrap();
        let response = exchange(&mut self.token, &wrapped, format).unwrap();
        open.messaging.unwrap(&response).unwrap()
    }

    /// Sends a command in the channel, header and data in hexadecimal; returns the status.
    pub(super) fn status(&mut self, open: &mut Open, header: &str, data: &str) -> u16 {
        self.answer(open, header, data).status.0
    }

    pub(super) fn answer(&mut self, open: &mut Open, header: &str, data: &str) -> Response {
        self.bytes(open, header, &hex::decode(data.replace(' ', "")).unwrap())
    }

    pub(super) fn bytes(&mut self, open: &mut Open, header: &str, data: &[u8]) -> Response {
        let [cla, ins, p1, p2] = hex::decode(header.replace(' ', "")).unwrap().try_into().unwrap();
        self.secure(open, &Command::new(cla, ins, p1, p2).data(data).answered())
    }

    pub(super) fn accept(&mut self, open: &mut Open, header: &str, data: &[u8]) -> Vec<u8> {
        let response = self.bytes(open, header, data);
        assert_eq!(response.status, Status::OK, "{header}");
        response.data
    }

    fn object(&mut self, tag: &str, kvn: u8, value: &[u8]) {
        let entry = [&hex::decode(tag).unwrap()[..], &[kvn], &sha256(&[value])].concat();
        self.entries.push(entry);
    }

    pub(super) fn manifest(&self) -> [u8; 32] {
        let mut entries = self.entries.clone();
        entries.sort();
        sha256(&[&entries.concat()])
    }

    /// The enrollment up to, but without, SET STATUS ISSUED. The session stays open.
    pub(super) fn prepare(&mut self, private: bool) -> Open {
        self.private = private;
        let (start, keys) = (self.start.clone(), self.keys.clone());
        let mut open = self.scp03(&start);
        self.accept(&mut open, "84F04007", &[]);
        let set = put_keys(&keys, open.messaging.dek().unwrap());
        self.accept(&mut open, "84D80081", &set);
        let check = aes::check_value(&keys.enc).unwrap();
        self.entries = (1..=3).map(|kid| [&[kid, 1][..], &check].concat()).collect();
        let ca = *self.ca.public();
        self.accept(&mut open, "84D80010", &ca_key(3, &ca));
        self.entries.push([&[0x10, 3][..], ca.as_bytes()].concat());
        self.own_key(&mut open);
        self.identity(&mut open);
        let mode = [&[u8::from(private)][..], &self.id].concat();
        self.accept(&mut open, "84DA0100", &mode);
        self.object("0100", 0, &mode);
        self.accept(&mut open, "84DA0101", &RECORD);
        self.object("0101", 0, &RECORD);
        if private {
            self.set_key(&mut open, 1);
        }
        open
    }

    /// A certificate of this token: its subject is the token id.
    fn draft(&self, class: u8, point: &Point) -> Draft {
        let subject = uuid::Uuid::from_bytes(self.id).to_string().into_bytes();
        Draft { subject, ..Draft::new(class, point, &self.ca) }
    }

    fn own_key(&mut self, open: &mut Open) {
        let answer = self.accept(open, "84F10011", &[0x41, 0xF0, 1, 0]);
        let point = Point::parse(tlv::only(&answer, 0xB0).unwrap()).unwrap();
        let certificate = self.draft(ECKA, &point).sign(&self.ca);
        self.accept(open, "84E29000", &store(0x41, &certificate));
        self.entries.push([&[0x11, 0x41][..], point.as_bytes()].concat());
        self.object("BF21", 0x41, &certificate);
    }

    fn identity(&mut self, open: &mut Open) {
        let answer = self.accept(open, "84F10021", &[1, 0xF0, 1, 0]);
        let point = Point::parse(tlv::only(&answer, 0xB0).unwrap()).unwrap();
        let certificate = self.draft(IDENTITY, &point).sign(&self.ca);
        self.accept(open, "84DA7F21", &certificate);
        self.entries.push([&[0x21, 1][..], point.as_bytes()].concat());
        self.object("7F21", 0, &certificate);
    }

    pub(super) fn set_key(&mut self, open: &mut Open, kvn: u8) {
        let data = set_key(kvn, &self.set, open.messaging.dek().unwrap());
        assert_eq!(self.accept(open, "84D80011", &data), [kvn]);
        let point = *self.set.public();
        let certificate = Draft::new(SET, &point, &self.ca).sign(&self.ca);
        self.accept(open, "84E29000", &store(kvn, &certificate));
        self.entries.push([&[0x11, kvn][..], point.as_bytes()].concat());
        self.object("BF21", kvn, &certificate);
    }

    pub(super) fn enroll(&mut self, private: bool) {
        let mut open = self.prepare(private);
        let manifest = self.manifest();
        self.accept(&mut open, "84F0401F", &manifest);
        self.select();
    }
}

/// `{1: "a", 2: "b"}`.
pub(super) const RECORD: [u8; 7] = [0xA2, 1, 0x61, b'a', 2, 0x61, b'b'];

pub(super) fn put_keys(keys: &StaticKeys, dek: &Key128) -> Vec<u8> {
    let mut data = vec![1];
    for key in [&keys.enc, &keys.mac, &keys.dek] {
        data.extend([0x88, 0x10]);
        data.extend(aes::cbc_encrypt(dek, &[0; 16], key.expose()).unwrap());
        data.push(3);
        data.extend(aes::check_value(key).unwrap());
    }
    data
}

pub(super) fn ca_key(kvn: u8, point: &Point) -> Vec<u8> {
    [&[kvn, 0xB0, 0x41][..], point.as_bytes(), &[0xF0, 1, 0, 0]].concat()
}

pub(super) fn set_key(kvn: u8, key: &KeyPair, dek: &Key128) -> Vec<u8> {
    let sealed = aes::cbc_encrypt(dek, &[0; 16], &*key.scalar().unwrap()).unwrap();
    [&[kvn, 0xB1, 0x20][..], &sealed, &[0xF0, 1, 0, 0]].concat()
}

pub(super) fn store(kvn: u8, certificate: &[u8]) -> Vec<u8> {
    [&[0xA6, 4, 0x83, 2, 0x11, kvn][..], &tlv::object(0xBF21, certificate)].concat()
}
