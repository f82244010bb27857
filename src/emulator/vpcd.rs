//! The card's side of the vpcd protocol: a TCP connection to a reader driver. While connected, the card is inserted.
//!
//! A frame is a two-byte length followed by a control byte or an APDU. Every APDU is answered, whatever it is, so that
//! no program behind the driver waits for us.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    card_timing::CardTiming,
    core::SoftwareToken,
    platform::{CardPlatform, PlatformAnswer},
    store::StateStoreError,
};
use crate::failure::{ExitClass, Failure};

/// A contactless card's ATR as PC/SC part 3 defines it, TS to TCK; its capabilities: chaining, extended length.
pub const ATR: [u8; 10] = [0x3B, 0x85, 0x80, 0x01, 0x80, 0x73, 0xC8, 0x21, 0xC0, 0xDE];
/// How long the first connection is attempted.
pub const PATIENCE: Duration = Duration::from_secs(10);

const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const GET_ATR: u8 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why the card never got into a reader.
#[derive(Debug, thiserror::Error)]
pub enum VpcdError {
    /// Nothing listens there.
    #[error("no reader listens at {address}: {source}")]
    Unreachable {
        /// The address.
        address: String,
        /// The last error of the system.
        source: io::Error,
    },
}

impl From<VpcdError> for Failure {
    fn from(e: VpcdError) -> Self {
        Self::new(ExitClass::Unavailable, "virtual-token.no-reader", e.to_string())
            .hint("is pcscd running, with the driver vpcd? Its port comes from its configuration: --connect HOST:PORT")
    }
}

/// Events of the card.
#[derive(Debug)]
pub enum CardEvent {
    /// It was inserted into the reader.
    Inserted,
    /// The reader closed the connection.
    Removed {
        /// How long the card computed, according to its [`CardTiming`].
        busy: Duration,
    },
    /// A change could not be stored; the command was refused with 6F00.
    Fault(StateStoreError),
}

/// Ends [`run`] from another thread.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(Arc<(Mutex<Stopping>, Condvar)>);

#[derive(Debug, Default)]
struct Stopping {
    stopped: bool,
    connection: Option<TcpStream>,
}

impl StopHandle {
    /// Closes the connection and lets [`run`] return.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(connection) = &state.connection {
            // If the peer has already closed it, there is nothing to shut down.
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.0.1.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, Stopping> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but no longer than until it is stopped.
    fn pause(&self, length: Duration) {
        let wait = self.0.1.wait_timeout_while(self.lock(), length, |state| !state.stopped);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    /// Stores the connection, so that [`Self::stop`] can close it. False if it was stopped before.
    fn hold(&self, connection: Option<TcpStream>) -> bool {
        let mut state = self.lock();
        state.connection = connection;
        !state.stopped
    }
}

/// Where the token is inserted, and how it behaves there.
pub struct CardSetup<'a> {
    /// Host and port of the reader.
    pub address: &'a str,
    /// How long the first connection is attempted.
    pub patience: Duration,
    /// How long commands take.
    pub card_timing: CardTiming,
    /// The card platform, if there is one.
    pub platform: Option<&'a mut CardPlatform>,
}

/// Keeps the token in the reader until stopped. A reader that goes away is waited for; one that is missing at first is
/// an error.
///
/// # Errors
/// [`VpcdError::Unreachable`] when no reader was there within the patience of `seat`.
pub fn run(
    token: &mut SoftwareToken,
    seat: CardSetup<'_>,
    stop: &StopHandle,
    tell: &mut dyn FnMut(CardEvent),
) -> Result<(), VpcdError> {
    let CardSetup { address, patience, card_timing, mut platform } = seat;
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut was_inserted = false;
    while !stop.is_stopped() {
        match connect(address).and_then(|stream| Ok((stream.try_clone()?, stream))) {
            Ok((handle, mut stream)) => {
                if stop.hold(Some(handle)) {
                    was_inserted = true;
                    pause = FIRST_PAUSE;
                    tell(CardEvent::Inserted);
                    // However the connection ended, the card is out of the reader.
                    let platform = platform.as_deref_mut();
                    let mut timed = Timed { card_timing, stop, platform, busy: Duration::ZERO };
                    let _ = serve(token, &mut stream, &mut timed, tell);
                    timed.reset(token);
                    tell(CardEvent::Removed { busy: timed.busy });
                }
                stop.hold(None);
            }
            Err(source) if !was_inserted && start.elapsed() >= patience => {
                return Err(VpcdError::Unreachable { address: address.to_owned(), source });
            }
            Err(_) => {}
        }
        stop.pause(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::InvalidInput, "the address names no host");
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect(candidate) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Simulates the times of a card and adds them up; lets the platform answer its own commands.
struct Timed<'a> {
    card_timing: CardTiming,
    stop: &'a StopHandle,
    platform: Option<&'a mut CardPlatform>,
    busy: Duration,
}

impl Timed<'_> {
    /// The answer, delayed to when a real card would give it. Our own computing counts as part of that time.
    fn process(&mut self, token: &mut SoftwareToken, apdu: &[u8]) -> Vec<u8> {
        let began = Instant::now();
        match self.platform.as_mut().map_or(PlatformAnswer::ByNobody, |platform| platform.answer(apdu)) {
            PlatformAnswer::ByReader(answer) => return answer,
            PlatformAnswer::ByDomain(answer) => {
                token.reset();
                return answer;
            }
            PlatformAnswer::ByNobody => {}
        }
        let answer = token.process(apdu);
        let length = self.card_timing.of(apdu);
        self.busy += length;
        self.stop.pause(length.saturating_sub(began.elapsed()));
        answer
    }

    fn reset(&mut self, token: &mut SoftwareToken) {
        token.reset();
        if let Some(platform) = &mut self.platform {
            platform.reset();
        }
    }
}

/// Answers frames until the connection ends.
fn serve(
    token: &mut SoftwareToken,
    stream: &mut TcpStream,
    timed: &mut Timed<'_>,
    tell: &mut dyn FnMut(CardEvent),
) -> io::Result<()> {
    let mut frame = Vec::new();
    loop {
        let mut length = [0; 2];
        read(stream, &mut length)?;
        frame.resize(u16::from_be_bytes(length).into(), 0);
        read(stream, &mut frame)?;
        let answer = match frame[..] {
            [GET_ATR] => ATR.to_vec(),
            [POWER_OFF | POWER_ON | RESET] => {
                timed.reset(token);
                continue;
            }
            [_] => continue,
            ref apdu => timed.process(token, apdu),
        };
        if let Some(fault) = token.take_fault() {
            tell(CardEvent::Fault(fault));
        }
        send(stream, &answer)?;
    }
}

/// Fills a buffer, and acknowledges data at once: vpcd 0.8 sends length and payload separately and leaves Nagle's
/// algorithm on, so its payload waits for our acknowledgement of the length.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    acknowledge_at_once(stream);
    stream.read_exact(buffer)
}

#[cfg(target_os = "linux")]
fn acknowledge_at_once(stream: &TcpStream) {
    // The kernel drops this setting eventually, so it is set again around each read. Without it, it is only slow.
    let _ = socket2::SockRef::from(stream).set_tcp_quickack(true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge_at_once(_: &TcpStream) {}

/// Sends in one write: the driver reads length and payload separately and would wait for a second packet.
fn send(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
    stream.write_all(&[&length.to_be_bytes(), answer].concat())
}

#[cfg(test)]
mod tests;
