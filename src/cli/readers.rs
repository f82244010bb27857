//! `rollcall readers`: lists the readers, the cards in them, and what both report about themselves.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;

use super::args::ReadersArgs;
use super::interrupt::Interrupt;
use super::printer::Printer;
use super::service::{in_words, warn_of_choice, warn_of_same_names, warn_of_undecided};
use super::table::{Cell, Screen, indented};
use super::views::{self, AtrField, ReaderView, Schema};
use crate::config::{OutputFormat, Settings};
use crate::failure::Failure;
use crate::reader::atr::fields::{Field, fields};
use crate::reader::atr::names;
use crate::reader::identity::ReaderIdentity;
use crate::reader::monitor::ReaderEvent;
use crate::reader::pcsc::list;
use crate::reader::{ReaderState, Slot, atr};
use crate::terminal::event_loop::{EventLoop, Handler, Message, Wait};
use crate::terminal::meant_readers::MeantReaders;
use crate::terminal::presence::{self, EventKind};
use crate::terminal::readers::{ReaderChange, ReadersWatch, no_reader};
use crate::terminal::survey::{SelectAnswer, survey};

/// How soon an undecided reader is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Lists the readers, or with `--watch` reports their events.
///
/// # Errors
/// `pcsc.…` when the service does not answer; that of a named reader that is missing; that of the output.
pub fn run(args: &ReadersArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    if args.watch { watch(settings, out) } else { show(args, settings, out) }
}

fn show(args: &ReadersArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let all = list()?;
    if all.is_empty() {
        out.begin::<ReaderView>()?;
        return Err(no_reader());
    }
    let readers = settings.readers.pick(&all)?;
    let answers = survey(&readers, settings.limits.exchange)?;
    let answered = |(reader, answer): (&&ReaderState, SelectAnswer)| answered(reader, answer, settings);
    let mut found: Vec<_> = readers.iter().zip(answers).map(answered).collect();
    let ignored = all.iter().filter(|reader| settings.readers.ignores(&reader.name));
    let ignored = ignored.map(|reader| object(&reader.name, &reader.slot, reader.exclusive, settings));
    found.extend(ignored.map(|view| ReaderView { ignored: true, ..view }));
    // A table for people shows neither.
    if args.explain || out.format() != OutputFormat::Text {
        // Ask each driver only once: a hanging one takes its time.
        let patterns: Vec<_> = all.iter().map(|reader| ReaderIdentity::of(&reader.name).pattern()).collect();
        let names_one = |pattern: &&String| patterns.iter().flatten().filter(|other| other == pattern).count() == 1;
        for view in &mut found {
            let at = all.iter().position(|reader| reader.name == view.reader);
            view.stable = at.and_then(|at| patterns[at].as_ref()).filter(names_one).cloned();
        }
        name(&mut found);
    }
    warn_of_same_names(&all, &settings.readers, out);
    out.list(&found, "")?;
    if args.explain && out.format() == OutputFormat::Text {
        let text = explained(&found, &out.screen());
        out.document(text.as_bytes())?;
    }
    Ok(0)
}

/// Adds the names of the cards from the list of pcsc-tools, if it is installed.
fn name(readers: &mut [ReaderView]) {
    let mut list = String::new();
    let read = File::open(names::LIST).and_then(|file| file.take(names::LIST_MAX).read_to_string(&mut list));
    if read.is_err() {
        return;
    }
    for reader in readers {
        let atr = reader.atr.as_ref().and_then(|digits| hex::decode(digits).ok());
        reader.names = atr.map(|atr| names::names(&list, &atr)).unwrap_or_default();
    }
}

