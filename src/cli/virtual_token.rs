//! `rollcall virtual-token`: a software card in a reader of the vpcd driver.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::args::VirtualTokenArgs;
use super::interrupt::Interrupt;
use super::printer::Printer;
use crate::channel::scp03::StaticKeys;
use crate::crypto::random::SystemRandom;
use crate::emulator::{
    CardPlatform, FileStore, PersistentState, SoftwareToken, StateStore, VolatileStore, parse_start_keys,
    vpcd::{self, CardEvent, CardSetup, PATIENCE, StopHandle},
};
use crate::failure::{ExitClass, Failure};
use crate::files;

/// The longest file of start keys, in bytes.
const START_KEYS: u64 = 4096;

/// Keeps the card in the reader until a signal ends it (129, 130 or 143). A reader that goes away is waited for.
///
/// # Errors
/// That of the state or the key file; `virtual-token.no-reader`; that of the signals.
pub fn run(args: &VirtualTokenArgs, out: &mut Printer) -> Result<u8, Failure> {
    let (state, store) = open(args, out)?;
    if state.has_test_keys() {
        out.warning(
            "this token has the well-known test keys: whoever sees its enrollment knows its keys",
            Some("give a new token a key of your own with --start-key-file"),
        );
    }
    let stop = StopHandle::default();
    let stopper = stop.clone();
    let interrupt = Interrupt::install(move || stopper.stop())?;
    let diversification = state.diversification();
    let platform = |uid| CardPlatform::new(uid, &diversification, Box::new(SystemRandom));
    let mut platform = args.uid.map(platform).transpose().map_err(|e| crypto(&e))?;
    let mut token = SoftwareToken::new(state, store, Box::new(SystemRandom));
    let seat = CardSetup {
        address: &args.connect,
        patience: PATIENCE,
        card_timing: args.delay.unwrap_or_default(),
        platform: platform.as_mut(),
    };
    vpcd::run(&mut token, seat, &stop, &mut |event| tell(&event, &args.connect, out))?;
    Ok(interrupt.exit_status().unwrap_or(0))
}

fn tell(event: &CardEvent, address: &str, out: &mut Printer) {
    match event {
        CardEvent::Inserted => out.detail(&format!("the card is in the reader at {address}")),
        CardEvent::Removed { busy } => {
            out.detail(&format!(
                "the reader at {address} released the card, which was busy for {} µs",
                busy.as_micros()
            ));
        }
        CardEvent::Fault(fault) => {
            out.warning(&format!("the card refused a command, because it cannot be stored: {fault}"), None);
        }
    }
}

/// The token of the state file, or a blank one, which is stored before anybody can use it.
fn open(args: &VirtualTokenArgs, out: &mut Printer) -> Result<(PersistentState, Box<dyn StateStore + Send>), Failure> {
    let Some(path) = &args.state else {
        return Ok((blank(args, out)?, Box::new(VolatileStore)));
    };
    let mut store = FileStore::open(path)?;
    if let Some(state) = store.load()? {
        return Ok((state, Box::new(store)));
    }
    let state = blank(args, out)?;
    store.save(&state)?;
    Ok((state, Box::new(store)))
}

fn blank(args: &VirtualTokenArgs, out: &mut Printer) -> Result<PersistentState, Failure> {
    let keys = match &args.start_key_file {
        Some(path) => start_keys(path, out)?,
        None => StaticKeys::test(),
    };
    PersistentState::blank(&keys, &mut SystemRandom).map_err(|e| crypto(&e))
}

fn crypto(error: &impl ToString) -> Failure {
    Failure::new(ExitClass::Bug, "bug.crypto", error.to_string())
}

fn start_keys(path: &Path, out: &mut Printer) -> Result<StaticKeys, Failure> {
    let unreadable = |e| Failure::new(ExitClass::Io, "start-key.unreadable", format!("{}: {e}", path.display()));
    let text = fs::File::open(path).and_then(|file| files::read_text(file, START_KEYS));
    let text = Zeroizing::new(text.map_err(unreadable)?);
    if fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o077 != 0) {
        out.warning(
            &format!("the start key in {} is readable by other users", path.display()),
            Some("make it private: chmod 600"),
        );
    }
    parse_start_keys(&text).map_err(|e| {
        Failure::new(ExitClass::Data, "start-key.malformed", format!("{}: {e}", path.display()))
            .hint("the file holds 32 hexadecimal digits, or three lines of 32: ENC, MAC, DEK")
    })
}
