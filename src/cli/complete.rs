//! `rollcall completions` and `rollcall man`: made from the definition of the command line.

use std::fs;
use std::io;

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::printer::Printer;
use crate::failure::{Class, Failure};

/// Prints the completions for a shell.
pub fn completions(args: &CompletionsArgs, out: &mut Printer) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rollcall", &mut script);
    out.document(&script)?;
    Ok(0)
}

/// Prints the manual page, or writes the pages of all commands.
pub fn man(args: &ManArgs, out: &mut Printer) -> Result<u8, Failure> {
    match &args.out {
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page).map_err(|e| failed("the manual page", &e))?;
            out.document(&page)?;
        }
        Some(folder) => fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
            .map_err(|e| failed(&folder.display().to_string(), &e))?,
    }
    Ok(0)
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(Class::Io, "man.unwritable", format!("{what} cannot be written: {error}"))
        .hint("name a folder that may be written to")
}
