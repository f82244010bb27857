use super::*;
use crate::api::User;
use crate::terminal::presence::{EntryState, Source};

fn entry(token_id: &str, user_id: &str) -> Entry {
    Entry {
        token_id: token_id.parse().unwrap(),
        user: User { id: user_id.to_owned(), ..User::default() },
        reader: "R".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        state: EntryState::Present,
        source: Source::Card,
        authenticated: true,
        resumed: false,
    }
}

const ANN: &str = "ab12cd34-0000-4000-8000-000000000001";
const BEN: &str = "ab12ffff-0000-4000-8000-000000000002";
const BEN_TOO: &str = "99999999-0000-4000-8000-000000000003";

fn list() -> [Entry; 4] {
    // The last entry's user id looks like the beginning of Ann's token id.
    [
        entry(ANN, "ann"),
        entry(BEN, "ben"),
        entry(BEN_TOO, "ben"),
        entry("77777777-0000-4000-8000-000000000004", "AB12CD"),
    ]
}

fn shown(id: &str) -> Result<String, (ExitClass, &'static str)> {
    find_entry(id, &list()).map(|entry| entry.token_id.to_string()).map_err(|failure| (failure.class, failure.code))
}

const AMBIGUOUS: (ExitClass, &str) = (ExitClass::Usage, "users.ambiguous");
const UNKNOWN: (ExitClass, &str) = (ExitClass::No, "users.unknown");

#[test]
fn an_entry_is_meant_by_user_token_or_its_first_digits() {
    for id in ["ann", ANN, &ANN.to_uppercase(), &ANN.replace('-', ""), "ab12c", "AB12C", "ab12cd34-00", "ab12cd3400"] {
        assert_eq!(shown(id).as_deref(), Ok(ANN), "{id}");
    }
    assert_eq!(shown("9999").as_deref(), Ok(BEN_TOO));
}

#[test]
fn a_user_with_two_tokens_and_common_first_digits_are_ambiguous() {
    assert_eq!(shown("ben"), Err(AMBIGUOUS));
    assert_eq!(shown("ab12"), Err(AMBIGUOUS));
    let failure = find_entry("ben", &list()).unwrap_err();
    assert_eq!(failure.hint.unwrap().text, format!("give the whole token id: {BEN}, {BEN_TOO}"));
}

