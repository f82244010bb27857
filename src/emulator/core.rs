//! The state machine of the token: an APDU in, an APDU out. Its only I/O is the store that keeps its state.
//!
//! Specification: docs/protocol.md, "Session"; docs/protocol.md, "Order of checks".

use zeroize::Zeroizing;

use super::{
    channels::{Channels, is_beginning},
    command::{Instruction, Operation, Rights},
    objects::{empty_list, write_part},
    persistent::{PersistentCard, Reply, failed, require_length},
    session::{ResumedChannel, SecureChannel, SessionPeer, TokenSession},
    state::{Life, PersistentState},
    store::{StateStore, StateStoreError},
    transport::{Chain, Transport, Whole, without_chaining},
};
use crate::{
    card::{
        apdu::{CHAINING, Received, SECURE},
        link::{Link, LinkError, Sensitivity},
        status::Status,
    },
    crypto::random::Random,
    token::constants::{COMMAND_MAX, INS_SELECT},
};

/// SELECT by name, first or only occurrence.
const SELECT_HEADER: [u8; 4] = [0x00, INS_SELECT, 0x04, 0x00];

/// A software token. Every change of persistent state is stored before the answer is returned.
pub struct SoftwareToken {
    pub(super) card: PersistentCard,
    pub(super) session: TokenSession,
    transport: Transport,
    channels: Channels,
    /// The SELECT answer as given, which is part of the channel binding; `None` before SELECT, and empty when the
    /// applet was selected by a prefix of its name, which it refuses.
    pub(super) selected: Option<Vec<u8>>,
}

impl SoftwareToken {
    /// A token with this state, which `store` keeps from now on. `random` generates challenges, keys and ephemeral
    /// keys.
    pub fn new(state: PersistentState, store: Box<dyn StateStore + Send>, random: Box<dyn Random + Send>) -> Self {
        Self {
            card: PersistentCard::new(state, store, random),
            session: TokenSession::Selected,
            transport: Transport::default(),
            channels: Channels::default(),
            selected: None,
        }
    }

    /// Power off, power on, or reset: the session is gone and nothing is selected.
    pub fn reset(&mut self) {
        self.wipe();
        self.transport = Transport::default();
        self.channels = Channels::default();
        self.selected = None;
    }

    /// The persistent state.
    pub fn state(&self) -> &PersistentState {
        &self.card.state
    }

    /// Why the last change could not be stored, once. Its command was answered 6F00.
    pub fn take_fault(&mut self) -> Option<StateStoreError> {
        self.card.take_fault()
    }

    /// Processes a command APDU and returns the response APDU: always with a status, whatever the input.
    pub fn process(&mut self, apdu: &[u8]) -> Vec<u8> {
        let Some(mut received) = Received::parse(apdu) else {
            return Status::WRONG_LENGTH.0.to_be_bytes().to_vec();
        };
        // As on a card, where an applet recognises extended lengths only by data.
        received.extended &= !received.data.is_empty();
        if let Some(reply) = self.channels.answer(&received, self.selected.is_some()) {
            return Transport::default().respond(reply, &received);
        }
        let reply = self.receive(&received);
        self.transport.respond(reply, &received)
    }

    fn receive(&mut self, received: &Received<'_>) -> Reply {
        if received.header == SELECT_HEADER && is_beginning(received.data) {
            // The applet may be selected again: nothing volatile remains.
            self.wipe();
            self.transport = Transport::default();
            self.selected = Some(Vec::new());
        }
        if self.selected.is_none() {
            return Self::platform(received);
        }
        let instruction = Instruction::of(received.header);
        let terminated = self.card.state.life == Life::Terminated && instruction != Ok(Instruction::Select);
        if instruction == Ok(Instruction::GetResponse) && !terminated {
            return self.transport.next();
        }
        self.transport.waiting.clear();
        if terminated {
            return Err(Status::CONDITIONS);
        }
        match instruction {
            Ok(instruction) => self.assemble(instruction, received),
            Err(status) => self.refuse(status, received),
        }
    }

