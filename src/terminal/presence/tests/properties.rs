//! Invariants of the list for arbitrary inputs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const READERS: [&str; 5] = ["field-a", "field-b", "toggle-a", "toggle-b", "until-a"];

fn reader() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&READERS[..])
}

fn reader_names() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(&READERS[..], 0..=READERS.len())
}

/// Tokens 0 to 3, mostly with one user each.
fn holder() -> impl Strategy<Value = (u8, String)> {
    (0..4_u8, prop_oneof![4 => Just(None), 1 => (0..4_u8).prop_map(Some)])
        .prop_map(|(n, other)| (n, format!("u{}", other.unwrap_or(n))))
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![(0..4_u8).prop_map(|n| format!("u{n}")), (0..4_u8).prop_map(|n| token(n).to_string())]
}

/// Any input; most are about cards.
pub(in crate::terminal::presence) fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (reader(), holder(), 0..5_u64).prop_map(|(r, (n, id), i)| tap_as(r, n, i, &id)),
        1 => (reader(), 0..4_u8, 0..5_u64).prop_map(|(r, n, i)| identified(r, n, i)),
        5 => (reader(), 0..4_u8).prop_map(|(r, n)| seen(r, n)),
        4 => reader().prop_map(lifted),
        1 => reader().prop_map(empty),
        2 => reader().prop_map(vacant),
        2 => (reader(), 0..5_u64, prop::option::of(0..4_u8), any::<bool>()).prop_map(|(r, i, n, silent)| {
            let mut input = refused(r, i, "token.mute");
            if let Input::Refused(refused) = &mut input {
                (refused.token_id, refused.silent) = (n.map(token), silent);
            }
            input
        }),
        1 => (reader(), 0..5_u64, 0..4_u8).prop_map(|(r, i, n)| {
            let mut input = refused(r, i, "token.lost");
            if let Input::Refused(refused) = &mut input {
                (refused.token_id, refused.barred) = (Some(token(n)), true);
            }
            input
        }),
        1 => (0..4_u8).prop_map(|n| Input::Barred { token_id: token(n) }),
        1 => reader().prop_map(silent),
        1 => reader_names().prop_map(|names| hang(&names)),
        1 => reader().prop_map(unavailable),
        1 => reader().prop_map(available),
        1 => reader_names().prop_map(|names| readers(&names)),
        1 => reader().prop_map(|r| Input::ReaderAdded { reader: r.to_owned() }),
        1 => reader().prop_map(|r| Input::ReaderRemoved { reader: r.to_owned() }),
        1 => Just(Input::Startup),
        1 => Just(Input::ServiceLost),
        1 => Just(Input::ServiceBack),
        2 => Just(Input::Tick),
        1 => Just(Input::Clear),
        1 => id().prop_map(|id| deny(&id)),
        2 => id().prop_map(|id| allow(&id)),
        2 => (reader(), 0..4_u8, 0..300_000_i64).prop_map(|(r, n, ms)| check_in(r, n, ms)),
        2 => (0..4_u8, 0..300_000_i64).prop_map(|(n, ms)| check_out(n, ms)),
        1 => (0..4_u8).prop_map(remove),
    ]
}

/// Inputs, each with the milliseconds that passed before it.
pub(in crate::terminal::presence) fn inputs() -> impl Strategy<Value = Vec<(i64, Input)>> {
    let pause = prop_oneof![6 => 0..100_i64, 2 => 100..10_000_i64, 1 => 10_000..70_000_i64];
    prop::collection::vec((pause, input()), 0..80)
}

