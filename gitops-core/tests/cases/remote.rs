//! Remotes over http, against a small server of Git's protocol, version 2.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gitops_core::git::{Credentials, GitError, RemoteOptions, Repository};
use gitops_core::tree::MemoryTree;
use gix::ObjectId;
use gix::objs::Kind;

use super::git::make;
use super::trees::{FILES, answers};

/// What the server answers to everything.
#[derive(Clone, Copy)]
enum Manner {
    Open,
    /// Not without credentials.
    Private,
    Missing,
    /// A page, as from a proxy that wants a login.
    Page,
    /// A pack that ends in the middle.
    Cut,
}

struct Server {
    url: String,
    // The requests that came in, by their first word after the method.
    requests: Arc<Mutex<Vec<String>>>,
}

fn serve(repository: PathBuf, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/shop.git", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that hangs up is its own affair.
            let _ = stream.map(|stream| answer(stream, &repository, manner, &seen));
        }
    });
    Server { url, requests }
}

fn answer(
    stream: TcpStream,
    repository: &std::path::Path,
    manner: Manner,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "transfer-encoding" => chunked = value == "chunked",
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk)?;
                if size == 0 {
                    break;
                }
                body.extend_from_slice(&chunk[..size]);
            }
        } else {
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let listing = path.ends_with("/info/refs?service=git-upload-pack");
        let (status, kind, out) = match manner {
            Manner::Missing => ("404 Not Found", "text/plain", b"nothing".to_vec()),
            Manner::Page => ("200 OK", "text/html", b"<html>Log in".to_vec()),
            Manner::Private => ("401 Unauthorized", "text/plain", Vec::new()),
            _ if listing => {
                seen.lock().unwrap().push("capabilities".into());
                let kind = "application/x-git-upload-pack-advertisement";
                ("200 OK", kind, capabilities())
            }
            _ => {
                let repo = gix::open(repository).unwrap();
                let fetch = body.contains("command=fetch");
                seen.lock()
                    .unwrap()
                    .push(if fetch { "fetch" } else { "ls-refs" }.into());
                let out = if fetch {
                    pack_response(&repo, &body, matches!(manner, Manner::Cut))
                } else {
                    references(&repo)
                };
                ("200 OK", "application/x-git-upload-pack-result", out)
            }
        };
        write!(
            writer,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            out.len()
        )?;
        writer.write_all(&out)?;
    }
}

const FLUSH: &[u8] = b"0000";
const DELIMITER: &[u8] = b"0001";

fn packet(out: &mut Vec<u8>, data: &[u8]) {
    out.extend(format!("{:04x}", data.len() + 4).bytes());
    out.extend(data);
}

fn capabilities() -> Vec<u8> {
    let mut out = Vec::new();
    packet(&mut out, b"# service=git-upload-pack\n");
    out.extend(FLUSH);
    for line in [
        "version 2",
        "ls-refs",
        "fetch=shallow",
        "object-format=sha1",
    ] {
        packet(&mut out, format!("{line}\n").as_bytes());
    }
    out.extend(FLUSH);
    out
}

fn references(repo: &gix::Repository) -> Vec<u8> {
    let mut out = Vec::new();
    let head = repo.head_id().unwrap();
    packet(
        &mut out,
        format!("{head} HEAD symref-target:refs/heads/main\n").as_bytes(),
    );
    for reference in repo.references().unwrap().all().unwrap() {
        let mut reference = reference.unwrap();
        let (id, name) = (
            reference.id().detach(),
            reference.name().as_bstr().to_string(),
        );
        let peeled = reference.peel_to_id().unwrap().detach();
        let peeled = if peeled == id {
            String::new()
        } else {
            format!(" peeled:{peeled}")
        };
        packet(&mut out, format!("{id} {name}{peeled}\n").as_bytes());
    }
    out.extend(FLUSH);
    out
}

