//! `rollcall enroll --from`: a card for every row, at as many readers as there are.

use std::path::{Path, PathBuf};

use super::{private_request, show_enrolled, show_failed, warn_of_test_keys};
use crate::{
    cli::{
        args::{BatchArgs, PrivateArgs},
        confirm::confirm,
        context::terminal_context,
        interrupt::Interrupt,
        printer::Printer,
        views,
    },
    config::Settings,
    failure::{ExitClass, Failure},
    files,
    terminal::{
        enrollment::{
            EnrollError,
            batch::{
                BatchCount, BatchLedger, Row,
                event::{BatchEvent, BatchLimits, BatchObserver, BatchStop},
                portraits::Portraits,
                resume,
                run::BatchRun,
            },
            context::EnrollmentContext,
        },
        server_access::{ServerAccess, known_user},
        user_csv::{self, UserRow, UserTable},
    },
    token::record::Layout,
};

/// Runs the command.
///
/// # Errors
/// `csv.…`, `batch.…`, `pki.…`, `confirm.…` before a card is touched; later that of the store or of the output. A card
/// that cannot be enrolled is an object of the list.
pub fn run(args: &BatchArgs, private: &PrivateArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let Some(file) = &args.from else { return Ok(ExitClass::Usage.exit_status()) };
    let mut portraits = Portraits::default();
    let folder = files::folder_of(file);
    let table = user_csv::load_with_portraits(file, &mut |row| portraits.take(row, folder))?;
    if args.dry_run {
        out.note(&format!("{}: {}; {}", file.display(), table.form.reading(), table.form.fields_in_words()));
    } else if !table.form.is_usual() {
        out.note(&format!("{}: {}", file.display(), table.form.reading()));
    }
    let terminal = terminal_context(settings);
    let enrollment = EnrollmentContext::open(&terminal, private_request(private))?;
    let rows = rows(&table, &portraits, terminal.server.as_ref().filter(|_| !args.dry_run), out)?;
    let path = args.journal.clone().unwrap_or_else(|| {
        let mut name = file.clone().into_os_string();
        name.push(".journal");
        PathBuf::from(name)
    });
    if args.dry_run {
        let ledger = BatchLedger::read(&path, rows, &enrollment.authority())?;
        return out.object(&summary(ledger.count(), &path, true)).map(|()| 0);
    }
    let mut ledger = BatchLedger::open(&path, rows, &enrollment.authority())?;
    resume::settle(&enrollment, &ledger)?;
    let begun = ledger.count().begun;
    if args.abandon && begun > 0 {
        let what = format!("this gives up {begun} cards that were begun, and with a server revokes their tokens");
        confirm(settings, out, &what, "abandon")?;
        resume::abandon(&enrollment, &mut ledger)?;
    }
    let limits = BatchLimits { failures: args.max_failures, quiet: args.timeout };
    let batch = BatchRun::new(enrollment, (ledger, portraits), settings.readers.clone(), limits)?;
    let stopper = batch.stopper();
    let signal = Interrupt::install(move || stopper.stop())?;
    out.begin::<views::Enroll>()?;
    let (stop, count) = batch.run(&mut BatchPrinter { out })?;
    out.progress_end();
    end(stop, count, signal.exit_status(), out)
}

/// What the rows make of what the server knows of their users: what has no column stays.
fn rows(
    table: &UserTable,
    portraits: &Portraits,
    server: Option<&ServerAccess>,
    out: &mut Printer,
) -> Result<Vec<Row>, Failure> {
    let (server, all) = (server.map(ServerAccess::connect).transpose()?, table.rows.len() as u64);
    let row = |(done, UserRow { user, .. }): (u64, &UserRow)| {
        let known = server.as_ref().map(|server| known_user(server, &user.id)).transpose()?.flatten();
        if server.is_some() {
            out.progress("asking the server about its users", done, Some(all));
        }
        let whole = table.patch(user).apply(known.as_ref())?;
        Layout::of(&whole).map_err(EnrollError::from)?;
        Ok(portraits.row(user.clone(), whole))
    };
    let rows = (0..).zip(&table.rows).map(row).collect();
    out.progress_end();
    rows
}

fn summary(count: BatchCount, path: &Path, dry_run: bool) -> views::BatchView {
    views::BatchView {
        schema: views::Schema::default(),
        rows: count.rows as u64,
        done: count.done as u64,
        begun: count.begun as u64,
        free: count.free() as u64,
        journal: path.display().to_string(),
        dry_run,
    }
}

fn end(stop: Option<BatchStop>, count: BatchCount, signal: Option<u8>, out: &mut Printer) -> Result<u8, Failure> {
    let BatchCount { rows, done, begun } = count;
    if count.is_complete() {
        out.note(&format!("all {rows} rows are enrolled"));
        return Ok(0);
    }
    let waiting = if begun == 0 { String::new() } else { format!(", {begun} of them begun") };
    let message = format!("{} of {rows} rows are left{waiting}", rows - done);
    let again = "run the same command again: it goes on where it stopped";
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
        _ => Err(Failure::new(ExitClass::No, "batch.incomplete", message).hint(again)),
    }
}

/// Prints what happens.
struct BatchPrinter<'a> {
    out: &'a mut Printer,
}

impl BatchPrinter<'_> {
    fn work(&mut self, what: &str, count: BatchCount) {
        self.out.work(what, count.done as u64, count.rows as u64);
    }
}

impl BatchObserver for BatchPrinter<'_> {
    fn event(&mut self, event: BatchEvent, count: BatchCount) -> Result<(), Failure> {
        match event {
            BatchEvent::Begun => self.work("put a card on a reader", count),
            BatchEvent::Free => self.work("put the next card on", count),
            BatchEvent::Step { reader, step } => self.work(&format!("{reader}: {}", step.words()), count),
            BatchEvent::TestKeys => warn_of_test_keys(self.out),
            BatchEvent::Enrolled { reader, report } => self.out.item(&show_enrolled(&reader, &report))?,
            BatchEvent::Failed { reader, token_id, user, failure } => {
                self.out.item(&show_failed(reader, token_id, user, &failure))?;
            }
            BatchEvent::ServiceLost => self.out.warning(
                "the PC/SC service is away; this waits until it is back",
                Some("start it: sudo systemctl start pcscd.socket"),
            ),
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.out.is_closed()
    }
}
