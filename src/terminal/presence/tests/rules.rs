//! The rules of the module's documentation, one by one.

use super::*;

/// A list, all its events so far, and its clock.
pub(super) struct ListFixture {
    pub list: PresenceList,
    pub told: Vec<Event>,
    ms: i64,
    policy: &'static dyn Policy,
}

impl Default for ListFixture {
    fn default() -> Self {
        Self::under(&(by_name as fn(&str) -> PresenceMode))
    }
}

impl ListFixture {
    pub fn under(policy: &'static dyn Policy) -> Self {
        Self { list: PresenceList::default(), told: Vec::new(), ms: 0, policy }
    }

    /// Applies one input and returns its events in short form: `arrived 1 field-a`, `left 1 field-a lifted`.
    pub fn tell(&mut self, input: &Input) -> Vec<String> {
        let new = events(self.list.apply(input, at(self.ms), self.policy));
        self.told.extend(new.iter().cloned());
        assert_eq!(replay(&self.told).unwrap(), self.list.members());
        new.iter().map(short).collect()
    }

    pub fn after(&mut self, ms: i64) -> &mut Self {
        self.ms += ms;
        self
    }

    pub fn listed(&self) -> Vec<String> {
        let state = |state| if state == EntryState::Present { "" } else { "?" };
        let line = |e: &Entry| format!("{} {}{}", e.token_id.as_bytes()[0], e.reader, state(e.state));
        self.list.entries().map(line).collect()
    }
}

fn short(event: &Event) -> String {
    let word = |value: serde_json::Value| value.as_str().map(str::to_owned);
    let mut parts = vec![word(serde_json::to_value(event.event).unwrap()).unwrap()];
    parts.extend(event.token_id.map(|id| id.as_bytes()[0].to_string()));
    parts.extend(event.reader.clone());
    parts.extend(event.reason.and_then(|reason| word(serde_json::to_value(reason).unwrap())));
    parts.extend(event.error.as_ref().map(|error| error.code.clone()));
    parts.join(" ")
}

/// Each line is an input and the events that it must cause.
pub(super) fn story(lines: &[(Input, &[&str])]) -> ListFixture {
    let mut fixture = ListFixture::default();
    for (input, expected) in lines {
        assert_eq!(fixture.after(1).tell(input), *expected, "{input:?}");
    }
    fixture
}

#[test]
fn field_lasts_while_the_card_lies_there() {
    let fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-a", 1, 1), &[]),
        (seen("field-a", 1), &[]),
        (lifted("field-a"), &["left 1 field-a lifted"]),
        (lifted("field-a"), &[]),
        (seen("field-a", 1), &[]),
        (tap("field-a", 1, 3), &["arrived 1 field-a"]),
        (empty("field-b"), &[]),
        (empty("field-a"), &["left 1 field-a gone"]),
    ]);
    assert!(fixture.listed().is_empty());
}

#[test]
fn a_removal_that_nobody_saw_is_told_at_the_next_insertion() {
    story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-a", 1, 3), &["left 1 field-a lifted", "arrived 1 field-a"]),
        (tap("field-a", 2, 5), &["left 1 field-a lifted", "arrived 2 field-a"]),
        (refused("field-a", 7, "token.blank"), &["left 2 field-a lifted", "refused field-a token.blank"]),
    ]);
}

#[test]
fn toggle_counts_a_tap_once_until_removal() {
    let fixture = story(&[
        (tap("toggle-a", 1, 1), &["arrived 1 toggle-a"]),
        (tap("toggle-a", 1, 1), &[]),
        (seen("toggle-a", 1), &[]),
        (lifted("toggle-a"), &[]),
        (tap("toggle-a", 2, 3), &["arrived 2 toggle-a"]),
        (tap("toggle-a", 1, 5), &["left 1 toggle-a toggled"]),
        (tap("toggle-a", 1, 5), &[]),
        (seen("toggle-a", 1), &[]),
        (lifted("toggle-a"), &[]),
        (tap("toggle-a", 1, 7), &["arrived 1 toggle-a"]),
    ]);
    assert_eq!(fixture.listed(), ["1 toggle-a", "2 toggle-a"]);
}

