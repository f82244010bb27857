//! `rollcall enroll --from`: enrolls a card for every row of a file, at all readers in parallel.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{private_request, show_enrolled, show_failed, warn_of_test_keys};
use crate::{
    api::User,
    cli::{
        args::EnrollArgs,
        confirm::confirm,
        context::terminal_context,
        interrupt::Interrupt,
        printer::Printer,
        service::{ServiceOutage, warn_of_readers},
        views,
    },
    config::Settings,
    failure::{ExitClass, Failure, number_of},
    files,
    terminal::{
        context::TerminalContext,
        enrollment::{
            EnrollError,
            batch::{
                BatchCount, BatchLedger, Row,
                difference::RowDifference,
                event::{BatchEvent, BatchLimits, BatchNext, BatchObserver, BatchStop},
                portraits::Portraits,
                resume,
                run::BatchRun,
            },
            context::EnrollmentContext,
            replacement::with_tokens,
        },
        known_here::KnownUsers,
        server_access::{ServerAccess, known_user},
        user_csv::{self, UserRow, UserTable},
    },
    token::record::Layout,
};

/// How many differences are listed; the others are counted.
const TOLD: usize = 20;

/// Runs the command.
///
/// # Errors
/// `csv.…`, `batch.…`, `pki.…`, `confirm.…` before a card is touched; later that of the store or of the output. A card
/// that cannot be enrolled is an object in the output.
pub fn run(enroll: &EnrollArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let EnrollArgs { batch: args, private, .. } = enroll;
    let Some(file) = &args.from else { return Ok(ExitClass::Usage.exit_status()) };
    let mut portraits = Portraits::default();
    let folder = files::folder_of(file);
    let table = user_csv::load_with_portraits(file, &mut |row| portraits.take(row, folder))?;
    if args.dry_run {
        out.note(&format!("{}: {}; {}", user_csv::shown(file), table.form.reading(), table.form.fields_in_words()));
    } else if !table.form.is_usual() {
        out.note(&format!("{}: {}", user_csv::shown(file), table.form.reading()));
    }
    let terminal = terminal_context(settings);
    let enrollment = EnrollmentContext::open(&terminal, private_request(private))?;
    let rows = rows(&table, &portraits, &terminal, args.dry_run, out)?;
    let has_server = terminal.server.is_some();
    let path = args.journal.clone().unwrap_or_else(|| {
        let mut name = file.clone().into_os_string();
        name.push(".journal");
        PathBuf::from(name)
    });
    if args.dry_run {
        let mut ledger = BatchLedger::read(&path, rows, &enrollment.authority())?;
        limit(&mut ledger, &args.only)?;
        let differences = ledger.differences();
        tell(&differences, has_server, out);
        if !enroll.second_card {
            foretell_seconds(&ledger, &enrollment, out)?;
        }
        return out.object(&summary(ledger.count(), &path, &differences)).map(|()| 0);
    }
    let mut ledger = BatchLedger::open(&path, rows, &enrollment.authority())?;
    limit(&mut ledger, &args.only)?;
    resume::settle(&enrollment, &ledger)?;
    tell(&ledger.differences(), has_server, out);
    if args.abandon {
        abandon(&enrollment, &mut ledger, settings, out)?;
    }
    let differences = ledger.differences();
    let gone = differences.iter().filter(|difference| difference.is_gone()).count();
    if gone > 0 {
        let what = format!(
            "no longer in the file: {} that went to a card; this continues with the others",
            number_of(gone, "row")
        );
        let hint = "put them back as they were, give them up with --abandon, or continue with --yes";
        confirm(settings, out, &what, "on").map_err(|failure| failure.hint(hint))?;
    }
    if !enroll.second_card {
        ask_for_seconds(&ledger, &enrollment, settings, out)?;
    }
    let remedies = differences.iter().filter_map(|one| Some((one.id.clone(), one.remedy(has_server)?))).collect();
    let limits = BatchLimits { failures: args.max_failures, quiet: args.timeout };
    let batch = BatchRun::new(enrollment, (ledger, portraits), settings.readers.clone(), limits)?;
    let stopper = batch.stopper();
    let signal = Interrupt::install(move || stopper.stop())?;
    out.begin::<views::Enroll>()?;
    warn_of_readers(&settings.readers, out);
    let (stop, count) = batch.run(&mut BatchPrinter { out, remedies, outage: ServiceOutage::default() })?;
    out.progress_end();
    end(stop, count, signal.exit_status(), out)
}

