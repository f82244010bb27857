//! Arbitrary sequences of commands: the token always answers, never hits an internal error, and its state can always be
//! loaded again.

use proptest::prelude::*;

use super::rig::*;
use crate::{card::apdu::ApduFormat, channel::scp11, emulator::PersistentState};

#[derive(Debug, Clone)]
enum Step {
    Bytes(Vec<u8>),
    Plain { cla: u8, ins: u8, p1: u8, p2: u8, data: Vec<u8>, extended: bool },
    Reset,
    Select,
    Open(u8),
    OpenUnderSet,
    Agree(u8),
    Enroll,
    Secure { ins: u8, p1p2: u16, data: Vec<u8>, extended: bool },
}

const INSTRUCTIONS: [u8; 18] =
    [0xA4, 0xC0, 0xCA, 0x2A, 0x82, 0x50, 0x88, 0xB1, 0xD7, 0xDA, 0xD8, 0xF1, 0xE2, 0xE4, 0xF0, 0x82, 0x20, 0xFF];
const NAMES: [u16; 28] = [
    0x0100, 0x0101, 0x0102, 0x0103, 0x0104, 0x7F21, 0xBF21, 0x0083, 0xFF33, 0xFF34, 0x0001, 0x9000, 0x0000, 0x4007,
    0x400F, 0x401F, 0x409F, 0x407F, 0x0081, 0x0010, 0x0011, 0x0021, 0x0310, 0x8310, 0x4111, 0x3300, 0x0400, 0x0111,
];

/// Data objects of the protocol, valid and nearly valid.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "",
        "00",
        "54020000",
        "540200005302AABB",
        "5402000053 00",
        "80020002",
        "A60483021141",
        "A60483021101",
        "41F00100",
        "01F00100",
        "D00110D20103",
        "D00111D20102",
        "D00111D20141",
        "A0",
        "323631313031303030303030",
        "0001020304050607",
        "F0524F4C4C43414C4C01",
        "A6041234",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(|w| hex::decode(w.replace(' ', "")).unwrap());
    prop_oneof![
        4 => word,
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 240..530),
        1 => prop::sample::select(vec![16_usize, 17, 32, 33]).prop_flat_map(|n| prop::collection::vec(any::<u8>(), n)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let cla = prop::sample::select(vec![0x00_u8, 0x80, 0x04, 0x84, 0x10, 0x90, 0x14, 0x94, 0x0C]);
    let plain =
        (cla, prop::sample::select(INSTRUCTIONS.to_vec()), prop::sample::select(NAMES.to_vec()), data(), any::<bool>())
            .prop_map(|(cla, ins, name, data, extended)| {
                let [p1, p2] = name.to_be_bytes();
                Step::Plain { cla, ins, p1, p2, data, extended }
            });
    let secure =
        (prop::sample::select(INSTRUCTIONS.to_vec()), prop::sample::select(NAMES.to_vec()), data(), any::<bool>())
            .prop_map(|(ins, p1p2, data, extended)| Step::Secure { ins, p1p2, data, extended });
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Step::Bytes),
        6 => plain,
        1 => Just(Step::Reset),
        2 => Just(Step::Select),
        4 => (1_u8..=3).prop_map(Step::Open),
        1 => Just(Step::OpenUnderSet),
        1 => any::<u8>().prop_map(Step::Agree),
        2 => Just(Step::Enroll),
        12 => secure,
    ]
}

/// Sends bytes and checks the invariants.
fn send(rig: &mut Rig, apdu: &[u8]) -> Result<(), TestCaseError> {
    let answer = rig.token.process(apdu);
    let status = answer.last_chunk::<2>().copied();
    prop_assert!(answer.len() <= 514, "{} bytes", answer.len());
    prop_assert!(
        matches!(status, Some([0x90, 0] | [0x61 | 0x63 | 0x67..=0x69 | 0x6A | 0x6D | 0x6E, _])),
        "{answer:02X?}"
    );
    Ok(())
}

fn run(rig: &mut Rig, open: &mut Option<Open>, step: Step) -> Result<(), TestCaseError> {
    let state = rig.token.state();
    let in_use = state.life.is_in_use();
    match step {
        Step::Bytes(bytes) => send(rig, &bytes)?,
        Step::Plain { cla, ins, p1, p2, data, extended } => {
            let mut apdu = vec![cla, ins, p1, p2];
            match u8::try_from(data.len()) {
                Ok(length) if !extended => apdu.push(length),
                _ => apdu.extend([&[0][..], &u16::try_from(data.len()).unwrap().to_be_bytes()].concat()),
            }
            apdu.extend(data);
            send(rig, &apdu)?;
        }
        Step::Reset => rig.token.reset(),
        Step::Select => {
            rig.select();
        }
        Step::Open(role) if in_use && rig.token.state().ca_keys.contains_key(&3) => *open = Some(rig.role(role)),
        Step::OpenUnderSet
            if in_use && rig.token.state().ecka(1).is_some() && rig.token.state().ca_keys.contains_key(&3) =>
        {
            *open = Some(rig.under_set_key(3));
        }
        Step::Agree(kvn) => {
            let request = scp11::request(new_key().public());
            send(rig, &[&[0x80, 0x82, kvn, 0x11, 83][..], &request].concat())?;
        }
        Step::Enroll if matches!(rig.token.state().life.byte(), 0x07 | 0x0F) => {
            rig.select();
            let keys = rig.token.state().scp03_keys().unwrap();
            *open = Some(rig.scp03(&keys));
        }
        Step::Secure { ins, p1p2, data, extended } => {
            let Some(open) = open else { return Ok(()) };
            let [p1, p2] = p1p2.to_be_bytes();
            let command = crate::card::apdu::Command::new(0x84, ins, p1, p2).data(data).answered();
            let format = if extended { ApduFormat::Extended } else { ApduFormat::Short };
            for apdu in open.messaging.wrap(&command, format).unwrap().encode(format) {
                send(rig, &apdu)?;
            }
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn always_an_answer_and_a_state_that_loads(
        issued: bool,
        private: bool,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut rig = Rig::blank();
        let mut open = Some(rig.prepare(private));
        if issued {
            let manifest = rig.manifest();
            rig.accept(open.as_mut().unwrap(), "84F0401F", &manifest);
        }
        for step in steps {
            run(&mut rig, &mut open, step)?;
            let file = rig.token.state().to_file().unwrap();
            prop_assert_eq!(&*PersistentState::from_file(&file).unwrap().to_file().unwrap(), &*file);
        }
    }

    #[test]
    fn any_bytes_have_an_answer(apdus in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)) {
        let mut rig = Rig::issued();
        for apdu in apdus {
            prop_assert!(rig.token.process(&apdu).len() >= 2);
        }
    }
}
