//! Our terminal against a card that lies in every way at every exchange of a tap: a clear error, nothing learned, no
//! session, and a bounded time.

use std::sync::atomic::Ordering;

use rollcall::{card::link::LinkError, failure::ExitClass};

use crate::{
    guard::ATTACKS,
    tap_rig::{Liar, Lie, MapMemory, credentials, proved, tap},
    terminal::CardRig,
};

/// Exchanges that one tap may take, however the card answers: two attempts, and an answer in 64 pieces.
const EXCHANGES: usize = 100;

/// The honest answers of one tap by a terminal that has never seen this token.
fn honest(rig: &mut CardRig) -> Vec<Vec<u8>> {
    rig.card.reset();
    let (credentials, id) = (credentials(rig), rig.id);
    let mut card = Liar::honest(rig);
    let tapped = tap(&credentials, &MapMemory::default(), &mut card);
    assert_eq!(proved(&tapped), Some(id), "{:?}", tapped.result);
    card.answers
}

struct Trial {
    rig: CardRig,
    earlier: Vec<Vec<u8>>,
}

impl Trial {
    fn new(kind: &str, private: bool) -> Self {
        let mut rig = if private { CardRig::private(kind) } else { CardRig::issued(kind) };
        let earlier = honest(&mut rig);
        assert_eq!(earlier.len(), 9, "exchanges at first sight");
        Self { rig, earlier }
    }

    /// One tap of the lying card.
    fn lie(&mut self, at: usize, lie: &Lie, for_ever: bool, memory: &MapMemory) {
        self.rig.card.reset();
        let (credentials, id) = (credentials(&self.rig), self.rig.id);
        let genuine =
            [self.rig.own_certificate.clone(), self.rig.identity_certificate.clone(), self.rig.set_certificate.clone()];
        let mut card =
            Liar { at, lie: Some(lie.clone()), for_ever, earlier: &self.earlier, ..Liar::honest(&mut self.rig) };
        let tapped = tap(&credentials, memory, &mut card);
        let (exchanges, lied) = (card.answers.len(), card.lied);
        let what = format!("exchange {at}: {lie:?}, for ever: {for_ever}");
        assert!(exchanges <= EXCHANGES, "{what}: {exchanges} exchanges");
        for (_, der) in &tapped.learned {
            assert!(der.as_ref().is_none_or(|der| genuine.contains(der)), "{what}: it learned a forged certificate");
        }
        if !lied {
            return assert_eq!(proved(&tapped), Some(id), "{what}");
        }
        ATTACKS.fetch_add(1, Ordering::Relaxed);
        let Some(failure) = tapped.failure() else {
            // It was asked again, as ISO/IEC 7816-4 has it for 6Cxx, or selected anew, and then told the truth.
            assert!(exchanges > self.earlier.len(), "{what}: the lie was taken");
            return assert_eq!(proved(&tapped), Some(id), "{what}");
        };
        assert!(tapped.session.is_none(), "{what}: a session is left");
        let exits = [ExitClass::No, ExitClass::CardLeft, ExitClass::Busy, ExitClass::Protocol, ExitClass::Refused];
        assert!(exits.contains(&failure.class), "{what}: {failure:?}");
        assert!(failure.hint.is_some() && !failure.message.is_empty(), "{what}: {failure:?}");
    }

    /// Every exchange with these lies; then the honest card is read as ever.
    fn everywhere(&mut self, lies: &dyn Fn(&[u8]) -> Vec<Lie>) {
        for at in 0..self.earlier.len() {
            for lie in lies(&self.earlier[at].clone()) {
                self.lie(at, &lie, false, &MapMemory::default());
            }
        }
        assert_eq!(honest(&mut self.rig).len(), self.earlier.len());
    }
}

/// Open and private tokens. It is the terminal that is tested: with the applet, one mode and every fifth lie.
fn both_modes(kind: &str, lies: &dyn Fn(&[u8]) -> Vec<Lie>) {
    if kind == "applet" {
        return Trial::new(kind, false).everywhere(&|answer| lies(answer).into_iter().step_by(5).collect());
    }
    for private in [false, true] {
        Trial::new(kind, private).everywhere(lies);
    }
}

/// Status words that a card may answer with: refusals, warnings, transport, and nonsense.
const STATUSES: [u16; 24] = [
    0x9000, 0x9001, 0x9100, 0x0000, 0xFFFF, 0x6100, 0x6101, 0x6110, 0x61FF, 0x6200, 0x6283, 0x6300, 0x63C0, 0x6700,
    0x6883, 0x6982, 0x6985, 0x6A80, 0x6A82, 0x6A88, 0x6C10, 0x6D00, 0x6E00, 0x6F00,
];

case!(EachCard, card_that_answers_another_status);
fn card_that_answers_another_status(kind: &str) {
    both_modes(kind, &|_| {
        let with = STATUSES.iter().filter(|status| **status >> 8 != 0x61).map(|status| Lie::WithStatus(*status));
        STATUSES.iter().map(|status| Lie::Status(*status)).chain(with).collect()
    });
}

/// How thickly answers are bent: in every byte where it costs little.
fn step(kind: &str) -> usize {
    if kind == "virtual" { 1 } else { 7 }
}

case!(EachCard, card_that_changes_a_bit);
fn card_that_changes_a_bit(kind: &str) {
    both_modes(kind, &|answer| {
        (0..answer.len() - 2).step_by(step(kind)).map(|byte| Lie::Flip(byte * 8 + byte % 8)).collect()
    });
}

case!(EachCard, card_that_cuts_its_answers);
fn card_that_cuts_its_answers(kind: &str) {
    both_modes(kind, &|answer| (0..answer.len()).step_by(step(kind)).map(Lie::Cut).collect());
}