/// Merges the rows with what the server, or without one this terminal, knows of their users: what has no column stays.
/// A dry run does not ask a server.
fn rows(
    table: &UserTable,
    portraits: &Portraits,
    terminal: &TerminalContext,
    dry_run: bool,
    out: &mut Printer,
) -> Result<Vec<Row>, Failure> {
    let here = match &terminal.server {
        Some(_) => KnownUsers::default(),
        None => KnownUsers::load(&terminal.state_folder)?,
    };
    let server = terminal.server.as_ref().filter(|_| !dry_run).map(ServerAccess::connect).transpose()?;
    let all = table.rows.len() as u64;
    let row = |(done, UserRow { user, .. }): (u64, &UserRow)| {
        let known = match &server {
            Some(server) => known_user(server, &user.id)?,
            None => here.user(&user.id).cloned(),
        };
        if server.is_some() {
            out.work("asking the server about its users", done, all);
        }
        let whole = table.patch(user).apply(known.as_ref())?;
        Layout::of(&whole).map_err(EnrollError::from)?;
        Ok(portraits.row(user.clone(), whole))
    };
    let rows = (0..).zip(&table.rows).map(row).collect();
    out.progress_end();
    rows
}

/// Restricts the batch to these rows, if any are named.
fn limit(ledger: &mut BatchLedger, only: &[String]) -> Result<(), Failure> {
    if only.is_empty() {
        return Ok(());
    }
    ledger.limit_to(only).map_err(|id| {
        Failure::new(ExitClass::Usage, "batch.no-such-row", format!("no row of the file has the id {id:?}"))
            .hint("use ids from the column id")
    })
}

/// Reports differences between file and journal, before anything is done.
fn tell(differences: &[RowDifference], has_server: bool, out: &mut Printer) {
    for difference in differences.iter().take(TOLD) {
        let text = difference.in_words();
        if let Some(command) = difference.remedy(has_server) {
            let text = format!("a row was edited after it went to its card, which stays as it is: {text}");
            out.warning(&text, Some(&format!("with that card, or with another one for a new picture: {command}")));
        } else {
            let text = format!("a row that went to a card is no longer in the file: {text}");
            out.warning(&text, Some("put it back as it was, or give it up: --abandon"));
        }
    }
    if differences.len() > TOLD {
        out.warning(&format!("and {} more such rows", differences.len() - TOLD), None);
    }
}

/// The hint for rows of users who already have a card.
const SECOND_CARDS: &str = "leave their rows out with --only; for second cards: --second-card, or --yes";

/// The warning about rows of users who already have a card other than the one in the journal.
fn second_cards(ledger: &BatchLedger, enrollment: &EnrollmentContext) -> Result<Option<String>, Failure> {
    let waiting: Vec<_> = ledger.waiting().collect();
    // A user in the file or journal under another id is a different one, or was reported above.
    let have = with_tokens(&waiting, |id| ledger.has(id), enrollment)?;
    let who = match have.as_slice() {
        [] => return Ok(None),
        [one] => format!("{one} has"),
        [first, others @ ..] => format!("{first} and {} others have", others.len()),
    };
    Ok(Some(format!("{who} a card already, and this makes a second one")))
}

/// Asks for confirmation of second cards before the first card.
fn ask_for_seconds(
    ledger: &BatchLedger,
    enrollment: &EnrollmentContext,
    settings: &Settings,
    out: &mut Printer,
) -> Result<(), Failure> {
    let Some(what) = second_cards(ledger, enrollment)? else { return Ok(()) };
    confirm(settings, out, &what, "second").map_err(|failure| failure.hint(SECOND_CARDS))
}

