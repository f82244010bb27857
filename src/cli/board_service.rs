//! Starts a board, of a watch or of a server, as the command line and the configuration specify.

use std::{net::SocketAddr, path::Path, sync::Arc};

use super::{printer::Printer, values::BoardAddress};
use crate::{
    api::User,
    board::{Board, BoardError, BoardFields, BoardHub, BoardOptions, ReaderNames, RollSnapshot},
    config::{BoardSettings, Settings},
    crypto::random::SystemRandom,
    failure::{ExitClass, Failure},
    terminal::user_csv,
};

/// The address of the board, if there is to be one.
///
/// # Errors
/// When there is no board that could show who of those `expected` is missing.
pub fn address(
    typed: Option<BoardAddress>,
    configured: Option<SocketAddr>,
    expected: Option<&Path>,
) -> Result<Option<SocketAddr>, Failure> {
    match typed {
        Some(typed) => Ok(Some(typed.0.or(configured).unwrap_or(BoardSettings::DEFAULT))),
        None if configured.is_none() && expected.is_some() => {
            Err(Failure::new(ExitClass::Usage, "usage", "--expected needs a board to show who is missing")
                .hint("add --board"))
        }
        None => Ok(configured),
    }
}

/// A hub with this list, and the `expected` users.
///
/// # Errors
/// `csv.…` for the file of expected users; `crypto.failed`.
pub fn hub(
    snapshot: RollSnapshot,
    names: ReaderNames,
    expected: Option<&Path>,
    settings: &Settings,
) -> Result<Arc<BoardHub>, Failure> {
    build(snapshot, names, expected, settings).map(Arc::new)
}

/// As [`hub`], before a list was read: pages wait for it.
///
/// # Errors
/// As [`hub`].
#[cfg(feature = "server")]
pub fn unread_hub(names: ReaderNames, expected: Option<&Path>, settings: &Settings) -> Result<Arc<BoardHub>, Failure> {
    build(RollSnapshot::default(), names, expected, settings).map(|hub| Arc::new(hub.before_the_list()))
}

fn build(
    snapshot: RollSnapshot,
    names: ReaderNames,
    expected: Option<&Path>,
    settings: &Settings,
) -> Result<BoardHub, Failure> {
    let configured = || settings.board.expected.as_ref().map(|file| settings.config_folder.join(file));
    let expected = expected.map(Path::to_owned).or_else(configured).map(|file| people(&file)).transpose()?;
    let fields = BoardFields(settings.board.fields.clone());
    let hub = BoardHub::new(snapshot, fields, names, expected, &mut SystemRandom).map_err(BoardError::Crypto)?;
    Ok(if settings.board.portraits { hub.with_portraits() } else { hub })
}

/// Serves the board, and reports its address.
///
/// # Errors
/// `board.…`.
pub fn serve(listen: SocketAddr, hub: Arc<BoardHub>, settings: &Settings, out: &mut Printer) -> Result<Board, Failure> {
    let board = Board::start(&options(listen, settings)?, hub)?;
    out.note(&format!("the board: {}", board.url()));
    if !board.address().ip().is_loopback() {
        out.note("a browser needs a link to it: rollcall board link");
    }
    Ok(board)
}

fn options(listen: SocketAddr, settings: &Settings) -> Result<BoardOptions, Failure> {
    let board = &settings.board;
    // Paths in the file are relative to it.
    let beside = |path: &Path| settings.config_folder.join(path);
    let tls = match (&board.certificate, &board.key) {
        (Some(certificate), Some(key)) => Some((beside(certificate), beside(key))),
        (None, None) => None,
        _ => {
            return Err(Failure::new(
                ExitClass::Config,
                "board.needs-tls",
                "under [board] in config.toml, certificate and key go together",
            )
            .hint("name both"));
        }
    };
    Ok(BoardOptions {
        listen,
        hosts: board.hosts.clone(),
        tls,
        state_folder: settings.state_folder.clone(),
        title: board.title.clone(),
        texts: board.texts.as_deref().map(beside),
    })
}

fn people(file: &Path) -> Result<Vec<User>, Failure> {
    Ok(user_csv::load(file)?.rows.into_iter().map(|row| row.user).collect())
}
