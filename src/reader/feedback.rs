//! How each reader model signals the result of a tap with its lights and buzzer.
//!
//! The table holds only what manufacturers have published; docs/hardware.md, "Lights and buzzers", has document,
//! version and section of each row. The commands go to the reader, which does not pass them on to the card.

use std::{str::FromStr, time::Duration};

use crate::card::link::LinkError;

/// What to signal to the person at the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The token was admitted.
    Admitted,
    /// The card was refused.
    Refused,
    /// The card left, or did not answer, before it was read.
    HoldLonger,
}

/// A reader model, or a family of them, with known commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedbackModel {
    /// ACS ACR122U.
    Acr122u,
    /// ACS ACR1252U and ACM1252U.
    Acr1252u,
    /// The H663 group by `SpringCard`.
    SpringCardH663,
    /// `SpringCard` readers with the `SpringCore` firmware: Puck, E518, H518.
    SpringCore,
}

/// The configured model of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedbackChoice {
    /// The model is derived from the reader's name.
    Auto,
    /// This model, whatever the name.
    Model(FeedbackModel),
}

/// No model has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not auto, acr122u, acr1252u, springcard-h663 or springcore")]
pub struct NoSuchModel(String);

/// Why a reader did not show a signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// `auto`, and the reader's name matches no known model.
    #[error("no known model has this name")]
    UnknownModel,
    /// The driver does not pass on commands to the reader, or the reader refuses them.
    #[error("the driver does not pass the command on to the reader")]
    EscapeRefused,
    /// The reader did not answer with success.
    #[error("the reader answered {}", hex::encode_upper(.0))]
    Answer(Vec<u8>),
    /// The reader is still busy with an earlier command.
    #[error("it has not finished the previous signal")]
    Late,
    /// There is no connection.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// One command to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderCommand {
    /// As a pseudo-APDU over the connection to a card in the reader; none where the reader takes only escapes.
    pub apdu: Option<Vec<u8>>,
    /// As the data of `PC_to_RDR_Escape` (`SCardControl`), which needs no card.
    pub escape: Vec<u8>,
    /// First byte of a successful answer to the escape; that to the pseudo-APDU begins with 90.
    pub escape_success: u8,
}

/// The commands for one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalPlan {
    /// Sent at once.
    pub begin: Vec<ReaderCommand>,
    /// How long the signal lasts, if `end` is not empty.
    pub lasts: Duration,
    /// Sent afterwards, to return the lights to the reader's control; empty where the reader does so by itself.
    pub end: Vec<ReaderCommand>,
}

impl FeedbackModel {
    /// All models.
    pub const ALL: [Self; 4] = [Self::Acr122u, Self::Acr1252u, Self::SpringCardH663, Self::SpringCore];

    /// Its name in `config.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acr122u => "acr122u",
            Self::Acr1252u => "acr1252u",
            Self::SpringCardH663 => "springcard-h663",
            Self::SpringCore => "springcore",
        }
    }

    /// Where the commands are published.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Acr122u => "ACS, ACR122U Application Programming Interface V2.04, 6.0 and 6.2",
            Self::Acr1252u => "ACS, ACM1252U-Y3 Reference Manual V1.03, 5.6.1",
            Self::SpringCardH663 => {
                "SpringCard, H663 Group Developer's Reference Manual PMD2271-BA, 3.4.1; PC/SC SDK, reader_helpers.c"
            }
            Self::SpringCore => {
                "SpringCard, SpringCore documentation: Direct Protocol through PC/SC; CONTROL class, SET BUZZER"
            }
        }
    }

    /// Parts of the names that PC/SC gives such readers, in lower case.
    const fn reader_names(self) -> &'static [&'static str] {
        match self {
            Self::Acr122u => &["acr122u"],
            Self::Acr1252u => &["acr1252", "acm1252"],
            Self::SpringCardH663 => &[
                "springcard h663",
                "springcard crazywriter hsp",
                "springcard twistywriter hsp",
                "springcard csb hsp",
                "springcard prox'n'roll hsp",
                "springcard funkygate hsp",
            ],
            Self::SpringCore => &["springcard springcore", "springcard puck", "springcard e518", "springcard h518"],
        }
    }

    /// The model of a reader with this name.
    pub fn of_reader(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        Self::ALL.into_iter().find(|model| model.reader_names().iter().any(|part| name.contains(part)))
    }

    /// The commands for this signal.
    pub fn plan(self, signal: Signal) -> SignalPlan {
        match self {
            Self::Acr122u | Self::Acr1252u => plan_of_acs(signal),
            Self::SpringCardH663 => plan_of_h663(signal),
            Self::SpringCore => plan_of_springcore(signal),
        }
    }
}

