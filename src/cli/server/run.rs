//! `rollcall server init` and `run`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::args::RunArgs;
use crate::{
    cli::{interrupt::Interrupt, printer::Printer, views},
    config::Settings,
    crypto::x509::Authority,
    failure::{ExitClass, Failure},
    pki::{ClockCheck, PkiDir},
    server::{self, RequestLine, RunError, ServerLog, ServerOptions, StoreUrl},
    terminal::thread::no_thread,
};

/// How many log lines may wait for a slow reader; a request never waits for one.
const LINES: usize = 1024;
/// The time limit for a handshake, and for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `rollcall server init`.
///
/// # Errors
/// `terminal.conflict` when name or key are registered differently; that of the keys and of the store; that of the
/// output.
pub fn init(settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let url = store(settings)?;
    let done = server::block_on(server::init::init(&settings.pki_folder(), &url, Timestamp::now()))??;
    let Some(new) = done.added else {
        return Err(Failure::new(
            ExitClass::Refused,
            "terminal.conflict",
            format!("the server knows another terminal {:?}, or this one's key under another name", done.terminal),
        )
        .hint("see: rollcall server terminal list"));
    };
    let done_here = format!("{} administers the server: start it with rollcall server run", done.terminal);
    out.note(if new { &done_here } else { "everything exists already; nothing was changed" });
    out.object(&views::ServerState {
        schema: views::Schema::default(),
        store: url.to_string(),
        listening: None,
        terminal: Some(done.terminal),
        new: Some(new),
    })?;
    Ok(0)
}

/// `rollcall server run`: runs until a signal shuts it down in order (130 or 143).
///
/// # Errors
/// That of the signals; `system.no-thread`; that of [`server::run`]; that of the output.
pub fn run(args: &RunArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let url = store(settings)?;
    let (_board, audience) = board(args, settings, out)?.unzip();
    let options = ServerOptions {
        listen: args.listen.unwrap_or(settings.server.listen),
        pki: settings.pki_folder(),
        store: url.clone(),
        clock_check: ClockCheck::skipped_if(settings.yes),
        rate: Some(settings.server.rate).filter(|rate| *rate > 0),
        connections: settings.server.connections as usize,
        patience: PATIENCE,
        proxies: settings.server.proxies.clone(),
        resume_max_age: settings.server.resume_max_age,
        retention: settings.server.retention,
        audience,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let interrupt = Interrupt::install_staying(move || {
        let _ = stop.send(());
    })?;
    let (lines, inbox) = sync_channel(LINES);
    let log: Arc<dyn ServerLog> = Arc::new(LogSender { lines, verbose: settings.verbose });
    let worker = thread::Builder::new().name("server".into()).spawn(move || {
        server::run(&options, &log, async {
            // A dropped sender means the same.
            let _ = stopped.await;
        })
    });
    let worker = worker.map_err(no_thread)?;
    print(&inbox, &url, out)?;
    // The channel is closed: the server has ended, or panicked, which the hook has reported.
    match worker.join() {
        Ok(done) => done?,
        Err(_) => return Ok(ExitClass::Bug.exit_status()),
    }
    Ok(interrupt.exit_status().unwrap_or(0))
}

#[cfg(feature = "board")]
use super::board::start as board;

/// A program without the board serves none: if one is configured, it says so.
#[cfg(not(feature = "board"))]
fn board(_: &RunArgs, settings: &Settings, _: &mut Printer) -> Result<Option<((), server::follow::Audience)>, Failure> {
    match settings.server.board {
        Some(_) => Err(Failure::new(ExitClass::Config, "board.not-built", "this program was built without the board")
            .hint("build it with the feature board, or take board out of [server] in config.toml")),
        None => Ok(None),
    }
}

fn print(inbox: &Receiver<LogLine>, url: &StoreUrl, out: &mut Printer) -> Result<(), Failure> {
    for line in inbox {
        match line {
            LogLine::Listening(at) => out.item(&views::ServerState {
                schema: views::Schema::default(),
                store: url.to_string(),
                listening: Some(at.to_string()),
                terminal: None,
                new: None,
            })?,
            LogLine::Request(line) => out.detail(&line),
            LogLine::Renewed(until) => {
                out.note(&format!(
                    "this machine's certificates were renewed; the first expires at {}",
                    views::At(until)
                ));
            }
            LogLine::Fault(what) => out.warning(&what, None),
        }
    }
    Ok(())
}

/// The store that the configuration or the environment names.
///
/// # Errors
/// For a text that is not a store.
pub fn store(settings: &Settings) -> Result<StoreUrl, Failure> {
    Ok(settings.server.store.expose().parse::<StoreUrl>().map_err(RunError::Store)?)
}

/// The local CA, and the previous one while it is rotated out, as a store identifies them.
///
/// # Errors
/// As [`PkiDir::load_authority`].
pub fn authorities(settings: &Settings) -> Result<([u8; 20], Option<[u8; 20]>), Failure> {
    let home = PkiDir::new(settings.pki_folder());
    let previous = home.previous()?.map(|previous| previous.load_authority()).transpose()?;
    let id = |authority: &Authority| authority.point().key_identifier();
    Ok((id(&home.load_authority()?), previous.as_ref().map(id)))
}

enum LogLine {
    Listening(SocketAddr),
    Request(String),
    Renewed(Timestamp),
    Fault(String),
}

/// Passes log events to the thread that prints.
struct LogSender {
    lines: SyncSender<LogLine>,
    verbose: bool,
}

impl ServerLog for LogSender {
    fn listening(&self, at: SocketAddr) {
        let _ = self.lines.send(LogLine::Listening(at));
    }

    fn request(&self, line: &RequestLine<'_>) {
        if self.verbose {
            let RequestLine { at, from, terminal, method, path, status, took } = line;
            let (terminal, ms) = (terminal.unwrap_or("-"), took.as_secs_f64() * 1000.0);
            let from = from.map(|address| format!(" from {address}")).unwrap_or_default();
            // A slow log reader must not delay requests.
            let _ = self
                .lines
                .try_send(LogLine::Request(format!("{at:.3} {terminal} {method} {path} {status} {ms:.1} ms{from}")));
        }
    }

    fn renewed(&self, until: Timestamp) {
        let _ = self.lines.try_send(LogLine::Renewed(until));
    }

    fn fault(&self, what: &str) {
        let _ = self.lines.try_send(LogLine::Fault(what.to_owned()));
    }
}
