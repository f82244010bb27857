//! Plays two short sounds on the computer, one for admission and one for anything else, with a player program of the
//! system that reads the sound from its stdin. Callers never wait.

use std::{
    f64::consts::TAU,
    fs::File,
    io::{self, Seek, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::reader::feedback::Signal;

/// The programs that play a file, in the order tried: from `PipeWire`, `PulseAudio`, ALSA. They are looked up on
/// `PATH`.
pub const PLAYERS: [&str; 3] = ["pw-play", "paplay", "aplay"];

/// A signal delayed for longer than this would only confuse the person at the reader.
pub const STALE: Duration = Duration::from_secs(2);
/// The time limit for a sound. A player that takes longer is killed.
const LIMIT: Duration = Duration::from_secs(3);
/// How often to check whether a player has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The sample rate per second, with 16 bits per sample.
const RATE: u32 = 16_000;
/// The size of the WAV header in bytes.
const HEADER: u32 = 44;
/// The samples over which a tone fades in and out, to avoid clicks.
const EDGE: u32 = RATE / 100;

/// A tone: its frequency in Hz, 0 for silence, and its length in ms.
type Tone = (f64, u32);

/// Rising.
const ADMITTED: [Tone; 2] = [(660.0, 90), (880.0, 160)];
/// Low, twice.
const OTHERWISE: [Tone; 3] = [(220.0, 160), (0.0, 60), (220.0, 220)];

/// Plays sounds on a separate thread.
pub struct Sounds {
    orders: Sender<TimedSignal>,
}

/// A signal, and when it was requested.
#[derive(Debug, Clone, Copy)]
pub struct TimedSignal(pub Signal, pub Instant);

impl TimedSignal {
    /// The signal; `None` if it is too late for the person at the reader.
    pub fn if_fresh(self) -> Option<Signal> {
        (self.1.elapsed() <= STALE).then_some(self.0)
    }
}

impl Sounds {
    /// Starts the thread; `report` is called on it with the reasons when no player works.
    ///
    /// # Errors
    /// The error of the system when the thread cannot be started.
    pub fn start(report: impl Fn(String) + Send + 'static) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let players = PLAYERS.map(str::to_owned).to_vec();
        thread::Builder::new().name("sound".to_owned()).spawn(move || serve(&inbox, players, &report))?;
        Ok(Self { orders })
    }

    /// Requests the sound for this signal. One that would come late, or that a newer one supersedes, is dropped.
    pub fn play(&self, signal: Signal) {
        // The thread lives as long as `self`.
        let _ = self.orders.send(TimedSignal(signal, Instant::now()));
    }
}

fn serve(inbox: &Receiver<TimedSignal>, mut players: Vec<String>, report: &impl Fn(String)) {
    for order in inbox {
        if let Some(signal) = newest(order, inbox)
            && let Err(faults) = play_by_any(&mut players, signal)
        {
            report(faults);
        }
    }
}

/// The newest signal, if it is not too late.
fn newest(order: TimedSignal, inbox: &Receiver<TimedSignal>) -> Option<Signal> {
    inbox.try_iter().last().unwrap_or(order).if_fresh()
}

/// Plays it with the first player that works; otherwise returns why none does.
fn play_by_any(players: &mut [String], signal: Signal) -> Result<(), String> {
    let sound = wave(signal);
    let mut faults = Vec::new();
    let works = players.iter().position(|player| match play(player, &sound) {
        Ok(()) => true,
        Err(error) => {
            faults.push(format!("{player}: {error}"));
            false
        }
    });
    let found = works.ok_or_else(|| faults.join("; "))?;
    // Try the working player first from now on.
    players[..=found].rotate_right(1);
    Ok(())
}

/// Plays a sound with one player.
fn play(player: &str, sound: &[u8]) -> Result<(), String> {
    let file = in_memory(sound).map_err(|error| error.to_string())?;
    // Opening /dev/stdin opens the same memory file again, from the beginning.
    let mut command = Command::new(player);
    command.arg("/dev/stdin").stdin(file).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "not installed".to_owned(),
        _ => error.to_string(),
    })?;
    await_end(&mut child).map_err(|error| error.to_string())
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("rollcall-sound", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn await_end(child: &mut Child) -> io::Result<()> {
    let until = Instant::now() + LIMIT;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(status.to_string())),
            None if Instant::now() < until => thread::sleep(LOOK),
            None => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::other("it took too long and was ended"));
            }
        }
    }
}

