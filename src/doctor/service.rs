//! The PC/SC service: there, running, reachable, answering.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::{Finding, Probe, ProbeReport, readers};
use crate::failure::Remedy;
use crate::reader::ReaderError;
use crate::reader::pcsc::list_within;
use crate::reader::service::{SocketAnswer, ask, socket};

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
        Err(ReaderError::ServiceDown) => down(&socket, daemon(&*report.context.environment).as_deref()),
        Err(ReaderError::Denied) => denied(),
        Err(error) => error.clone().failure().into(),
    };
    let version = daemon(&*report.context.environment).and_then(version);
    report.found(found.fact("socket", socket.display().to_string()).fact("version", version));
    if let Ok(all) = listed {
        report.begin(readers::probe(all));
    }
}

/// Where the daemon lies, running or not.
fn daemon(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = environment("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join("pcscd")).find(|file| file.is_file())
}

/// Not running, as all commands say it, and why, as the socket itself says.
fn down(socket: &Path, daemon: Option<&Path>) -> Finding {
    let there = socket.exists();
    if daemon.is_none() && !there {
        return Finding::fault(
            "pcsc.not-installed",
            "no PC/SC service is installed",
            Remedy::run("sudo apt install pcscd libccid"),
        );
    }
    let name = socket.display();
    let why = match ask(socket, PATIENCE) {
        SocketAnswer::Missing => format!(": there is no {name}"),
        SocketAnswer::Abandoned => format!(": a service that has ended left {name}"),
        // It has come up, or is about to.
        _ => String::new(),
    };
    let failure = ReaderError::ServiceDown.failure();
    let message = format!("{failure}{why}");
    Finding { message, ..failure.into() }
}

/// polkit asks the kernel who is there, and is answered nothing where `/proc` hides the others' processes.
fn denied() -> Finding {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if hides_processes(&mounts) {
        return Finding::fault(
            "pcsc.hidepid",
            "the PC/SC service refused this user, and /proc is mounted with hidepid, so that polkit cannot see who asks",
            Remedy::run("sudo mount -o remount,hidepid=0 /proc"),
        );
    }
    ReaderError::Denied.failure().into()
}

fn hides_processes(mounts: &str) -> bool {
    mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/proc")).any(|line| {
        let options = line.split([' ', ',']).filter_map(|option| option.strip_prefix("hidepid="));
        options.into_iter().any(|mode| !matches!(mode, "0" | "off"))
    })
}

/// What the daemon calls itself; a daemon that does not say is none to wait for.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidepid_is_seen_in_the_options_of_proc_only() {
        let line = |place: &str, options: &str| format!("22 1 0:21 / {place} rw,nosuid - proc proc {options}\n");
        for (text, hides) in [
            (line("/proc", "rw,hidepid=2"), true),
            (line("/proc", "rw,hidepid=invisible"), true),
            (line("/proc", "rw,hidepid=0"), false),
            (line("/proc", "rw,hidepid=off"), false),
            (line("/proc", "rw"), false),
            (line("/mnt/proc", "rw,hidepid=2"), false),
        ] {
            assert_eq!(hides_processes(&text), hides, "{text}");
        }
    }
}
