//! A remote over http(s): one commit at a time, kept in memory.
//!
//! The pack of a shallow fetch is decoded where it lies; no repository is made
//! of it, so nothing is left behind.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gix::ObjectId;
use gix::objs::Kind;
use gix::odb::pack::data::entry::Header;
use gix::odb::pack::{cache, data};
use gix::protocol::fetch::{Arguments, Response};
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::{Protocol, Service};
use gix::protocol::{Command, Handshake};

use super::{Credentials, GitError, Objects, RemoteOptions, object_error, without_credentials};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct Remote {
    url: String,
    credentials: Option<Credentials>,
    pack_limit: usize,
    // The commit fetched last: a refresh asks for it again until it moves.
    last: Mutex<Option<(ObjectId, Arc<Objects>)>>,
}

impl Remote {
    pub(super) fn new(url: &str, options: &RemoteOptions) -> Self {
        Remote {
            url: without_credentials(url),
            credentials: credentials_of(url).or_else(|| options.credentials.clone()),
            pack_limit: options.pack_limit,
            last: Mutex::default(),
        }
    }

    /// Every reference with the commit behind it.
    pub(super) fn references(&self) -> Result<Vec<(String, ObjectId)>, GitError> {
        self.list().map_err(|source| self.failed(source))
    }

    /// The objects of one commit.
    pub(super) fn fetch(&self, id: ObjectId) -> Result<Arc<Objects>, GitError> {
        let mut last = self.last.lock().expect("no panic under the lock");
        if let Some((have, objects)) = &*last
            && *have == id
        {
            return Ok(objects.clone());
        }
        let pack = self.fetch_pack(id).map_err(|source| self.failed(source))?;
        let objects = Arc::new(Objects::Packed(Box::new(pack)));
        *last = Some((id, objects.clone()));
        Ok(objects)
    }

    fn failed(&self, source: Failure) -> GitError {
        GitError::Fetch {
            location: self.url.clone(),
            source,
        }
    }

    fn connect(&self) -> Result<(Box<dyn Transport + Send>, Handshake), Failure> {
        // reqwest comes without a TLS provider; ring, unless the program that
        // embeds us has chosen one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut transport = gix::protocol::transport::client::blocking_io::connect::connect(
            self.url.as_str(),
            gix::protocol::transport::client::blocking_io::connect::Options {
                version: Protocol::V2,
                ..Default::default()
            },
        )
        .map_err(text)?;
        if let Some(credentials) = &self.credentials {
            transport
                .set_identity(gix::sec::identity::Account {
                    username: credentials.username.clone(),
                    password: credentials.password.clone(),
                    oauth_refresh_token: None,
                })
                .map_err(text)?;
        }
        let mut asked = false;
        let handshake = gix::protocol::handshake(
            &mut transport,
            Service::UploadPack,
            |_| {
                asked = true;
                Ok(None)
            },
            Vec::new(),
            &mut gix::progress::Discard,
        );
        match handshake {
            Ok(handshake) => Ok((transport, handshake)),
            Err(_) if asked && self.credentials.is_some() => {
                Err("the remote refuses the credentials".into())
            }
            Err(_) if asked => Err("the remote asks for credentials and there are none".into()),
            Err(error) => Err(text(error)),
        }
    }

    fn list(&self) -> Result<Vec<(String, ObjectId)>, Failure> {
        let (mut transport, mut handshake) = self.connect()?;
        let refs = match handshake.refs.take() {
            Some(refs) => refs,
            None => gix::protocol::LsRefsCommand::new(None, &handshake.capabilities, agent())
                .invoke_blocking(&mut transport, &mut gix::progress::Discard, false)
                .map_err(text)?,
        };
        Ok(refs
            .into_iter()
            .filter_map(|reference| {
                Some(match reference {
                    Ref::Peeled {
                        full_ref_name,
                        object,
                        ..
                    }
                    | Ref::Direct {
                        full_ref_name,
                        object,
                    }
                    | Ref::Symbolic {
                        full_ref_name,
                        object,
                        ..
                    } => (full_ref_name.to_string(), object),
                    Ref::Unborn { .. } => return None,
                })
            })
            .collect())
    }

    fn fetch_pack(&self, id: ObjectId) -> Result<Pack, Failure> {
        let (mut transport, handshake) = self.connect()?;
        let version = handshake.server_protocol_version;
        let mut features = Command::Fetch.default_features(version, &handshake.capabilities);
        features.push(agent());
        Response::check_required_features(version, &features).map_err(text)?;
        let sideband_all = features.iter().any(|(name, _)| *name == "sideband-all");
        let mut arguments = Arguments::new(version, features, false);
        if arguments.can_use_shallow() {
            arguments.deepen(1);
        }
        arguments.want(id);
        let mut reader = arguments.send(&mut transport, true).map_err(text)?;
        if sideband_all {
            reader.set_progress_handler(Some(Box::new(|_, _| ControlFlow::Continue(()))));
        }
        Response::from_line_reader(version, &mut reader, true, false).map_err(text)?;
        if !sideband_all {
            reader.set_progress_handler(Some(Box::new(|_, _| ControlFlow::Continue(()))));
        }
        let mut bytes = Vec::new();
        let limit = self.pack_limit as u64;
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut reader, limit + 1), &mut bytes)?;
        if bytes.len() > self.pack_limit {
            return Err(format!("the pack is larger than the limit of {limit} bytes").into());
        }
        Pack::read(bytes)
    }
}