/// The sound for this signal, as a WAV file (RIFF, PCM, one channel).
pub fn wave(signal: Signal) -> Vec<u8> {
    let tones: &[Tone] = match signal {
        Signal::Admitted => &ADMITTED,
        Signal::Refused | Signal::HoldLonger => &OTHERWISE,
    };
    let samples: Vec<u8> = tones.iter().flat_map(|tone| samples(*tone)).flat_map(i16::to_le_bytes).collect();
    // invariant: a sound is shorter than a second.
    let size = u32::try_from(samples.len()).unwrap_or(u32::MAX - HEADER);
    let mut file = Vec::with_capacity(samples.len() + HEADER as usize);
    file.extend(b"RIFF");
    file.extend((HEADER - 8 + size).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    file.extend([1_u16, 1].map(u16::to_le_bytes).concat());
    file.extend([RATE, RATE * 2].map(u32::to_le_bytes).concat());
    // Bytes per sample, and bits per sample.
    file.extend([2_u16, 16].map(u16::to_le_bytes).concat());
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(samples);
    file
}

fn samples((frequency, length): Tone) -> impl Iterator<Item = i16> {
    let count = RATE / 1000 * length;
    (0..count).map(move |at| {
        let edge = f64::from(at.min(count - at).min(EDGE)) / f64::from(EDGE);
        let wave = (TAU * frequency * f64::from(at) / f64::from(RATE)).sin();
        // A third of full scale: loud enough, and in range.
        #[allow(clippy::cast_possible_truncation)]
        let sample = (wave * edge * 10_000.0) as i16;
        sample
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_sounds_are_short_files_of_their_kind() {
        for signal in [Signal::Admitted, Signal::Refused, Signal::HoldLonger] {
            let file = wave(signal);
            let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
            assert_eq!((&file[..4], &file[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
            assert_eq!(word(4) as usize, file.len() - 8);
            assert_eq!(
                (word(16), word(20), word(24), word(28), word(32)),
                (16, 0x0001_0001, RATE, RATE * 2, 0x0010_0002)
            );
            assert_eq!((&file[36..40], word(40) as usize), (&b"data"[..], file.len() - 44));
            let samples: Vec<_> = file[44..].chunks(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
            assert!(samples.len() < RATE as usize, "{signal:?} is a second or longer");
            let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max();
            assert!((9_000..=10_000).contains(&loudest.unwrap()), "{signal:?}: {loudest:?}");
            // It begins and ends silently.
            assert!(samples[0] == 0 && samples.last().unwrap().unsigned_abs() < 500, "{signal:?}");
        }
        assert_ne!(wave(Signal::Admitted), wave(Signal::Refused));
    }

    /// A program in this folder that records that it was run, and what it was given to play. A separate process writes
    /// the file: a file that this process, or a child of another test, has open for writing cannot be executed.
    fn player(folder: &Path, name: &str, status: u8) -> String {
        let write = r#"printf '#!/bin/sh\necho %s >> %s/log\ncat "$1" > %s/%s.wav\nexit %s\n' "$1" "$2" "$2" "$1" "$3" > "$2/$1" && chmod +x "$2/$1""#;
        let mut shell = Command::new("/bin/sh");
        let written = shell.args(["-c", write, "sh", name, folder.to_str().unwrap(), &status.to_string()]).status();
        assert!(written.unwrap().success());
        folder.join(name).display().to_string()
    }

    #[test]
    fn the_first_player_that_works_is_found_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut players =
            vec![folder.join("none").display().to_string(), player(folder, "fails", 1), player(folder, "plays", 0)];
        play_by_any(&mut players, Signal::Admitted).unwrap();
        play_by_any(&mut players, Signal::Refused).unwrap();
        assert_eq!(fs::read_to_string(folder.join("log")).unwrap(), "fails\nplays\nplays\n");
        assert_eq!(fs::read(folder.join("fails.wav")).unwrap(), wave(Signal::Admitted));
        assert_eq!(fs::read(folder.join("plays.wav")).unwrap(), wave(Signal::Refused));
    }

    #[test]
    fn only_the_newest_sound_is_played_and_none_too_late() {
        let (orders, inbox) = mpsc::channel();
        let (now, long_ago) = (Instant::now(), Instant::now().checked_sub(STALE * 2).unwrap());
        assert_eq!(newest(TimedSignal(Signal::Admitted, now), &inbox), Some(Signal::Admitted));
        assert_eq!(newest(TimedSignal(Signal::Admitted, long_ago), &inbox), None);
        for signal in [Signal::Admitted, Signal::Refused] {
            orders.send(TimedSignal(signal, now)).unwrap();
        }
        assert_eq!(newest(TimedSignal(Signal::Admitted, long_ago), &inbox), Some(Signal::Refused));
        assert_eq!(inbox.try_iter().count(), 0);
    }

    #[test]
    fn that_none_works_is_told_with_each_reason() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none").display().to_string();
        let fails = player(folder.path(), "fails", 3);
        let (orders, inbox) = mpsc::channel();
        orders.send(TimedSignal(Signal::HoldLonger, Instant::now())).unwrap();
        drop(orders);
        let (tell, told) = mpsc::channel();
        serve(&inbox, vec![none.clone(), fails.clone()], &move |fault| tell.send(fault).unwrap());
        assert_eq!(told.recv().unwrap(), format!("{none}: not installed; {fails}: exit status: 3"));
    }
}