    /// After a reset the issuer security domain is selected, none of whose commands concern us.
    fn platform(received: &Received<'_>) -> Reply {
        let [cla, ins, ..] = received.header;
        Err(if (cla, ins) == (0, INS_SELECT) { Status::NOT_FOUND } else { Status::UNKNOWN_INSTRUCTION })
    }

    /// An unknown INS or wrong CLA under a valid C-MAC keeps the session; otherwise it is wiped.
    fn refuse(&mut self, status: Status, received: &Received<'_>) -> Reply {
        let secured = Instruction::is_class(received.header[0]) && received.header[0] & SECURE != 0;
        let alone = received.header[0] & CHAINING == 0 && self.transport.chain.is_none();
        if !(secured && alone && self.session.has_keys()) {
            return self.wiped(status);
        }
        if received.data.len() > COMMAND_MAX {
            return self.wiped(Status::WRONG_LENGTH);
        }
        let data = Zeroizing::new(received.data.to_vec());
        // The answer is the same whether it opens or not; only the session differs.
        let _ = self.open(&Whole::new(received.header, data, received.extended, false));
        Err(status)
    }

    /// Reassembles a chain (CLA bit 10, and P1 bit 80 of PSO), and executes the command when it is complete.
    fn assemble(&mut self, instruction: Instruction, received: &Received<'_>) -> Reply {
        let mut more = received.header[0] & CHAINING != 0;
        let mut header = without_chaining(received.header);
        if instruction == Instruction::VerifyCertificate {
            more |= header[2] & 0x80 != 0;
            header[2] &= 0x7F;
        }
        let continues = self.transport.chain.as_ref().is_some_and(|chain| chain.header == header);
        if instruction.starts_over() && !continues {
            self.wipe();
        }
        if self.transport.chain.is_some() && !continues {
            return self.wiped(Status::ODD_CHAIN);
        }
        if !continues {
            self.gate(instruction, header[0] & SECURE != 0)?;
        }
        if received.extended && (more || continues) {
            return self.wiped(Status::ODD_CHAIN);
        }
        let mut data = self.transport.chain.take().map(|chain| chain.data).unwrap_or_default();
        if data.len() + received.data.len() > COMMAND_MAX {
            return self.wiped(Status::WRONG_LENGTH);
        }
        data.extend_from_slice(received.data);
        if more {
            self.transport.chain = Some(Chain { header, data });
            return Ok(Vec::new());
        }
        self.execute(instruction, &Whole::new(header, data, received.extended, continues))
    }

    /// What the session permits, checked at the first piece of a command.
    fn gate(&mut self, instruction: Instruction, secured: bool) -> Result<(), Status> {
        let channel = self.session.has_keys();
        let initialized = matches!(self.session, TokenSession::Initialized(_));
        let refusal = match instruction {
            Instruction::Select | Instruction::VerifyCertificate | Instruction::InitializeUpdate => return Ok(()),
            Instruction::ExternalAuthenticate if initialized => return Ok(()),
            Instruction::ExternalAuthenticate => Some(Status::CONDITIONS),
            Instruction::Resume if initialized || matches!(self.session, TokenSession::CertificateSeen(_)) => {
                Some(Status::CONDITIONS)
            }
            _ if secured => (!channel).then_some(Status::SECURITY),
            _ => (channel || !instruction.has_plain_form()).then_some(Status::SECURITY),
        };
        if refusal.is_some() || initialized {
            self.wipe();
        }
        refusal.map_or(Ok(()), Err)
    }