/// For people: each reader's stable pattern, its card's answer to reset, and the card's names.
fn explained(readers: &[ReaderView], screen: &Screen) -> String {
    let mut text = String::new();
    let mut line = |cells: &[Cell], indent: usize, above: &str| {
        text.push_str(above);
        text.push_str(&indented(cells, indent, screen));
    };
    for reader in readers {
        if let Some(stable) = &reader.stable {
            line(&[format!("{}: a stable alias for it is \"{stable}\"", reader.reader).into()], 0, "\n");
        }
        let Some(atr) = &reader.atr else { continue };
        line(&[format!("{}: {atr}", reader.reader).into()], 0, "\n");
        let width = reader.atr_fields.iter().map(|field| field.bytes.len()).max().unwrap_or(0);
        for field in &reader.atr_fields {
            let name = format!("{:<10} {:<width$}", field.name, field.bytes);
            line(&[name.into(), field.meaning.as_str().into()], 2, "");
        }
        for name in &reader.names {
            line(&[format!("may be     {name}").into()], 2, "");
        }
    }
    text
}

/// The view of a reader, with what its card answered.
fn answered(reader: &ReaderState, answer: SelectAnswer, settings: &Settings) -> ReaderView {
    let mut view = object(&reader.name, &reader.slot, reader.exclusive, settings);
    match answer {
        SelectAnswer::Ours => view.card = Some("rollcall".to_owned()),
        SelectAnswer::Foreign => view.card = Some("foreign".to_owned()),
        SelectAnswer::Mute => view.state = views::ReaderStateView::Mute,
        SelectAnswer::Left => (view.state, view.atr, view.says) = (views::ReaderStateView::Empty, None, None),
        SelectAnswer::Nothing => {}
    }
    view
}

/// The view without asking any card.
fn object(name: &str, slot: &Slot, exclusive: bool, settings: &Settings) -> ReaderView {
    let state = match slot {
        Slot::Unavailable => views::ReaderStateView::Unavailable,
        _ if exclusive => views::ReaderStateView::Exclusive,
        Slot::Empty => views::ReaderStateView::Empty,
        Slot::Card(_) => views::ReaderStateView::Present,
        Slot::Mute => views::ReaderStateView::Mute,
    };
    let bytes = if let Slot::Card(atr) = slot { atr.as_slice() } else { &[] };
    let known = (!bytes.is_empty()).then_some(bytes);
    ReaderView {
        schema: Schema::default(),
        reader: name.to_owned(),
        alias: settings.alias(name).map(str::to_owned),
        state,
        atr: known.map(hex::encode_upper),
        card: None,
        says: known.map(atr::describe),
        atr_fields: known.and_then(|bytes| fields(bytes).ok()).unwrap_or_default().into_iter().map(shown).collect(),
        names: Vec::new(),
        ignored: false,
        stable: None,
    }
}

fn shown(field: Field) -> AtrField {
    AtrField { name: field.name, bytes: hex::encode_upper(field.bytes), meaning: field.meaning }
}

/// Only observes: no card is asked anything, so that no session is disturbed.
fn watch(settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    // A service that is missing now is a failure; one that goes away later is an event.
    let readers = list()?;
    let mut events = EventLoop::new();
    let stopper = events.stopper();
    let interrupt = Interrupt::install(move || stopper.stop())?;
    events.watch_readers()?;
    let watch = ReadersWatch::new(MeantReaders::new(settings.readers.clone()));
    out.begin::<ReaderView>()?;
    // That there is none yet is what somebody who plugs one in expects, but no event of it would be printed.
    warn_of_choice(&readers, &settings.readers, out);
    events.run(&mut ReadersPrinter { settings, watch, seq: 0, out })?;
    Ok(interrupt.exit_status().unwrap_or(0))
}

/// Prints the events of readers as they come.
struct ReadersPrinter<'a> {
    settings: &'a Settings,
    watch: ReadersWatch,
    /// The number of the last printed event.
    seq: u64,
    out: &'a mut Printer,
}