/// What happened and what it came from; the layers of the transport between
/// them tell a reader nothing.
fn text(error: impl Into<Failure>) -> Failure {
    let error = error.into();
    let what = error.to_string();
    let mut cause = error.source();
    let mut root = String::new();
    while let Some(error) = cause {
        root = error.to_string();
        cause = error.source();
    }
    if root.is_empty() || what.contains(&root) {
        what.into()
    } else {
        format!("{what}: {root}").into()
    }
}

fn agent() -> (&'static str, Option<String>) {
    let name = concat!("gitops-core/", env!("CARGO_PKG_VERSION"));
    ("agent", Some(gix::protocol::agent(name)))
}

fn credentials_of(url: &str) -> Option<Credentials> {
    let (_, rest) = url.split_once("://")?;
    let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    Some(Credentials {
        username: username.to_owned(),
        password: password.to_owned(),
    })
}

/// A pack in memory, with the place of each object in it.
pub(crate) struct Pack {
    file: data::File<Vec<u8>>,
    offsets: HashMap<ObjectId, u64>,
    cache: Mutex<cache::lru::MemoryCappedHashmap>,
}

/// A blob of more than this is nobody's manifest.
const OBJECT_LIMIT: usize = 256 << 20;

impl Pack {
    fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        // A delta waits for its base, which it names by place or by id and which
        // may stand behind it.
        let mut ready = Vec::new();
        let mut by_place: HashMap<u64, Vec<u64>> = HashMap::new();
        let mut by_id: HashMap<ObjectId, Vec<u64>> = HashMap::new();
        let iter = data::input::BytesToEntriesIter::new_from_header(
            bytes.as_slice(),
            data::input::Mode::Verify,
            data::input::EntryDataMode::Ignore,
            gix::hash::Kind::Sha1,
        )
        .map_err(text)?;
        for entry in iter {
            let entry = entry.map_err(text)?;
            let place = entry.pack_offset;
            match entry.header {
                Header::RefDelta { base_id } => by_id.entry(base_id).or_default().push(place),
                Header::OfsDelta { base_distance } => {
                    let base = place.saturating_sub(base_distance);
                    by_place.entry(base).or_default().push(place);
                }
                Header::Commit | Header::Tree | Header::Blob | Header::Tag => ready.push(place),
            }
        }
        let file = data::File::from_data(bytes, PathBuf::from("fetched"), gix::hash::Kind::Sha1)
            .map_err(text)?
            .with_alloc_limit_bytes(Some(OBJECT_LIMIT));
        let mut pack = Pack {
            file,
            offsets: HashMap::with_capacity(ready.len()),
            cache: Mutex::new(cache::lru::MemoryCappedHashmap::new(64 << 20)),
        };
        while let Some(place) = ready.pop() {
            let (kind, data) = pack.decode(place)?;
            let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, &data)?;
            pack.offsets.insert(id, place);
            ready.extend(by_place.remove(&place).unwrap_or_default());
            ready.extend(by_id.remove(&id).unwrap_or_default());
        }
        if !(by_place.is_empty() && by_id.is_empty()) {
            return Err("the pack holds deltas without their base".into());
        }
        Ok(pack)
    }

    fn decode(&self, offset: u64) -> Result<(Kind, Vec<u8>), Failure> {
        let entry = self.file.entry(offset).map_err(text)?;
        let mut out = Vec::new();
        let mut cache = self.cache.lock().expect("no panic under the lock");
        let outcome = self
            .file
            .decode_entry(
                entry,
                &mut out,
                &mut gix::zlib::Inflate::default(),
                &|id, _| {
                    let Some(offset) = self.offsets.get(id) else {
                        return Ok(None);
                    };
                    let entry = self.file.entry(*offset)?;
                    Ok(Some(data::decode::entry::ResolvedBase::InPack(entry)))
                },
                &mut *cache,
            )
            .map_err(text)?;
        Ok((outcome.kind, out))
    }

    pub(crate) fn find(&self, id: ObjectId) -> Result<(Kind, Bytes), GitError> {
        let offset = self
            .offsets
            .get(&id)
            .ok_or_else(|| object_error(id, "not in what the remote sent".into()))?;
        let (kind, data) = self
            .decode(*offset)
            .map_err(|error| object_error(id, error.to_string()))?;
        Ok((kind, data.into()))
    }
}
