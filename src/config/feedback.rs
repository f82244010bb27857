//! Parses the table `[feedback]`: which readers signal the result of a tap with their lights and buzzers.

use crate::reader::{
    feedback::FeedbackChoice,
    select::{Aliases, Selection},
};

/// What is seen and heard of a tap. Without a rule that matches, nothing is sent to a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedbackRules {
    /// The first that matches holds, in the order of the file.
    rules: Vec<(Selection, FeedbackChoice)>,
    /// Whether the computer sounds, wherever the reader is.
    pub sound: bool,
}

impl FeedbackRules {
    /// From names, patterns or aliases.
    pub fn new(rules: Vec<(String, FeedbackChoice)>, sound: bool, aliases: &Aliases) -> Self {
        let rule = |(name, choice)| (Selection::new(&[name], aliases), choice);
        Self { rules: rules.into_iter().map(rule).collect(), sound }
    }

    /// Whether nothing is shown and nothing sounds.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.sound
    }

    /// What is meant at this reader; none where nothing is shown.
    pub fn at(&self, reader: &str) -> Option<FeedbackChoice> {
        self.rules.iter().find(|(readers, _)| readers.matches(reader)).map(|(_, choice)| *choice)
    }

    /// Whether `auto` is meant at this reader, and its name tells no model.
    pub fn is_unknown(&self, reader: &str) -> bool {
        self.at(reader).is_some_and(|choice| choice.model(reader).is_none())
    }

    /// The names that fit none of these readers.
    pub fn fits_nothing(&self, readers: &[&str]) -> Vec<String> {
        self.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(readers)).map(str::to_owned).collect()
    }
}
