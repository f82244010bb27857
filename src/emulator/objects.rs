//! GET DATA, PUT DATA and the presence proof.

use super::{
    certificate::{ParsedCertificate, is_date},
    command::{Instruction, Operation, Part},
    persistent::{PersistentCard, Reply, failed, require_length},
    session::{SessionPeer, Upload},
    state::{ModeObject, PersistentState},
};
use crate::{
    card::{
        status::Status,
        tlv::{self, TlvError, TlvReader},
    },
    crypto::{same, sha256},
    emulator::encoding::Hex,
    proof::{self, Claims},
    token::constants::{
        CERTIFICATE_MAX, DETAILS_MAX, KEY_CA, KEY_ECKA, PART_MAX, PORTRAIT_MAX, RECORD_MAX, TAG_CA_ID, TAG_CA_LIST,
        TAG_KEY_REFERENCE, TAG_OFFSET, TAG_PART, TAG_TEMPLATE,
    },
};

impl Part {
    /// The maximum size in bytes.
    const fn room(self) -> usize {
        match self {
            Self::Details => DETAILS_MAX,
            Self::Portrait => PORTRAIT_MAX,
        }
    }

    const fn of(self, state: &PersistentState) -> &Hex<Vec<u8>> {
        match self {
            Self::Details => &state.details,
            Self::Portrait => &state.portrait,
        }
    }

    const fn of_mut(self, state: &mut PersistentState) -> &mut Hex<Vec<u8>> {
        match self {
            Self::Details => &mut state.details,
            Self::Portrait => &mut state.portrait,
        }
    }
}

/// A malformed data object is wrong data, whatever the error.
pub(super) fn wrong(_: TlvError) -> Status {
    Status::WRONG_DATA
}

/// FF34: certificates in the other direction, which do not exist.
pub(super) fn empty_list(data: &[u8]) -> Reply {
    require_length(data, 0)?;
    Err(Status::NO_DATA)
}

/// `54 offset, 53 data`: in order from 0 into a pending copy; offset 0 starts over.
pub(super) fn write_part(upload: &mut Option<Upload>, part: Part, data: &[u8]) -> Reply {
    let mut reader = TlvReader::new(data);
    let offset = usize::from(u16::from_be_bytes(reader.array(TAG_OFFSET).map_err(wrong)?));
    let piece = reader.value(TAG_PART).map_err(wrong)?;
    reader.end().map_err(wrong)?;
    if piece.len() > PART_MAX {
        return Err(Status::WRONG_DATA);
    }
    if offset + piece.len() > part.room() {
        return Err(Status::NO_ROOM);
    }
    if offset == 0 {
        *upload = Some(Upload { part, data: piece.to_vec() });
        return Ok(Vec::new());
    }
    match upload {
        Some(upload) if upload.part == part && upload.data.len() == offset => {
            upload.data.extend_from_slice(piece);
            Ok(Vec::new())
        }
        _ => Err(Status::WRONG_DATA),
    }
}

impl PersistentCard {
    /// GET DATA outside a channel: public information.
    pub(super) fn plain_get_data(&self, [cla, _, p1, p2]: [u8; 4], data: &[u8]) -> Reply {
        match Operation::of(Instruction::GetData, p1, p2) {
            Some(Operation::Certificate) => self.certificate(data, false),
            Some(Operation::CaLookup) => self.ca_lookup(data),
            Some(Operation::CaList) => self.ca_list(cla, data),
            Some(Operation::EmptyList) => empty_list(data),
            Some(_) => Err(Status::SECURITY),
            None => Err(Status::WRONG_DATA),
        }
    }

    /// BF21. In clear a private token gives only the certificate common to its set.
    pub(super) fn certificate(&self, data: &[u8], in_channel: bool) -> Reply {
        let [key, version] = key_reference(data).map_err(wrong)?;
        let key = match key {
            KEY_ECKA if self.state.is_private() && !in_channel => {
                self.state.oldest_set_key().filter(|(oldest, _)| *oldest == version).map(|(_, key)| key)
            }
            KEY_ECKA => self.state.ecka(version),
            _ => None,
        };
        key.map(|key| key.certificate.0.clone()).ok_or(Status::NO_DATA)
    }

