//! Answers for the card's platform before the applet sees a command: logical channels, as in the reference
//! implementation of Java Card (ISO/IEC 7816-4, 5.4.1 and 11.1.2).

use crate::{
    card::{
        apdu::{CHAINING, Received},
        status::Status,
    },
    token::constants::{AID, INS_SELECT},
};

const INS_MANAGE_CHANNEL: u8 = 0x70;
/// MANAGE CHANNEL, P1: close the channel of P2.
const CLOSE: u8 = 0x80;
/// Channels 0 to 19; 0 is always open.
const CHANNELS: usize = 20;
/// The shortest name that selects an application: its registered provider.
const RID: usize = 5;

/// Nothing is selected on this channel.
const NOTHING_SELECTED: Status = Status(0x6999);
const CHANNEL_NOT_SUPPORTED: Status = Status(0x6881);
const SECURE_MESSAGING_NOT_SUPPORTED: Status = Status(0x6882);
const WAS_CLOSED: Status = Status(0x6200);
/// Le has to be 01.
const ONE_BYTE: Status = Status(0x6C01);
const FUNCTION_NOT_SUPPORTED: Status = Status(0x6A81);
const WRONG_P1_P2: Status = Status(0x6A86);

/// SELECT by name, first or only occurrence, without the class.
const SELECT: [u8; 3] = [INS_SELECT, 0x04, 0x00];

/// Which logical channels are open. Our applet can be selected on the basic one only.
#[derive(Debug, Default)]
pub(super) struct Channels {
    open: [bool; CHANNELS],
}

impl Channels {
    /// Answers commands for other channels, and MANAGE CHANNEL; `None` leaves the command to the basic channel.
    /// `active`: our applet is selected there.
    pub(super) fn answer(&mut self, received: &Received<'_>, active: bool) -> Option<Result<Vec<u8>, Status>> {
        let [cla, ins, p1, p2] = received.header;
        let channel = number(cla);
        if channel != 0 && is_interindustry(cla) && is_select(received.header) && is_beginning(received.data) {
            self.open[channel] = true;
            return Some(Err(if active { Status::CONDITIONS } else { NOTHING_SELECTED }));
        }
        if channel != 0 && !self.open[channel] {
            return Some(Err(if cla & 0x80 == 0 { NOTHING_SELECTED } else { CHANNEL_NOT_SUPPORTED }));
        }
        if is_interindustry(cla) && ins == INS_MANAGE_CHANNEL {
            return Some(if is_secure(cla) {
                Err(SECURE_MESSAGING_NOT_SUPPORTED)
            } else {
                self.manage(p1, p2, received.expected)
            });
        }
        (channel != 0).then_some(Err(NOTHING_SELECTED))
    }

    fn manage(&mut self, p1: u8, p2: u8, expected: Option<usize>) -> Result<Vec<u8>, Status> {
        let channel = usize::from(p2);
        match (p1, p2) {
            (0, 0) if expected != Some(1) => Err(ONE_BYTE),
            (0, 0) => {
                let numbered = (0_u8..).zip(&mut self.open).skip(1);
                let (number, open) = numbered.into_iter().find(|(_, open)| !**open).ok_or(FUNCTION_NOT_SUPPORTED)?;
                *open = true;
                Ok(vec![number])
            }
            (0, _) => match self.open.get_mut(channel) {
                Some(open) if !*open => {
                    *open = true;
                    Ok(Vec::new())
                }
                _ => Err(WRONG_P1_P2),
            },
            (CLOSE, 1..) => match self.open.get_mut(channel) {
                Some(open) if *open => {
                    *open = false;
                    Ok(Vec::new())
                }
                _ => Err(WAS_CLOSED),
            },
            _ => Err(FUNCTION_NOT_SUPPORTED),
        }
    }
}

/// Whether these data select our applet, by a prefix of its name or all of it.
pub(super) fn is_beginning(name: &[u8]) -> bool {
    name.len() >= RID && AID.starts_with(name)
}

fn is_select([cla, ins, p1, p2]: [u8; 4]) -> bool {
    [ins, p1, p2] == SELECT && !is_secure(cla) && cla & CHAINING == 0
}

/// The channel in a class byte. Reserved classes, and FF, go to the basic channel.
fn number(cla: u8) -> usize {
    match cla {
        0xFF => 0,
        0x40..=0x7F | 0xC0.. => 4 + usize::from(cla & 0x0F),
        _ if cla & 0x20 != 0 => 0,
        _ => usize::from(cla & 0x03),
    }
}

const fn is_interindustry(cla: u8) -> bool {
    matches!(cla, 0x00..=0x1F | 0x40..=0x7F)
}

const fn is_secure(cla: u8) -> bool {
    if cla & 0x40 == 0 { cla & 0x0C != 0 } else { cla & 0x20 != 0 }
}
