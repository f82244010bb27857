//! Parses the table `[feedback]`: which readers signal the result of a tap with their lights and buzzers.

use crate::reader::{
    feedback::FeedbackChoice,
    select::{Aliases, Selection},
};

/// How taps are signalled. Without a matching rule, nothing is sent to a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedbackRules {
    /// In the order of the file: the first that matches applies.
    rules: Vec<(Selection, FeedbackChoice)>,
    /// Whether the computer plays a sound, whatever the reader.
    pub sound: bool,
}

impl FeedbackRules {
    /// Resolves names, patterns and aliases.
    pub fn new(rules: Vec<(String, FeedbackChoice)>, sound: bool, aliases: &Aliases) -> Self {
        let rule = |(name, choice)| (Selection::new(&[name], aliases), choice);
        Self { rules: rules.into_iter().map(rule).collect(), sound }
    }

    /// Whether taps are not signalled at all.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.sound
    }

    /// The choice at this reader; `None` if nothing is sent to it.
    pub fn at(&self, reader: &str) -> Option<FeedbackChoice> {
        self.rules.iter().find(|(readers, _)| readers.matches(reader)).map(|(_, choice)| *choice)
    }

    /// Whether `auto` applies to this reader, and its name matches no model.
    pub fn is_unknown(&self, reader: &str) -> bool {
        self.at(reader).is_some_and(|choice| choice.model(reader).is_none())
    }

    /// The names that match none of these readers.
    pub fn fits_nothing(&self, readers: &[&str]) -> Vec<String> {
        self.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(readers)).map(str::to_owned).collect()
    }
}
