//! Enrollment and tap against the software token, in one process: the order of steps, resumption, and exchange counts.
//! Other tests check the software token itself (third-party client, vectors, applet).

use std::cell::RefCell;

use jiff::Timestamp;

use super::{
    Applicant, CardProgress, Certificates, Ending, EnrollError, EnrollmentReport, HolderSource, KeysToCertify, Pending,
    Personalizer, TokenAuthority, context::Completion, journal::Journal, private::SetProvider,
};
use crate::{
    api::User,
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError, Sensitivity},
    },
    channel::scp03::StaticKeys,
    crypto::{
        Key128,
        ec::{KeyPair, Point},
        random::SystemRandom,
        x509::{self, Certificate, CertificateProfile, CertificateTemplate, TerminalRole},
    },
    emulator::{PersistentState, SoftwareToken, VolatileStore},
    pki::{PersoKey, PkiError, Set, SetId},
    terminal::{
        presence::store::TerminalStore,
        tap::{Depth, Seen, Tapped, tap_card},
    },
    token::{
        TokenError,
        open::{AuthenticationContext, Credentials, RememberedItem, SlotWish, TokenMemory},
    },
};

/// A local CA, or one that stands for a remote one.
pub struct Ca {
    key: KeyPair,
    far: bool,
}

impl Ca {
    pub fn issue(&self, class: CertificateProfile, subject: &str, key: &Point) -> Vec<u8> {
        let template = CertificateTemplate {
            class,
            subject,
            key,
            not_before: "2026-11-01T00:00:00Z".parse().unwrap(),
            not_after: "2036-11-01T00:00:00Z".parse().unwrap(),
        };
        x509::issue(&self.key, "Rollcall CA", &template, &mut SystemRandom).unwrap()
    }
}

impl TokenAuthority for Ca {
    fn ca(&self) -> &Point {
        self.key.public()
    }

    fn is_here(&self) -> bool {
        !self.far
    }

    fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError> {
        let name = wanted.token_id.to_string();
        let ecka = self.issue(CertificateProfile::TokenEcka, &name, &wanted.ecka);
        Ok(Certificates { ecka, identity: self.issue(CertificateProfile::Identity, &name, &wanted.identity) })
    }
}

/// A card that is removed at the n-th exchange.
pub struct Slot {
    pub token: SoftwareToken,
    pub left: u32,
}

impl Link for Slot {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        if self.left == 0 {
            return Err(LinkError::CardRemoved);
        }
        self.left -= 1;
        Ok(self.token.process(command))
    }
}

#[derive(Default)]
struct MapMemory(RefCell<std::collections::HashMap<RememberedItem, Vec<u8>>>);

impl TokenMemory for MapMemory {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        self.0.borrow().get(item).cloned()
    }
}

pub struct EnrollmentFixture {
    pub ca: Ca,
    pub credentials: Credentials,
    memory: MapMemory,
    /// The set, for tokens in private mode.
    pub set: Option<Set>,
    folder: tempfile::TempDir,
}

impl EnrollmentFixture {
    pub fn new() -> Self {
        let ca = Ca { key: KeyPair::generate(&mut SystemRandom).unwrap(), far: false };
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let class = CertificateProfile::Terminal(TerminalRole::Admin);
        let der = ca.issue(class, "terminal", key.public());
        let certificate = Certificate::verify(&der, ca.ca(), &[class]).unwrap();
        let credentials = Credentials { ca: *ca.ca(), key, certificate, previous: None };
        Self { ca, credentials, memory: MapMemory::default(), set: None, folder: tempfile::tempdir().unwrap() }
    }

