//! `rollcall apdu`: sends commands as they are typed, and shows what comes back.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
    time::Instant,
};

use jiff::Timestamp;

use super::{
    args::ApduArgs,
    enroll::one_reader,
    json::{Exchanged, Ms, Schema, Tlv},
    printer::Printer,
    station,
};
use crate::{
    card::{
        apdu::{ApduFormat, Command, Received},
        link::{Link, LinkError, Sensitivity},
        script::{ScriptError, ScriptStep, parse},
        status::Status,
        tlv,
    },
    config::{OutputFormat as Shape, Settings},
    crypto::random::{SystemRandom, bytes},
    failure::{ExitClass, Failure},
    pki::PkiDir,
    reader::pcsc::{Card, CardLimits},
    terminal::tap::{
        TapError,
        failure::{link as link_failure, token as token_failure},
    },
    token::{
        TokenError,
        open::{NoMemory, Visit, identify},
        session::Session,
    },
};

/// A script is no more than a person would read.
const SCRIPT_MAX: u64 = 1024 * 1024;

/// Sends everything in one transaction, until an answer is not what was expected: then the status is 1.
pub fn run(args: &ApduArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    // Everything is read before the card is touched.
    let steps = steps(args)?;
    let reader = one_reader(settings)?;
    let credentials = if args.secure {
        let home = PkiDir::new(settings.pki_folder());
        Some(station::credentials(home.load_terminal(Timestamp::now())?))
    } else {
        None
    };
    let limits = CardLimits { exchange: settings.limits.exchange, connect: settings.limits.exchange, deadline: None };
    let mut card = Card::connect(&reader, limits).map_err(|e| link_failure(&e, 0))?;
    let mut transaction = card.begin().map_err(|e| link_failure(&e, 0))?;
    let mut random = SystemRandom;
    let session = match &credentials {
        None => None,
        Some(credentials) => {
            let mut visit = Visit {
                credentials,
                memory: &NoMemory,
                nonce: bytes(&mut random).map_err(|e| token_failure(&TokenError::from(e), 0))?,
                now: Timestamp::now(),
                format: ApduFormat::Short,
                random: &mut random,
                learned: Vec::new(),
            };
            Some(open(&mut transaction, &mut visit)?)
        }
    };
    out.begin::<Exchanged>()?;
    let mut talk = Talk { link: &mut transaction, session, reader, variables: BTreeMap::new(), number: 0 };
    for (line, step) in steps {
        let Some(told) = talk.carry_out(&step).map_err(|error| error.at(line, talk.number))? else { continue };
        out.item(&told)?;
        if out.format() == Shape::Text {
            out.document(objects(&told).as_bytes())?;
        }
        if told.as_expected == Some(false) {
            return Ok(1);
        }
    }
    Ok(0)
}

/// The data objects of an answer, for people.
fn objects(told: &Exchanged) -> String {
    let line = |one: &Tlv| format!("  {}{} [{}] {}\n", "  ".repeat(one.depth), one.tag, one.length, one.value);
    told.tlv.iter().map(line).collect()
}

/// A channel of the role READ: the card itself refuses whatever would change it.
fn open(link: &mut dyn Link, visit: &mut Visit<'_>) -> Result<Session, Failure> {
    let selected = identify(link, ApduFormat::Short).map_err(|e| token_failure(&e, 0))?;
    let selected = selected.ok_or_else(|| TapError::Foreign.to_failure(1))?;
    Ok(visit.open(link, &selected).map_err(|e| token_failure(&e, 1))?.session)
}

fn steps(args: &ApduArgs) -> Result<Vec<(usize, ScriptStep)>, Failure> {
    let mut steps = match &args.script {
        None => Vec::new(),
        Some(path) => {
            parse(&read(path)?).map_err(|(line, error)| unread(&format!("{}:{line}", path.display()), &error))?
        }
    };
    for typed in &args.commands {
        let step = ScriptStep::parse(typed).map_err(|error| unread(typed, &error))?;
        steps.push((0, step));
    }
    if steps.iter().any(|(_, step)| matches!(step, ScriptStep::Send { .. })) {
        return Ok(steps);
    }
    // A script that was emptied by accident is no success.
    Err(Failure::new(ExitClass::Data, "apdu.syntax", "there is no command in what was given")
        .hint("write HEX, HEX=9000 or HEX=9000,61xx; see rollcall apdu --help"))
}

