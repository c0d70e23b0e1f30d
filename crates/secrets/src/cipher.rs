//! AES-256-GCM with a random 96-bit nonce in front of the ciphertext.

use aes_gcm::aead::{Aead, Generate, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use zeroize::Zeroizing;

use crate::error::{OpenError, SealError};

/// Length of a nonce.
pub(crate) const NONCE: usize = 12;
/// Length of an authentication tag.
pub(crate) const TAG: usize = 16;
/// Length of a key.
pub(crate) const KEY: usize = 32;

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    <[u8; N]>::try_generate().ok()
}

/// Appends nonce, ciphertext and tag to `out`.
pub(crate) fn seal_into(
    out: &mut Vec<u8>,
    key: &[u8; KEY],
    aad: &[u8],
    plain: &[u8],
) -> Result<(), SealError> {
    let nonce: [u8; NONCE] = random().ok_or(SealError::Randomness)?;
    let sealed = Aes256Gcm::new(&(*key).into())
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad })
        .map_err(|_| SealError::TooLong)?;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Ok(())
}

/// Opens nonce, ciphertext and tag.
pub(crate) fn open(key: &[u8; KEY], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE>().ok_or(OpenError::CutShort)?;
    if text.len() < TAG {
        return Err(OpenError::CutShort);
    }
    Aes256Gcm::new(&(*key).into())
        .decrypt(&Nonce::from(*nonce), Payload { msg: text, aad })
        .map(Zeroizing::new)
        .map_err(|_| OpenError::Refused)
}
