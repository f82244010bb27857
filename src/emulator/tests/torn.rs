//! Power is lost at each write: the slot is then unchanged, has one use less, or is empty, and nothing that invalidates
//! it is done before it is emptied.

use super::{
    resumption::{PRESENCE, SLOT, filled, resume, resumed},
    rig::*,
};
use crate::{
    channel::resumption::{USES, terminal_id},
    crypto::{Key128, ec::KeyPair, random::SystemRandom},
    emulator::{PersistentState, SoftwareToken},
};

/// How many uses each of these keys has left, by the number of writes completed when power was lost.
fn left_after_each_write<const N: usize>(
    rig: &mut Rig,
    terminal: &KeyPair,
    command: impl FnOnce(&mut Rig) -> [Key128; N],
) -> Vec<[Option<u8>; N]> {
    let before = rig.saved.0.lock().unwrap().len();
    let start = rig.token.state().to_file().unwrap().to_vec();
    let keys = command(rig);
    let written = rig.saved.0.lock().unwrap()[before..].to_vec();
    let states = std::iter::once(&start).chain(&written);
    states.map(|file| keys.each_ref().map(|key| left(rig, file, terminal, key))).collect()
}

/// How many uses a card with this saved state grants under the key.
fn left(rig: &mut Rig, file: &[u8], terminal: &KeyPair, key: &Key128) -> Option<u8> {
    let state = PersistentState::from_file(file).unwrap();
    let torn = SoftwareToken::new(state, Box::new(Recorder::default()), Box::new(SystemRandom));
    let whole = std::mem::replace(&mut rig.token, torn);
    let open = resume(rig, terminal_id(terminal.public()), std::slice::from_ref(key));
    let left = open.map(|mut open| rig.accept(&mut open, PRESENCE, &[])[26] + 1);
    rig.token = whole;
    left
}

#[test]
fn a_torn_fill_leaves_the_former_slot_or_the_new_one() {
    let mut rig = Rig::issued();
    let terminal = rig.terminal.clone();
    let mut first = None;
    let left = left_after_each_write(&mut rig, &terminal, |rig| {
        let key = filled(rig);
        first = Some(key.clone());
        [key]
    });
    assert_eq!(left, [[None], [None], [Some(USES)]], "before, the counter, the slot");
    let left = left_after_each_write(&mut rig, &terminal, |rig| [first.unwrap(), filled(rig)]);
    assert_eq!(left, [[Some(USES), None], [Some(USES), None], [None, Some(USES)]]);
}

#[test]
fn a_torn_presence_costs_a_use_or_none() {
    let mut rig = Rig::issued();
    let (terminal, key) = (rig.terminal.clone(), filled(&mut rig));
    let mut present = || {
        left_after_each_write(&mut rig, &terminal, |rig| {
            let mut open = resumed(rig, &key);
            rig.accept(&mut open, PRESENCE, &[]);
            [key.clone()]
        })
    };
    for uses in (2..=USES).rev() {
        assert_eq!(present(), [[Some(uses)], [Some(uses - 1)]]);
    }
    assert_eq!(present(), [[Some(1)], [None]]);
}

#[test]
fn what_ends_a_slot_empties_it_first() {
    let ca = ca_key(4, new_key().public());
    for (header, data) in [
        ("84F0409F", Vec::new()),
        ("84D80010", ca),
        ("84F10011", vec![0x41, 0xF0, 1, 0]),
        ("04DA0104", b"261001000000".to_vec()),
        (SLOT, vec![7; 32]),
    ] {
        let mut rig = Rig::issued();
        let (terminal, key) = (rig.terminal.clone(), filled(&mut rig));
        let mut open = rig.role(ADMIN);
        rig.accept(&mut open, "04CA0100", &[]);
        let left = left_after_each_write(&mut rig, &terminal, |rig| {
            rig.accept(&mut open, header, &data);
            [key]
        });
        let expected = if header == SLOT { Some(USES) } else { None };
        assert_eq!(left, [[Some(USES)], [expected], [None]], "{header}");
    }
}
