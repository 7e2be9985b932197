use std::os::unix::fs::symlink;

use gitops_core::tree::{self, DirTree, EntryKind, MemoryTree};
use gitops_core::{FileTree, TreeError, TreePath};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn read(tree: &impl FileTree, at: &str) -> Result<Option<String>, TreeError> {
    let found = tree.read(&path(at))?;
    Ok(found.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
}

/// A directory with links, and beside it a file that is nobody's business.
fn jail() -> (tempfile::TempDir, DirTree) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("app/below")).unwrap();
    std::fs::write(dir.path().join("outside"), "secret").unwrap();
    std::fs::write(root.join("app/file"), "text").unwrap();
    symlink("app/file", root.join("to-file")).unwrap();
    symlink("../file", root.join("app/below/up")).unwrap();
    symlink(root.join("app/file"), root.join("app/absolute")).unwrap();
    symlink("app", root.join("to-dir")).unwrap();
    symlink("gone", root.join("dangling")).unwrap();
    symlink("../outside", root.join("out")).unwrap();
    symlink("../../../../outside", root.join("app/below/far-out")).unwrap();
    symlink(dir.path().join("outside"), root.join("out-absolute")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("loop-b", root.join("loop-a")).unwrap();
    symlink("loop-a", root.join("loop-b")).unwrap();
    let tree = DirTree::new(&root).unwrap();
    (dir, tree)
}

#[test]
fn links_are_followed_within_a_directory() {
    let (_dir, tree) = jail();
    for at in [
        "app/file",
        "to-file",
        "app/below/up",
        "app/absolute",
        "to-dir/file",
        "to-dir/below/../file",
        "/app/file",
    ] {
        assert_eq!(read(&tree, at).unwrap().as_deref(), Some("text"), "{at}");
    }
    for at in ["dangling", "gone", "app", "app/file/below", ""] {
        assert_eq!(read(&tree, at).unwrap(), None, "{at}");
    }
}

#[test]
fn nothing_leads_out_of_a_directory() {
    let (_dir, tree) = jail();
    for at in ["out", "app/below/far-out", "out-absolute", "etc/passwd"] {
        let error = read(&tree, at).unwrap_err();
        assert!(matches!(error, TreeError::Escapes { .. }), "{at}: {error}");
    }
    let error = read(&tree, "loop-a").unwrap_err();
    insta::assert_snapshot!(error, @"loop-a: too many symbolic links");
    insta::assert_snapshot!(
        read(&tree, "out").unwrap_err(),
        @r#"out: leads out of the repository, to "..""#
    );
    insta::assert_snapshot!(
        TreePath::parse("app/../../outside").unwrap_err(),
        @r#"path "app/../../outside" leaves the repository (followed from .)"#
    );
    assert!(path("app").join("../..").is_err());
    assert!(TreePath::parse("a\0b").is_err());
}

#[test]
fn a_listing_shows_what_links_lead_to() {
    let (_dir, tree) = jail();
    let entries = tree.list(&TreePath::ROOT).unwrap().unwrap();
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| {
            let slash = match entry.kind {
                EntryKind::Dir => "/",
                EntryKind::File => "",
            };
            format!("{}{slash}", entry.path)
        })
        .collect();
    // What leads out or nowhere is listed, so that whoever reads it learns why not.
    assert_eq!(
        shown,
        [
            "app/",
            "dangling",
            "etc",
            "loop-a",
            "loop-b",
            "out",
            "out-absolute",
            "to-dir/",
            "to-file"
        ]
    );
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let (_dir, tree) = jail();
    let tree = tree.with_file_limit(3);
    insta::assert_snapshot!(
        read(&tree, "app/file").unwrap_err(),
        @"app/file: 4 bytes, more than the limit of 3"
    );
}

#[test]
fn a_file_can_be_read_later() {
    let (dir, tree) = jail();
    let known = |at: &str| tree.later(&path(at)).unwrap().size();
    // Only Linux tells without reading, and of a link it does not.
    let file = cfg!(target_os = "linux").then_some(4);
    assert_eq!(known("app/file"), file);
    for at in [
        "to-file", "dangling", "out", "etc", "loop-a", "gone", "app", "",
    ] {
        assert_eq!(known(at), None, "{at}");
    }
    let small = tree.clone().with_file_limit(3);
    let small = small.later(&path("app/file")).unwrap();
    assert_eq!(small.size(), None);
    assert!(small.read().is_err());
    let later = tree.later(&path("app/file")).unwrap();
    assert_eq!(later.path(), &path("app/file"));
    drop(tree);
    assert_eq!(later.read().unwrap().as_deref(), Some(&b"text"[..]));
    std::fs::write(dir.path().join("root/app/file"), "other").unwrap();
    assert_eq!(later.read().unwrap().as_deref(), Some(&b"other"[..]));
    std::fs::remove_dir_all(dir.path().join("root/app")).unwrap();
    symlink("..", dir.path().join("root/app")).unwrap();
    std::fs::write(dir.path().join("file"), "secret").unwrap();
    assert!(later.read().is_err(), "it leads out by now");
}

#[test]
fn a_directory_that_is_none_is_refused() {
    let (dir, _tree) = jail();
    assert!(DirTree::new(dir.path().join("outside")).is_err());
    assert!(DirTree::new(dir.path().join("gone")).is_err());
}

/// Every answer of a tree, for a comparison.
pub(super) fn answers(tree: &impl FileTree) -> Vec<String> {
    let mut answers = Vec::new();
    for file in tree::walk(tree, &TreePath::ROOT).unwrap() {
        let contents = read(tree, file.as_str()).unwrap();
        answers.push(format!("{file}: {contents:?}"));
    }
    for at in ["", "a", "a/b", "a/b/c.yaml", "a.yaml", "gone", "a/gone/x"] {
        let listed = tree.list(&path(at)).unwrap();
        answers.push(format!("{at}: {listed:?} {:?}", read(tree, at).unwrap()));
    }
    answers
}

/// Names on which orders differ: `a.yaml` sorts before `a/` by bytes, and Git
/// sorts `a` as `a/`.
pub(super) const FILES: [(&str, &str); 5] = [
    ("a/b/c.yaml", "c: 1\n"),
    ("a/b-c.yaml", ""),
    ("a.yaml", "a: 1\n"),
    ("a-b/x", "x"),
    ("z", "\u{fc}"),
];

#[test]
fn a_directory_answers_as_memory_does() {
    let dir = tempfile::tempdir().unwrap();
    for (name, contents) in FILES {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, contents).unwrap();
    }
    let memory = MemoryTree::try_from(FILES).unwrap();
    assert_eq!(
        answers(&DirTree::new(dir.path()).unwrap()),
        answers(&memory)
    );
}