    pub fn with_context<T>(&self, format: ApduFormat, run: impl FnOnce(&mut AuthenticationContext<'_>) -> T) -> T {
        let mut context = AuthenticationContext {
            credentials: &self.credentials,
            memory: &self.memory,
            nonce: [7; 32],
            now: "2026-11-23T00:00:00Z".parse::<Timestamp>().unwrap(),
            format,
            random: &mut SystemRandom,
            learned: Vec::new(),
            slot: SlotWish::No,
            nonce_shown: false,
        };
        let result = run(&mut context);
        self.learn(context.learned);
        result
    }

    fn learn(&self, learned: Vec<(RememberedItem, Option<Vec<u8>>)>) {
        for (item, value) in learned {
            match value {
                Some(value) => self.memory.0.borrow_mut().insert(item, value),
                None => self.memory.0.borrow_mut().remove(&item),
            };
        }
    }

    pub fn tap(&self, slot: &mut Slot, format: ApduFormat, depth: Depth) -> Tapped {
        slot.token.reset();
        let mut tapped = self.with_context(format, |context| tap_card(slot, context, depth, None, None));
        self.learn(std::mem::take(&mut tapped.learned));
        tapped
    }

    pub fn enroll(&self, slot: &mut Slot, user: &User) -> Result<EnrollmentReport, EnrollError> {
        let mut sets = self.set.clone();
        self.enroll_into(slot, &mut &*user, sets.as_mut())
    }

    pub fn enroll_into<S: SetProvider>(
        &self,
        slot: &mut Slot,
        whose: &mut dyn HolderSource,
        sets: Option<&mut S>,
    ) -> Result<EnrollmentReport, EnrollError> {
        let mut authority = Ca { key: self.ca.key.clone(), far: self.ca.far };
        let mut personalizer = Personalizer {
            authority: &mut authority,
            perso: &PersoKey::File(Key128::new([9; 16])),
            start: &StaticKeys::all(&Key128::new([8; 16])),
            sets: sets.map(|sets| sets as &mut dyn SetProvider),
            journal: &Journal::new(self.folder.path()),
            format: ApduFormat::Short,
            random: &mut SystemRandom,
            progress: &mut |_| {},
        };
        let mut pending: Option<Box<Pending>> = None;
        loop {
            slot.token.reset();
            let held = pending.as_deref();
            match self.with_context(ApduFormat::Short, |context| personalizer.enroll(slot, whose, context, held))? {
                CardProgress::Done(report) => {
                    personalizer.journal.close_token(report.token_id)?;
                    return Ok(report);
                }
                CardProgress::Certify(mut wanting) => {
                    personalizer.certify(&mut wanting)?;
                    pending = Some(wanting);
                }
            }
        }
    }
}

/// The same set for every card.
impl SetProvider for Set {
    fn join(&mut self, _: &str) -> Result<Set, PkiError> {
        Ok(self.clone())
    }

    fn leave(&mut self, _: &str) -> Result<(), PkiError> {
        Ok(())
    }
}

impl EnrollmentFixture {
    /// A fixture whose tokens are private and in one set.
    pub fn private() -> Self {
        let mut fixture = Self::new();
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let der = fixture.ca.issue(CertificateProfile::SetEcka, "set 00", key.public());
        let certificate = Certificate::verify(&der, fixture.ca.ca(), &[CertificateProfile::SetEcka]).unwrap();
        fixture.set = Some(Set { id: SetId::of(&der), key, certificate });
        fixture
    }
}

pub fn blank() -> Slot {
    card(&StaticKeys::test())
}

/// A blank card with the start keys of the fixture.
pub fn ours() -> Slot {
    card(&StaticKeys::all(&Key128::new([8; 16])))
}

fn card(start: &StaticKeys) -> Slot {
    let state = PersistentState::blank(start, &mut SystemRandom).unwrap();
    Slot { token: SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom)), left: u32::MAX }
}

pub fn ada() -> User {
    User { id: "7".into(), name: "Ada Lovelace".into(), fields: [("room".into(), "B17".into())].into() }
}

pub fn wordy() -> User {
    let fields = (0..20).map(|n| (format!("field {n}"), "something to say".repeat(3))).collect();
    User { id: "8".into(), name: "José Núñez".into(), fields }
}

#[test]
fn an_enrolled_token_is_authenticated_with_its_user() {
    for user in [ada(), wordy()] {
        let fixture = EnrollmentFixture::new();
        let mut slot = blank();
        let report = fixture.enroll(&mut slot, &user).unwrap();
        assert_eq!((report.ending, report.test_keys), (Ending::Enrolled, true));
        let tapped = fixture.tap(&mut slot, ApduFormat::Short, Depth::Authenticate);
        let Ok(Seen::Authenticated(token)) = tapped.result else { panic!("{:?}", tapped.result) };
        assert_eq!((token.token_id, &token.user), (report.token_id, &user));
        assert!(matches!(fixture.enroll(&mut slot, &user), Err(EnrollError::AlreadyIssued(Some(_)))));
    }
}

