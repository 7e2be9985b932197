//! How far a render may go.

/// How far a render may go. A template that goes further fails with an error
/// of kind [`ErrorKind::Limit`](super::ErrorKind::Limit).
#[derive(Clone, Debug)]
pub struct Limits {
    /// How deep `{{template}}` may nest. Go's limit, and the default, is
    /// 100000; a level needs about a kilobyte.
    pub template_depth: usize,
    /// How often one name may be included within itself. Helm's limit, and the
    /// default, is 1000.
    pub include_depth: usize,
    /// How deep `include` and `tpl` may nest altogether. Go would exhaust its
    /// stack. The default is 10000.
    pub nesting: usize,
    /// How many bytes may be written and produced by functions in all. The
    /// default is 1 GiB. What is produced needs a few times as much memory.
    pub bytes: u64,
    /// How many nodes may be executed, and values compared, in all. The default
    /// is 2^28, some seconds.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            template_depth: 100_000,
            include_depth: 1000,
            nesting: 10_000,
            bytes: 1 << 30,
            steps: 1 << 28,
        }
    }
}
