//! Signals processes that a test has started.

/// `send(id, "TERM")`; the process must be there.
pub fn send(process: u32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{name} to {process}");
}
