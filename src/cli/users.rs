//! `rollcall users`: lists who is present, what happened, and who is denied here.

use std::ops::ControlFlow;
use std::process::{Command, Stdio};

use jiff::Timestamp;

use super::args::{ByHandArgs, UsersArgs, UsersCommand};
use super::confirm::confirm;
use super::context::store;
use super::printer::{OutputOptions, Printer};
use super::time_spec::{self, TimeSpec};
use super::views::{self, UserEntry};
use crate::config::{OutputFormat, Settings};
use crate::failure::{Failure, number_of};
use crate::pki::PkiDir;
use crate::terminal::forget;
use crate::terminal::lookups::Cache;
use crate::terminal::presence::{
    Entry, Event, Hand, TerminalStore,
    operator::{self, DenyReport, find_entries},
};

const NOBODY: &str = "nobody is here";

/// Runs the command.
///
/// # Errors
/// That of the store; of an unknown id; `time.reversed`; `confirm.…`; that of the output.
pub fn run(args: &UsersArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let now = Timestamp::now();
    match args.command.as_ref().unwrap_or(&UsersCommand::List) {
        UsersCommand::List => list(settings, now, out),
        UsersCommand::Show { id } => show(id, settings, now, out),
        UsersCommand::Export => export(settings, now, out),
        UsersCommand::History { since, until } => history([*since, *until], settings, now, out),
        UsersCommand::Deny { id, reason } => deny(id, reason.as_deref(), settings, now, out),
        UsersCommand::Denied => denied(settings, now, out),
        UsersCommand::Allow { id } => allow(id, settings, now, out),
        UsersCommand::Clear => clear(settings, now, out),
        UsersCommand::Remove { id, note } => remove(id, note.clone(), settings, now, out),
        UsersCommand::Forget { id, dry_run } => forget(id, *dry_run, settings, now, out),
        UsersCommand::CheckIn(args) => check_in(args, settings, now, out),
        UsersCommand::CheckOut(args) => check_out(args, settings, now, out),
    }?;
    Ok(0)
}

fn list(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let listed: Vec<_> = entries(settings, now)?.into_iter().map(|entry| UserEntry::new(entry, now)).collect();
    out.list(&listed, NOBODY)
}

fn show(id: &str, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let entries = entries(settings, now)?;
    match find_entries(id, &entries)?.as_slice() {
        [entry] => out.object(&UserEntry::new((*entry).clone(), now)),
        several => {
            let several: Vec<_> = several.iter().map(|entry| UserEntry::new((*entry).clone(), now)).collect();
            out.list(&several, NOBODY)
        }
    }
}

fn export(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    if settings.format == OutputFormat::Text {
        out.set_options(OutputOptions { format: OutputFormat::Csv, ..OutputOptions::of_process(settings) });
    }
    list(settings, now, out)
}