fn pack_response(repo: &gix::Repository, request: &str, cut: bool) -> Vec<u8> {
    assert!(request.contains("deepen 1"), "one commit is asked for");
    let at = request.find("want ").unwrap() + 5;
    let id = ObjectId::from_hex(&request.as_bytes()[at..at + 40]).unwrap();
    let mut out = Vec::new();
    packet(&mut out, b"shallow-info\n");
    packet(&mut out, format!("shallow {id}\n").as_bytes());
    out.extend(DELIMITER);
    packet(&mut out, b"packfile\n");
    packet(&mut out, b"\x02Counting objects\n");
    let mut pack = pack(repo, id);
    if cut {
        pack.truncate(pack.len() / 2);
    }
    for part in pack.chunks(1000) {
        packet(&mut out, &[b"\x01", part].concat());
    }
    out.extend(FLUSH);
    out
}

/// A commit with all that it holds: each blob is a delta to one that stands at
/// the end, or to the blob before it, so both kinds of delta are in it.
fn pack(repo: &gix::Repository, commit: ObjectId) -> Vec<u8> {
    let mut found = BTreeSet::new();
    let mut blobs: Vec<(ObjectId, Vec<u8>)> = Vec::new();
    let mut whole: Vec<(u8, Vec<u8>)> = vec![(1, repo.find_object(commit).unwrap().data.clone())];
    let mut trees = vec![
        repo.find_commit(commit)
            .unwrap()
            .tree_id()
            .unwrap()
            .detach(),
    ];
    while let Some(id) = trees.pop() {
        let tree = repo.find_tree(id).unwrap();
        whole.push((2, tree.data.clone()));
        for entry in tree.iter() {
            let entry = entry.unwrap();
            let id = entry.object_id();
            if !found.insert(id) {
                continue;
            }
            let object = repo.find_object(id).unwrap();
            match object.kind {
                Kind::Tree => trees.push(id),
                _ => blobs.push((id, object.data.clone())),
            }
        }
    }
    let mut out = b"PACK\0\0\0\x02".to_vec();
    out.extend((u32::try_from(whole.len() + blobs.len()).unwrap()).to_be_bytes());
    let (base_id, base) = blobs.pop().unwrap();
    let mut before: Option<(usize, usize)> = None;
    for (index, (_, data)) in blobs.iter().enumerate() {
        let place = out.len();
        match before {
            Some((offset, length)) if index % 2 == 1 => {
                let delta = delta(length, data);
                header(&mut out, 6, delta.len());
                offset_varint(&mut out, place - offset);
                out.extend(deflate(&delta));
            }
            _ => {
                let delta = delta(base.len(), data);
                header(&mut out, 7, delta.len());
                out.extend(base_id.as_slice());
                out.extend(deflate(&delta));
            }
        }
        before = Some((place, data.len()));
    }
    for (kind, data) in whole.iter().chain([&(3, base)]) {
        header(&mut out, *kind, data.len());
        out.extend(deflate(data));
    }
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(&out);
    out.extend(hasher.try_finalize().unwrap().as_slice());
    out
}

fn header(out: &mut Vec<u8>, kind: u8, mut size: usize) {
    let mut byte = kind << 4 | (size & 15) as u8;
    size >>= 4;
    while size > 0 {
        out.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    out.push(byte);
}

fn offset_varint(out: &mut Vec<u8>, mut distance: usize) {
    let mut bytes = vec![(distance & 0x7f) as u8];
    while distance > 0x7f {
        distance = (distance >> 7) - 1;
        bytes.push(0x80 | (distance & 0x7f) as u8);
    }
    out.extend(bytes.iter().rev());
}

fn varint(out: &mut Vec<u8>, mut size: usize) {
    while size > 0x7f {
        out.push(0x80 | (size & 0x7f) as u8);
        size >>= 7;
    }
    out.push(size as u8);
}

/// Nothing of the base, all of the result.
fn delta(base: usize, result: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, base);
    varint(&mut out, result.len());
    for part in result.chunks(127) {
        out.push(part.len() as u8);
        out.extend(part);
    }
    out
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn open(url: &str) -> Repository {
    Repository::open(url, &RemoteOptions::default()).unwrap()
}

fn told(error: &GitError, server: &Server) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(&server.url, "URL")
}