/// The table of docs/protocol.md, "Exchanges in one tap".
#[test]
fn exchanges_per_tap() {
    for (format, first, warm) in [(ApduFormat::Short, 9, 5), (ApduFormat::Extended, 6, 4)] {
        let mut fixture = EnrollmentFixture::new();
        let mut slot = blank();
        fixture.enroll(&mut slot, &ada()).unwrap();
        fixture.memory = MapMemory::default();
        for expected in [first, warm, warm] {
            let tapped = fixture.tap(&mut slot, format, Depth::Authenticate);
            assert_eq!(tapped.exchanges, expected, "{format:?}: {:?}", tapped.result);
            let before = slot.left;
            tapped.session.unwrap().heartbeat(&mut slot).unwrap();
            assert_eq!(before - slot.left, 1);
        }
        let tapped = fixture.tap(&mut slot, format, Depth::Identify);
        assert_eq!(tapped.exchanges, 1);
        assert!(matches!(tapped.result, Ok(Seen::Identified(id)) if Some(id) == tapped.told));
    }
}

#[test]
fn a_card_lifted_at_any_exchange_is_finished_by_the_next_run() {
    for (user, far, private) in [
        (ada(), false, false),
        (wordy(), false, false),
        (ada(), true, false),
        (ada(), false, true),
        (ada(), true, true),
    ] {
        let mut lifted = 0;
        for exchange in 0.. {
            let mut fixture = if private { EnrollmentFixture::private() } else { EnrollmentFixture::new() };
            fixture.ca.far = far;
            let mut slot = if private { ours() } else { blank() };
            slot.left = exchange;
            match fixture.enroll(&mut slot, &user) {
                Ok(_) => break,
                Err(EnrollError::Token(TokenError::Link(LinkError::CardRemoved))) => lifted += 1,
                Err(e) => panic!("{e}"),
            }
            slot.left = u32::MAX;
            let report = fixture.enroll(&mut slot, &user).unwrap_or_else(|e| panic!("after {exchange}: {e}"));
            assert_eq!(report.test_keys, !private, "after {exchange}: nobody is warned of the test keys");
            assert_eq!(std::fs::read_dir(fixture.folder.path().join("enrollments")).unwrap().count(), 0);
        }
        assert!(lifted > 20, "{lifted}");
    }
}

#[test]
fn another_user_or_a_wrong_key_is_told_before_anything_is_sent() {
    let fixture = EnrollmentFixture::new();
    let mut slot = blank();
    slot.left = 12;
    fixture.enroll(&mut slot, &ada()).unwrap_err();
    slot.left = u32::MAX;
    let report = fixture.enroll(&mut slot, &wordy()).unwrap();
    assert_eq!((report.ending, report.test_keys), (Ending::Enrolled, true), "another user begins anew");
    let of = |user, gives_up: Option<String>| Applicant { user, portrait: None, lost: None, gives_up };
    let issued = fixture.enroll_into(&mut slot, &mut &of(ada(), None), None::<&mut Set>);
    assert!(matches!(issued, Err(EnrollError::AlreadyIssued(_))), "{issued:?}");

    let mut slot = blank();
    slot.left = 12;
    fixture.enroll(&mut slot, &ada()).unwrap_err();
    slot.left = u32::MAX;
    let refused = fixture.enroll_into(&mut slot, &mut &of(wordy(), None), None::<&mut Set>);
    let Err(EnrollError::BegunForAnother { card, user }) = refused else { panic!("{refused:?}") };
    assert_eq!(*user, ada());
    let other = fixture.enroll_into(&mut slot, &mut &of(wordy(), Some("00".repeat(10))), None::<&mut Set>);
    assert!(matches!(other, Err(EnrollError::BegunForAnother { .. })), "that of another card was given up: {other:?}");
    let report = fixture.enroll_into(&mut slot, &mut &of(wordy(), Some(card)), None::<&mut Set>).unwrap();
    assert_eq!((report.user, report.test_keys), (wordy(), true), "how the card came is not forgotten");

    let state = PersistentState::blank(&StaticKeys::all(&Key128::new([1; 16])), &mut SystemRandom).unwrap();
    slot.token = SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom));
    let before = slot.left;
    assert!(matches!(fixture.enroll(&mut slot, &ada()), Err(EnrollError::WrongStartKeys)));
    assert_eq!(before - slot.left, 2, "SELECT and INITIALIZE UPDATE only");
}

