//! Runs commands typed by an operator against the card in one reader, one after the other, plain or inside a channel.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    card::{
        apdu::{ApduFormat, Command, Received},
        link::{Link, LinkError, Sensitivity},
        script::{ScriptError, ScriptStep},
        status::Status,
        t0::T0,
    },
    channel::CommandName,
    crypto::random::{SystemRandom, bytes},
    failure::{ExitClass, Failure},
    reader::pcsc::Card,
    terminal::{
        context::TerminalContext,
        tap::{
            TapError,
            failure::{link as link_failure, token as token_failure},
        },
    },
    token::{
        TokenError,
        open::{AuthenticationContext, Credentials, NoMemory, SlotWish, identify},
        session::Session,
    },
};

/// One command and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApduExchange {
    /// When the answer came.
    pub at: Timestamp,
    /// Its number, from 1.
    pub number: u32,
    /// Whether it went through a channel: command and answer are shown without the secure messaging.
    pub is_secure: bool,
    /// The command APDU.
    pub command: Vec<u8>,
    /// The data of the answer.
    pub data: Vec<u8>,
    /// The status word.
    pub status: Status,
    /// The expected answers, as typed; empty when any answer is accepted.
    pub expected: Vec<String>,
    /// Whether the answer is one of those; `None` when nothing was expected.
    pub as_expected: Option<bool>,
    /// The commands sent in place of this one, each with its answer: T=0 may need more than one. Empty when the command
    /// itself was sent.
    pub carried: Vec<CarriedCommand>,
    /// How long it took.
    pub took: Duration,
}

/// A command as sent to the card, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedCommand {
    /// The bytes sent.
    pub command: Vec<u8>,
    /// The data of the answer.
    pub data: Vec<u8>,
    /// Its status word.
    pub status: Status,
}

impl CarriedCommand {
    fn new(command: &[u8], answer: &[u8]) -> Self {
        let (data, status) = parts(answer);
        Self { command: command.to_vec(), data, status }
    }
}

/// The data and the status word of an answer.
fn parts(answer: &[u8]) -> (Vec<u8>, Status) {
    let (data, status) = answer.split_at(answer.len().saturating_sub(2));
    (data.to_vec(), Status(status.try_into().map(u16::from_be_bytes).unwrap_or_default()))
}

/// Why a step was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApduError {
    /// The step yields no command: it names a variable without a value, or it has too many bytes.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// These bytes are not a command, inside a channel or for a card.
    #[error("not a command APDU")]
    NoCommand,
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The channel failed.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl ApduError {
    /// The failure as the operator sees it: `line` is the line of the script, from 1 (0: typed), `number` that of the
    /// command.
    pub fn to_failure(&self, line: usize, number: u32) -> Failure {
        let place = if line == 0 { format!("command {number}") } else { format!("line {line}") };
        match self {
            Self::Script(error) => unreadable(&place, error),
            Self::NoCommand => Failure::new(ExitClass::Data, "apdu.syntax", format!("{place} is not a command APDU"))
                .hint("CLA INS P1 P2, then Lc and that many bytes, then Le (ISO/IEC 7816-3, 12.1.3)"),
            Self::Link(error) => link_failure(error, number),
            Self::Token(error) => token_failure(error, number),
        }
    }
}

/// The failure for a line, typed or in a script, that is not a step.
pub fn unreadable(place: &str, error: &ScriptError) -> Failure {
    Failure::new(ExitClass::Data, "apdu.syntax", format!("{place}: {error}"))
        .hint("write HEX, HEX=9000 or HEX=9000,61xx; see rollcall apdu --help")
}

/// Connects to the card in this reader and runs commands in one transaction; with credentials, inside a channel.
///
/// # Errors
/// When there is no card, no transaction or no channel; otherwise the error of `work`.
pub fn with_card<T>(
    terminal: &TerminalContext,
    reader: &str,
    mode: ApduMode<'_>,
    work: impl FnOnce(&mut ApduRun<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link_failure(&e, 0))?;
    let mut transaction = card.begin().map_err(|e| link_failure(&e, 0))?;
    if let ApduMode::Secure(credentials) = mode {
        let session = open_channel(&mut transaction, credentials)?;
        return work(&mut ApduRun::new(&mut transaction, Some(session)));
    }
    // The extra commands of T=0 are issued here, where they can be shown.
    let is_followed = matches!(mode, ApduMode::Plain) && transaction.is_t0();
    transaction.raw();
    let run = ApduRun::new(&mut transaction, None);
    work(&mut if is_followed { run.at_t0() } else { run })
}

