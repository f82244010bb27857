//! `rollcall doctor`: what is wrong, and what to do about it.

mod replay;

use super::{args::DoctorArgs, printer::Printer};
use crate::failure::Failure;

/// Runs the command.
pub fn run(args: &DoctorArgs, out: &mut Printer) -> Result<u8, Failure> {
    replay::run(&args.replay, out)
}
