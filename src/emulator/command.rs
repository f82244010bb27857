//! Decodes a command from its header into a type, before anything in it is checked.

use crate::{
    card::{
        apdu::{CHAINING, SECURE},
        status::Status,
    },
    token::constants::{
        INS_AUTHENTICATE, INS_DELETE_KEY, INS_GENERATE_KEY, INS_GET_DATA, INS_GET_DATA_PART, INS_GET_RESPONSE,
        INS_INITIALIZE_UPDATE, INS_INTERNAL_AUTHENTICATE, INS_PERFORM_SECURITY_OPERATION, INS_PUT_DATA,
        INS_PUT_DATA_PART, INS_PUT_KEY, INS_RESUME, INS_SELECT, INS_SET_STATUS, INS_STORE_DATA, KEY_CA, KEY_ECKA,
        KEY_IDENTITY, KEY_SCP03_SET, STATE_BLANK, STATE_BLOCKED, STATE_ISSUED, STATE_PERSONALISED, STATE_TERMINATED,
        TAG_CA_LIST, TAG_CA_LOOKUP, TAG_DATE, TAG_DETAILS, TAG_ECKA_CERTIFICATE, TAG_EMPTY_LIST, TAG_IDENTITY,
        TAG_MODE, TAG_PORTRAIT, TAG_RECORD,
    },
};

use super::state::Life;

/// The instruction; CLA distinguishes those that share an INS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instruction {
    Select,
    GetResponse,
    GetData,
    VerifyCertificate,
    MutualAuthenticate,
    InitializeUpdate,
    ExternalAuthenticate,
    InternalAuthenticate,
    Resume,
    ReadPart,
    WritePart,
    PutData,
    PutKey,
    GenerateKey,
    StoreData,
    DeleteKey,
    SetStatus,
}

impl Instruction {
    /// CLA is checked before INS: 6E00 for a class that no command has, 6D00 for an unknown INS, and 6E00 again for a
    /// class that this INS does not accept. A secured command sent in plain is known here, and refused by the session.
    pub(super) fn of([cla, code, ..]: [u8; 4]) -> Result<Self, Status> {
        let class = cla & !CHAINING;
        if !Self::is_class(class) {
            return Err(Status::UNKNOWN_CLASS);
        }
        let chained = cla & CHAINING != 0;
        let (instruction, fits) = match code {
            INS_SELECT => (Self::Select, class == 0 && !chained),
            INS_GET_RESPONSE => (Self::GetResponse, !chained),
            INS_PERFORM_SECURITY_OPERATION => (Self::VerifyCertificate, class == 0x80),
            INS_INITIALIZE_UPDATE => (Self::InitializeUpdate, class == 0x80),
            INS_AUTHENTICATE if class & SECURE != 0 => (Self::ExternalAuthenticate, class == 0x84),
            INS_AUTHENTICATE => (Self::MutualAuthenticate, class == 0x80),
            INS_RESUME => (Self::Resume, class == 0x80),
            INS_GET_DATA => (Self::GetData, true),
            INS_INTERNAL_AUTHENTICATE => (Self::InternalAuthenticate, true),
            INS_GET_DATA_PART => (Self::ReadPart, true),
            INS_PUT_DATA_PART => (Self::WritePart, true),
            INS_PUT_DATA => (Self::PutData, true),
            INS_PUT_KEY => (Self::PutKey, true),
            INS_GENERATE_KEY => (Self::GenerateKey, true),
            INS_STORE_DATA => (Self::StoreData, true),
            INS_DELETE_KEY => (Self::DeleteKey, true),
            INS_SET_STATUS => (Self::SetStatus, true),
            _ => return Err(Status::UNKNOWN_INSTRUCTION),
        };
        if fits { Ok(instruction) } else { Err(Status::UNKNOWN_CLASS) }
    }

    /// Whether any command has this class, ignoring the chaining bit.
    pub(super) const fn is_class(cla: u8) -> bool {
        matches!(cla & !CHAINING, 0x00 | 0x04 | 0x80 | 0x84)
    }

    /// Whether it begins a new session in any state, even in the middle of a chain.
    pub(super) const fn starts_over(self) -> bool {
        matches!(self, Self::Select | Self::VerifyCertificate | Self::InitializeUpdate)
    }

    /// Whether it exists outside secure messaging.
    pub(super) const fn has_plain_form(self) -> bool {
        matches!(
            self,
            Self::Select
                | Self::GetResponse
                | Self::GetData
                | Self::VerifyCertificate
                | Self::MutualAuthenticate
                | Self::InitializeUpdate
                | Self::ExternalAuthenticate
                | Self::Resume
        )
    }