    fn execute(&mut self, instruction: Instruction, command: &Whole) -> Reply {
        let [cla, _, p1, p2] = command.header;
        match instruction {
            Instruction::Select => self.select(command.header, &command.data),
            Instruction::VerifyCertificate => self.verify_certificate(p1, p2, &command.data),
            Instruction::MutualAuthenticate => self.mutual_authenticate(p1, p2, &command.data),
            Instruction::InitializeUpdate => self.initialize_update(p1, p2, &command.data),
            Instruction::ExternalAuthenticate => self.external_authenticate(command),
            Instruction::Resume => self.resume(p1, p2, &command.data),
            Instruction::GetData if cla & SECURE == 0 => self.card.plain_get_data(command.header, &command.data),
            _ => self.secured(instruction, command),
        }
    }

    /// Executes a command inside the channel: opened, checked, performed, and its answer sealed. A refusal has no MAC.
    fn secured(&mut self, instruction: Instruction, command: &Whole) -> Reply {
        if matches!(self.session, TokenSession::Resumed(_)) {
            return self.first_of_resumed(instruction, command);
        }
        let data = self.open(command)?;
        let TokenSession::Channel(channel) = &mut self.session else {
            return Err(Status::SECURITY);
        };
        let answer = self.card.perform(channel, instruction, command.header, &data)?;
        let sealed = channel.messaging.seal(&answer, Status::OK).map_err(|e| failed(&e))?;
        if self.card.state.life == Life::Terminated {
            self.wipe();
        }
        Ok(sealed)
    }

    /// Verifies the C-MAC and decrypts. The first valid one grants the role, unless the date rules out the certificate.
    /// Every failure leaves the session wiped.
    fn open(&mut self, command: &Whole) -> Result<Zeroizing<Vec<u8>>, Status> {
        let session = std::mem::replace(&mut self.session, TokenSession::Selected);
        let (mut channel, first) = match session {
            TokenSession::KeysAgreed(channel) => (channel, true),
            TokenSession::Channel(channel) => (channel, false),
            _ => return Err(Status::SECURITY),
        };
        let messaging = &mut channel.messaging;
        let sealed = messaging.verify(command.header, &command.lc, &command.data).map_err(|e| failed(&e))?;
        let sealed = sealed.ok_or(Status::SECURITY)?;
        if let (true, SessionPeer::Terminal(terminal)) = (first, &channel.peer) {
            self.card.admit(&terminal.certificate)?;
        }
        let data = messaging.decrypt(sealed).map_err(|e| failed(&e))?.ok_or(Status::SECURITY)?;
        self.session = TokenSession::Channel(channel);
        Ok(data)
    }

    /// The first command after RESUME: resumed presence, or the end of the session.
    fn first_of_resumed(&mut self, instruction: Instruction, command: &Whole) -> Reply {
        let session = std::mem::replace(&mut self.session, TokenSession::Selected);
        let TokenSession::Resumed(resumed) = session else {
            return Err(Status::SECURITY);
        };
        let ResumedChannel { mut messaging, slot } = *resumed;
        let sealed = messaging.verify(command.header, &command.lc, &command.data).map_err(|e| failed(&e))?;
        // Nobody has the decoy: a C-MAC under it never counts as valid.
        let (Some(sealed), Some(slot)) = (sealed, slot) else {
            return Err(Status::SECURITY);
        };
        let data = messaging.decrypt(sealed).map_err(|e| failed(&e))?.ok_or(Status::SECURITY)?;
        let [_, _, p1, p2] = command.header;
        if Operation::of(instruction, p1, p2) != Some(Operation::ResumedPresence) {
            return Err(Status::CONDITIONS);
        }
        require_length(&data, 0)?;
        let answer = self.card.resumed_presence(slot)?;
        let sealed = messaging.seal(&answer, Status::OK).map_err(|e| failed(&e))?;
        let channel = SecureChannel { messaging, peer: SessionPeer::Resumed, upload: None };
        self.session = TokenSession::Channel(Box::new(channel));
        Ok(sealed)
    }

    pub(super) fn wipe(&mut self) {
        self.session = TokenSession::Selected;
        self.transport.chain = None;
    }

