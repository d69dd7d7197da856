//! Tenants' secrets, as they are kept: encrypted, with a key that is not among the records.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret as _, SecretString};

use super::access::derive;

/// What a sealed text begins with: how it was sealed.
const VERSION: &str = "v1.";

/// Seals secrets, and opens them again.
pub struct Vault {
    key: LessSafeKey,
}

/// A sealed text cannot be opened: it was sealed with another `JWT_SECRET`, or for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret cannot be opened with this installation's JWT_SECRET")]
pub struct CannotOpen;

impl Vault {
    /// `secret` must be the same on every node.
    pub fn new(secret: &SecretString) -> Self {
        let key = derive(secret.expose_secret().as_bytes(), b"tenants' secrets");
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key);
        Self {
            key: LessSafeKey::new(key.expect("what is derived has 32 bytes, as the key")),
        }
    }

    /// The secret, to be kept. It can be opened for the same `purpose` only.
    pub fn seal(&self, purpose: &str, secret: &SecretString) -> String {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = secret.expose_secret().as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(purpose),
            &mut text,
        );
        sealed.expect("a secret is far shorter than what can be sealed");
        format!("{VERSION}{}", STANDARD.encode([&nonce[..], &text].concat()))
    }

    /// The secret that was sealed for `purpose`.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<SecretString, CannotOpen> {
        let text = sealed.strip_prefix(VERSION).ok_or(CannotOpen)?;
        let mut bytes = STANDARD.decode(text).map_err(|_| CannotOpen)?;
        let (nonce, text) = bytes
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(CannotOpen)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(purpose), text);
        let opened = opened.map_err(|_| CannotOpen)?;
        let text = std::str::from_utf8(opened).map_err(|_| CannotOpen)?;
        Ok(text.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(secret: &str) -> Vault {
        Vault::new(&secret.to_owned().into())
    }

    #[test]
    fn a_secret_is_opened_with_its_key_for_its_purpose_alone() {
        let ours = vault("one");
        let secret = SecretString::from("Bearer äöü".to_owned());
        let sealed = ours.seal("tool a", &secret);
        let opened = ours.open("tool a", &sealed).unwrap();
        assert_eq!(opened.expose_secret(), secret.expose_secret());
        assert!(!sealed.contains("Bearer"));
        assert_ne!(sealed, ours.seal("tool a", &secret), "never twice the same");
        assert!(ours.open("tool b", &sealed).is_err());
        assert!(vault("two").open("tool a", &sealed).is_err());
        let mut broken = sealed.clone();
        broken.replace_range(10..11, if &sealed[10..11] == "A" { "B" } else { "A" });
        for wrong in ["", "v1.", "v1.AAAA", "v2.AAAA", &broken] {
            assert!(ours.open("tool a", wrong).is_err(), "{wrong}");
        }
    }
}
