//! How an error is shown: cause, arrow, next step, and a code that `docs/errors` explains.

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_operations::Error;
use syncbridge_secrets::KeyError;

/// The text after `error: `.
pub(crate) fn shown(error: anyhow::Error) -> String {
    let error = match error.downcast::<syncbridge_meta_store::Error>() {
        Ok(error) => return Failure::from(error).to_string(),
        Err(error) => error,
    };
    let error = match error.downcast::<KeyError>() {
        Ok(error) => return master_key(&error).to_string(),
        Err(error) => error,
    };
    match error.downcast::<Error>() {
        Ok(Error::Failure(failure)) => with_option(*failure).to_string(),
        Ok(error) => error.to_string(),
        Err(error) => format!("{error:#}"),
    }
}

/// What the layers below cannot know: by which option of this program a person takes the next step.
fn with_option(mut failure: Failure) -> Failure {
    let option = match failure.code.as_str() {
        "graph.egress_denied" => "--allow-custom-cloud, or SYNCBRIDGE_ALLOW_CUSTOM_CLOUD=true",
        _ => return failure,
    };
    failure.fix = format!("{} (here: {option})", failure.fix);
    failure
}

/// Why there is no master key to work with.
fn master_key(error: &KeyError) -> Failure {
    const MAKE: &str = "give SYNCBRIDGE_MASTER_KEY or SYNCBRIDGE_MASTER_KEY_FILE the key this meta-store was set up \
                        with, or for a new one make a key with `openssl rand -base64 32`";
    let (cause, fix) = match error {
        KeyError::Missing { variable } => (
            "there is no master key, so nothing secret can be sealed or opened".to_owned(),
            format!(
                "set {variable}_FILE to a file that holds 32 random bytes in base64, or {variable} to the text itself"
            ),
        ),
        KeyError::NotBase64 => ("the master key is not base64".to_owned(), MAKE.to_owned()),
        KeyError::Length { length } => (
            format!("a master key has 32 bytes, this one has {length}"),
            MAKE.to_owned(),
        ),
        KeyError::Ring => (
            "the master key is given twice, or not at all".to_owned(),
            "give every key once".to_owned(),
        ),
        KeyError::File { path, .. } => (
            format!("the master key cannot be read from {}", path.display()),
            "check that the file exists and that you may read it".to_owned(),
        ),
        KeyError::Randomness => (
            "the operating system gave no randomness".to_owned(),
            "try again".to_owned(),
        ),
    };
    Failure::new(Scope::Tenant, "secrets.master_key", cause, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_layers_below_are_shown_with_their_next_step_and_code() {
        let error = anyhow::Error::from(syncbridge_meta_store::Error::NoSchema);
        let text = shown(error);
        assert!(
            text.contains(" → run `syncbridge migrate`") && text.ends_with("[meta_store.no_schema]"),
            "{text}"
        );
        let text = shown(KeyError::NotBase64.into());
        assert!(
            text.contains(" → ") && text.ends_with("[secrets.master_key]"),
            "{text}"
        );
        let failure = Failure::new(Scope::List, "graph.egress_denied", "an address", "say so");
        let text = shown(Error::from(failure).into());
        assert_eq!(
            text,
            "an address → say so (here: --allow-custom-cloud, or SYNCBRIDGE_ALLOW_CUSTOM_CLOUD=true) \
             [graph.egress_denied]"
        );
        assert_eq!(shown(anyhow::anyhow!("inner").context("outer")), "outer: inner");
    }
}