fn nonsense() -> Vec<Vec<u8>> {
    let ok = |data: &[u8]| [data, &[0x90, 0]].concat();
    let deep = |tag: &[u8], levels: usize| {
        let mut object = vec![5, 0];
        for _ in 0..levels {
            let length = u16::try_from(object.len()).unwrap().to_be_bytes();
            object = [tag, &[0x82], &length, &object].concat();
        }
        object
    };
    vec![
        vec![],
        vec![0x90],
        ok(&[0; 256]),
        ok(&[0xFF; 256]),
        ok(&[0; 4096]),
        ok(&[0x30; 4097]),
        ok(&vec![0x6F; 65_536]),
        ok(&deep(&[0x6F], 500)),
        ok(&deep(&[0x30], 500)),
        ok(&[0x30, 0x80, 0x30, 0x80, 0x30, 0x80]),
        ok(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
        ok(&[0x6F, 0x83, 0xFF, 0xFF, 0xFF]),
        ok(&[0x7F; 300]),
        ok(&[0x5F, 0x49, 0x41, 4]),
        ok(&[0x86; 20]),
        ok(&[0x30; 200]),
    ]
}

case!(EachCard, card_that_answers_something_else);
fn card_that_answers_something_else(kind: &str) {
    both_modes(kind, &|_| {
        let mut lies: Vec<_> = nonsense().into_iter().map(Lie::Instead).collect();
        lies.extend([vec![0], vec![0x80, 1, 0], vec![0; 300], vec![0; 5000]].map(Lie::More));
        lies.extend([Lie::Previous, Lie::Earlier]);
        let errors = [
            LinkError::CardRemoved,
            LinkError::CardReset,
            LinkError::CardMute,
            LinkError::TimedOut,
            LinkError::Malformed(1),
            LinkError::Other("SCARD_F_COMM_ERROR".into()),
        ];
        lies.extend(errors.map(Lie::Break));
        lies
    });
}

fn endless() -> Vec<Lie> {
    let more = |data: &[u8], status: u16| Lie::Instead([data, &status.to_be_bytes()].concat());
    let mut lies = vec![
        more(&[], 0x6100),
        more(&[], 0x61FF),
        more(&[0x30; 255], 0x6100),
        more(&[0x30; 256], 0x61FF),
        more(&[0x6F; 1], 0x6101),
        more(&[], 0x6C00),
        more(&[], 0x6CFF),
        more(&[0; 256], 0x6C10),
        Lie::Earlier,
        Lie::Previous,
        Lie::More(vec![0; 4000]),
    ];
    lies.extend(STATUSES.map(Lie::Status));
    lies.extend(nonsense().into_iter().map(Lie::Instead));
    lies
}

case!(EachCard, card_that_lies_for_ever);
fn card_that_lies_for_ever(kind: &str) {
    let thin = if kind == "virtual" { 1 } else { 5 };
    let mut trial = Trial::new(kind, false);
    for at in 0..trial.earlier.len() {
        for lie in endless().into_iter().step_by(thin) {
            trial.lie(at, &lie, true, &MapMemory::default());
        }
    }
}

case!(EachCard, card_that_lies_to_who_remembers_it);
/// A terminal that has cached the token's certificates: the handshake comes sooner, and is tried twice at most.
fn card_that_lies_to_who_remembers_it(kind: &str) {
    let mut trial = Trial::new(kind, false);
    let memory = MapMemory::default();
    trial.rig.card.reset();
    let (known, id) = (credentials(&trial.rig), trial.rig.id);
    let learned = tap(&known, &memory, &mut Liar::honest(&mut trial.rig)).learned;
    memory.0.borrow_mut().extend(learned.into_iter().filter_map(|(item, der)| Some((item, der?))));
    trial.rig.card.reset();
    let mut card = Liar::honest(&mut trial.rig);
    assert_eq!(proved(&tap(&known, &memory, &mut card)), Some(id));
    let answers = card.answers;
    assert_eq!(answers.len(), 5, "exchanges of a warm tap");
    trial.earlier.clone_from(&answers);
    for (at, answer) in answers.iter().enumerate() {
        let flips = (0..answer.len() - 2).step_by(step(kind) * 5).map(|byte| Lie::Flip(byte * 8 + byte % 8));
        let lies: Vec<_> = STATUSES.map(Lie::Status).into_iter().chain(flips).collect();
        for lie in lies {
            for for_ever in [false, true] {
                trial.lie(at, &lie, for_ever, &memory);
            }
        }
    }
}

/// Whole pages that this process holds, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4
}

case!(Virtual, card_that_lies_ten_thousand_times);
/// In a separate process, where nothing else allocates memory.
fn card_that_lies_ten_thousand_times(kind: &str) {
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .env("ROLLCALL_TEST_MEMORY", kind)
        .output()
        .expect("the test itself starts");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    ATTACKS.fetch_add(ANSWERS, Ordering::Relaxed);
}

const ANSWERS: usize = 10_000;
const GROWTH: usize = 4 * 1024;

/// 10,000 hostile answers after a thousand to warm up, and what memory they left behind, at most 4 MiB.
pub fn measure_memory(kind: &str) {
    let mut trial = Trial::new(kind, false);
    let lies = endless();
    let mut run = |answers: usize| {
        for n in 0..answers {
            trial.lie(n % 9, &lies[n / 9 % lies.len()], true, &MapMemory::default());
        }
    };
    run(1000);
    let before = resident();
    run(ANSWERS);
    let growth = resident().saturating_sub(before);
    println!("{growth} KiB more after {ANSWERS} hostile answers");
    assert!(growth <= GROWTH, "{growth} KiB");
}