impl FeedbackChoice {
    /// The model to use for a reader of this name; none if it is unknown.
    pub fn model(self, reader: &str) -> Option<FeedbackModel> {
        match self {
            Self::Auto => FeedbackModel::of_reader(reader),
            Self::Model(model) => Some(model),
        }
    }
}

impl FromStr for FeedbackChoice {
    type Err = NoSuchModel;

    fn from_str(text: &str) -> Result<Self, NoSuchModel> {
        let model = FeedbackModel::ALL.into_iter().find(|model| model.name() == text).map(Self::Model);
        model.or((text == "auto").then_some(Self::Auto)).ok_or_else(|| NoSuchModel(text.to_owned()))
    }
}

/// Bi-color LED and Buzzer Control. P2: bits 7 and 6 let green and red blink, bits 5 and 4 set their initial state;
/// with bits 3 to 0 clear the reader restores the lights by itself afterwards. Then T1 and T2 in units of 100 ms, the
/// number of repetitions, and 01: the buzzer sounds during T1.
fn plan_of_acs(signal: Signal) -> SignalPlan {
    let (lights, t1, t2, times) = match signal {
        Signal::Admitted => (0xA0, 2, 1, 1),
        Signal::Refused => (0x50, 1, 1, 3),
        Signal::HoldLonger => (0xF0, 1, 1, 2),
    };
    let bytes = vec![0xFF, 0x00, 0x40, lights, 0x04, t1, t2, times, 0x01];
    let command = ReaderCommand { apdu: Some(bytes.clone()), escape: bytes, escape_success: 0x90 };
    SignalPlan { begin: vec![command], lasts: Duration::ZERO, end: Vec::new() }
}

/// READER CONTROL: `1E` sets the red and the green light (00 off, 01 on, 03 controlled by the firmware, 04 blinking
/// quickly), `1C` sounds the buzzer for a number of milliseconds. The escape has the prefix 58, and its answer begins
/// with a status.
fn plan_of_h663(signal: Signal) -> SignalPlan {
    let command = |parameters: [u8; 3]| ReaderCommand {
        apdu: Some([&[0xFF, 0xF0, 0x00, 0x00, 3][..], &parameters].concat()),
        escape: [&[0x58][..], &parameters].concat(),
        escape_success: 0x00,
    };
    let ([red, green], buzzer, lasts) = match signal {
        Signal::Admitted => ([0x00, 0x01], 200_u16, 1000),
        Signal::Refused => ([0x01, 0x00], 800, 1500),
        Signal::HoldLonger => ([0x04, 0x04], 100, 1000),
    };
    let [high, low] = buzzer.to_be_bytes();
    SignalPlan {
        begin: vec![command([0x1E, red, green]), command([0x1C, high, low])],
        lasts: Duration::from_millis(lasts),
        end: vec![command([0x1E, 0x03, 0x03])],
    }
}

