//! Executes templates.

use std::time::SystemTime;

use super::function::Failure;
use super::text::Str;

/// What functions may ask of the world. Everything else about a render is in
/// its data.
pub trait Host {
    /// The time that `now` and the date functions take for the present.
    fn now(&self) -> SystemTime;

    /// Fills `buffer` with random bytes; a seeded source makes renders
    /// repeatable.
    fn random(&self, buffer: &mut [u8]);

    /// Helm's `lookup`: the object, the list of objects if `name` is empty, or
    /// an empty map.
    ///
    /// # Errors
    ///
    /// Fails if a cluster was asked and did not answer.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<gitops_core::Value, Failure>;

    /// Helm's `getHostByName`: an address, or nothing if it is not enabled.
    fn resolve(&self, host: &str) -> Str;
}

/// A running render, as its functions see it.
pub struct Context<'r> {
    host: &'r dyn Host,
}

impl<'r> Context<'r> {
    /// What functions may ask of the world.
    pub fn host(&self) -> &'r dyn Host {
        self.host
    }
}