/// Reports in a dry run what a run would ask; an unreachable server does not prevent checking the rows.
fn foretell_seconds(ledger: &BatchLedger, enrollment: &EnrollmentContext, out: &mut Printer) -> Result<(), Failure> {
    match second_cards(ledger, enrollment) {
        Ok(Some(what)) => out.warning(&what, Some(SECOND_CARDS)),
        Ok(None) => {}
        Err(failure) if enrollment.terminal().server.is_some() => {
            let text = format!("it is not known who already has a card: {}", failure.message);
            out.warning(&text, failure.hint.as_deref());
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// Abandons the batch, after confirmation.
fn abandon(
    enrollment: &EnrollmentContext,
    ledger: &mut BatchLedger,
    settings: &Settings,
    out: &mut Printer,
) -> Result<(), Failure> {
    let given_up = ledger.to_abandon();
    let forgotten = given_up.iter().filter(|card| card.is_done).count();
    let begun = given_up.len() - forgotten;
    let mut what = Vec::new();
    if begun > 0 {
        what.push(format!(
            "this gives up what was begun on {}, and with a server revokes the tokens",
            number_of(begun, "card")
        ));
    }
    if forgotten > 0 {
        what.push(format!(
            "this forgets {} without a row in the file; forgotten tokens stay in use",
            number_of(forgotten, "token")
        ));
    }
    if what.is_empty() {
        return Ok(());
    }
    confirm(settings, out, &what.join("; "), "abandon")?;
    resume::abandon(enrollment, ledger)
}

fn summary(count: BatchCount, path: &Path, differences: &[RowDifference]) -> views::BatchView {
    views::BatchView {
        schema: views::Schema::default(),
        rows: count.rows as u64,
        done: count.done as u64,
        begun: count.begun as u64,
        free: count.free() as u64,
        journal: path.display().to_string(),
        dry_run: true,
        differences: differences.iter().map(views::RowDifferenceView::from).collect(),
    }
}

fn end(stop: Option<BatchStop>, count: BatchCount, signal: Option<u8>, out: &mut Printer) -> Result<u8, Failure> {
    let BatchCount { rows, done, begun } = count;
    if count.is_complete() {
        out.note(&format!("{} enrolled, none left", number_of(rows, "row")));
        return Ok(0);
    }
    let waiting = if begun == 0 { String::new() } else { format!(", {begun} of them begun") };
    let message = format!("{} of {} left{waiting}", rows - done, number_of(rows, "row"));
    let again = "run the same command again: it resumes where it stopped";
    match stop {
        Some(BatchStop::Asked) => {
            out.note(&message);
            Ok(signal.unwrap_or_default())
        }
        Some(BatchStop::Failures(failures)) => {
            let message = format!("{failures} failures in a row; {message}");
            Err(Failure::new(ExitClass::No, "batch.too-many-failures", message)
                .hint(format!("find out why, then {again}")))
        }
        _ => {
            let failure = Failure::new(ExitClass::No, "batch.incomplete", message);
            let give_up = "give up cards that were begun and do not come back: --abandon";
            Err(failure.hint(if begun == 0 { again.to_owned() } else { format!("{again}; {give_up}") }))
        }
    }
}

/// Whose card is next, or whose was removed: `next: 1006 José Núñez`.
fn awaited(next: &BatchNext) -> String {
    let named = |user: &User| format!("{} {}", user.id, user.name);
    let mut awaited = Vec::new();
    if !next.lifted.is_empty() {
        let mut lifted: Vec<_> = next.lifted.iter().take(3).map(named).collect();
        if next.lifted.len() > 3 {
            lifted.push(format!("{} more", next.lifted.len() - 3));
        }
        awaited.push(format!("put back the card of {}", lifted.join(", ")));
    }
    awaited.extend(next.user.as_ref().map(|user| format!("next: {}", named(user))));
    if awaited.is_empty() { "the last cards".to_owned() } else { awaited.join("; ") }
}

/// Prints the events of a batch.
struct BatchPrinter<'a> {
    out: &'a mut Printer,
    /// By the id of an edited row: how to get its text onto its card.
    remedies: HashMap<String, String>,
    outage: ServiceOutage,
}

impl BatchPrinter<'_> {
    fn work(&mut self, what: &str, count: BatchCount) {
        self.out.work(what, count.done as u64, count.rows as u64);
    }
}

impl BatchObserver for BatchPrinter<'_> {
    fn event(&mut self, event: BatchEvent, count: BatchCount) -> Result<(), Failure> {
        match event {
            BatchEvent::Begun(next) | BatchEvent::Free(next) => self.work(&awaited(&next), count),
            BatchEvent::Step { reader, step } => self.work(&format!("{reader}: {}", step.words()), count),
            BatchEvent::TestKeys => warn_of_test_keys(self.out),
            BatchEvent::Enrolled { reader, report } => {
                self.out.item(&show_enrolled(&reader, &report))?;
                if let Some(command) = self.remedies.get(&report.user.id) {
                    let text =
                        format!("the card of {} still has what its row said before it was edited", report.user.id);
                    self.out.warning(&text, Some(&format!("leave it on the reader, and run: {command}")));
                }
            }
            BatchEvent::Failed { reader, token_id, user, failure } => {
                self.out.item(&show_failed(reader, token_id, user, &failure))?;
            }
            BatchEvent::ServiceLost => self.outage.begin(self.out),
            BatchEvent::ServiceAway(failure) => self.outage.go_on(&failure, self.out),
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.out.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(user: Option<&str>, lifted: &[&str]) -> String {
        let named = |text: &str| {
            let (id, name) = text.split_once(' ').unwrap();
            User { id: id.to_owned(), name: name.to_owned(), ..User::default() }
        };
        awaited(&BatchNext { user: user.map(named), lifted: lifted.iter().map(|text| named(text)).collect() })
    }

    #[test]
    fn the_bar_says_whose_card_is_next_and_whose_is_to_return() {
        assert_eq!(next(Some("1006 José Núñez"), &[]), "next: 1006 José Núñez");
        assert_eq!(next(None, &[]), "the last cards");
        assert_eq!(next(None, &["7 Ada"]), "put back the card of 7 Ada");
        let both = next(Some("1006 José Núñez"), &["7 Ada", "8 Zoë", "9 山田 太郎"]);
        assert_eq!(both, "put back the card of 7 Ada, 8 Zoë, 9 山田 太郎; next: 1006 José Núñez");
        let many = next(None, &["1 A", "2 B", "3 C", "4 D", "5 E"]);
        assert_eq!(many, "put back the card of 1 A, 2 B, 3 C, 2 more");
    }
}