/// A remote CA is asked while no card is held; the card that comes back must be the same one.
#[test]
fn a_ca_elsewhere_is_asked_between_two_visits() {
    let mut fixture = EnrollmentFixture::new();
    fixture.ca.far = true;
    let mut slot = blank();
    let report = fixture.enroll(&mut slot, &ada()).unwrap();
    assert_eq!(report.ending, Ending::Enrolled, "one run, though it took two visits");
    let tapped = fixture.tap(&mut slot, ApduFormat::Short, Depth::Authenticate);
    assert!(matches!(tapped.result, Ok(Seen::Authenticated(_))));

    let (mut first, mut second) = (blank(), blank());
    let mut authority = Ca { key: fixture.ca.key.clone(), far: true };
    let mut personalizer = Personalizer {
        authority: &mut authority,
        perso: &PersoKey::File(Key128::new([9; 16])),
        start: &StaticKeys::all(&Key128::new([8; 16])),
        sets: None,
        journal: &Journal::new(fixture.folder.path()),
        format: ApduFormat::Short,
        random: &mut SystemRandom,
        progress: &mut |_| {},
    };
    let visited = fixture
        .with_context(ApduFormat::Short, |context| personalizer.enroll(&mut first, &mut &ada(), context, None))
        .unwrap();
    let CardProgress::Certify(mut pending) = visited else { panic!("{visited:?}") };
    personalizer.certify(&mut pending).unwrap();
    let other = fixture.with_context(ApduFormat::Short, |context| {
        personalizer.enroll(&mut second, &mut &ada(), context, Some(&pending))
    });
    assert!(matches!(other, Err(EnrollError::OtherCard)), "{other:?}");
    first.token.reset();
    let visited = fixture.with_context(ApduFormat::Short, |context| {
        personalizer.enroll(&mut first, &mut &ada(), context, Some(&pending))
    });
    assert!(
        matches!(visited, Ok(CardProgress::Done(EnrollmentReport { ending: Ending::Enrolled, .. }))),
        "{visited:?}"
    );
}

/// The counter seen by `enroll` is stored, so the proof that verified the token cannot pass as a tap.
#[test]
fn the_proof_that_verified_the_token_is_remembered() {
    let (fixture, mut slot) = (EnrollmentFixture::new(), blank());
    let report = fixture.enroll(&mut slot, &ada()).unwrap();
    let token_id = report.token_id;
    let home = tempfile::tempdir().unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    let verified = report.counter;
    Completion { report, learned: Vec::new() }.remember(&mut store).unwrap();
    assert_eq!(store.counter(token_id).unwrap(), Some(verified));
    let Ok(Seen::Authenticated(token)) = fixture.tap(&mut slot, ApduFormat::Short, Depth::Authenticate).result else {
        panic!("it was enrolled")
    };
    assert_eq!(token.counter(), verified + 1);
    assert!(!store.record_counter(token_id, verified).unwrap(), "a replay");
    assert!(store.record_counter(token_id, token.counter()).unwrap());
}

/// Certificates for another key, name or class are detected before they are written to the card.
#[test]
fn certificates_that_were_not_asked_for_are_refused() {
    struct Liar(Ca, u8);
    impl TokenAuthority for Liar {
        fn ca(&self) -> &Point {
            self.0.ca()
        }
        fn is_here(&self) -> bool {
            true
        }
        fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError> {
            let honest = self.0.certify(wanted)?;
            let other = KeyPair::generate(&mut SystemRandom).unwrap();
            let name = wanted.token_id.to_string();
            Ok(match self.1 {
                0 => Certificates { ecka: honest.identity.clone(), identity: honest.ecka },
                1 => {
                    Certificates { ecka: self.0.issue(CertificateProfile::TokenEcka, &name, other.public()), ..honest }
                }
                2 => Certificates {
                    identity: self.0.issue(CertificateProfile::Identity, &name, other.public()),
                    ..honest
                },
                3 => Certificates {
                    identity: self.0.issue(CertificateProfile::Identity, "nobody", &wanted.identity),
                    ..honest
                },
                _ => {
                    self.0.key = other;
                    self.0.certify(wanted)?
                }
            })
        }
    }
    for lie in 0..5 {
        let fixture = EnrollmentFixture::new();
        let mut authority = Liar(Ca { key: fixture.ca.key.clone(), far: false }, lie);
        let mut personalizer = Personalizer {
            authority: &mut authority,
            perso: &PersoKey::File(Key128::new([9; 16])),
            start: &StaticKeys::all(&Key128::new([8; 16])),
            sets: None,
            journal: &Journal::new(fixture.folder.path()),
            format: ApduFormat::Short,
            random: &mut SystemRandom,
            progress: &mut |_| {},
        };
        let result = fixture
            .with_context(ApduFormat::Short, |context| personalizer.enroll(&mut blank(), &mut &ada(), context, None));
        assert!(result.is_err(), "lie {lie}: {result:?}");
    }
}