#[test]
fn a_fetched_commit_answers_as_memory_does() {
    let made = make();
    let server = serve(made.dir.path().to_owned(), Manner::Open);
    let repository = open(&server.url);
    let commit = repository.resolve("main").unwrap();
    let tree = repository.tree(&commit).unwrap();
    assert_eq!(
        answers(&tree),
        answers(&MemoryTree::try_from(FILES).unwrap())
    );
    assert_eq!(repository.commit(&commit).unwrap().summary, "Change 2");
}

#[test]
fn remote_revisions_are_resolved() {
    let made = make();
    let server = serve(made.dir.path().to_owned(), Manner::Open);
    let repository = open(&server.url);
    for (revision, commit) in [
        ("", 2),
        ("HEAD", 2),
        ("release", 1),
        ("v1.0.0", 0),
        ("v1.2.0", 1),
        ("^1.0.0", 1),
        (&*made.commits[0], 0),
    ] {
        let found = repository.resolve(revision).unwrap();
        assert_eq!(found.as_str(), made.commits[commit], "{revision:?}");
    }
    let error = repository.resolve("relaese").unwrap_err();
    insta::assert_snapshot!(told(&error, &server), @r#"URL: no branch, tag or commit "relaese"; did you mean "release"?"#);
}

#[test]
fn a_commit_is_fetched_once() {
    let made = make();
    let server = serve(made.dir.path().to_owned(), Manner::Open);
    let repository = open(&server.url);
    let commit = repository.resolve("main").unwrap();
    for _ in 0..3 {
        repository.tree(&commit).unwrap();
    }
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(
        requests,
        ["capabilities", "ls-refs", "capabilities", "fetch"]
    );
}

#[test]
fn credentials_are_asked_for_and_kept() {
    let made = make();
    let server = serve(made.dir.path().to_owned(), Manner::Private);
    let error = open(&server.url).resolve("main").unwrap_err();
    insta::assert_snapshot!(told(&error, &server), @"URL: cannot fetch: the remote asks for credentials and there are none");
    // They would be readable on the wire.
    let within = server.url.replace("://", "://ada:lovelace@");
    let error = open(&within).resolve("main").unwrap_err();
    insta::assert_snapshot!(told(&error, &server), @"URL: cannot fetch: Transport handshake failed: The transport layer refuses to use a given identity: Will not send credentials in clear text over http");
    let options = RemoteOptions {
        credentials: Some(Credentials {
            username: "ada".into(),
            password: "lovelace".into(),
        }),
        ..RemoteOptions::default()
    };
    let repository = Repository::open(&server.url, &options).unwrap();
    let told = format!("{options:?} {:?}", repository.resolve("main").unwrap_err());
    assert!(!told.contains("lovelace"), "{told}");
}

#[test]
fn what_is_no_remote_is_told() {
    let made = make();
    let failure = |manner| {
        let server = serve(made.dir.path().to_owned(), manner);
        let repository = open(&server.url);
        let commit = repository.resolve("main");
        let error = match commit {
            Err(error) => error,
            Ok(commit) => repository.tree(&commit).unwrap_err(),
        };
        told(&error, &server)
    };
    insta::assert_snapshot!(failure(Manner::Missing), @"URL: cannot fetch: Transport handshake failed: HTTP status client error (404 Not Found) for url (URL/info/refs?service=git-upload-pack)");
    insta::assert_snapshot!(failure(Manner::Page), @"URL: cannot fetch: Transport handshake failed: Didn't find 'application/x-git-upload-pack-advertisement' header to indicate 'smart' protocol, and 'dumb' protocol is not supported.");
    insta::assert_snapshot!(failure(Manner::Cut), @"URL: cannot fetch: pack is incomplete: it was decompressed into 7 bytes but 121 bytes where expected.");
}

#[test]
fn a_pack_over_the_limit_is_refused() {
    let made = make();
    let server = serve(made.dir.path().to_owned(), Manner::Open);
    let options = RemoteOptions {
        pack_limit: 100,
        ..RemoteOptions::default()
    };
    let repository = Repository::open(&server.url, &options).unwrap();
    let commit = repository.resolve("main").unwrap();
    let error = repository.tree(&commit).unwrap_err();
    insta::assert_snapshot!(told(&error, &server), @"URL: cannot fetch: the pack is larger than the limit of 100 bytes");
}
