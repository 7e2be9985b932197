use std::path::Path;

use gitops_core::git::{GitError, RemoteOptions, Repository};
use gitops_core::tree::MemoryTree;
use gitops_core::{FileTree, TreeError, TreePath};
use gix::objs::tree::{Entry, EntryKind};
use gix::refs::transaction::PreviousValue;

use super::trees::{FILES, answers};

/// A bare repository with three commits.
///
/// | commit | refs                                  |
/// |--------|---------------------------------------|
/// | 0      | tag `v1.0.0`                          |
/// | 1      | branch `release`, annotated `v1.2.0`  |
/// | 2      | `HEAD`, branch `main`, tags `v2.0.0`, `v3.0.0-rc.1` |
pub(super) struct Made {
    pub(super) dir: tempfile::TempDir,
    pub(super) commits: Vec<String>,
}

fn write_tree(repo: &gix::Repository, files: &[(String, EntryKind, Vec<u8>)]) -> gix::ObjectId {
    let mut entries: Vec<Entry> = Vec::new();
    let mut below: std::collections::BTreeMap<String, Vec<(String, EntryKind, Vec<u8>)>> =
        std::collections::BTreeMap::new();
    for (name, kind, contents) in files {
        match name.split_once('/') {
            Some((dir, rest)) => {
                below
                    .entry(dir.into())
                    .or_default()
                    .push((rest.into(), *kind, contents.clone()))
            }
            None => entries.push(Entry {
                mode: (*kind).into(),
                filename: name.as_str().into(),
                oid: repo.write_blob(contents).unwrap().detach(),
            }),
        }
    }
    for (dir, files) in below {
        entries.push(Entry {
            mode: EntryKind::Tree.into(),
            filename: dir.as_str().into(),
            oid: write_tree(repo, &files),
        });
    }
    entries.sort();
    repo.write_object(gix::objs::Tree { entries })
        .unwrap()
        .detach()
}

pub(super) fn make() -> Made {
    let dir = tempfile::tempdir().unwrap();
    let repo = gix::init_bare(dir.path()).unwrap();
    let author = gix::actor::SignatureRef {
        name: "Ada".into(),
        email: "ada@example.com".into(),
        time: "1700000000 +0100",
    };
    let file = |name: &str, contents: &str| {
        (
            name.to_owned(),
            EntryKind::Blob,
            contents.as_bytes().to_vec(),
        )
    };
    let link = |name: &str, to: &str| (name.to_owned(), EntryKind::Link, to.as_bytes().to_vec());
    let contents = [
        vec![file("first", "1")],
        vec![
            file("dir/file", "text"),
            link("dir/up", "../dir/file"),
            link("to-dir", "dir"),
            link("out", "../outside"),
            link("root", "/etc/passwd"),
            link("loop", "loop"),
        ],
        FILES
            .iter()
            .map(|(name, contents)| file(name, contents))
            .collect(),
    ];
    let mut commits: Vec<gix::ObjectId> = Vec::new();
    for (index, files) in contents.iter().enumerate() {
        let tree = write_tree(&repo, files);
        let parents: Vec<gix::ObjectId> = commits.last().copied().into_iter().collect();
        let message = format!("Change {index}\n\nWith a body.\n");
        let id = repo.commit_as(author, author, "refs/heads/main", message, tree, parents);
        commits.push(id.unwrap().detach());
    }
    let tag = |name: &str, index: usize| {
        repo.tag_reference(name, commits[index], PreviousValue::MustNotExist)
            .unwrap();
    };
    tag("v1.0.0", 0);
    tag("v2.0.0", 2);
    tag("v3.0.0-rc.1", 2);
    repo.reference(
        "refs/heads/release",
        commits[1],
        PreviousValue::MustNotExist,
        "",
    )
    .unwrap();
    repo.tag(
        "v1.2.0",
        commits[1],
        gix::objs::Kind::Commit,
        Some(author),
        "Release",
        PreviousValue::MustNotExist,
    )
    .unwrap();
    // Whatever the machine's default branch is called.
    std::fs::write(dir.path().join("HEAD"), "ref: refs/heads/main\n").unwrap();
    Made {
        dir,
        commits: commits.iter().map(ToString::to_string).collect(),
    }
}

fn open(path: &Path) -> Repository {
    Repository::open(path.to_str().unwrap(), &RemoteOptions::default()).unwrap()
}

