//! What readers show of a tap, and what is said where one does not.

use crate::{
    config::Settings,
    reader::{feedback::SignalError, pcsc},
    terminal::feedback::{Feedback, FeedbackFailure},
};

/// What shows it, where the configuration has a rule for it.
pub fn start(settings: &Settings) -> Option<Feedback> {
    let rules = settings.feedback.clone();
    (!rules.is_empty()).then(|| Feedback::new(move |reader| rules.at(reader), pcsc::send_signal))
}

/// What happened, and what helps.
pub fn failure(failed: &FeedbackFailure) -> (String, String) {
    let FeedbackFailure { reader, error } = failed;
    let hint = match error {
        SignalError::UnknownModel => "name its model under `[feedback]` in config.toml, or take it out",
        SignalError::EscapeRefused => "docs/hardware.md, \"Lights and buzzers\", says how the driver is allowed to",
        SignalError::Answer(_) => "the model under `[feedback]` in config.toml may be another",
        SignalError::Late | SignalError::Link(_) => "rollcall doctor says what is wrong with the reader",
    };
    (format!("{reader}: no feedback at the reader: {error}"), hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_reader_and_what_helps() {
        let told = |error| failure(&FeedbackFailure { reader: "ACS 00 00".into(), error });
        let (text, hint) = told(SignalError::EscapeRefused);
        assert_eq!(text, "ACS 00 00: no feedback at the reader: the driver does not pass the command on to the reader");
        assert!(hint.contains("docs/hardware.md"));
        let (text, hint) = told(SignalError::Answer(vec![0x6E, 0x00]));
        assert!(text.ends_with("the reader answered 6E00") && hint.contains("model"), "{text}, {hint}");
    }
}
