//! `rollcall schema`: prints the JSON objects, and the JSON Schema of each.

use super::args::SchemaArgs;
use super::printer::Printer;
use super::views;
use crate::failure::{ExitClass, Failure};

/// Prints the names, or one schema.
///
/// # Errors
/// That of an unknown name; that of [`Printer::document`].
pub fn run(args: &SchemaArgs, out: &mut Printer) -> Result<u8, Failure> {
    let text = match &args.name {
        None => views::NAMES.join("\n"),
        Some(name) => {
            let schema = views::json_schema_of(name).ok_or_else(|| unknown(name))?;
            format!("{:#}", schema.as_value())
        }
    };
    out.document(format!("{text}\n").as_bytes())?;
    Ok(0)
}

/// The names without "rollcall." and version.
pub fn short_names() -> impl Iterator<Item = &'static str> {
    views::NAMES.iter().filter_map(|name| name.strip_prefix("rollcall.")?.split('/').next())
}

fn unknown(name: &str) -> Failure {
    Failure::new(ExitClass::Usage, "schema.unknown", format!("there is no JSON object {name:?}"))
        .hint(format!("there are: {}", views::NAMES.join(", ")))
}
