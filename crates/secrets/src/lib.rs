//! Sealing of secrets and row values at rest, and types that cannot be printed.
//!
//! Two ways to seal, both AES-256-GCM with associated data that binds a sealed text to its place:
//!
//! * [`Keyring::seal`]: an *envelope*. Each call draws a data key of its own, seals the text with it and the
//!   data key with the newest [`MasterKey`]. For credentials, hash keys and data keys: few and precious.
//! * [`DataKey::seal`]: for values in bulk. A definition's data key is itself kept as an envelope, opened once
//!   and then used for every value of that definition.
//!
//! A sealed text begins with a byte that names its format, so that formats can follow one another. What was
//! sealed for one place (table, row, column, subject) does not open in another: [`Place`] is the associated data.

pub mod data_key;
pub mod envelope;
pub mod error;
pub mod master_key;
pub mod place;

mod cipher;

pub use data_key::DataKey;
pub use envelope::Keyring;
pub use error::{KeyError, OpenError, SealError};
pub use master_key::{KeyId, MasterKey};
pub use place::Place;
pub use secrecy::{ExposeSecret, SecretBox, SecretString};
pub use zeroize::Zeroizing;

/// 32 bytes from the operating system, for a key that is stored sealed.
///
/// # Errors
/// [`SealError::Randomness`].
pub fn random_secret() -> Result<Zeroizing<[u8; 32]>, SealError> {
    cipher::random().map(Zeroizing::new).ok_or(SealError::Randomness)
}
