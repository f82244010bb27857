//! `rollcall apdu`: sends commands as typed to a card, and shows the answers.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use jiff::Timestamp;

use super::{
    args::ApduArgs,
    context::terminal_context,
    printer::Printer,
    views::{CarriedApdu, Exchanged, Ms, Schema, Tlv},
};
use crate::{
    card::{
        script::{ScriptStep, parse},
        tlv,
    },
    config::{OutputFormat as Shape, Settings},
    failure::{ExitClass, Failure},
    terminal::{
        apdu_run::{ApduExchange, ApduMode, CarriedCommand, unreadable, with_card},
        context::credentials,
        readers::one_reader,
    },
};

/// More than a person would write.
const SCRIPT_MAX: u64 = 1024 * 1024;

/// Sends everything in one transaction, until an answer differs from the expectation: the status is then 1.
///
/// # Errors
/// `apdu.syntax` before a card is touched; that of the reader, the keys, the link or the channel, with the line or the
/// number of the command; that of [`Printer::item`].
pub fn run(args: &ApduArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    // Read everything before touching the card.
    let steps = steps(args)?;
    let reader = one_reader(&settings.readers, settings.limits.exchange)?;
    let terminal = terminal_context(settings);
    let credentials = if args.secure { Some(credentials(terminal.pki.load_terminal(Timestamp::now())?)) } else { None };
    let mode = match &credentials {
        Some(credentials) => ApduMode::Secure(credentials),
        None if args.raw => ApduMode::Raw,
        None => ApduMode::Plain,
    };
    with_card(&terminal, &reader, mode, |run| {
        out.begin::<Exchanged>()?;
        for (line, step) in steps {
            let done = run.carry_out(&step).map_err(|error| error.to_failure(line, run.number()))?;
            let Some(object) = done.map(|exchange| object(&reader, &exchange)) else { continue };
            out.item(&object)?;
            if out.format() == Shape::Text {
                out.document((followed(&object) + &objects(&object)).as_bytes())?;
            }
            if object.as_expected == Some(false) {
                return Ok(1);
            }
        }
        Ok(0)
    })
}

/// What was sent to the card in place of the command, for people.
fn followed(told: &Exchanged) -> String {
    let line = |one: &CarriedApdu| ["  T=0: ", &one.command, "  ", &one.data, &one.status, "\n"].concat();
    told.followed.iter().map(line).collect()
}

/// The data objects of an answer, for people.
fn objects(told: &Exchanged) -> String {
    let line = |one: &Tlv| format!("  {}{} [{}] {}\n", "  ".repeat(one.depth), one.tag, one.length, one.value);
    told.tlv.iter().map(line).collect()
}

fn steps(args: &ApduArgs) -> Result<Vec<(usize, ScriptStep)>, Failure> {
    let mut steps = match &args.script {
        None => Vec::new(),
        Some(path) => {
            parse(&read(path)?).map_err(|(line, error)| unreadable(&format!("{}:{line}", path.display()), &error))?
        }
    };
    for typed in &args.commands {
        let step = ScriptStep::parse(typed).map_err(|error| unreadable(typed, &error))?;
        steps.push((0, step));
    }
    if steps.iter().any(|(_, step)| matches!(step, ScriptStep::Send { .. })) {
        return Ok(steps);
    }
    // A script that was emptied by accident must not succeed.
    Err(Failure::new(ExitClass::Data, "apdu.syntax", "no command was given")
        .hint("write HEX, HEX=9000 or HEX=9000,61xx; see rollcall apdu --help"))
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

fn object(reader: &str, exchange: &ApduExchange) -> Exchanged {
    Exchanged {
        schema: Schema::default(),
        at: exchange.at.into(),
        reader: reader.to_owned(),
        number: exchange.number,
        secure: exchange.is_secure,
        command: hex::encode_upper(&exchange.command),
        data: hex::encode_upper(&exchange.data),
        status: format!("{:04X}", exchange.status.0),
        meaning: exchange.status.meaning().to_owned(),
        tlv: decoded(&exchange.data),
        expected: exchange.expected.clone(),
        as_expected: exchange.as_expected,
        followed: exchange.carried.iter().map(carried).collect(),
        ms: Ms::from(exchange.took),
    }
}

fn carried(one: &CarriedCommand) -> CarriedApdu {
    CarriedApdu {
        command: hex::encode_upper(&one.command),
        data: hex::encode_upper(&one.data),
        status: format!("{:04X}", one.status.0),
    }
}

/// The data objects of an answer, if it consists only of them.
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
