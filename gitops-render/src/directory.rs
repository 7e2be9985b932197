//! A directory of plain manifests, as Argo CD's repo-server reads it.

use gitops_core::tree::{self, EntryKind};
use gitops_core::{FileTree, Manifest, Origin, Str, TreePath, manifest};

use crate::glob::{BadPattern, Glob};

/// Which files of a directory are read.
#[derive(Clone, Debug, Default)]
pub struct DirectoryOptions {
    /// Whether directories below are read too.
    pub recurse: bool,
    /// A glob of the files to read, relative to the directory; all if empty.
    /// `*` crosses slashes, `{a,b}` are alternatives.
    pub include: Str,
    /// A glob of the files not to read; it is asked first.
    pub exclude: Str,
    /// Whether files are read whatever their suffix, not only `.yaml`, `.yml`
    /// and `.json`.
    pub any_extension: bool,
}

/// Why a directory could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// There is no such directory.
    #[error("{path}: no such directory in the repository")]
    Missing {
        /// The path.
        path: TreePath,
    },
    /// `include` or `exclude` is no glob.
    #[error("{field} {pattern:?}: {source}")]
    Pattern {
        /// Which of the two.
        field: &'static str,
        /// The pattern as it was written.
        pattern: Str,
        /// What is wrong.
        source: BadPattern,
    },
    /// All files together are larger than the limit.
    #[error("{path}: manifests of more than {limit} bytes in all")]
    TooLarge {
        /// The directory.
        path: TreePath,
        /// The limit.
        limit: usize,
    },
    /// A file is Jsonnet, which this renderer does not evaluate.
    #[error("{path}: Jsonnet is not supported; render it to YAML, or exclude it")]
    Jsonnet {
        /// The file.
        path: TreePath,
    },
    /// A file could not be parsed.
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestError),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] gitops_core::TreeError),
}

/// The most bytes that the files of one directory may have, as in Argo CD.
const SIZE_LIMIT: usize = 10 << 20;

/// The marker by which a file asks not to be read.
const SKIP: &[u8] = b"+argocd:skip-file-rendering";

/// Reads the manifests below `dir`, file by file in byte order.
///
/// A YAML file that does not parse is an error only if it looks like a
/// manifest, that is has the lines `apiVersion:`, `kind:` and `metadata:`;
/// other files (values, settings of tools) are passed over.
///
/// # Errors
///
/// [`DirectoryError`]; the parse error of a manifest has file, line and
/// column.
pub fn render(
    tree: &(impl FileTree + ?Sized),
    dir: &TreePath,
    options: &DirectoryOptions,
) -> Result<Vec<Manifest>, DirectoryError> {
    let pattern = |field: &'static str, text: &Str| match text.as_str() {
        "" => Ok(None),
        text => match Glob::new(text, None) {
            Ok(glob) => Ok(Some(glob)),
            Err(source) => Err(DirectoryError::Pattern {
                field,
                pattern: text.into(),
                source,
            }),
        },
    };
    let include = pattern("include", &options.include)?;
    let exclude = pattern("exclude", &options.exclude)?;
    let files = if options.recurse {
        tree.list(dir)?
            .ok_or_else(|| DirectoryError::Missing { path: dir.clone() })?;
        tree::walk(tree, dir)?
    } else {
        tree.list(dir)?
            .ok_or_else(|| DirectoryError::Missing { path: dir.clone() })?
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::File)
            .map(|entry| entry.path)
            .collect()
    };
    let mut manifests = Vec::new();
    let mut size = 0;
    for file in files {
        let relative = file.below(dir).unwrap_or(file.as_str());
        let suffix = relative.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let known = matches!(suffix, "yaml" | "yml" | "json" | "jsonnet");
        if exclude.as_ref().is_some_and(|glob| glob.matches(relative))
            || include.as_ref().is_some_and(|glob| !glob.matches(relative))
            || !(known || options.any_extension)
        {
            continue;
        }
        if suffix == "jsonnet" {
            return Err(DirectoryError::Jsonnet { path: file });
        }
        let Some(text) = tree.read(&file)? else {
            continue;
        };
        if memchr::memmem::find(&text, SKIP).is_some() {
            continue;
        }
        size += text.len();
        if size > SIZE_LIMIT {
            return Err(DirectoryError::TooLarge {
                path: dir.clone(),
                limit: SIZE_LIMIT,
            });
        }
        match manifest::parse(&text, &Origin::file(file.as_str())) {
            Ok(parsed) => manifests.extend(parsed),
            Err(_) if suffix != "json" && !looks_like_manifest(&text) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(manifests)
}

fn looks_like_manifest(text: &[u8]) -> bool {
    let has = |field: &str| {
        text.split(|byte| *byte == b'\n')
            .any(|line| line.starts_with(field.as_bytes()))
    };
    has("apiVersion:") && has("kind:") && has("metadata:")
}