/// How commands are sent to the card.
#[derive(Debug, Clone, Copy)]
pub enum ApduMode<'a> {
    /// Unchanged; with T=0, followed by the further commands that this protocol requires.
    Plain,
    /// Unchanged, whatever the protocol.
    Raw,
    /// Inside a channel of the role READ.
    Secure(&'a Credentials),
}

/// Opens a channel of the role READ: the card itself refuses anything that would change it.
///
/// # Errors
/// `token.foreign` without the applet; the failure of the link, of SELECT or of the handshake; `crypto.failed`.
pub fn open_channel(link: &mut dyn Link, credentials: &Credentials) -> Result<Session, Failure> {
    let mut random = SystemRandom;
    let mut context = AuthenticationContext {
        credentials,
        memory: &NoMemory,
        nonce: bytes(&mut random).map_err(|e| token_failure(&TokenError::from(e), 0))?,
        now: Timestamp::now(),
        format: ApduFormat::Short,
        random: &mut random,
        learned: Vec::new(),
        slot: SlotWish::No,
        nonce_shown: false,
    };
    let selected = identify(link, ApduFormat::Short).map_err(|e| token_failure(&e, 0))?;
    let selected = selected.ok_or_else(|| TapError::Foreign.to_failure(1))?;
    Ok(context.open(link, &selected).map_err(|e| token_failure(&e, 1))?.session)
}

/// Runs the steps of a script.
pub struct ApduRun<'a> {
    link: &'a mut dyn Link,
    session: Option<Session>,
    /// Present when the sender's part of T=0 is done here, and shown.
    t0: Option<T0>,
    carried: Vec<CarriedCommand>,
    variables: BTreeMap<String, Vec<u8>>,
    number: u32,
}

impl<'a> ApduRun<'a> {
    /// No step has been carried out yet. With a session every command goes through its channel.
    pub fn new(link: &'a mut dyn Link, session: Option<Session>) -> Self {
        Self { link, session, t0: None, carried: Vec::new(), variables: BTreeMap::new(), number: 0 }
    }

    /// Follows the rules of T=0, over a link that does not do so itself, and records the commands sent for it.
    #[must_use]
    pub fn at_t0(self) -> Self {
        Self { t0: Some(T0::default()), ..self }
    }

    /// The number of commands started.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Carries out one step; returns `None` for one that only sets a variable.
    ///
    /// # Errors
    /// [`ApduError::Script`] when the bytes make no command; [`ApduError::NoCommand`]; [`ApduError::Link`] and
    /// [`ApduError::Token`] when the exchange fails. An unexpected answer is not an error.
    pub fn carry_out(&mut self, step: &ScriptStep) -> Result<Option<ApduExchange>, ApduError> {
        match step {
            ScriptStep::Set { name, bytes } => {
                let value = bytes.bytes(&self.variables)?;
                self.variables.insert(name.clone(), value);
                Ok(None)
            }
            ScriptStep::Send { command, expected, keep } => {
                let command = command.bytes(&self.variables)?;
                self.number += 1;
                let began = Instant::now();
                // If the card's first answer is one of those expected, no follow-up command is sent.
                let is_first = |answer: &[u8]| expected.iter().any(|one| one.matches(answer));
                let answer = self.exchange(&command, &is_first)?;
                let took = began.elapsed();
                let (data, status) = parts(&answer);
                if let Some(name) = keep {
                    self.variables.insert(name.clone(), data.clone());
                }
                let carried = std::mem::take(&mut self.carried);
                let is_itself = matches!(&carried[..], [one] if one.command == command);
                Ok(Some(ApduExchange {
                    at: Timestamp::now(),
                    number: self.number,
                    is_secure: self.session.is_some(),
                    command,
                    data,
                    status,
                    expected: expected.iter().map(|pattern| pattern.text().to_owned()).collect(),
                    as_expected: (!expected.is_empty()).then(|| expected.iter().any(|one| one.matches(&answer))),
                    carried: if is_itself { Vec::new() } else { carried },
                    took,
                }))
            }
        }
    }

