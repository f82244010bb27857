//! The content of the screen, updated by events.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    cli::views::EventView,
    terminal::presence::{Event, EventKind, Member, PresenceList, follow},
};

/// How many events are kept; a screen shows fewer.
const EVENTS: usize = 100;
/// How many messages are kept, also for the end.
const MESSAGES: usize = 50;

/// Whether a reader is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderStand {
    /// It works.
    Works,
    /// It is connected, but the service cannot use it.
    Fails,
}

/// The content of the screen.
pub struct LiveContent {
    /// The present users.
    pub list: BTreeMap<Uuid, Member>,
    /// The connected readers.
    pub readers: BTreeMap<String, ReaderStand>,
    /// Since when the PC/SC service has been away.
    pub service_lost: Option<Timestamp>,
    /// Since when the server has not answered.
    pub server_lost: Option<Timestamp>,
    /// Recent events, the newest first.
    pub events: VecDeque<EventView>,
    /// Recent messages, the newest last.
    pub messages: VecDeque<String>,
    /// The display name of a reader.
    pub alias: Box<dyn Fn(&str) -> String + Send>,
}

impl LiveContent {
    /// The current list with the faults that it records, and the selected readers that are connected.
    pub fn new(
        list: &PresenceList,
        readers: impl IntoIterator<Item = String>,
        alias: impl Fn(&str) -> String + Send + 'static,
    ) -> Self {
        let known = list.readers().filter(|(_, slot)| slot.attached);
        let known = known.map(|(name, slot)| {
            (name.to_owned(), if slot.unavailable { ReaderStand::Fails } else { ReaderStand::Works })
        });
        let mut all: BTreeMap<_, _> = readers.into_iter().map(|name| (name, ReaderStand::Works)).collect();
        all.extend(known);
        Self {
            list: list.members(),
            readers: all,
            service_lost: list.service_lost().then(Timestamp::now),
            server_lost: None,
            events: VecDeque::new(),
            messages: VecDeque::new(),
            alias: Box::new(alias),
        }
    }

    /// Applies an event.
    pub fn event(&mut self, event: Event) {
        // If it does not follow, another process has written in between: the list is then read again.
        let _ = follow(&mut self.list, &event);
        match (event.event, event.reader.clone()) {
            (EventKind::ReaderAdded | EventKind::ReaderAvailable, Some(reader)) => {
                self.readers.insert(reader, ReaderStand::Works);
            }
            (EventKind::ReaderUnavailable, Some(reader)) => {
                self.readers.insert(reader, ReaderStand::Fails);
            }
            (EventKind::ReaderRemoved, Some(reader)) => {
                self.readers.remove(&reader);
            }
            (EventKind::ServiceLost, _) => self.service_lost = Some(event.at),
            (EventKind::ServiceBack, _) => self.service_lost = None,
            _ => {}
        }
        self.events.push_front(EventView::from(event));
        self.events.truncate(EVENTS);
    }

    /// Replaces the list by that in the store.
    pub fn reset(&mut self, list: &PresenceList) {
        self.list = list.members();
    }

    /// After a person was erased: replaces the list by that in the store, and drops the events, which may name the
    /// person.
    pub fn forget(&mut self, list: &PresenceList) {
        self.reset(list);
        self.events.clear();
    }

    /// Adds a line of a message.
    pub fn say(&mut self, line: String) {
        self.messages.push_back(line);
        while self.messages.len() > MESSAGES {
            self.messages.pop_front();
        }
    }

    /// Takes all messages, at the end.
    pub fn take_messages(&mut self) -> VecDeque<String> {
        std::mem::take(&mut self.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::User, terminal::presence::Source};

    #[test]
    fn who_is_forgotten_is_neither_here_nor_in_the_events() {
        let mut content = LiveContent::new(&PresenceList::default(), [], str::to_owned);
        content.event(Event {
            reader: Some("R".to_owned()),
            token_id: Some(Uuid::from_u128(1)),
            user: Some(User { id: "u1".to_owned(), name: "Ada".to_owned(), ..User::default() }),
            source: Some(Source::Card),
            authenticated: Some(true),
            ..Event::new(EventKind::Arrived, 1, Timestamp::UNIX_EPOCH)
        });
        content
            .event(Event { reader: Some("R".to_owned()), ..Event::new(EventKind::Removed, 2, Timestamp::UNIX_EPOCH) });
        assert_eq!((content.list.len(), content.events.len()), (1, 2), "it does not say who went");
        content.forget(&PresenceList::default());
        assert_eq!((content.list.len(), content.events.len()), (0, 0));
    }
}