    /// 0083: the version of the CA key with this identifier.
    pub(super) fn ca_lookup(&self, data: &[u8]) -> Reply {
        let template = tlv::only(data, TAG_TEMPLATE).map_err(wrong)?;
        let id = tlv::only(template, TAG_CA_ID).map_err(wrong)?;
        let id: [u8; 20] = id.try_into().map_err(|_| Status::WRONG_DATA)?;
        let mut keys = self.state.ca_keys.iter();
        let (version, _) = keys.find(|(_, key)| key.point.0.key_identifier() == id).ok_or(Status::NO_DATA)?;
        Ok(tlv::object(TAG_KEY_REFERENCE, &[KEY_CA, *version]))
    }

    /// FF33: every CA key, unwrapped for the classes 00 and 04, in one FF33 for 80 and 84 (clients differ).
    pub(super) fn ca_list(&self, cla: u8, data: &[u8]) -> Reply {
        require_length(data, 0)?;
        let mut list = Vec::new();
        for (version, key) in &self.state.ca_keys {
            list.extend(tlv::object(TAG_CA_ID, &key.point.0.key_identifier()));
            list.extend(tlv::object(TAG_KEY_REFERENCE, &[KEY_CA, *version]));
        }
        match list.is_empty() {
            true => Err(Status::NO_DATA),
            false if cla & 0x80 != 0 => Ok(tlv::object(TAG_CA_LIST, &list)),
            false => Ok(list),
        }
    }

    pub(super) fn heartbeat(&self, data: &[u8]) -> Reply {
        require_length(data, 0)?;
        Ok(vec![self.state.life.byte()])
    }

    pub(super) fn read_record(&self, data: &[u8]) -> Reply {
        require_length(data, 0)?;
        present(&self.state.record)
    }

    pub(super) fn read_identity_certificate(&self, data: &[u8]) -> Reply {
        require_length(data, 0)?;
        present(&self.state.identity_certificate)
    }

    /// `54 offset`; at the end the answer holds less than a full part, and after that nothing.
    pub(super) fn read_part(&self, part: Part, data: &[u8]) -> Reply {
        let mut reader = TlvReader::new(data);
        let offset = usize::from(u16::from_be_bytes(reader.array(TAG_OFFSET).map_err(wrong)?));
        reader.end().map_err(wrong)?;
        let object = present(part.of(&self.state))?;
        let piece: Vec<u8> = object.iter().skip(offset).take(PART_MAX).copied().collect();
        Ok(tlv::object(TAG_PART, &piece))
    }

    /// `80 length, 81 SHA-256`: checks the uploaded parts, then activates them. An empty upload empties the object.
    pub(super) fn commit_part(&mut self, upload: &mut Option<Upload>, part: Part, data: &[u8]) -> Reply {
        let mut reader = TlvReader::new(data);
        let length = usize::from(u16::from_be_bytes(reader.array(0x80).map_err(wrong)?));
        let hash: [u8; 32] = reader.array(0x81).map_err(wrong)?;
        reader.end().map_err(wrong)?;
        let uploaded = upload.as_ref().filter(|u| u.part == part).ok_or(Status::WRONG_DATA)?;
        if uploaded.data.len() != length || !same(&sha256(&[&uploaded.data]), &hash) {
            return Err(Status::WRONG_DATA);
        }
        self.change(|state| part.of_mut(state).0.clone_from(&uploaded.data))?;
        *upload = None;
        Ok(Vec::new())
    }

    pub(super) fn put_record(&mut self, data: &[u8]) -> Reply {
        match data.len() {
            0 => Err(Status::WRONG_DATA),
            1..=RECORD_MAX => self.change(|state| state.record = Hex(data.to_vec())).map(|()| Vec::new()),
            _ => Err(Status::NO_ROOM),
        }
    }