    /// The answer with its status word. Inside a channel, its R-MAC has been verified.
    fn exchange(&mut self, apdu: &[u8], is_enough: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, ApduError> {
        let Some(session) = &mut self.session else {
            if apdu.len() < 4 {
                return Err(ApduError::NoCommand);
            }
            let answer = self.plain(apdu, is_enough)?;
            return if answer.len() < 2 { Err(LinkError::Malformed(answer.len()).into()) } else { Ok(answer) };
        };
        let typed = Received::parse(apdu).ok_or(ApduError::NoCommand)?;
        let [cla, ins, p1, p2] = typed.header;
        let mut command = Command::new(cla, ins, p1, p2).data(typed.data);
        if typed.expected.is_some() {
            command = command.answered();
        }
        let answer = session.ask(self.link, CommandName::Typed, &command)?;
        Ok([&answer.data[..], &answer.status.0.to_be_bytes()].concat())
    }

    fn plain(&mut self, apdu: &[u8], is_enough: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, LinkError> {
        let Self { link, t0, carried, .. } = self;
        carried.clear();
        let Some(t0) = t0 else { return link.transmit(apdu, Sensitivity::Plain) };
        let mut enough = None;
        let whole = t0.exchange(apdu, &mut |tpdu| {
            let answer = link.transmit(tpdu, Sensitivity::Plain)?;
            let first = carried.is_empty();
            carried.push(CarriedCommand::new(tpdu, &answer));
            if first && is_enough(&answer) {
                enough = Some(answer);
                // Ends the T=0 exchange without sending anything more.
                return Ok(Status::OK.0.to_be_bytes().to_vec());
            }
            Ok(answer)
        });
        enough.map_or(whole, Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives these answers in turn, and records what was sent.
    struct Card(Vec<&'static str>, Vec<String>);

    impl Link for Card {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            self.1.push(hex::encode_upper(command));
            Ok(hex::decode(self.0.remove(0)).unwrap())
        }
    }

    fn run(line: &str, at_t0: bool, answers: &[&'static str]) -> (ApduExchange, Vec<String>) {
        let mut card = Card(answers.to_vec(), Vec::new());
        let run = ApduRun::new(&mut card, None);
        let mut run = if at_t0 { run.at_t0() } else { run };
        let exchange = run.carry_out(&ScriptStep::parse(line).unwrap()).unwrap().unwrap();
        (exchange, card.1)
    }

    #[test]
    fn what_is_sent_for_a_command_is_told() {
        let (told, sent) = run("00A4040001AA00", true, &["6102", "BBCC9000"]);
        assert_eq!((told.data, told.status), (vec![0xBB, 0xCC], Status::OK));
        let carried: Vec<_> = told.carried.iter().map(|one| hex::encode_upper(&one.command)).collect();
        assert_eq!(
            (carried, sent),
            (vec!["00A4040001AA".into(), "00C0000002".into()], vec!["00A4040001AA".into(), "00C0000002".into()])
        );
        assert_eq!(told.carried[0].status, Status(0x6102));
        // Only Le was dropped.
        assert_eq!(run("00A4040001AA00", true, &["9000"]).0.carried.len(), 1);
        // Nothing was sent in its place.
        assert_eq!(run("00CA000000", true, &["9000"]).0.carried, []);
        let (told, sent) = run("00A4040001AA00", false, &["6102"]);
        assert_eq!((told.status, told.carried, sent), (Status(0x6102), vec![], vec!["00A4040001AA00".into()]));
    }

    #[test]
    fn what_was_expected_is_not_followed() {
        let (told, sent) = run("00A4040001AA00=61xx", true, &["6102"]);
        assert_eq!((told.status, told.as_expected, sent.len()), (Status(0x6102), Some(true), 1));
        let (told, sent) = run("00A4040001AA00=9000", true, &["6102", "BBCC9000"]);
        assert_eq!((told.status, told.as_expected, sent.len()), (Status::OK, Some(true), 2));
    }
}