fn history(span: [Option<TimeSpec>; 2], settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let [since, until] = time_spec::moments(span, now, out)?;
    let Some(store) = settled(settings, now)? else { return show_events(Vec::new(), "nothing happened yet", out) };
    if settings.format == OutputFormat::Text {
        // A table needs all rows before it can be aligned.
        let mut events = Vec::new();
        store.history(since, until, |event| {
            events.push(event);
            ControlFlow::Continue(())
        })?;
        return show_events(events, "nothing happened in that time", out);
    }
    out.begin::<views::EventView>()?;
    let mut printed = Ok(());
    store.history(since, until, |event| {
        printed = out.item(&views::EventView::from(event));
        if printed.is_ok() && !out.is_closed() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    printed
}

fn deny(id: &str, reason: Option<&str>, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let DenyReport { id, is_known, events } =
        operator::deny(&mut store(settings)?, id, reason, settings.yes, now, settings)?;
    let nobody = format!("no user known here has the id {id}; whoever taps with it is refused from now on");
    show_events(events, &nobody, out)?;
    // A word without a digit may have been meant as a name, which would deny nobody.
    if !is_known && !id.contains(|sign: char| sign.is_ascii_digit()) {
        let text = format!("{id} was denied as an id: nobody here has this name");
        out.warning(&text, Some("if a name was meant, give the id of the user: rollcall token list shows ids"));
    }
    Ok(())
}

fn denied(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let denials = settled(settings, now)?.map(|store| store.denials()).transpose()?.unwrap_or_default();
    let denials: Vec<_> = denials.into_iter().map(views::Denied::from).collect();
    out.list(&denials, "nobody is denied here")
}

fn allow(id: &str, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let id = operator::allow(&mut store(settings)?, id, now, settings)?;
    out.note(&format!("{id} is let in again from the next tap"));
    out.object_for_programs(&views::Allowed { schema: views::Schema::default(), id })
}

fn clear(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let here = entries(settings, now)?.len();
    if here > 0 {
        let who = if here == 1 { "1 entry".to_owned() } else { format!("{here} entries") };
        confirm(settings, out, &format!("this takes {who} off the list"), "clear")?;
        let events = operator::clear(&mut store(settings)?, Timestamp::now(), settings)?;
        return show_events(events, NOBODY, out);
    }
    show_events(Vec::new(), "the list is empty already", out)
}

fn remove(
    id: &str,
    note: Option<String>,
    settings: &Settings,
    now: Timestamp,
    out: &mut Printer,
) -> Result<(), Failure> {
    let hand = Hand { by: caller(), note };
    let events = operator::remove(&mut store(settings)?, id, &hand, now, settings)?;
    show_events(events, NOBODY, out)
}

fn check_in(args: &ByHandArgs, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let (at, hand) = entered(args, now, out);
    let folder = &settings.state_folder;
    let named_by_server = || {
        // Looking must create nothing.
        if !folder.join("directory.db").exists() {
            return Ok(Vec::new());
        }
        let cas = PkiDir::new(settings.pki_folder()).load_trusted()?;
        Ok(Cache::open(folder, &cas)?.users(now)?)
    };
    let events = operator::check_in(&mut store(settings)?, &args.id, at, hand, now, settings, named_by_server)?;
    show_events(events, NOBODY, out)
}

fn check_out(args: &ByHandArgs, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let (at, hand) = entered(args, now, out);
    let events = operator::check_out(&mut store(settings)?, &args.id, at, &hand, now, settings)?;
    show_events(events, NOBODY, out)
}

fn forget(typed: &str, dry_run: bool, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let home = &settings.state_folder;
    let mut store = store(settings)?;
    store.settle(now, settings)?;
    let found = forget::find(&store, home, typed)?;
    // It is unknown where the files of batches are.
    let journals = "the journal of a batch (FILE.journal) is not searched: delete it once its cards are done, if it names this user";
    if dry_run {
        out.object(&views::Forgotten::new(found, true))?;
        out.note(journals);
        return Ok(());
    }
    let what = format!(
        "this removes what is stored about {} here: the names in {}, and {} of the register",
        found.user_id,
        number_of(found.held.events, "event"),
        number_of(found.held.cards, "card")
    );
    confirm(settings, out, &what, &found.user_id)?;
    let hand = Hand { by: caller(), note: None };
    let has_server = settings.server.url.is_some();
    let done = forget::forget(&mut store, home, found, &hand, Timestamp::now(), settings, has_server)?;
    out.object(&views::Forgotten::new(done, false))?;
    out.note(journals);
    Ok(())
}

fn entered(args: &ByHandArgs, now: Timestamp, out: &mut Printer) -> (Timestamp, Hand) {
    let at = args.at.map_or(now, |at| at.moment(now, out));
    (at, Hand { by: caller(), note: args.note.clone() })
}

/// The operating system's user; under sudo the one who called it.
fn caller() -> String {
    let called = std::env::var("SUDO_USER").ok().filter(|name| plain(name));
    called.or_else(login).unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}

/// The name of this process's user.
fn login() -> Option<String> {
    let id = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    // A user from a network directory is not in the file.
    let asked = || {
        let said = Command::new("id").arg("-un").stderr(Stdio::null()).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    named.or_else(asked).filter(|name| plain(name))
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control)
}

fn show_events(events: Vec<Event>, nothing: &str, out: &mut Printer) -> Result<(), Failure> {
    let events: Vec<_> = events.into_iter().map(views::EventView::from).collect();
    out.list(&events, nothing)
}

/// The store, up to date; `None` if there is none, since looking must create nothing.
fn settled(settings: &Settings, now: Timestamp) -> Result<Option<TerminalStore>, Failure> {
    Ok(TerminalStore::open_settled(&settings.state_folder, now, settings)?)
}

fn entries(settings: &Settings, now: Timestamp) -> Result<Vec<Entry>, Failure> {
    match settled(settings, now)? {
        Some(mut store) => Ok(store.entries()?),
        None => Ok(Vec::new()),
    }
}