#[test]
fn until_ends_by_time_alone() {
    let mut fixture = story(&[
        (tap("until-a", 1, 1), &["arrived 1 until-a"]),
        (lifted("until-a"), &[]),
        (Input::Startup, &[]),
        (silent("until-a"), &[]),
        (Input::ServiceLost, &["service_lost"]),
    ]);
    assert_eq!(fixture.list.next_deadline(), Some(at(10_001)));
    assert_eq!(fixture.after(10_000 - 5).tell(&Input::Tick), Vec::<String>::new());
    assert_eq!(fixture.after(5_000).tell(&Input::Tick), ["left 1 until-a expired"]);
    assert_eq!(fixture.told.last().unwrap().at, at(10_001), "the moment it was over, not the moment it was noticed");
    assert_eq!(fixture.list.next_deadline(), None);
}

#[test]
fn a_new_tap_renews_until_and_a_lying_card_does_not() {
    let mut fixture = story(&[(tap("until-a", 1, 1), &["arrived 1 until-a"])]);
    assert!(fixture.after(4_000).tell(&tap("until-a", 1, 1)).is_empty());
    assert!(fixture.tell(&seen("until-a", 1)).is_empty());
    assert_eq!(fixture.list.next_deadline(), Some(at(10_001)));
    assert!(fixture.tell(&tap("until-a", 1, 3)).is_empty());
    assert_eq!(fixture.list.next_deadline(), Some(at(14_001)));
    assert_eq!(fixture.after(10_000).tell(&seen("until-a", 1)), ["left 1 until-a expired"]);
    assert!(fixture.tell(&tap("until-a", 1, 3)).is_empty(), "a card that lies there does not come back by itself");
    assert_eq!(fixture.tell(&tap("until-a", 1, 5)), ["arrived 1 until-a"]);
}

#[test]
fn a_token_moves_with_its_newest_insertion() {
    let fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-b", 1, 1), &["left 1 field-a moved", "arrived 1 field-b"]),
        (tap("field-a", 1, 1), &[]),
        (seen("field-a", 1), &[]),
        (lifted("field-a"), &[]),
        (tap("toggle-a", 1, 1), &["left 1 field-b moved", "arrived 1 toggle-a"]),
        (tap("toggle-b", 1, 1), &["left 1 toggle-a moved", "arrived 1 toggle-b"]),
        (tap("until-a", 1, 1), &["left 1 toggle-b moved", "arrived 1 until-a"]),
    ]);
    assert_eq!(fixture.listed(), ["1 until-a"]);
}

#[test]
fn of_two_readers_that_see_one_token_the_other_takes_over() {
    story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-b", 1, 1), &["left 1 field-a moved", "arrived 1 field-b"]),
        (seen("field-a", 1), &[]),
        (seen("field-b", 1), &[]),
        (lifted("field-b"), &["left 1 field-b lifted"]),
        (seen("field-a", 1), &["arrived 1 field-a"]),
    ]);
}

#[test]
fn a_user_with_two_tokens_has_two_entries() {
    let fixture = story(&[
        (tap_as("field-a", 1, 1, "ada"), &["arrived 1 field-a"]),
        (tap_as("field-b", 2, 1, "ada"), &["arrived 2 field-b"]),
        (lifted("field-a"), &["left 1 field-a lifted"]),
    ]);
    assert_eq!(fixture.listed(), ["2 field-b"]);
}

#[test]
fn other_user_information_is_an_update() {
    let fixture = story(&[
        (tap_as("until-a", 1, 1, "ada"), &["arrived 1 until-a"]),
        (tap_as("until-a", 1, 3, "lin"), &["left 1 until-a updated", "arrived 1 until-a"]),
        (tap_as("toggle-a", 2, 1, "ada"), &["arrived 2 toggle-a"]),
        (tap_as("toggle-a", 2, 3, "lin"), &["left 2 toggle-a toggled"]),
    ]);
    assert_eq!(fixture.list.entries().next().unwrap().user.id, "lin");
}

#[test]
fn a_refusal_is_told_once_until_removal() {
    story(&[
        (refused("field-a", 1, "token.foreign"), &["refused field-a token.foreign"]),
        (refused("field-a", 1, "token.foreign"), &[]),
        (refused("field-a", 1, "token.mute"), &[]),
        (lifted("field-a"), &[]),
        (refused("field-a", 3, "token.mute"), &["refused field-a token.mute"]),
        (refused("field-a", 5, "token.mute"), &["refused field-a token.mute"]),
        (Input::ServiceLost, &["service_lost"]),
        (Input::ServiceBack, &["service_back"]),
        (refused("field-a", 1, "token.mute"), &[]),
    ]);
}

