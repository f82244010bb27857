//! Checks the PC/SC service: installed, running, reachable, answering.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::{Finding, Probe, ProbeReport, readers};
use crate::reader::ReaderError;
use crate::reader::pcsc::list_within;
use crate::reader::service::{SocketAnswer, ask, daemon, socket};

/// How long the service may take to list its readers.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn probe() -> Probe {
    Probe {
        name: "service",
        subject: None,
        limit: PATIENCE * 2,
        silent: || ReaderError::ServiceHangs.failure().into(),
        work: Box::new(inspect),
    }
}

impl ReaderError {
    pub(super) fn failure(self) -> crate::failure::Failure {
        self.into()
    }
}

fn inspect(report: &ProbeReport) {
    let socket = socket(&*report.context.environment);
    let listed = list_within(PATIENCE);
    let found = match &listed {
        Ok(_) => Finding::good("the PC/SC service answers"),
        Err(ReaderError::ServiceDown) => down(&socket),
        Err(error) => error.clone().failure().into(),
    };
    let version = daemon(&*report.context.environment).and_then(version);
    report.found(found.fact("socket", socket.display().to_string()).fact("version", version));
    if let Ok(all) = listed {
        report.begin(readers::probe(all, report.context.settings.limits.exchange));
    }
}

/// Not running, with the message of all commands, and the reason as the socket shows it.
fn down(socket: &Path) -> Finding {
    let name = socket.display();
    let why = match ask(socket, PATIENCE) {
        SocketAnswer::Missing => format!(": there is no {name}"),
        SocketAnswer::Abandoned => format!(": a service that has ended left {name}"),
        SocketAnswer::NotASocket => format!(": {name} is not a socket"),
        // It has started, or is about to.
        _ => String::new(),
    };
    let failure = ReaderError::ServiceDown.failure();
    let message = format!("{failure}{why}");
    Finding { message, ..failure.into() }
}

/// The daemon's version; a daemon that does not answer is not waited for.
fn version(daemon: PathBuf) -> Option<String> {
    let (sender, answer) = mpsc::sync_channel(1);
    let ask = move || {
        let output = Command::new(daemon).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
        let _ = sender.send(output);
    };
    std::thread::Builder::new().name("pcscd-version".to_owned()).spawn(ask).ok()?;
    let output = answer.recv_timeout(Duration::from_secs(1)).ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next()?.strip_prefix("pcsc-lite version ")?.trim_end_matches('.').to_owned())
}