impl Handler for ReadersPrinter<'_> {
    fn wait(&mut self) -> Result<Wait, Failure> {
        Ok(match self.watch.is_undecided() {
            _ if self.out.is_closed() => Wait::End,
            true => Wait::AtMost(ASK_AGAIN),
            false => Wait::Forever,
        })
    }

    fn message(&mut self, message: Message) -> Result<ControlFlow<()>, Failure> {
        match message {
            Message::Reader(event) => self.reader_event(event).map(|()| ControlFlow::Continue(())),
            _ => Ok(ControlFlow::Break(())),
        }
    }

    fn idle(&mut self) -> Result<ControlFlow<()>, Failure> {
        let decided = self.watch.decide();
        decided.into_iter().try_for_each(|change| self.change(change)).map(ControlFlow::Continue)
    }
}

impl ReadersPrinter<'_> {
    fn reader_event(&mut self, event: ReaderEvent) -> Result<(), Failure> {
        self.watch.apply(event).into_iter().try_for_each(|change| self.change(change))
    }

    fn change(&mut self, change: ReaderChange) -> Result<(), Failure> {
        // In csv every record is a reader.
        let csv = self.out.format() == OutputFormat::Csv;
        let empty = |reader: &str| object(reader, &Slot::Empty, false, self.settings);
        match change {
            ReaderChange::State { reader, slot, exclusive } => {
                self.out.item(&object(&reader, &slot, exclusive, self.settings))
            }
            ReaderChange::Undecided(reader) => {
                warn_of_undecided(&reader, self.out);
                Ok(())
            }
            ReaderChange::Added(reader) if csv => self.out.item(&empty(&reader)),
            ReaderChange::Added(reader) => self.event(EventKind::ReaderAdded, Some(reader)),
            ReaderChange::Removed(reader) if csv => {
                self.out.item(&ReaderView { state: views::ReaderStateView::Removed, ..empty(&reader) })
            }
            ReaderChange::Removed(reader) => self.event(EventKind::ReaderRemoved, Some(reader)),
            ReaderChange::ServiceLost | ReaderChange::ServiceBack if csv => {
                let back = change == ReaderChange::ServiceBack;
                self.out.note(if back { "the PC/SC service is back" } else { "the PC/SC service went away" });
                Ok(())
            }
            ReaderChange::ServiceLost => self.event(EventKind::ServiceLost, None),
            ReaderChange::ServiceAway(error) => {
                let failure = Failure::from(error);
                self.out.warning(&in_words(&failure), failure.hint.as_deref());
                Ok(())
            }
            ReaderChange::ServiceBack => self.event(EventKind::ServiceBack, None),
        }
    }

    fn event(&mut self, event: EventKind, reader: Option<String>) -> Result<(), Failure> {
        self.seq += 1;
        let event = presence::Event { reader, ..presence::Event::new(event, self.seq, Timestamp::now()) };
        self.out.item(&views::EventView::from(event))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::super::printer::{OutputOptions, tests::stream::Stream};
    use super::*;
    use crate::reader::select::{Aliases, ReaderChoice, Selection};

    /// The events of the door's reader, and of one that is not selected.
    fn printed(format: OutputFormat) -> String {
        let (door, other) = ("Door 00 00".to_owned(), "Desk 00 00".to_owned());
        let aliases = Aliases::from([("north door".into(), "door".into())]);
        let settings =
            Settings { readers: Selection::new(&["NORTH DOOR".into()], &aliases), aliases, ..Settings::default() };
        let (stdout, stderr) = (Stream::default(), Stream::default());
        let look = OutputOptions { format, ..OutputOptions::default() };
        let mut out = Printer::on(look, Box::new(stdout.clone()), Box::new(stderr));
        let watch = ReadersWatch::new(MeantReaders::new(settings.readers.clone()));
        let mut printer = ReadersPrinter { settings: &settings, watch, seq: 0, out: &mut out };
        for event in [
            ReaderEvent::ReaderAdded { reader: door.clone() },
            ReaderEvent::ReaderAdded { reader: other.clone() },
            ReaderEvent::CardInserted { reader: other.clone(), atr: vec![0x3B, 0], insertion: 1.into() },
            ReaderEvent::CardInserted { reader: door.clone(), atr: vec![0x3B, 0], insertion: 2.into() },
            ReaderEvent::Exclusive { reader: door.clone(), exclusive: true },
            ReaderEvent::CardRemoved { reader: door.clone() },
            ReaderEvent::Exclusive { reader: door.clone(), exclusive: false },
            ReaderEvent::ReaderRemoved { reader: other },
            ReaderEvent::ReaderRemoved { reader: door },
            ReaderEvent::ServiceLost,
            ReaderEvent::ServiceBack,
        ] {
            printer.reader_event(event).unwrap();
        }
        stdout.text()
    }

    #[test]
    fn only_the_readers_that_are_meant_are_told_and_in_order() {
        let objects: Vec<serde_json::Value> =
            printed(OutputFormat::Ndjson).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let brief: Vec<_> = objects.iter().map(|o| o["event"].as_str().or(o["state"].as_str()).unwrap()).collect();
        assert_eq!(
            brief,
            [
                "reader_added",
                "present",
                "exclusive",
                "exclusive",
                "empty",
                "reader_removed",
                "service_lost",
                "service_back"
            ]
        );
        assert_eq!(objects[1]["alias"], "north door");
        assert_eq!((&objects[1]["atr"], &objects[3]["atr"]), (&"3B00".into(), &serde_json::Value::Null));
        let numbers: Vec<_> = objects.iter().filter_map(|o| o["seq"].as_u64()).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
    }

    /// As with an alias by serial number, for a reader that another program holds.
    #[test]
    fn one_that_could_not_be_asked_is_asked_again_and_told() {
        let (settings, choice) = (Settings::default(), Rc::new(Cell::new(ReaderChoice::Undecided)));
        let (stdout, stderr) = (Stream::default(), Stream::default());
        let look = OutputOptions { format: OutputFormat::Ndjson, ..OutputOptions::default() };
        let mut out = Printer::on(look, Box::new(stdout.clone()), Box::new(stderr.clone()));
        let chosen = Rc::clone(&choice);
        let watch = ReadersWatch::new(MeantReaders::chosen(move |_| chosen.get()));
        let mut printer = ReadersPrinter { settings: &settings, watch, seq: 0, out: &mut out };
        assert_eq!(printer.wait().unwrap(), Wait::Forever);
        let reader = || "Door 00 00".to_owned();
        for event in [
            ReaderEvent::ReaderAdded { reader: reader() },
            ReaderEvent::Exclusive { reader: reader(), exclusive: true },
            ReaderEvent::CardInserted { reader: reader(), atr: vec![0x3B, 0], insertion: 1.into() },
        ] {
            printer.reader_event(event).unwrap();
        }
        assert_eq!(printer.wait().unwrap(), Wait::AtMost(ASK_AGAIN));
        assert!(printer.idle().unwrap().is_continue() && stdout.bytes().is_empty());
        let said = stderr.text();
        assert_eq!(said.matches("Door 00 00: left out for now").count(), 1, "{said}");
        choice.set(ReaderChoice::Meant);
        assert!(printer.idle().unwrap().is_continue());
        assert_eq!(printer.wait().unwrap(), Wait::Forever);
        let told = stdout.text();
        let objects: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&objects[0]["event"], &objects[0]["reader"]), (&"reader_added".into(), &"Door 00 00".into()));
        let last = objects.last().unwrap();
        assert_eq!((&last["state"], &last["atr"]), (&"exclusive".into(), &"3B00".into()));
    }

    #[test]
    fn records_of_csv_are_all_readers() {
        let text = printed(OutputFormat::Csv);
        let states: Vec<_> = text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap()).collect();
        assert_eq!(states, ["empty", "present", "exclusive", "exclusive", "empty", "removed"]);
    }
}