    pub(super) fn wiped(&mut self, status: Status) -> Reply {
        self.wipe();
        Err(status)
    }
}

/// Within one process the token is a card on a link.
impl Link for SoftwareToken {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        Ok(self.process(command))
    }
}

impl PersistentCard {
    /// Checks in the order of the protocol (life cycle, role, P1 P2, and in each handler length and data), then
    /// performs one row of its table.
    fn perform(
        &mut self,
        channel: &mut SecureChannel,
        instruction: Instruction,
        header: [u8; 4],
        data: &[u8],
    ) -> Reply {
        let [cla, _, p1, p2] = header;
        let rights = channel.rights();
        let operation = Operation::of(instruction, p1, p2);
        self.require_life(rights, instruction, operation)?;
        if !instruction.is_open_to(rights) {
            return Err(Status::SECURITY);
        }
        let operation = operation.ok_or(Status::WRONG_DATA)?;
        if !operation.is_open_to(rights) {
            return Err(Status::SECURITY);
        }
        let proves = matches!(operation, Operation::Prove | Operation::ProveWithSlot);
        if proves && matches!(channel.peer, SessionPeer::Resumed) {
            return Err(Status::CONDITIONS);
        }
        match operation {
            Operation::Heartbeat => self.heartbeat(data),
            Operation::ReadRecord => self.read_record(data),
            Operation::ReadIdentityCertificate => self.read_identity_certificate(data),
            Operation::Certificate => self.certificate(data, true),
            Operation::CaLookup => self.ca_lookup(data),
            Operation::CaList => self.ca_list(cla, data),
            Operation::EmptyList => empty_list(data),
            Operation::Prove => self.prove(&channel.peer, data),
            Operation::ProveWithSlot => self.prove_with_slot(&channel.peer, data),
            // Allowed only as the first command after RESUME.
            Operation::ResumedPresence => Err(Status::CONDITIONS),
            Operation::ReadPart(part) => self.read_part(part, data),
            Operation::WritePart(part) => write_part(&mut channel.upload, part, data),
            Operation::CommitPart(part) => self.commit_part(&mut channel.upload, part, data),
            Operation::PutRecord => self.put_record(data),
            Operation::PutIdentityCertificate => self.put_identity_certificate(data),
            Operation::PutMode => self.put_mode(data),
            Operation::PutDate => self.put_date(data),
            Operation::PutScp03Keys { old } => self.put_scp03_keys(old, data, channel.messaging.dek()),
            Operation::PutCaKey { old } => self.put_ca_key(old, data),
            Operation::PutSetKey { old } => self.put_set_key(old, data, channel.messaging.dek()),
            Operation::GenerateOwnKey { old } => self.generate_own_key(old, data),
            Operation::GenerateIdentityKey { old } => self.generate_identity_key(old, data),
            Operation::StoreData => self.store_data(data),
            Operation::DeleteKey => self.delete_key(data),
            Operation::SetStatus(target) => {
                let answer = self.set_status(rights, target, data)?;
                if target == Life::Blank {
                    channel.upload = None;
                }
                Ok(answer)
            }
        }
    }

    /// SCP03 ends permanently at ISSUED; a BLOCKED token answers only ADMIN, except for its certificate and CA keys,
    /// and signs for nobody.
    fn require_life(
        &self,
        rights: Rights,
        instruction: Instruction,
        operation: Option<Operation>,
    ) -> Result<(), Status> {
        let in_use = self.state.life.is_in_use();
        let blocked = self.state.life == Life::Blocked;
        let exempt = operation.is_some_and(Operation::answers_when_blocked);
        let refused = (rights == Rights::Enroller && in_use)
            || (blocked && rights != Rights::Admin && !exempt)
            || (blocked && instruction == Instruction::InternalAuthenticate);
        if refused { Err(Status::CONDITIONS) } else { Ok(()) }
    }
}
