//! The secure channel: SCP11a and SCP03 as state machines, and the secure messaging that follows both.
//!
//! Deliberately absent: input, output, clocks. Each state takes an answer and returns the next command.

mod command_name;
pub mod messaging;
pub mod resumption;
pub mod scp03;
pub mod scp11;

pub use command_name::CommandName;

use crate::{
    card::{
        apdu::{Command, Response},
        status::Status,
    },
    crypto::CryptoError,
};

/// The next step of a state machine.
#[derive(Debug)]
pub enum Step<S, D> {
    /// Send this command, and pass its answer to the next state.
    Send(Command, S),
    /// The machine is finished, with this result.
    Done(D),
}

/// The card misbehaved or refused. The session is over in any case.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The card answered a step with an error status. It carries no MAC, so it proves nothing.
    #[error("the card refused {step} with {status} ({meaning})", meaning = status.meaning())]
    Refused {
        /// The command that was refused.
        step: CommandName,
        /// The status word.
        status: Status,
    },
    /// An answer does not have the form that the protocol prescribes.
    #[error("the card's answer to {0} has the wrong form")]
    Form(CommandName),
    /// The receipt of the key agreement is wrong: the card does not hold the key of its certificate.
    #[error("the card's receipt is wrong: it does not hold the key that its certificate names")]
    Receipt,
    /// The card's SCP03 cryptogram is wrong: it does not hold our key.
    #[error("the card does not know this key (its cryptogram is wrong)")]
    Cryptogram,
    /// The MAC of a protected answer is missing or wrong.
    #[error("the MAC of the card's answer is missing or wrong")]
    ResponseMac,
    /// The padding of a protected answer is wrong.
    #[error("the padding of the card's answer is wrong")]
    Padding,
    /// The channel was resumed, so it can only read.
    #[error("this channel was resumed, and no key can be wrapped in it")]
    NoDek,
    /// The crypto library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The data of an answer with status 9000.
pub(crate) fn accepted(step: CommandName, response: Response) -> Result<Vec<u8>, ChannelError> {
    if response.status.is_ok() {
        Ok(response.data)
    } else {
        Err(ChannelError::Refused { step, status: response.status })
    }
}