#[test]
fn a_refusal_ends_the_stay_of_the_card_that_lies_there() {
    let fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (refused("field-a", 1, "token.blocked"), &["left 1 field-a refused", "refused field-a token.blocked"]),
        (seen("field-a", 1), &[]),
        (tap("toggle-a", 2, 1), &["arrived 2 toggle-a"]),
        (refused("toggle-a", 1, "token.blocked"), &["refused toggle-a token.blocked"]),
        (tap("toggle-a", 2, 1), &[]),
    ]);
    assert_eq!(fixture.listed(), ["2 toggle-a"], "anybody can make a card that fails");
}

#[test]
fn who_is_barred_leaves_wherever_and_however_it_came() {
    let barred = |reader: &str, n: u8, insertion: u64| {
        let mut input = refused(reader, insertion, "token.lost");
        if let Input::Refused(refused) = &mut input {
            (refused.barred, refused.token_id) = (true, Some(token(n)));
        }
        input
    };
    let mut fixture = story(&[
        (tap("toggle-a", 1, 1), &["arrived 1 toggle-a"]),
        (tap("until-a", 2, 1), &["arrived 2 until-a"]),
        (tap("field-a", 3, 1), &["arrived 3 field-a"]),
        (barred("toggle-a", 1, 3), &["left 1 toggle-a refused", "refused 1 toggle-a token.lost"]),
        (barred("toggle-b", 2, 1), &["left 2 until-a refused", "refused 2 toggle-b token.lost"]),
        (barred("toggle-b", 2, 1), &[]),
        (Input::Barred { token_id: token(3) }, &["left 3 field-a refused"]),
        (Input::Barred { token_id: token(3) }, &[]),
        (seen("field-a", 3), &[]),
    ]);
    assert!(fixture.listed().is_empty());
    assert_eq!(fixture.tell(&tap("field-a", 3, 3)), ["arrived 3 field-a"], "it may have been found again");
}

#[test]
fn who_was_refused_first_may_still_get_in() {
    story(&[
        (refused("toggle-a", 1, "token.mute"), &["refused toggle-a token.mute"]),
        (tap("toggle-a", 1, 1), &["arrived 1 toggle-a"]),
        (tap("toggle-a", 1, 1), &[]),
        (refused("toggle-a", 1, "token.mute"), &[]),
    ]);
}

#[test]
fn an_identification_counts_for_nothing() {
    story(&[
        (identified("field-a", 1, 1), &[]),
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (identified("field-a", 1, 1), &[]),
        (identified("field-b", 1, 1), &[]),
        (identified("field-a", 2, 3), &["left 1 field-a lifted"]),
        (tap("toggle-a", 1, 1), &["arrived 1 toggle-a"]),
        (identified("toggle-a", 1, 3), &[]),
    ]);
}

#[test]
fn a_start_doubts_field_entries_only() {
    let mut fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-b", 2, 1), &["arrived 2 field-b"]),
        (tap("toggle-a", 3, 1), &["arrived 3 toggle-a"]),
        (Input::Startup, &["unconfirmed 1 field-a restart", "unconfirmed 2 field-b restart"]),
        (tap("field-a", 1, 9), &["confirmed 1 field-a"]),
        (tap("toggle-a", 3, 9), &[]),
    ]);
    assert_eq!(fixture.listed(), ["1 field-a", "2 field-b?", "3 toggle-a"]);
    assert_eq!(fixture.after(30_000).tell(&Input::Startup), ["unconfirmed 1 field-a restart"]);
    assert_eq!(fixture.listed(), ["1 field-a?", "2 field-b?", "3 toggle-a"]);
    let confirmed = fixture.after(59_999).tell(&tap("field-a", 1, 11));
    assert_eq!(confirmed, ["confirmed 1 field-a"], "a start gives the time anew");
    assert_eq!(fixture.list.next_deadline(), Some(at(fixture.ms + 1)));
    assert_eq!(fixture.after(1).tell(&Input::Tick), ["left 2 field-b stale"]);
}

#[test]
fn what_confirms_just_in_time_confirms() {
    let mut fixture =
        story(&[(tap("field-a", 1, 1), &["arrived 1 field-a"]), (Input::Startup, &["unconfirmed 1 field-a restart"])]);
    assert_eq!(fixture.after(60_000).tell(&tap("field-a", 1, 1)), ["confirmed 1 field-a"]);
    assert_eq!(fixture.listed(), ["1 field-a"]);
}

