//! Portraits of the present users: in memory only, under meaningless names that cannot be guessed.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;
use zeroize::Zeroizing;

use super::picture;

/// Maximum number of pictures: 32 MiB of what cards can hold.
const MOST: usize = 4096;

/// A picture to serve.
#[derive(Clone)]
pub struct BoardPicture {
    /// Its type, by its content.
    pub media_type: &'static str,
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl AsRef<[u8]> for BoardPicture {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The pictures by token.
#[derive(Default)]
pub struct BoardPictures(HashMap<Uuid, (String, BoardPicture)>);

impl BoardPictures {
    /// Whether a picture of this token would be accepted: it has none yet.
    pub fn has_room_for(&self, token_id: Uuid) -> bool {
        self.0.len() < MOST && !self.0.contains_key(&token_id)
    }

    /// Stores a picture; returns false if these bytes are not one.
    pub fn take(&mut self, token_id: Uuid, name: String, bytes: Zeroizing<Vec<u8>>) -> bool {
        let Some(media_type) = picture::media_type(&bytes).filter(|_| self.has_room_for(token_id)) else {
            return false;
        };
        self.0.insert(token_id, (name, BoardPicture { media_type, bytes: Arc::new(bytes) }));
        true
    }

    /// Removes the picture of a token.
    pub fn forget(&mut self, token_id: Uuid) {
        self.0.remove(&token_id);
    }

    /// Removes all but these tokens' pictures.
    pub fn keep(&mut self, wanted: impl Fn(Uuid) -> bool) {
        self.0.retain(|token_id, _| wanted(*token_id));
    }

    /// The name of a token's picture.
    pub fn name(&self, token_id: Uuid) -> Option<&str> {
        self.0.get(&token_id).map(|(name, _)| name.as_str())
    }

    /// The picture with this name, and its token.
    pub fn picture(&self, name: &str) -> Option<(Uuid, BoardPicture)> {
        let mut all = self.0.iter();
        all.find_map(|(token_id, (own, picture))| (own == name).then(|| (*token_id, picture.clone())))
    }
}