fn unread(place: &str, error: &ScriptError) -> Failure {
    Failure::new(ExitClass::Data, "apdu.syntax", format!("{place}: {error}"))
        .hint("write HEX, HEX=9000 or HEX=9000,61xx; see rollcall apdu --help")
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::new(ExitClass::Io, "apdu.script", format!("{} cannot be read: {error}", path.display()))
            .hint("name a text file of at most 1 MiB")
    };
    let mut text = String::new();
    let taken =
        File::open(path).and_then(|file| file.take(SCRIPT_MAX + 1).read_to_string(&mut text)).map_err(failed)?;
    if taken as u64 > SCRIPT_MAX {
        return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    Ok(text)
}

/// Why a step was not carried out.
enum TalkError {
    Script(ScriptError),
    /// Inside a channel, or for a card, these bytes are no command.
    NoCommand,
    Link(LinkError),
    Token(TokenError),
}

impl TalkError {
    fn at(self, line: usize, number: u32) -> Failure {
        let place = if line == 0 { format!("command {number}") } else { format!("line {line}") };
        match self {
            Self::Script(error) => unread(&place, &error),
            Self::NoCommand => Failure::new(ExitClass::Data, "apdu.syntax", format!("{place} is no command APDU"))
                .hint("CLA INS P1 P2, then Lc and that many bytes, then Le (ISO/IEC 7816-3, 12.1.3)"),
            Self::Link(error) => link_failure(&error, number),
            Self::Token(error) => token_failure(&error, number),
        }
    }
}

struct Talk<'a> {
    link: &'a mut dyn Link,
    session: Option<Session>,
    reader: String,
    variables: BTreeMap<String, Vec<u8>>,
    number: u32,
}

impl Talk<'_> {
    fn carry_out(&mut self, step: &ScriptStep) -> Result<Option<Exchanged>, TalkError> {
        match step {
            ScriptStep::Set { name, bytes } => {
                let value = bytes.bytes(&self.variables).map_err(TalkError::Script)?;
                self.variables.insert(name.clone(), value);
                Ok(None)
            }
            ScriptStep::Send { command, expected, keep } => {
                let command = command.bytes(&self.variables).map_err(TalkError::Script)?;
                self.number += 1;
                let began = Instant::now();
                let answer = self.exchange(&command)?;
                let took = began.elapsed();
                let (data, status) = answer.split_at(answer.len().saturating_sub(2));
                let word = status.try_into().map(u16::from_be_bytes).unwrap_or_default();
                if let Some(name) = keep {
                    self.variables.insert(name.clone(), data.to_vec());
                }
                Ok(Some(Exchanged {
                    schema: Schema::default(),
                    at: Timestamp::now().into(),
                    reader: self.reader.clone(),
                    number: self.number,
                    secure: self.session.is_some(),
                    command: hex::encode_upper(&command),
                    data: hex::encode_upper(data),
                    status: format!("{word:04X}"),
                    meaning: Status(word).meaning().to_owned(),
                    tlv: decoded(data),
                    expected: expected.iter().map(|pattern| pattern.text().to_owned()).collect(),
                    as_expected: (!expected.is_empty()).then(|| expected.iter().any(|one| one.matches(&answer))),
                    ms: Ms::from(took),
                }))
            }
        }
    }

    /// The answer with its status word. Inside a channel it is what came out of a verified one.
    fn exchange(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TalkError> {
        let Some(session) = &mut self.session else {
            if apdu.len() < 4 {
                return Err(TalkError::NoCommand);
            }
            let answer = self.link.transmit(apdu, Sensitivity::Plain).map_err(TalkError::Link)?;
            return if answer.len() < 2 {
                Err(TalkError::Link(LinkError::Malformed(answer.len())))
            } else {
                Ok(answer)
            };
        };
        let typed = Received::parse(apdu).ok_or(TalkError::NoCommand)?;
        let [cla, ins, p1, p2] = typed.header;
        let mut command = Command::new(cla, ins, p1, p2).data(typed.data);
        if typed.expected.is_some() {
            command = command.answered();
        }
        let answer = session.ask(self.link, "a command that was typed", &command).map_err(TalkError::Token)?;
        Ok([&answer.data[..], &answer.status.0.to_be_bytes()].concat())
    }
}

/// The data objects of an answer, where it is made of them altogether.
fn decoded(data: &[u8]) -> Vec<Tlv> {
    let objects = if data.is_empty() { None } else { tlv::tree(data) };
    let shown = objects.unwrap_or_default().into_iter().map(|(depth, object)| Tlv {
        depth,
        tag: if object.tag > 0xFF { format!("{:04X}", object.tag) } else { format!("{:02X}", object.tag) },
        length: object.value.len(),
        value: hex::encode_upper(object.value),
    });
    shown.collect()
}