/// SET BUZZER, for a number of milliseconds. The lights are left alone: no published command returns them to the
/// firmware.
fn plan_of_springcore(signal: Signal) -> SignalPlan {
    let buzzer: u16 = match signal {
        Signal::Admitted => 200,
        Signal::Refused => 800,
        Signal::HoldLonger => 50,
    };
    let [high, low] = buzzer.to_be_bytes();
    let command = ReaderCommand { apdu: None, escape: vec![0x58, 0x93, high, low], escape_success: 0x00 };
    SignalPlan { begin: vec![command], lasts: Duration::ZERO, end: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is sent to a model, in hex: pseudo-APDU, escape, and the first byte of a good answer.
    fn sent(model: FeedbackModel, signal: Signal) -> (Vec<String>, u128, Vec<String>) {
        let told = |command: &ReaderCommand| {
            let apdu = command.apdu.as_ref().map_or_else(|| "-".to_owned(), hex::encode_upper);
            format!("{apdu} {} {:02X}", hex::encode_upper(&command.escape), command.escape_success)
        };
        let plan = model.plan(signal);
        let all = |commands: &[ReaderCommand]| commands.iter().map(told).collect();
        (all(&plan.begin), plan.lasts.as_millis(), all(&plan.end))
    }

    #[test]
    fn what_is_sent_is_what_is_published() {
        for model in [FeedbackModel::Acr122u, FeedbackModel::Acr1252u] {
            let one = |hex: &str| (vec![format!("{hex} {hex} 90")], 0, vec![]);
            assert_eq!(sent(model, Signal::Admitted), one("FF0040A00402010101"));
            assert_eq!(sent(model, Signal::Refused), one("FF0040500401010301"));
            assert_eq!(sent(model, Signal::HoldLonger), one("FF0040F00401010201"));
        }
        let h663 = |red_green: &str, buzzer: &str, lasts| {
            let begin = vec![
                format!("FFF00000031E{red_green} 581E{red_green} 00"),
                format!("FFF00000031C{buzzer} 581C{buzzer} 00"),
            ];
            (begin, lasts, vec!["FFF00000031E0303 581E0303 00".to_owned()])
        };
        assert_eq!(sent(FeedbackModel::SpringCardH663, Signal::Admitted), h663("0001", "00C8", 1000));
        assert_eq!(sent(FeedbackModel::SpringCardH663, Signal::Refused), h663("0100", "0320", 1500));
        assert_eq!(sent(FeedbackModel::SpringCardH663, Signal::HoldLonger), h663("0404", "0064", 1000));
        let springcore = |buzzer: &str| (vec![format!("- 5893{buzzer} 00")], 0, vec![]);
        assert_eq!(sent(FeedbackModel::SpringCore, Signal::Admitted), springcore("00C8"));
        assert_eq!(sent(FeedbackModel::SpringCore, Signal::Refused), springcore("0320"));
        assert_eq!(sent(FeedbackModel::SpringCore, Signal::HoldLonger), springcore("0032"));
    }

    /// Names as Debian's drivers and the service assign them.
    #[test]
    fn readers_are_known_by_their_names() {
        for (name, model) in [
            ("ACS ACR122U PICC Interface 00 00", Some(FeedbackModel::Acr122u)),
            ("ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 00", Some(FeedbackModel::Acr1252u)),
            ("SpringCard H663 Series 00 00", Some(FeedbackModel::SpringCardH663)),
            ("SpringCard Puck (contactless) 00 00", Some(FeedbackModel::SpringCore)),
            ("SpringCard CSB6 Basic 00 00", None),
            ("ACS ACR1222 Dual Reader 00 00", None),
            ("HID OMNIKEY 5427 CK 00 00", None),
            ("Identiv uTrust 3700 F CL Reader 00 00", None),
        ] {
            assert_eq!(FeedbackModel::of_reader(name), model, "{name}");
            assert_eq!(FeedbackChoice::Auto.model(name), model, "{name}");
        }
        let chosen = FeedbackChoice::Model(FeedbackModel::SpringCore);
        assert_eq!(chosen.model("Rollcall CCID 01"), Some(FeedbackModel::SpringCore));
    }

    #[test]
    fn each_model_has_its_name_and_a_wrong_one_is_told_all() {
        let mut told = NoSuchModel("x".to_owned()).to_string();
        for model in FeedbackModel::ALL {
            assert_eq!(model.name().parse(), Ok(FeedbackChoice::Model(model)));
            assert!(told.contains(model.name()) && !model.source().is_empty(), "{model:?}");
        }
        assert_eq!("auto".parse(), Ok(FeedbackChoice::Auto));
        told = "ACR122U".parse::<FeedbackChoice>().unwrap_err().to_string();
        assert!(told.starts_with("\"ACR122U\" is not auto, "), "{told}");
    }
}