#[test]
fn after_a_start_only_another_card_is_a_new_tap() {
    story(&[
        (tap("toggle-a", 1, 1), &["arrived 1 toggle-a"]),
        (Input::Startup, &[]),
        (tap("toggle-a", 1, 4), &[]),
        (lifted("toggle-a"), &[]),
        (tap("toggle-a", 1, 6), &["left 1 toggle-a toggled"]),
        (Input::Startup, &[]),
        (empty("toggle-a"), &[]),
        (tap("toggle-a", 1, 6), &["arrived 1 toggle-a"]),
    ]);
}

#[test]
fn a_reader_that_comes_empty_may_still_find_its_card() {
    let mut fixture = story(&[
        (tap("field-a", 1, 5), &["arrived 1 field-a"]),
        (tap("toggle-a", 2, 5), &["arrived 2 toggle-a"]),
        (Input::ServiceLost, &["service_lost", "unconfirmed 1 field-a service_lost"]),
        (Input::ServiceBack, &["service_back"]),
        (vacant("field-a"), &[]),
        (vacant("toggle-a"), &[]),
        (tap("field-a", 1, 1), &["confirmed 1 field-a"]),
        (tap("toggle-a", 2, 1), &[]),
    ]);
    assert_eq!(fixture.list.next_deadline(), None);
    assert!(fixture.after(100_000).tell(&Input::Tick).is_empty());
    assert_eq!(fixture.listed(), ["1 field-a", "2 toggle-a"]);
}

#[test]
fn a_reader_that_stays_empty_lost_its_card() {
    let mut fixture = story(&[
        (tap("field-a", 1, 5), &["arrived 1 field-a"]),
        (tap("toggle-a", 2, 5), &["arrived 2 toggle-a"]),
        (Input::Startup, &["unconfirmed 1 field-a restart"]),
        (vacant("field-a"), &[]),
        (vacant("toggle-a"), &[]),
    ]);
    assert_eq!(fixture.list.next_deadline(), Some(at(5_004)));
    assert!(fixture.after(4_998).tell(&Input::Tick).is_empty());
    assert_eq!(fixture.after(2).tell(&tap("toggle-a", 2, 5)), ["left 1 field-a gone"], "just in time: never lifted");
    assert!(fixture.tell(&Input::Startup).is_empty());
    assert!(fixture.tell(&vacant("toggle-a")).is_empty());
    assert!(fixture.after(5_000).tell(&Input::Tick).is_empty());
    assert_eq!(fixture.tell(&tap("toggle-a", 2, 5)), ["left 2 toggle-a toggled"]);
    assert!(fixture.tell(&vacant("toggle-b")).is_empty());
    assert_eq!(fixture.list.next_deadline(), None);
}

#[test]
fn the_loss_of_the_service_is_told_once_and_doubts() {
    let mut fixture = story(&[
        (Input::ServiceBack, &[]),
        (tap("field-a", 1, 5), &["arrived 1 field-a"]),
        (tap("field-b", 2, 5), &["arrived 2 field-b"]),
        (
            Input::ServiceLost,
            &["service_lost", "unconfirmed 1 field-a service_lost", "unconfirmed 2 field-b service_lost"],
        ),
        (Input::ServiceLost, &[]),
        (seen("field-a", 1), &[]),
        (Input::ServiceBack, &["service_back"]),
        (Input::ServiceBack, &[]),
        (tap("field-a", 1, 1), &["confirmed 1 field-a"]),
        (empty("field-b"), &["left 2 field-b gone"]),
    ]);
    assert_eq!(fixture.listed(), ["1 field-a"]);
    assert!(fixture.after(100_000).tell(&Input::Tick).is_empty());
}

#[test]
fn readers_come_and_go() {
    let mut fixture = story(&[
        (readers(&["field-a", "field-b"]), &["reader_added field-a", "reader_added field-b"]),
        (Input::ReaderAdded { reader: "field-a".to_owned() }, &[]),
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (readers(&["field-b"]), &["reader_removed field-a", "unconfirmed 1 field-a reader_removed"]),
        (Input::ReaderRemoved { reader: "field-a".to_owned() }, &[]),
        (Input::ReaderRemoved { reader: "nowhere".to_owned() }, &[]),
    ]);
    assert_eq!(fixture.listed(), ["1 field-a?"]);
    assert_eq!(fixture.tell(&readers(&["field-a", "field-b"])), ["reader_added field-a"]);
    assert_eq!(fixture.tell(&tap("field-a", 1, 0)), ["confirmed 1 field-a"]);
    assert_eq!(fixture.listed(), ["1 field-a"]);
}