#[test]
fn a_user_with_two_tokens_is_shown_whole() {
    let list = list();
    let shown = |id: &str| {
        let found = find_entries(id, &list).map_err(|failure| failure.code)?;
        Ok(found.iter().map(|entry| entry.token_id.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(shown("ben"), Ok(vec![BEN.to_owned(), BEN_TOO.to_owned()]));
    assert_eq!(shown(BEN_TOO), Ok(vec![BEN_TOO.to_owned()]));
    assert_eq!(shown("9999"), Ok(vec![BEN_TOO.to_owned()]));
    assert_eq!(shown("ab12"), Err("users.ambiguous"));
    assert_eq!(shown("zoe"), Err("users.unknown"));
}

#[test]
fn a_whole_id_comes_before_first_digits() {
    assert_eq!(shown("AB12CD").unwrap()[..4], *"7777");
    assert_eq!(shown("ab12cd").as_deref(), Ok(ANN));
}

#[test]
fn what_is_not_on_the_list_is_unknown() {
    for id in ["", "999", "---9", "Ann", "zoe", "ab12-zz", "00000000-0000-4000-8000-000000000001"] {
        assert_eq!(shown(id), Err(UNKNOWN), "{id}");
    }
}

/// The entries on the list, and a token that was issued here.
fn known(here: &[Entry]) -> KnownHolders {
    let tokens = ["ab12ffff-0000-4000-8000-000000000009", LOST].map(|id| id.parse().unwrap()).into();
    let people = [("0b5c9c2f", "Eve Moneypenny"), ("00", "Tom"), ("01", "tom")];
    let people = people.map(|(id, name)| (id.to_owned(), name.to_owned())).into();
    KnownHolders { here: here.to_vec(), tokens, people }
}

const LOST: &str = "0b5c9c2e-0000-4000-8000-000000000005";

#[test]
fn as_many_digits_as_a_table_shows_deny_a_token() {
    let denied = |id: &str| deniable(id, &known(&list()), false).map_err(|failure| (failure.class, failure.code));
    assert_eq!(denied("AB12CD34").as_deref(), Ok(ANN));
    assert_eq!(denied("0b5c9c2e").as_deref(), Ok(LOST));
    assert_eq!(denied("ab12ffff"), Err(AMBIGUOUS));
    assert_eq!(denied("0b5c9c2e1").as_deref(), Ok("0b5c9c2e1"), "no token begins so");
    assert_eq!(denied("0b5c9c2").as_deref(), Ok("0b5c9c2"), "a user who was never here");
    assert_eq!(denied("0b5c9c2f").as_deref(), Ok("0b5c9c2f"), "a user who was here");
}

#[test]
fn fewer_digits_are_no_token_to_deny() {
    let denied = |id: &str| deniable(id, &known(&list()), false).map_err(|failure| (failure.class, failure.code));
    assert_eq!(denied("ben").as_deref(), Ok("ben"));
    assert_eq!(denied("nobody").as_deref(), Ok("nobody"));
    assert_eq!(denied(&ANN.to_uppercase()).as_deref(), Ok(ANN));
    assert_eq!(denied(&BEN_TOO.replace('-', "")).as_deref(), Ok(BEN_TOO));
    assert_eq!(denied("AB12CD").as_deref(), Ok("AB12CD"), "somebody on the list is called so");
    assert_eq!(denied("ab12cd"), Err(AMBIGUOUS));
    assert_eq!(denied("cafe").as_deref(), Ok("cafe"));
    assert_eq!(denied(" "), Err((ExitClass::Usage, "users.empty-id")));
}

/// Ada left the list, but is in the history or the register: her name denies her, and an unknown name does nothing.
#[test]
fn a_name_denies_somebody_who_is_not_here() {
    let known = known(&list());
    let denied = |id: &str| deniable(id, &known, false).map_err(|failure| (failure.class, failure.code));
    assert_eq!(denied("eve moneypenny").as_deref(), Ok("0b5c9c2f"));
    assert_eq!(denied("Tom"), Err(AMBIGUOUS));
    assert_eq!(denied("nobody yet"), Err(UNKNOWN));
    assert_eq!(deniable("nobody yet", &known, true).as_deref(), Ok("nobody yet"), "an id with a blank");
    assert!(known.has(LOST) && known.has("00") && known.has(ANN) && !known.has("Tom"));
}

#[test]
fn a_name_stands_for_its_user() {
    let mut entries = list();
    for (entry, name) in entries.iter_mut().zip(["Jürgen Müller", "Ben", "Ben", "ann"]) {
        name.clone_into(&mut entry.user.name);
    }
    let shown = |name: &str| find_entry(name, &entries).map(|entry| entry.token_id.to_string());
    for name in ["Jürgen Müller", "JÜRGEN MÜLLER"] {
        assert_eq!(shown(name).as_deref(), Ok(ANN));
        assert_eq!(deniable(name, &known(&entries), false).as_deref(), Ok("ann"));
    }
    assert_eq!(shown("ann").as_deref(), Ok(ANN), "an id comes before a name");
    assert_eq!(shown("Ben").unwrap_err().code, "users.ambiguous");
    assert_eq!(deniable("BEN", &known(&entries), false).as_deref(), Ok("ben"), "one user with two tokens");
    "ben".clone_into(&mut entries[0].user.name);
    assert_eq!(deniable("BEN", &known(&entries), false).unwrap_err().hint.unwrap().text, "give the id: ann, ben");
}

/// A user whose card was issued here, but who was never on the list, is denied by name and listed with it.
#[test]
fn who_is_only_in_the_register_is_denied_by_name() {
    use crate::terminal::presence::{
        PresenceMode,
        store::{CardState, IssuedCard},
    };
    let home = tempfile::tempdir().unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    let user = User { id: "7".to_owned(), name: "Ada Lovelace".to_owned(), ..User::default() };
    let (token_id, at) = (ANN.parse().unwrap(), Timestamp::UNIX_EPOCH);
    let card = IssuedCard { token_id, user, card: None, state: CardState::Issued, issued: at, changed: at };
    store.register_card(&card, None).unwrap();
    let mut deny = |typed: &str| deny(&mut store, typed, None, false, at, &PresenceMode::Field).unwrap();
    let denied = [deny("ADA LOVELACE"), deny(&ANN[..8]), deny("9")];
    assert_eq!(denied.map(|one| (one.id, one.is_known)), [("7".into(), true), (ANN.into(), true), ("9".into(), false)]);
    let listed: Vec<_> = store.denials().unwrap().into_iter().map(|denial| (denial.id, denial.name)).collect();
    let ada = Some("Ada Lovelace".to_owned());
    assert_eq!(listed, [("7".to_owned(), ada.clone()), ("9".to_owned(), None), (ANN.to_owned(), ada)]);
}

mod by_hand {
    use super::*;
    use crate::terminal::presence::{
        PresenceMode, Tap,
        store::{CardState, IssuedCard},
    };

    const NOON: i64 = 1_700_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(NOON + seconds).unwrap()
    }

    fn hand() -> Hand {
        Hand { by: "desk".to_owned(), note: None }
    }

    /// Ann left at 100, Ben has been here with two tokens since 200.
    fn store() -> (tempfile::TempDir, TerminalStore) {
        let home = tempfile::tempdir().unwrap();
        let mut store = TerminalStore::open(home.path()).unwrap();
        let taps =
            [(ANN, "ann", "Änn", 0), (ANN, "ann", "Änn", 100), (BEN, "ben", "Ben", 200), (BEN_TOO, "ben", "Ben", 200)];
        for (n, (token_id, id, name, second)) in (0_u64..).zip(taps) {
            let user = User { id: id.to_owned(), name: name.to_owned(), ..User::default() };
            let holder = Holder {
                token_id: token_id.parse().unwrap(),
                user,
                source: Source::Server,
                authenticated: true,
                resumed: false,
            };
            let tap = Input::Tap(Tap { reader: "R".to_owned(), insertion: n.into(), holder });
            store.apply(&tap, at(second), &PresenceMode::Toggle).unwrap();
        }
        (home, store)
    }

    fn entered(
        store: &mut TerminalStore,
        typed: &str,
        second: i64,
        named: Vec<(Uuid, User)>,
    ) -> Result<Vec<Event>, Failure> {
        check_in(store, typed, at(second), hand(), at(1000), &PresenceMode::Toggle, || Ok(named))
    }

    #[test]
    fn who_never_tapped_here_comes_in_by_the_register_or_by_what_the_server_said() {
        let (_home, mut store) = store();
        let user = |id: &str, name: &str| User { id: id.to_owned(), name: name.to_owned(), ..User::default() };
        let card = |n: u8, id: &str, name: &str, state| IssuedCard {
            token_id: Uuid::from_bytes([n; 16]),
            user: user(id, name),
            card: None,
            state,
            issued: at(i64::from(n)),
            changed: at(i64::from(n)),
        };
        for card in [
            card(1, "eve", "Eve", CardState::Replaced),
            card(2, "eve", "Eve", CardState::Issued),
            card(3, "kim", "Kim", CardState::Terminated),
        ] {
            store.register_card(&card, None).unwrap();
        }
        let token = |events: Vec<Event>| (events[0].token_id.unwrap(), events[0].source.unwrap(), events.len());
        assert_eq!(code(entered(&mut store, "kim", 900, Vec::new())), UNKNOWN, "that card is no more");
        let eve = entered(&mut store, "EVE", 900, Vec::new()).unwrap();
        assert_eq!(eve[0].reader.as_deref(), Some("R"), "where somebody was read last");
        assert_eq!(token(eve), (Uuid::from_bytes([2; 16]), Source::Card, 1));
        let kim = vec![(Uuid::from_bytes([4; 16]), user("kim", "Kim"))];
        assert_eq!(
            token(entered(&mut store, "kim", 900, kim).unwrap()),
            (Uuid::from_bytes([4; 16]), Source::Server, 1)
        );
        let (_home, mut store) = empty();
        store.register_card(&card(2, "eve", "Eve", CardState::Issued), None).unwrap();
        assert_eq!(entered(&mut store, "eve", 900, Vec::new()).unwrap()[0].reader.as_deref(), Some("by hand"));
    }

    fn empty() -> (tempfile::TempDir, TerminalStore) {
        let home = tempfile::tempdir().unwrap();
        let store = TerminalStore::open(home.path()).unwrap();
        (home, store)
    }

    fn code<T: std::fmt::Debug>(done: Result<T, Failure>) -> (ExitClass, &'static str) {
        let failure = done.unwrap_err();
        assert!(failure.hint.is_some());
        (failure.class, failure.code)
    }

    #[test]
    fn who_forgot_the_card_comes_in_as_they_were_known_last() {
        let (_home, mut store) = store();
        let mut enter = |typed: &str, second| entered(&mut store, typed, second, Vec::new());
        assert_eq!(code(enter("ann", 1001)), (ExitClass::Usage, "users.not-yet"));
        assert_eq!(code(enter("ann", 99)), (ExitClass::Usage, "users.overlaps"));
        assert_eq!(code(enter("ben", 900)), (ExitClass::No, "users.already-here"));
        assert_eq!(code(enter("eve", 900)), UNKNOWN);
        let events = enter("äNN", 900).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].at, events[0].source, events[0].seq), (at(900), Some(Source::Server), 5));
        assert_eq!(events[0].user.as_ref().unwrap().id, "ann");
        assert_eq!(store.entries().unwrap().len(), 3);
    }

    #[test]
    fn all_entries_of_a_user_go_or_the_one_of_a_token() {
        let (_home, mut store) = store();
        let mut out = |typed: &str, second| {
            check_out(&mut store, typed, at(second), &hand(), at(1000), &PresenceMode::Toggle)
                .map(|events| events.len())
        };
        assert_eq!(code(out("ben", 199)), (ExitClass::Usage, "users.before-arrival"));
        assert_eq!(code(out("ann", 900)), UNKNOWN);
        assert_eq!(out(BEN_TOO, 200), Ok(1));
        assert_eq!(out("BEN", 1000), Ok(1));
        let (_home, mut store) = self::store();
        assert_eq!(remove(&mut store, "ben", &hand(), at(1000), &PresenceMode::Toggle).unwrap().len(), 2);
        assert_eq!(code(remove(&mut store, "ben", &hand(), at(1000), &PresenceMode::Toggle)), UNKNOWN);
    }

    #[test]
    fn the_first_digits_take_a_denial_back() {
        let (_home, mut store) = store();
        let policy = PresenceMode::Toggle;
        assert_eq!(deny(&mut store, "99999999", None, false, at(500), &policy).unwrap().id, BEN_TOO);
        assert_eq!(code(allow(&mut store, "999", at(600), &policy)), (ExitClass::No, "users.not-denied"));
        assert_eq!(allow(&mut store, "9999", at(600), &policy).unwrap(), BEN_TOO);
        for id in ["ab12cd34", "ab12ffff"] {
            deny(&mut store, id, None, false, at(700), &policy).unwrap();
        }
        assert_eq!(code(allow(&mut store, "ab12", at(800), &policy)), AMBIGUOUS);
    }

    #[test]
    fn who_is_denied_is_not_checked_in() {
        let (_home, mut store) = store();
        deny(&mut store, "ann", None, false, at(500), &PresenceMode::Toggle).unwrap();
        let entered = entered(&mut store, "ann", 900, Vec::new());
        assert_eq!(code(entered), (ExitClass::Refused, "token.denied"));
    }
}
