//! Commands as an operator types them, one after the other, to the card in one reader: plain, or inside a channel.

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
        open::{AuthenticationContext, Credentials, NoMemory, identify},
        session::Session,
    },
};

/// One command, and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApduExchange {
    /// When the answer came.
    pub at: Timestamp,
    /// Which one it is, from 1.
    pub number: u32,
    /// Whether it went through a channel: command and answer are as they are without it.
    pub is_secure: bool,
    /// The command APDU.
    pub command: Vec<u8>,
    /// The data of the answer.
    pub data: Vec<u8>,
    /// The status word.
    pub status: Status,
    /// What was expected, as it was typed; empty when anything is right.
    pub expected: Vec<String>,
    /// Whether one of these came; nothing when nothing was expected.
    pub as_expected: Option<bool>,
    /// How long it took.
    pub took: Duration,
}

/// Why a step was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApduError {
    /// The step makes no command, for it names a variable that has no value, or its bytes are too many.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// Inside a channel, or for a card, these bytes are no command.
    #[error("no command APDU")]
    NoCommand,
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The channel failed.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl ApduError {
    /// What the operator sees: in which line of a script it was (0: it was typed), or at which command.
    pub fn to_failure(&self, line: usize, number: u32) -> Failure {
        let place = if line == 0 { format!("command {number}") } else { format!("line {line}") };
        match self {
            Self::Script(error) => unreadable(&place, error),
            Self::NoCommand => Failure::new(ExitClass::Data, "apdu.syntax", format!("{place} is no command APDU"))
                .hint("CLA INS P1 P2, then Lc and that many bytes, then Le (ISO/IEC 7816-3, 12.1.3)"),
            Self::Link(error) => link_failure(error, number),
            Self::Token(error) => token_failure(error, number),
        }
    }
}

/// What was typed, or stands in a script, is no step.
pub fn unreadable(place: &str, error: &ScriptError) -> Failure {
    Failure::new(ExitClass::Data, "apdu.syntax", format!("{place}: {error}"))
        .hint("write HEX, HEX=9000 or HEX=9000,61xx; see rollcall apdu --help")
}

/// Connects to the card in this reader, and runs commands in one transaction; with credentials, inside a channel.
///
/// # Errors
/// When there is no card, no transaction or no channel; otherwise what `work` says.
pub fn with_card<T>(
    terminal: &TerminalContext,
    reader: &str,
    credentials: Option<&Credentials>,
    work: impl FnOnce(&mut ApduRun<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link_failure(&e, 0))?;
    let mut transaction = card.begin().map_err(|e| link_failure(&e, 0))?;
    let session = credentials.map(|credentials| open_channel(&mut transaction, credentials)).transpose()?;
    work(&mut ApduRun::new(&mut transaction, session))
}

/// A channel of the role READ: the card itself refuses whatever would change it.
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
    };
    let selected = identify(link, ApduFormat::Short).map_err(|e| token_failure(&e, 0))?;
    let selected = selected.ok_or_else(|| TapError::Foreign.to_failure(1))?;
    Ok(context.open(link, &selected).map_err(|e| token_failure(&e, 1))?.session)
}

/// The steps of one run.
pub struct ApduRun<'a> {
    link: &'a mut dyn Link,
    session: Option<Session>,
    variables: BTreeMap<String, Vec<u8>>,
    number: u32,
}

impl<'a> ApduRun<'a> {
    /// No step was carried out yet. With a session every command goes through its channel.
    pub fn new(link: &'a mut dyn Link, session: Option<Session>) -> Self {
        Self { link, session, variables: BTreeMap::new(), number: 0 }
    }

    /// How many commands were begun.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Carries out one step; nothing comes back of one that only sets a variable.
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
                let answer = self.exchange(&command)?;
                let took = began.elapsed();
                let (data, status) = answer.split_at(answer.len().saturating_sub(2));
                if let Some(name) = keep {
                    self.variables.insert(name.clone(), data.to_vec());
                }
                Ok(Some(ApduExchange {
                    at: Timestamp::now(),
                    number: self.number,
                    is_secure: self.session.is_some(),
                    command,
                    data: data.to_vec(),
                    status: Status(status.try_into().map(u16::from_be_bytes).unwrap_or_default()),
                    expected: expected.iter().map(|pattern| pattern.text().to_owned()).collect(),
                    as_expected: (!expected.is_empty()).then(|| expected.iter().any(|one| one.matches(&answer))),
                    took,
                }))
            }
        }
    }

    /// The answer with its status word. Inside a channel it is what came out of a verified one.
    fn exchange(&mut self, apdu: &[u8]) -> Result<Vec<u8>, ApduError> {
        let Some(session) = &mut self.session else {
            if apdu.len() < 4 {
                return Err(ApduError::NoCommand);
            }
            let answer = self.link.transmit(apdu, Sensitivity::Plain)?;
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
}
