//! What a render asks of the world.

use std::time::SystemTime;

use super::function::Failure;
use super::text::Str;

/// What functions may ask of the world. Everything else about a render is in
/// its data.
pub trait Host {
    /// The time that `now` and the date functions take for the present.
    fn now(&self) -> SystemTime;

    /// Fills `buffer` with random bytes.
    fn random(&self, buffer: &mut [u8]);

    /// The key of a stream from which one call draws all its random numbers,
    /// or `None` if it shall draw them from [`random`](Host::random).
    ///
    /// `site` says which call it is, in words that change only with what leads
    /// to the call: the file that is executed, and from there the templates
    /// and the text of the nodes that call each other, one a line. It is equal
    /// for all turns of a loop; whoever keys by it counts.
    fn stream(&self, site: &str) -> Option<[u8; 32]> {
        let _ = site;
        None
    }

    /// Whether [`stream`](Host::stream) wants to be asked.
    fn has_streams(&self) -> bool {
        false
    }

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

    /// How many questions were asked of the host, by objects in the data too.
    fn questions(&self) -> u64 {
        0
    }

    /// Whether to give up. It is asked every few thousand steps.
    fn expired(&self) -> bool {
        false
    }
}
