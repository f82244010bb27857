//! Runs the program under test as a process with its own home, and without the environment of whoever runs the tests.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// `rollcall ARGUMENTS…` with this folder for its state, no PC/SC service, and nothing to read.
pub fn rollcall(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    let foreign = |name: &str| name.starts_with("ROLLCALL_") || name == "NO_COLOR";
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
        command.env_remove(name);
    }
    command.env("ROLLCALL_HOME", home).env("PCSCLITE_CSOCK_NAME", home.join("nobody.listens"));
    command.args(arguments).stdin(Stdio::null());
    command
}
