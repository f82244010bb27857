//! Reports once, with the cause, that the PC/SC service is away, or that no reader is there or meant, while a command
//! waits for cards.

use std::time::Duration;

use super::printer::Printer;
use crate::{
    doctor::{Finding, all_ignored, same_names},
    failure::Failure,
    reader::{
        ReaderState,
        pcsc::list_within,
        select::{ReaderChoice, Selection},
    },
    terminal::readers::no_reader,
};

/// How long the service may take to list its readers.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Why the service does not answer; `None` if it does.
pub fn lost_service() -> Option<Failure> {
    list_within(PATIENCE).err().map(Failure::from)
}

/// An outage of the service, of which a waiting command reports each cause once.
#[derive(Debug, Default)]
pub struct ServiceOutage {
    told: Option<&'static str>,
}

impl ServiceOutage {
    /// The service went away, or was never there. If it is already back, nothing is reported.
    pub fn begin(&mut self, out: &mut Printer) {
        *self = Self::default();
        if let Some(failure) = lost_service() {
            self.go_on(&failure, out);
        }
    }

    /// A cause of the continued outage.
    pub fn go_on(&mut self, failure: &Failure, out: &mut Printer) {
        if self.is_news(failure) {
            out.warning(&in_words(failure), failure.hint.as_deref());
        }
    }

    /// Whether it differs from the cause reported last.
    pub fn is_news(&mut self, failure: &Failure) -> bool {
        self.told.replace(failure.code) != Some(failure.code)
    }
}

/// The text of a waiting command.
pub fn in_words(failure: &Failure) -> String {
    format!("{failure}; waiting until it works ({})", failure.code)
}

/// Without a reader nobody would know what a command waits for. Other faults are reported by the service's first event.
pub fn warn_of_no_reader(chosen: &Selection, out: &mut Printer) {
    if let Ok(readers) = list_within(PATIENCE) {
        warn_of_none(&readers, chosen, out);
    }
}

/// The same, if the readers were already listed.
pub fn warn_of_none(readers: &[ReaderState], chosen: &Selection, out: &mut Printer) {
    if readers.is_empty() {
        let failure = no_reader();
        out.warning(&format!("{failure}; waiting until one is ({})", failure.code), failure.hint.as_deref());
    }
    warn_of_choice(readers, chosen, out);
}

/// The same for a command without events of undecided readers.
pub fn warn_of_readers(chosen: &Selection, out: &mut Printer) {
    if let Ok(readers) = list_within(PATIENCE) {
        warn_of_none(&readers, chosen, out);
        warn_of_undecided_among(&readers, chosen, out);
    }
}

/// Warns of a reader that another program holds, or whose driver does not answer.
pub fn warn_of_undecided(reader: &str, out: &mut Printer) {
    let text = format!(
        "{reader}: left out for now: the configuration goes by serial number or USB port, and this reader cannot be \
         asked for its own"
    );
    out.warning(&text, Some("it will be asked again; rollcall doctor names who holds it"));
}

fn warn_of_undecided_among(readers: &[ReaderState], chosen: &Selection, out: &mut Printer) {
    let undecided = readers.iter().filter(|reader| chosen.choice(&reader.name) == ReaderChoice::Undecided);
    undecided.for_each(|reader| warn_of_undecided(&reader.name, out));
}

/// Of several readers with one name only the first can be reached: the cards in the others are not read.
pub fn warn_of_same_names(readers: &[ReaderState], chosen: &Selection, out: &mut Printer) {
    let meant: Vec<_> = readers.iter().map(|one| one.name.as_str()).filter(|name| chosen.matches(name)).collect();
    for found in same_names(&meant) {
        warn_as_doctor(&found, out);
    }
}

fn warn_as_doctor(found: &Finding, out: &mut Printer) {
    let name = found.subject.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    out.warning(&format!("{name}{} ({})", found.message, found.code.unwrap_or_default()), found.remedy.as_deref());
}

/// Readers are there, but what was named or ignored leaves out those that are meant; or some cannot be reached.
pub fn warn_of_choice(readers: &[ReaderState], chosen: &Selection, out: &mut Printer) {
    if readers.is_empty() {
        return;
    }
    let none_is_left = chosen.ignores_all(readers);
    if none_is_left {
        warn_as_doctor(&all_ignored(), out);
    }
    let has_another = readers.iter().any(|reader| chosen.matches(&reader.name));
    for missing in chosen.without_reader(readers) {
        // One that is ignored does not appear later either.
        let wait = match missing.is_ignored {
            true if none_is_left => continue,
            true => "",
            false if has_another => "; going on without it",
            false => "; waiting until one does",
        };
        let failure = Failure::from(missing);
        out.warning(&format!("{failure}{wait} ({})", failure.code), failure.hint.as_deref());
    }
    warn_of_same_names(readers, chosen, out);
}

