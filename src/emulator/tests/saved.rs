//! What a token saves: everything, before it answers, in a form that later releases can read.

use std::os::unix::fs::PermissionsExt;

use super::rig::*;
use crate::{
    channel::scp03::StaticKeys,
    crypto::{ec::KeyPair, random::SystemRandom},
    emulator::{FileStore, PersistentState, SoftwareToken, StateError, StateStore, StateStoreError, state::Life},
    proof::FIRST_COUNTER,
};

/// A complete private token saved by release 0.1. Its keys protect nothing.
const FIRST_FORM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/saved/virtual-token-1.json");
/// The CA that certified it.
const CA: [u8; 32] = [0x42; 32];

#[test]
fn the_state_of_every_release_still_loads() {
    let bytes = std::fs::read(FIRST_FORM).unwrap();
    let state = PersistentState::from_file(&bytes).unwrap();
    assert_eq!(*state.to_file().unwrap(), bytes);
    let mut rig = Rig::blank();
    rig.token = SoftwareToken::new(state, Box::new(Recorder::default()), Box::new(SystemRandom));
    rig.ca = KeyPair::from_scalar(&CA).unwrap();
    let mut open = rig.role(ADMIN);
    assert_eq!(rig.accept(&mut open, "04CA0101", &[]), RECORD);
    assert_eq!(rig.accept(&mut open, "04880001", &[0; 32])[20..24], [0, 0, 0, 3]);
    assert_eq!(rig.accept(&mut open, "04B10102", &[0x54, 2, 0, 0])[..4], [0x53, 2, 7, 7]);
    assert_eq!(rig.select()[25], 1);
}

#[test]
fn every_state_survives_its_file() {
    let mut rigs = [Rig::blank(), Rig::issued(), Rig::issued_private(), Rig::blank()];
    let data = [0x41, 0xF0, 1, 0];
    let mut open = rigs[3].prepare(true);
    rigs[3].accept(&mut open, "84F10011", &data);
    for rig in &rigs {
        let file = rig.token.state().to_file().unwrap();
        let again = PersistentState::from_file(&file).unwrap();
        assert_eq!(*again.to_file().unwrap(), *file);
        assert_eq!(again.manifest().unwrap(), rig.token.state().manifest().unwrap());
    }
}

#[test]
fn a_change_is_stored_before_the_answer_and_nothing_else_is() {
    let mut rig = Rig::issued();
    let mut open = rig.role(WRITE);
    rig.status(&mut open, "04CA0100", "");
    let count = |rig: &Rig| rig.saved.0.lock().unwrap().len();
    let before = count(&rig);
    for (header, data, writes) in [
        ("04CA0100", "", 0),
        ("04CA0101", "", 0),
        ("04DA0101", "A0", 1),
        ("04880001", &"00".repeat(32), 1),
        ("04DA0101", "", 0),
    ] {
        let before = count(&rig);
        rig.status(&mut open, header, data);
        assert_eq!(count(&rig) - before, writes, "{header}");
    }
    let last = rig.saved.0.lock().unwrap().last().unwrap().clone();
    assert_eq!(*rig.token.state().to_file().unwrap(), last);
    // Nothing is written before the first valid C-MAC: a stranger cannot wear out a card.
    let before_handshake = count(&rig);
    rig.select();
    rig.role(ADMIN);
    rig.raw("04CA0100 08 0000000000000000");
    assert_eq!(count(&rig), before_handshake);
    assert!(before_handshake > before);
}

#[test]
fn what_cannot_be_stored_does_not_happen() {
    let mut rig = Rig::issued();
    let mut open = rig.role(WRITE);
    rig.accept(&mut open, "04880001", &[0; 32]);
    *rig.saved.1.lock().unwrap() = true;
    assert_eq!(rig.bytes(&mut open, "04880001", &[0; 32]).status.0, 0x6F00);
    assert!(rig.token.take_fault().is_some());
    assert!(rig.token.take_fault().is_none());
    assert_eq!(rig.status(&mut open, "04DA0101", "A0"), 0x6F00);
    *rig.saved.1.lock().unwrap() = false;
    assert_eq!(rig.accept(&mut open, "04CA0101", &[]), RECORD);
    assert_eq!(rig.accept(&mut open, "04880001", &[0; 32])[20..24], (FIRST_COUNTER + 1).to_be_bytes());
}

#[test]
fn other_files_are_refused_without_being_quoted() {
    let good = String::from_utf8(Rig::issued().token.state().to_file().unwrap().to_vec()).unwrap();
    let state = |text: &str| PersistentState::from_file(text.as_bytes()).unwrap_err();
    assert!(matches!(state("{}"), StateError::Form(_)));
    assert!(state("{\n  no").to_string().ends_with("line 2, column 3"));
    assert!(matches!(state(&good.replace("virtual-token/1", "virtual-token/9")), StateError::Schema(_)));
    let key = "77".repeat(16);
    assert!(good.contains(&key));
    for bad in
        [good.replace(&key, "77"), good.replace(&key, "secret"), good.replace("issued", "lost"), good[..900].into()]
    {
        let error = state(&bad);
        assert!(matches!(&error, StateError::Form(_)));
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn nothing_secret_prints() {
    let rig = Rig::issued();
    let printed = format!("{:?} {:?}", rig.token.state(), rig.token.state().identity_key);
    assert_eq!(printed.matches("State(Issued, …)").count(), 1);
    let scalar = rig.token.state().identity_key.as_ref().unwrap().0.scalar().unwrap();
    assert!(!printed.to_lowercase().contains(&hex::encode(&scalar[..8])));
}

#[test]
fn a_file_is_private_and_belongs_to_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.json");
    let mut store = FileStore::open(&path).unwrap();
    assert!(store.load().unwrap().is_none());
    assert!(matches!(FileStore::open(&path), Err(StateStoreError::InUse(_))));
    let state = PersistentState::blank(&StaticKeys::test(), &mut SystemRandom).unwrap();
    store.save(&state).unwrap();
    store.save(&state).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(store);
    let elsewhere = FileStore::open(folder.path()).unwrap();
    assert!(matches!(elsewhere.load(), Err(StateStoreError::Io { .. })), "a folder is there, and is no state");
    let store = FileStore::open(&path).unwrap();
    let again = store.load().unwrap().unwrap();
    assert_eq!((again.life, *again.to_file().unwrap() == *state.to_file().unwrap()), (Life::Blank, true));
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(store.load(), Err(StateStoreError::State { .. })));
    assert!(matches!(FileStore::open(&folder.path().join("no/such")), Err(StateStoreError::Io { .. })));
}