#[test]
fn the_denied_leave_and_stay_out() {
    let one = token(1).to_string();
    story(&[
        (tap_as("field-a", 1, 1, "ada"), &["arrived 1 field-a"]),
        (tap_as("toggle-a", 2, 1, "lin"), &["arrived 2 toggle-a"]),
        (deny(&one), &["left 1 field-a denied"]),
        (deny(&one), &[]),
        (seen("field-a", 1), &[]),
        (tap_as("field-a", 1, 1, "ada"), &["refused 1 field-a token.denied"]),
        (tap_as("field-a", 1, 1, "ada"), &[]),
        (deny("lin"), &["left 2 toggle-a denied"]),
        (tap_as("toggle-a", 2, 3, "lin"), &["refused 2 toggle-a token.denied"]),
        (allow("lin"), &[]),
        (tap_as("toggle-a", 2, 3, "lin"), &["arrived 2 toggle-a"]),
        (allow(&one), &[]),
        (tap_as("field-a", 1, 1, "ada"), &["arrived 1 field-a"]),
    ]);
}

#[test]
fn a_denied_card_displaces_who_lay_there() {
    story(&[
        (deny("u2"), &[]),
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-a", 2, 3), &["left 1 field-a lifted", "refused 2 field-a token.denied"]),
    ]);
}

#[test]
fn a_cleared_list_stays_empty_until_the_next_tap() {
    story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("toggle-a", 2, 1), &["arrived 2 toggle-a"]),
        (refused("field-b", 1, "token.foreign"), &["refused field-b token.foreign"]),
        (Input::Clear, &["left 1 field-a cleared", "left 2 toggle-a cleared"]),
        (seen("field-a", 1), &[]),
        (refused("field-b", 1, "token.foreign"), &[]),
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("toggle-a", 2, 1), &["arrived 2 toggle-a"]),
        (Input::Clear, &["left 1 field-a cleared", "left 2 toggle-a cleared"]),
        (Input::Clear, &[]),
    ]);
}

#[test]
fn a_changed_mode_takes_effect_with_the_next_sighting() {
    let mut list = PresenceList::default();
    list.apply(&tap("door", 1, 1), at(0), &PresenceMode::Toggle);
    list.apply(&Input::Startup, at(1), &PresenceMode::Field);
    assert_eq!(list.stay(token(1)).unwrap().mode, StayEnd::Toggle);
    assert_eq!(list.next_deadline(), None);
    list.apply(&tap("door", 1, 1), at(2), &PresenceMode::Field);
    assert_eq!(list.stay(token(1)).unwrap().mode, StayEnd::Field);
    let left = events(list.apply(&lifted("door"), at(3), &PresenceMode::Field));
    assert_eq!(left[0].reason, Some(Reason::Lifted));
}

#[test]
fn who_arrives_in_a_resumed_channel_is_said_to() {
    let mut fixture = story(&[
        (tap("toggle-a", 1, 1), &["arrived 1 toggle-a"]),
        (tap("toggle-b", 1, 2), &["left 1 toggle-a moved", "arrived 1 toggle-b"]),
    ]);
    let resumed: Vec<_> = fixture.told.iter().map(|event| event.resumed).collect();
    assert_eq!(resumed, [None, None, Some(true)]);
    let json = serde_json::to_value(fixture.told.pop()).unwrap();
    assert_eq!((&json["authenticated"], &json["resumed"]), (&true.into(), &true.into()));
}

#[test]
fn an_event_in_json() {
    let fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (Input::ServiceLost, &["service_lost", "unconfirmed 1 field-a service_lost"]),
    ]);
    assert_eq!(
        serde_json::to_value(&fixture.told).unwrap(),
        serde_json::json!([
            {"event": "arrived", "seq": 1, "at": "2023-11-14T22:13:20.001Z", "reader": "field-a",
             "token_id": "01010101-0101-0101-0101-010101010101",
             "user": {"id": "u1", "name": "Name of u1", "fields": {}}, "source": "card", "authenticated": true},
            {"event": "service_lost", "seq": 2, "at": "2023-11-14T22:13:20.002Z", "reader": null},
            {"event": "unconfirmed", "seq": 3, "at": "2023-11-14T22:13:20.002Z", "reader": "field-a",
             "token_id": "01010101-0101-0101-0101-010101010101",
             "user": {"id": "u1", "name": "Name of u1", "fields": {}}, "reason": "service_lost"},
        ])
    );
}