    /// Stores the identity certificate, which must certify the identity key.
    pub(super) fn put_identity_certificate(&mut self, data: &[u8]) -> Reply {
        if data.len() > CERTIFICATE_MAX {
            return Err(Status::NO_ROOM);
        }
        let certificate = ParsedCertificate::read(data).ok_or(Status::WRONG_DATA)?;
        let identity = self.state.identity_key.as_ref().ok_or(Status::WRONG_DATA)?;
        if certificate.point != identity.0.public().as_bytes() {
            return Err(Status::WRONG_DATA);
        }
        self.change(|state| state.identity_certificate = Hex(data.to_vec()))?;
        Ok(Vec::new())
    }

    /// Stores mode and token id.
    pub(super) fn put_mode(&mut self, data: &[u8]) -> Reply {
        require_length(data, 17)?;
        let (mode, id) = data.split_first_chunk::<1>().ok_or(Status::WRONG_LENGTH)?;
        let private = match mode {
            [0] => false,
            [1] => true,
            _ => return Err(Status::WRONG_DATA),
        };
        let token_id = Hex(id.try_into().map_err(|_| Status::WRONG_LENGTH)?);
        self.change(|state| state.mode = Some(ModeObject { private, token_id }))?;
        Ok(Vec::new())
    }

    /// Sets the card's date back, never forward: only a certificate can do that.
    pub(super) fn put_date(&mut self, data: &[u8]) -> Reply {
        let digits: [u8; 12] = data.try_into().map_err(|_| Status::WRONG_LENGTH)?;
        if !is_date(&digits) || digits > self.state.date.0 {
            return Err(Status::WRONG_DATA);
        }
        self.clear_slots()?;
        self.change(|state| state.date = Hex(digits))?;
        Ok(Vec::new())
    }

    /// INTERNAL AUTHENTICATE: the counter is stored before anything is signed, so that no two proofs share one.
    pub(super) fn prove(&mut self, peer: &SessionPeer, nonce: &[u8]) -> Reply {
        let nonce: [u8; 32] = nonce.try_into().map_err(|_| Status::WRONG_LENGTH)?;
        let (SessionPeer::Terminal(terminal), Some(mode)) = (peer, self.state.mode) else {
            return Err(Status::CONDITIONS);
        };
        let identity = self.state.identity_key.clone().ok_or(Status::CONDITIONS)?;
        let counter = self.state.next_counter().ok_or(Status::CONDITIONS)?;
        self.change(|state| state.counter = counter)?;

        let mut record = self.state.record.0.clone();
        record.resize(RECORD_MAX, 0);
        let claims = Claims {
            terminal: proof::thumbprint(&terminal.point),
            nonce,
            token_id: mode.token_id.0,
            binding: terminal.binding,
            counter,
            record: sha256(&[&record]),
        };
        let signature = identity.0.sign(&claims.sig_structure()).map_err(|e| failed(&e))?;
        Ok([
            tlv::object(0x83, &mode.token_id.0),
            tlv::object(0x80, &counter.to_be_bytes()),
            tlv::object(0x9E, &signature),
            tlv::object(TAG_PART, &record),
        ]
        .concat())
    }
}

fn present(object: &Hex<Vec<u8>>) -> Reply {
    if object.0.is_empty() { Err(Status::NO_DATA) } else { Ok(object.0.clone()) }
}

/// `A6{83{KID KVN}}` and nothing else.
fn key_reference(data: &[u8]) -> Result<[u8; 2], TlvError> {
    let mut template = TlvReader::new(tlv::only(data, TAG_TEMPLATE)?);
    let reference = template.array(TAG_KEY_REFERENCE)?;
    template.end()?;
    Ok(reference)
}

/// Reads `A6{83{KID KVN}}` as the next object.
pub(super) fn next_key_reference(reader: &mut TlvReader<'_>) -> Result<[u8; 2], TlvError> {
    key_reference(reader.object(TAG_TEMPLATE)?.whole)
}