    /// Whether these rights allow any use of this instruction inside a channel.
    pub(super) fn is_open_to(self, rights: Rights) -> bool {
        match self {
            Self::InternalAuthenticate | Self::ReadPart => rights != Rights::Enroller,
            Self::WritePart | Self::PutData => rights.writes(),
            Self::PutKey | Self::GenerateKey | Self::StoreData | Self::DeleteKey | Self::SetStatus => {
                matches!(rights, Rights::Admin | Rights::Enroller)
            }
            _ => true,
        }
    }
}

/// The role inside a channel. SCP03 is a role of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    Read,
    Write,
    Admin,
    /// Enrollment, under SCP03.
    Enroller,
}

impl Rights {
    const fn writes(self) -> bool {
        !matches!(self, Self::Read)
    }
}

/// One row of the protocol's command table inside a channel, selected by P1 P2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Heartbeat,
    ReadRecord,
    ReadIdentityCertificate,
    Certificate,
    CaLookup,
    CaList,
    EmptyList,
    Prove,
    ProveWithSlot,
    ResumedPresence,
    ReadPart(Part),
    WritePart(Part),
    CommitPart(Part),
    PutRecord,
    PutIdentityCertificate,
    PutMode,
    PutDate,
    PutScp03Keys { old: u8 },
    PutCaKey { old: u8 },
    PutSetKey { old: u8 },
    GenerateOwnKey { old: u8 },
    GenerateIdentityKey { old: u8 },
    StoreData,
    DeleteKey,
    SetStatus(Life),
}

/// An object that is read and written in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Details,
    Portrait,
}

impl Operation {
    /// `None` when P1 P2 match no row.
    pub(super) fn of(instruction: Instruction, p1: u8, p2: u8) -> Option<Self> {
        let name = u16::from_be_bytes([p1, p2]);
        let part = match name {
            TAG_DETAILS => Some(Part::Details),
            TAG_PORTRAIT => Some(Part::Portrait),
            _ => None,
        };
        Some(match instruction {
            Instruction::GetData => match name {
                TAG_MODE => Self::Heartbeat,
                TAG_RECORD => Self::ReadRecord,
                TAG_IDENTITY => Self::ReadIdentityCertificate,
                TAG_ECKA_CERTIFICATE => Self::Certificate,
                TAG_CA_LOOKUP => Self::CaLookup,
                TAG_CA_LIST => Self::CaList,
                TAG_EMPTY_LIST => Self::EmptyList,
                _ => return None,
            },
            Instruction::InternalAuthenticate => match name {
                0x0001 => Self::Prove,
                0x0101 => Self::ProveWithSlot,
                0x0201 => Self::ResumedPresence,
                _ => return None,
            },
            Instruction::ReadPart => Self::ReadPart(part?),
            Instruction::WritePart => Self::WritePart(part?),
            Instruction::PutData => match name {
                TAG_RECORD => Self::PutRecord,
                TAG_IDENTITY => Self::PutIdentityCertificate,
                TAG_MODE => Self::PutMode,
                TAG_DATE => Self::PutDate,
                _ => Self::CommitPart(part?),
            },
            Instruction::PutKey => match p2 {
                KEY_SCP03_SET => Self::PutScp03Keys { old: p1 },
                KEY_CA => Self::PutCaKey { old: p1 },
                KEY_ECKA => Self::PutSetKey { old: p1 },
                _ => return None,
            },
            Instruction::GenerateKey => match p2 {
                KEY_ECKA => Self::GenerateOwnKey { old: p1 },
                KEY_IDENTITY => Self::GenerateIdentityKey { old: p1 },
                _ => return None,
            },
            Instruction::StoreData if name == 0x9000 => Self::StoreData,
            Instruction::DeleteKey if name == 0x0000 => Self::DeleteKey,
            Instruction::SetStatus if p1 == 0x40 => Self::SetStatus(target(p2)?),
            _ => return None,
        })
    }

    /// Whether these rights allow this row, given that they allow its instruction.
    pub(super) fn is_open_to(self, rights: Rights) -> bool {
        match self {
            Self::Heartbeat | Self::ReadRecord | Self::ReadIdentityCertificate => rights != Rights::Enroller,
            Self::PutMode | Self::PutScp03Keys { .. } | Self::GenerateIdentityKey { .. } => rights == Rights::Enroller,
            Self::PutDate => rights == Rights::Admin,
            Self::PutIdentityCertificate => matches!(rights, Rights::Admin | Rights::Enroller),
            _ => true,
        }
    }

    /// Whether it is answered in a BLOCKED token, whoever asks: otherwise nobody could fetch the certificate that
    /// unblocks it.
    pub(super) const fn answers_when_blocked(self) -> bool {
        matches!(self, Self::Certificate | Self::CaLookup | Self::CaList)
    }
}

fn target(byte: u8) -> Option<Life> {
    Some(match byte {
        STATE_BLANK => Life::Blank,
        STATE_PERSONALISED => Life::Personalised,
        STATE_ISSUED => Life::Issued,
        STATE_BLOCKED => Life::Blocked,
        STATE_TERMINATED => Life::Terminated,
        _ => return None,
    })
}