#[cfg(test)]
mod tests {
    use super::{
        super::printer::{OutputOptions, tests::stream::Stream},
        *,
    };
    use crate::reader::{Insertion, Slot, select::Aliases};

    fn given(names: &[&str], wanted: &[&str], ignored: &[&str]) -> (Vec<ReaderState>, Selection) {
        let state = |name: &&str| ReaderState {
            name: (*name).to_owned(),
            slot: Slot::Empty,
            exclusive: false,
            in_use: false,
            insertion: Insertion::default(),
        };
        let [wanted, ignored] = [wanted, ignored].map(|w| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        let chosen = Selection::new(&wanted, &Aliases::new()).without(&ignored, &Aliases::new());
        (names.iter().map(state).collect(), chosen)
    }

    /// What a waiting command says of these readers, on stderr.
    fn told(names: &[&str], wanted: &[&str], ignored: &[&str]) -> String {
        let (readers, chosen) = given(names, wanted, ignored);
        let (stdout, stderr) = (Stream::default(), Stream::default());
        let mut out = Printer::on(OutputOptions::default(), Box::new(stdout.clone()), Box::new(stderr.clone()));
        warn_of_none(&readers, &chosen, &mut out);
        assert!(stdout.bytes().is_empty());
        stderr.text()
    }

    #[test]
    fn who_waits_says_that_no_reader_is_meant() {
        let door = "Door 00 00";
        let none = told(&[], &["Nope"], &["*"]);
        assert!(none.contains("(reader.none)") && !none.contains("Nope"), "{none}");
        let unknown = told(&[door, "Desk 01 00"], &["Nope"], &[]);
        let line = "no reader matches \"Nope\"; waiting until one does (reader.unknown)";
        assert_eq!(unknown.matches(line).count(), 1, "{unknown}");
        assert!(unknown.contains("hint: connected: Door 00 00, Desk 01 00"), "{unknown}");
        let beside_one = told(&[door], &["door", "Nope"], &[]);
        assert!(
            beside_one.contains("no reader matches \"Nope\"; going on without it (reader.unknown)"),
            "{beside_one}"
        );
        let ignored = told(&[door, "SAM 00 01"], &["sam"], &["*SAM*"]);
        assert!(ignored.contains("\"sam\" (reader.unknown)") && ignored.contains("`ignore`"), "{ignored}");
        let all = told(&[door], &["door"], &["*"]);
        assert!(all.contains("(config.all-ignored)") && !all.contains("reader.unknown"), "{all}");
        assert!(all.contains("hint: make it match only what never has a token"), "{all}");
    }

    /// No driver can be asked for the port of these readers.
    #[test]
    fn who_cannot_be_asked_yet_is_not_ignored() {
        let left_out = "Door 00 00: left out for now";
        assert_eq!(told(&["Door 00 00"], &[], &["usb:1-4"]), "");
        let certain = told(&["Door 00 00", "SAM 00 01"], &[], &["usb:1-4", "*SAM*"]);
        assert!(!certain.contains("config.all-ignored"), "{certain}");
        let (stdout, stderr) = (Stream::default(), Stream::default());
        let mut out = Printer::on(OutputOptions::default(), Box::new(stdout), Box::new(stderr.clone()));
        let (readers, chosen) = given(&["Door 00 00", "SAM 00 01"], &[], &["usb:1-4", "*SAM*"]);
        warn_of_undecided_among(&readers, &chosen, &mut out);
        assert_eq!(stderr.text().matches("left out for now").count(), 1);
        assert!(stderr.text().contains(left_out));
    }

    #[test]
    fn readers_of_one_name_are_told_once_if_they_are_meant() {
        let names = ["One Model", "Door 00 00", "One Model", "One Model"];
        let line = "One Model: 3 readers have this name, and only the first of them can be reached (reader.same-name)";
        for wanted in [&[][..], &["model"]] {
            let said = told(&names, wanted, &[]);
            assert!(said.matches(line).count() == 1 && said.contains("hint: give them names of their own"), "{said}");
            assert_eq!(said.matches("(reader.").count(), 1, "{said}");
        }
        assert_eq!(told(&names, &["door"], &[]), "");
        assert_eq!(told(&names, &[], &["One*"]), "");
    }

    #[test]
    fn where_a_reader_is_meant_nothing_is_said() {
        for (wanted, ignored) in [(&[][..], &[][..]), (&["door"], &["*SAM*"]), (&["serial:A1"], &[])] {
            assert_eq!(told(&["Door 00 00", "SAM 00 01"], wanted, ignored), "");
        }
    }
}
