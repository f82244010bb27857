//! `rollcall server presence` and `events`: list the present users and the events of all doors.

use jiff::Timestamp;

use super::args::{EventsArgs, PresenceArgs};
use crate::{
    api::v1::{EquipmentFault, EquipmentFaultKind, PAGE_MAX, PresenceSummary},
    cli::{
        context::connect,
        printer::Printer,
        time_spec::moments,
        views::{PresenceView, ServerEventView, span},
    },
    config::{OutputFormat, Settings},
    failure::{ExitClass, Failure},
    terminal::server_access::briefly,
};

/// `rollcall server presence`
///
/// # Errors
/// `server.not-configured`; `time.future`; that of the server and of the output.
pub fn presence(args: &PresenceArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let server = connect(settings)?;
    let [at, _] = moments([args.at, None], Timestamp::now(), out)?;
    if at.is_some_and(|at| at > Timestamp::now()) {
        return Err(Failure::new(ExitClass::Usage, "time.future", "that time is in the future")
            .hint("name a time in the past, or leave it out for now"));
    }
    let (mut people, mut after) = (Vec::new(), None::<String>);
    let mut summary: Option<(PresenceSummary, Timestamp)> = None;
    loop {
        let page = briefly(|| server.presence(at, after.as_deref(), PAGE_MAX))?;
        if let Some(counted) = page.summary {
            summary = Some((counted, page.at));
        }
        let words = summary.as_ref().map(|(counted, _)| counted.terminals.as_slice()).unwrap_or_default();
        let moment = summary.as_ref().map_or(page.at, |(_, at)| *at);
        people.extend(page.items.into_iter().map(|one| {
            let last_word = words.iter().find(|terminal| terminal.name == one.terminal);
            let last_word = last_word.and_then(|terminal| terminal.last_word);
            PresenceView::new(one, moment, last_word)
        }));
        // A server that repeats its mark would be asked for ever.
        if page.next.is_none() || page.next == after {
            break;
        }
        after = page.next;
    }
    if let Some((summary, at)) = &summary {
        warn(summary, *at, out);
    }
    out.list(&people, "nobody is here")?;
    Ok(0)
}

/// Warns of silent terminals, at which changes are unknown.
fn warn(summary: &PresenceSummary, at: Timestamp, out: &mut Printer) {
    for terminal in summary.terminals.iter().filter(|one| one.silent == Some(true)) {
        let age = match terminal.last_word {
            Some(last) => format!("has been silent for {}", span(last, at)),
            None => "has not been heard from by this server yet".to_owned(),
        };
        let (name, people) = (&terminal.name, terminal.present);
        let revoked = if terminal.revoked { ", and is revoked" } else { "" };
        let people = if people == 1 { "1 person is".to_owned() } else { format!("{people} people are") };
        out.warning(&format!("the terminal {name} {age}{revoked}: {people} counted there"), None);
    }
    // The equipment of a silent terminal is unknown.
    for terminal in summary.terminals.iter().filter(|one| one.silent == Some(false) && !one.revoked) {
        for fault in &terminal.faults {
            out.warning(&format!("the terminal {}: {}", terminal.name, out_of_order(fault, at)), None);
        }
    }
}

fn out_of_order(fault: &EquipmentFault, at: Timestamp) -> String {
    let what =
        fault.reader.as_ref().map_or_else(|| "its card service".to_owned(), |reader| format!("its reader {reader}"));
    let how = match fault.fault {
        EquipmentFaultKind::Unplugged => "has been unplugged",
        EquipmentFaultKind::Unavailable => "has not worked",
        EquipmentFaultKind::ServiceLost => "has been stopped",
    };
    format!("{what} {how} for {}", span(fault.since, at))
}

/// `rollcall server events`
///
/// # Errors
/// `server.not-configured`; `time.reversed`; that of the server and of the output.
pub fn events(args: &EventsArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let server = connect(settings)?;
    let span = moments([args.since, args.until], Timestamp::now(), out)?;
    // A table needs all rows before it can be aligned; everything else is printed as it comes.
    let at_once = settings.format == OutputFormat::Text;
    let (mut all, mut after) = (Vec::<ServerEventView>::new(), None::<String>);
    if !at_once {
        out.begin::<ServerEventView>()?;
    }
    loop {
        let page = briefly(|| server.search_events(args.user.as_deref(), span, after.as_deref(), PAGE_MAX))?;
        let events = page.items.into_iter().map(ServerEventView::from);
        if at_once {
            all.extend(events);
        } else {
            for event in events {
                out.item(&event)?;
            }
        }
        if page.next.is_none() || page.next == after || out.is_closed() {
            break;
        }
        after = page.next;
    }
    if at_once {
        let nothing = args.user.as_ref().map(|user| format!("nothing is known of {user:?} in that time"));
        out.list(&all, nothing.as_deref().unwrap_or("nothing happened in that time"))?;
    }
    Ok(0)
}