#[test]
fn revisions_are_resolved() {
    let made = make();
    let repository = open(made.dir.path());
    let [first, second, third] = &made.commits[..] else {
        panic!("three commits");
    };
    for (revision, expected) in [
        ("", third),
        ("HEAD", third),
        ("main", third),
        ("refs/heads/main", third),
        ("release", second),
        ("v1.0.0", first),
        ("v1.2.0", second),
        ("refs/tags/v1.2.0", second),
        (first, first),
        (&first[..8], first),
        ("1.x", second),
        ("^1.0.0", second),
        (">=1.0.0 <2", second),
        ("<1.2.0", first),
        ("*", third),
        (">=3.0.0-0", third),
    ] {
        let found = repository.resolve(revision).unwrap();
        assert_eq!(found.as_str(), expected, "{revision:?}");
    }
}

#[test]
fn unknown_revisions_name_the_nearest() {
    let made = make();
    let repository = open(made.dir.path());
    let told = |revision: &str| {
        let error = repository.resolve(revision).unwrap_err().to_string();
        error.replace(&made.dir.path().display().to_string(), "REPO")
    };
    insta::assert_snapshot!(
        told("relaese"),
        @r#"REPO: no branch, tag or commit "relaese"; did you mean "release"?"#
    );
    insta::assert_snapshot!(
        told("feature/something-else"),
        @r#"REPO: no branch, tag or commit "feature/something-else""#
    );
    insta::assert_snapshot!(told(">=4"), @r#"REPO: no tag satisfies ">=4""#);
    let nobody = "0123456789012345678901234567890123456789";
    assert!(matches!(
        repository.resolve(nobody),
        Err(GitError::UnknownRevision { .. } | GitError::Object { .. })
    ));
}

#[test]
fn a_commit_answers_as_memory_does() {
    let made = make();
    let repository = open(made.dir.path());
    let tree = repository
        .tree(&repository.resolve("main").unwrap())
        .unwrap();
    let memory = MemoryTree::try_from(FILES).unwrap();
    assert_eq!(answers(&tree), answers(&memory));
}

#[test]
fn links_are_followed_within_a_commit() {
    let made = make();
    let repository = open(made.dir.path());
    let commit = repository.resolve("release").unwrap();
    let tree = repository.tree(&commit).unwrap();
    let read = |at: &str| tree.read(&TreePath::parse(at).unwrap());
    for at in ["dir/file", "dir/up", "to-dir/file", "to-dir/up"] {
        assert_eq!(read(at).unwrap().unwrap(), "text", "{at}");
    }
    for at in ["out", "root"] {
        let error = read(at).unwrap_err();
        assert!(matches!(error, TreeError::Escapes { .. }), "{at}: {error}");
    }
    assert!(matches!(read("loop"), Err(TreeError::LinkLoop { .. })));
}

#[test]
fn a_commit_says_what_it_is() {
    let made = make();
    let repository = open(made.dir.path());
    let info = repository
        .commit(&repository.resolve("v1.2.0").unwrap())
        .unwrap();
    assert_eq!(info.summary, "Change 1");
    assert_eq!(info.author, "Ada");
    assert_eq!(info.time, 1_700_000_000);
    assert_eq!(info.id.as_str(), made.commits[1]);
}

/// Every file below `dir`, with its size and time of change.
fn listing(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(listing(&entry.path()));
        }
        found.push(format!(
            "{} {} {:?}",
            entry.path().display(),
            metadata.len(),
            metadata.modified().unwrap()
        ));
    }
    found.sort();
    found
}

#[test]
fn reading_leaves_nothing_behind() {
    let made = make();
    let before = listing(made.dir.path());
    let repository = open(made.dir.path());
    for revision in ["HEAD", "release", "v1.2.0", ">=1.0.0 <2"] {
        let commit = repository.resolve(revision).unwrap();
        let tree = repository.tree(&commit).unwrap();
        gitops_core::tree::walk(&tree, &TreePath::ROOT).unwrap();
        repository.commit(&commit).unwrap();
    }
    let _ = repository.resolve("gone");
    assert_eq!(listing(made.dir.path()), before);
}

#[test]
fn what_cannot_be_opened_is_told() {
    let empty = tempfile::tempdir().unwrap();
    let open = |location: &str| {
        Repository::open(location, &RemoteOptions::default())
            .unwrap_err()
            .to_string()
    };
    let missing = empty.path().join("gone").display().to_string();
    assert_eq!(
        open(&missing),
        format!("{missing}: not a Git repository that can be opened")
    );
    insta::assert_snapshot!(
        open("git@example.com:shop/app.git"),
        @"git@example.com:shop/app.git: ssh remotes are not supported; use https, or map the URL to a local clone"
    );
    insta::assert_snapshot!(
        open("ssh://user:word@example.com/app.git"),
        @"ssh://example.com/app.git: only paths, file:// and http(s):// are supported; map the URL to a local clone"
    );
}
