//! Our own terminal's tap code, over any link.

use std::{cell::RefCell, collections::HashMap};

use rollcall::{
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError, Sensitivity},
    },
    crypto::{
        random::SystemRandom,
        x509::{Certificate, CertificateProfile, TerminalRole},
    },
    terminal::tap::{Depth, Seen, Tapped, tap_card},
    token::open::{AuthenticationContext, Credentials, RememberedItem, TokenMemory},
};

use crate::{
    draft::{Draft, READ},
    terminal::CardRig,
};

/// What the terminal remembers between taps.
#[derive(Default)]
pub struct MapMemory(pub RefCell<HashMap<RememberedItem, Vec<u8>>>);

impl TokenMemory for MapMemory {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        self.0.borrow().get(item).cloned()
    }
}

/// The keys of a terminal that reads.
pub fn credentials(rig: &CardRig) -> Credentials {
    let der = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let certificate =
        Certificate::verify(&der, rig.ca.public(), &[CertificateProfile::Terminal(TerminalRole::Read)]).unwrap();
    Credentials { ca: *rig.ca.public(), key: rig.terminal.clone(), certificate, previous: None }
}

/// One tap of whatever answers behind the link.
pub fn tap(credentials: &Credentials, memory: &MapMemory, link: &mut dyn Link) -> Tapped {
    let mut context = AuthenticationContext {
        credentials,
        memory,
        nonce: [7; 32],
        now: "2026-11-23T00:00:00Z".parse().unwrap(),
        format: ApduFormat::Short,
        random: &mut SystemRandom,
        learned: Vec::new(),
        slot: rollcall::token::open::SlotWish::No,
        nonce_shown: false,
    };
    tap_card(link, &mut context, Depth::Authenticate, None, None)
}

/// The token id that a tap proved.
pub fn proved(tapped: &Tapped) -> Option<[u8; 16]> {
    match &tapped.result {
        Ok(Seen::Authenticated(token)) => Some(*token.token_id.as_bytes()),
        _ => None,
    }
}

/// How an answer is made of the honest one.
#[derive(Debug, Clone)]
pub enum Lie {
    /// Nothing but this status.
    Status(u16),
    /// The data, and another status.
    WithStatus(u16),
    /// Flips one bit of the whole answer; in shorter answers an earlier one.
    Flip(usize),
    /// The first so many bytes, status included or not.
    Cut(usize),
    /// These bytes before the status.
    More(Vec<u8>),
    /// Something else.
    Instead(Vec<u8>),
    /// The answer before this one.
    Previous,
    /// What the same exchange of an earlier tap was answered with.
    Earlier,
    /// No answer.
    Break(LinkError),
}

/// A card that answers honestly but at one exchange, or from one exchange on.
pub struct Liar<'a> {
    pub rig: &'a mut CardRig,
    pub at: usize,
    pub lie: Option<Lie>,
    pub for_ever: bool,
    /// Answers of an earlier, honest tap.
    pub earlier: &'a [Vec<u8>],
    /// The honest answers of this one.
    pub answers: Vec<Vec<u8>>,
    /// Whether any answer differed from the honest one.
    pub lied: bool,
}

impl<'a> Liar<'a> {
    pub fn honest(rig: &'a mut CardRig) -> Self {
        Self { rig, at: 0, lie: None, for_ever: false, earlier: &[], answers: Vec::new(), lied: false }
    }

    fn bend(&self, honest: &[u8]) -> Result<Vec<u8>, LinkError> {
        let (data, _) = honest.split_at(honest.len() - 2);
        let with = |data: &[u8], tail: &[u8]| Ok([data, tail].concat());
        match self.lie.as_ref().expect("a lie") {
            Lie::Status(status) => with(&[], &status.to_be_bytes()),
            Lie::WithStatus(status) => with(data, &status.to_be_bytes()),
            Lie::Flip(bit) => {
                let mut bent = honest.to_vec();
                let at = (bit / 8) % bent.len();
                bent[at] ^= 1 << (bit % 8);
                Ok(bent)
            }
            Lie::Cut(length) => with(&honest[..*length.min(&honest.len())], &[]),
            Lie::More(bytes) => with(data, &[&bytes[..], &honest[data.len()..]].concat()),
            Lie::Instead(bytes) => Ok(bytes.clone()),
            Lie::Previous => Ok(self.answers.iter().rev().nth(1).cloned().unwrap_or_default()),
            Lie::Earlier => Ok(self.earlier.get(self.answers.len() - 1).cloned().unwrap_or_default()),
            Lie::Break(error) => Err(error.clone()),
        }
    }
}

impl Link for Liar<'_> {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        let honest = self.rig.card.process(command);
        self.answers.push(honest.clone());
        let now = self.answers.len() - 1;
        if self.lie.is_none() || now < self.at || (now > self.at && !self.for_ever) {
            return Ok(honest);
        }
        let told = self.bend(&honest);
        self.lied |= told.as_ref() != Ok(&honest);
        told
    }
}