/// Applies every input; `check` also gets the events of each one.
fn run(
    inputs: &[(i64, Input)],
    mut check: impl FnMut(&Input, &[Event], &PresenceList, i64),
) -> (PresenceList, Vec<Event>) {
    let (mut list, mut told, mut ms) = (PresenceList::default(), Vec::new(), 0);
    for (pause, input) in inputs {
        ms += pause;
        let new = events(list.apply(input, at(ms), &by_name));
        check(input, &new, &list, ms);
        told.extend(new);
    }
    (list, told)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn the_list_equals_a_replay_of_its_events(inputs in inputs()) {
        let mut told = Vec::new();
        run(&inputs, |_, new, list, _| {
            told.extend_from_slice(new);
            assert_eq!(replay(&told).unwrap(), list.members());
            assert_eq!(list.seq(), told.len() as u64);
        });
        // An entry by hand may have an earlier time, and so may an expiry that it causes.
        let entered = |event: &&Event| event.by.is_some() || event.reason == Some(Reason::Expired);
        prop_assert!(told.iter().filter(|event| !entered(event)).is_sorted_by_key(|event| event.at));
    }

    #[test]
    fn the_same_again_tells_nothing(inputs in inputs()) {
        run(&inputs, |input, _, list, ms| {
            // One that expires at once may be entered again; the operator's command refuses that.
            if matches!(input, Input::CheckIn(entered) if entered.reader.starts_with("until")) {
                return;
            }
            let mut again = list.clone();
            assert_eq!(events(again.apply(input, at(ms), &by_name)), [], "{input:?}");
        });
    }

    #[test]
    fn one_card_per_reader_in_mode_field_and_nobody_denied(inputs in inputs()) {
        run(&inputs, |_, _, list, _| {
            let mut lying = BTreeMap::new();
            for entry in list.entries() {
                assert!(entry.authenticated || list.stay(entry.token_id).unwrap().mode != StayEnd::Field);
                assert!(!list.is_denied(&entry.user.id) && !list.is_denied(&entry.token_id.to_string()));
                if list.stay(entry.token_id).unwrap().mode == StayEnd::Field {
                    assert_eq!(lying.insert(entry.reader.clone(), entry.token_id), None);
                }
            }
        });
    }

    #[test]
    fn time_that_is_over_never_stays(inputs in inputs()) {
        run(&inputs, |_, _, list, ms| {
            assert!(list.next_deadline().is_none_or(|deadline| deadline > at(ms)));
            for name in READERS {
                let slot = list.slot(name);
                assert!(slot.is_none_or(|slot| slot.empty_at.is_none() || slot.unsure));
            }
            for entry in list.entries() {
                let stay = list.stay(entry.token_id).unwrap();
                let timed = stay.mode == StayEnd::Until || entry.state == EntryState::Unconfirmed;
                assert_eq!(stay.closes.is_some(), timed);
                assert!(entry.since <= entry.last_seen && entry.last_seen <= at(ms));
            }
        });
    }

    #[test]
    fn a_tick_before_the_deadline_changes_nothing(inputs in inputs()) {
        run(&inputs, |_, _, list, _| {
            if let Some(deadline) = list.next_deadline() {
                let mut later = list.clone();
                let just_before = Timestamp::from_millisecond(deadline.as_millisecond() - 1).unwrap();
                assert_eq!(later.apply(&Input::Tick, just_before, &by_name), []);
                assert_ne!(later.apply(&Input::Tick, deadline, &by_name), []);
            }
        });
    }

    #[test]
    fn every_change_of_the_rows_is_told(inputs in inputs()) {
        let (mut list, mut ms) = (PresenceList::default(), 0);
        for (pause, input) in &inputs {
            ms += pause;
            let before = list.clone();
            let changes = list.apply(input, at(ms), &by_name);
            for n in 0..4 {
                let differs = before.stay(token(n)) != list.stay(token(n));
                prop_assert!(!differs || changes.contains(&Change::Stay(token(n))));
            }
            for name in READERS {
                let differs = before.slot(name) != list.slot(name);
                prop_assert!(!differs || changes.contains(&Change::ReaderSlot(name.to_owned())));
            }
            prop_assert!(before.service_lost() == list.service_lost() || changes.contains(&Change::Service));
        }
    }

    #[test]
    fn a_refusal_is_told_once_per_insertion(inputs in inputs()) {
        let mut told: BTreeMap<String, crate::reader::Insertion> = BTreeMap::new();
        run(&inputs, |input, new, _, _| {
            let insertion = match input {
                Input::Tap(tap) => Some((tap.reader.clone(), tap.insertion)),
                Input::Refused(refused) => Some((refused.reader.clone(), refused.insertion)),
                Input::Lifted { reader } | Input::Empty { reader } | Input::Vacant { reader } => {
                    told.remove(reader);
                    None
                }
                // Insertions before and after this cannot be compared.
                Input::Startup
                | Input::ServiceLost
                | Input::ReaderRemoved { .. }
                | Input::ReaderUnavailable { .. }
                | Input::Readers { .. } => {
                    told.clear();
                    None
                }
                _ => None,
            };
            if let Some((reader, insertion)) = insertion {
                if told.get(&reader).is_some_and(|last| *last != insertion) {
                    told.remove(&reader);
                }
                let refusals = new.iter().filter(|event| event.event == EventKind::Refused).count();
                assert!(refusals <= usize::from(!told.contains_key(&reader)), "{input:?} {new:?}");
                if refusals == 1 {
                    told.insert(reader, insertion);
                }
            }
        });
    }

    #[test]
    fn inputs_survive_being_handed_over(input in input()) {
        let text = serde_json::to_string(&input).unwrap();
        prop_assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), input);
    }
}
