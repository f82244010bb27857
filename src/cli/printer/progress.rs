//! Shows the progress of longer work: on a terminal in one line that is overwritten, elsewhere in a line now and then.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long work goes on before a pipe or file gets a progress line.
const QUIET: Duration = Duration::from_secs(10);
/// The interval between two such lines.
const APART: Duration = Duration::from_secs(30);
/// A rate over less time is meaningless.
const MEASURED: Duration = Duration::from_secs(2);

/// The progress of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// How many items are done.
    pub done: u64,
    /// How many there are, if known.
    pub of: Option<u64>,
    /// Whether it takes so long that the time left matters.
    pub is_long: bool,
}

/// Work in progress.
#[derive(Debug)]
pub struct ProgressLine {
    begun: Instant,
    /// How many were done before: an earlier run does not count for this one's rate.
    before: u64,
    stand: Stand,
    text: String,
    /// When the last line was printed.
    told: Option<Instant>,
    /// The line on the terminal, if there is one.
    bar: Option<ProgressBar>,
}

impl ProgressLine {
    /// Starts now.
    pub fn new(text: String, stand: Stand, now: Instant) -> Self {
        Self { begun: now, before: stand.done, stand, text, told: None, bar: None }
    }

    /// Whether this is a later state of the same work.
    pub fn goes_on(&self, stand: Stand) -> bool {
        self.stand.of == stand.of && self.stand.is_long == stand.is_long && self.stand.done <= stand.done
    }

    /// Updates the state.
    pub fn advance(&mut self, text: String, stand: Stand) {
        (self.text, self.stand) = (text, stand);
    }

    /// Shows it on the terminal.
    pub fn draw(&mut self, now: Instant) {
        let words = self.words(now);
        self.bar.get_or_insert_with(new_bar).set_message(words);
    }

    /// Removes it from the terminal until it is drawn again.
    pub fn hide(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Writes while the line makes room and comes back.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// The next line for a pipe or file, if it is due.
    pub fn line(&mut self, now: Instant) -> Option<String> {
        let is_due = match self.told {
            None => now.duration_since(self.begun) >= QUIET,
            Some(told) => now.duration_since(told) >= APART,
        };
        if !is_due || self.stand.done == 0 {
            return None;
        }
        self.told = Some(now);
        Some(self.words(now))
    }

    /// `12 of 40 · 21 a minute · about 1 min left · put the next card on`
    fn words(&self, now: Instant) -> String {
        let Stand { done, of, is_long } = self.stand;
        let Some(of) = of else {
            return if done == 0 { self.text.clone() } else { format!("{done} {}", self.text) };
        };
        let mut parts = vec![format!("{done} of {of}")];
        let (made, time) = (done.saturating_sub(self.before), now.duration_since(self.begun));
        if is_long && made > 0 && time >= MEASURED {
            parts.extend(rate(made, time));
            parts.extend(left(of.saturating_sub(done), made, time));
        }
        parts.push(self.text.clone());
        parts.join(" · ")
    }
}

impl Drop for ProgressLine {
    /// Leaves nothing behind.
    fn drop(&mut self) {
        self.hide();
    }
}

/// One line, at most as wide as the terminal.
fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The rate per unit of time that suits it; `None` if it is less than one an hour.
fn rate(made: u64, time: Duration) -> Option<String> {
    let in_a = |seconds: u64| u128::from(made) * u128::from(seconds) * 1_000 / time.as_millis().max(1);
    match (in_a(1), in_a(60), in_a(3_600)) {
        (second, ..) if second >= 10 => Some(format!("{second} a second")),
        (_, minute, _) if minute >= 1 => Some(format!("{minute} a minute")),
        (.., hour) if hour >= 1 => Some(format!("{hour} an hour")),
        _ => None,
    }
}

/// Approximately how long the rest takes.
fn left(rest: u64, made: u64, time: Duration) -> Option<String> {
    if rest == 0 {
        return None;
    }
    let seconds = u128::from(rest) * time.as_millis() / 1_000 / u128::from(made.max(1));
    Some(match seconds {
        0..10 => "a few seconds left".to_owned(),
        10..45 => format!("about {} s left", seconds.div_ceil(10) * 10),
        45..5_400 => format!("about {} min left", seconds.saturating_add(30).div_euclid(60).max(1)),
        5_400..129_600 => format!("about {} h left", seconds.saturating_add(1_800).div_euclid(3_600)),
        _ => format!("about {} days left", seconds.saturating_add(43_200).div_euclid(86_400)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stand(done: u64, of: u64) -> Stand {
        Stand { done, of: Some(of), is_long: true }
    }

    /// The words after so many seconds.
    fn said(before: u64, done: u64, of: u64, seconds: f64) -> String {
        let begun = Instant::now();
        let mut work = ProgressLine::new("next".into(), stand(before, of), begun);
        work.advance("next".into(), stand(done, of));
        work.words(begun + Duration::from_secs_f64(seconds))
    }

    #[test]
    fn the_rate_is_one_that_people_count_in() {
        assert_eq!(said(0, 12, 40, 34.0), "12 of 40 · 21 a minute · about 1 min left · next");
        assert_eq!(said(0, 0, 40, 34.0), "0 of 40 · next");
        assert_eq!(said(0, 5_000, 20_000, 10.0), "5000 of 20000 · 500 a second · about 30 s left · next");
        assert_eq!(said(0, 1, 3, 300.0), "1 of 3 · 12 an hour · about 10 min left · next");
        assert_eq!(said(0, 1, 40, 7_200.0), "1 of 40 · about 3 days left · next");
        assert_eq!(said(30, 31, 40, 10.0), "31 of 40 · 6 a minute · about 2 min left · next");
        assert_eq!(said(0, 3, 4, 9.0), "3 of 4 · 20 a minute · a few seconds left · next");
        assert_eq!(said(0, 4, 4, 9.0), "4 of 4 · 26 a minute · next");
        assert_eq!(said(0, 4, 40, 1.0), "4 of 40 · next", "too early to tell");
    }

    #[test]
    fn without_an_end_only_the_number_is_said() {
        let now = Instant::now();
        let words =
            |done| ProgressLine::new("rows copied".into(), Stand { done, of: None, is_long: false }, now).words(now);
        assert_eq!((words(0), words(700)), ("rows copied".to_owned(), "700 rows copied".to_owned()));
    }

    #[test]
    fn in_a_pipe_there_are_few_lines() {
        let begun = Instant::now();
        let mut work = ProgressLine::new("next".into(), stand(0, 100_000), begun);
        let mut lines = 0;
        for tenth in 0..1_000_u32 {
            let now = begun + Duration::from_millis(100) * tenth;
            work.advance("next".into(), stand(u64::from(tenth) * 3, 100_000));
            lines += usize::from(work.line(now).is_some());
        }
        assert_eq!(lines, 3, "after 10, 40 and 70 seconds");
    }

    proptest! {
        #[test]
        fn no_rate_is_nothing(made in 1..1_000_000_u64, of in 1..2_000_000_u64, ms in 2_000..100_000_000_u64) {
            let text = said(0, made.min(of), of, Duration::from_millis(ms).as_secs_f64());
            prop_assert!(!text.contains("· 0 ") && !text.contains("about 0") && !text.contains('/'), "{text}");
        }
    }
}
