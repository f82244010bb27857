//! Signals taps at readers and by sound, and reports where that fails.

use crate::{
    config::Settings,
    reader::{feedback::SignalError, pcsc},
    terminal::{
        feedback::{Feedback, FeedbackFailure},
        sound::PLAYERS,
    },
};

/// Starts signalling, if the configuration has a rule for it.
pub fn start(settings: &Settings) -> Option<Feedback> {
    let rules = settings.feedback.clone();
    if rules.is_empty() {
        return None;
    }
    let has_sound = rules.sound;
    let feedback = Feedback::new(move |reader| rules.at(reader), pcsc::send_signal);
    Some(if has_sound { feedback.with_sounds() } else { feedback })
}

/// What happened, and what to do about it.
pub fn failure(failed: &FeedbackFailure) -> (String, String) {
    let (reader, error) = match failed {
        FeedbackFailure::Reader { reader, error } => (reader, error),
        FeedbackFailure::Sound(faults) => {
            let hint = format!("one of these has to work for this user: {}", PLAYERS.join(", "));
            return (format!("no sound: {faults}"), hint);
        }
    };
    let hint = match error {
        SignalError::UnknownModel => "name its model under `[feedback]` in config.toml, or take it out",
        SignalError::EscapeRefused => {
            "docs/hardware.md, \"Lights and buzzers\", says how to make the driver pass it on"
        }
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
        let told = |error| failure(&FeedbackFailure::Reader { reader: "ACS 00 00".into(), error });
        let (text, hint) = told(SignalError::EscapeRefused);
        assert_eq!(text, "ACS 00 00: no feedback at the reader: the driver does not pass the command on to the reader");
        assert!(hint.contains("docs/hardware.md"));
        let (text, hint) = told(SignalError::Answer(vec![0x6E, 0x00]));
        assert!(text.ends_with("the reader answered 6E00") && hint.contains("model"), "{text}, {hint}");
    }
}
