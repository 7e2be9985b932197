//! A real API server, through `kube-client`.
//!
//! `kube-client` finds the server, proves who we are and speaks TLS. Paths,
//! bodies and errors are ours: objects go from bytes to [`Value`] in one step,
//! and headers such as `Retry-After` are not lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::io::AsyncBufReadExt;
use futures_util::stream;
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Origin, Str, Value, json};
use http::{Method, Request, StatusCode};
use kube_client::client::Body;
use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::discovery::read;
use super::{
    BoxError, Cluster, ClusterError, Deletion, FieldConflict, Kind, Kinds, Listing, Selection,
    Watch, WatchEvent, Write,
};
use crate::secrets::Mask;

/// How an API server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeOptions {
    /// How many requests are under way at once; watches do not count.
    pub in_flight: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// How often a request is repeated that the server had no time for, or
    /// that got no answer and may be repeated.
    pub retries: u32,
    /// The wait before the first repetition; it doubles each time, and a
    /// `Retry-After` goes before it.
    pub backoff: Duration,
    /// How many objects a page of a listing has.
    pub page: u32,
    /// How long one watch lasts before it has to be taken up again.
    pub watch: Duration,
}

impl Default for KubeOptions {
    /// 32 requests at once, 60 s each, 3 repetitions from 100 ms on, pages of
    /// 500, watches of 5 minutes.
    fn default() -> Self {
        KubeOptions {
            in_flight: 32,
            timeout: Duration::from_secs(60),
            retries: 3,
            backoff: Duration::from_millis(100),
            page: 500,
            watch: Duration::from_secs(300),
        }
    }
}

/// Discovery that failed to find a kind is not repeated sooner than this.
const UNKNOWN_KIND_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait that a server's `Retry-After` is granted within one call.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10);

/// All kinds in two answers instead of one for each group version.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// An API server, reached over the network.
#[derive(Clone)]
pub struct KubeCluster(Arc<Inner>);

struct Inner {
    client: Client,
    /// Its URL, for errors.
    server: Str,
    options: KubeOptions,
    permits: Semaphore,
    /// What the server serves, and when it was asked. The lock is held while
    /// it is asked, so that many who miss a kind ask once.
    known: Mutex<Option<(Arc<Kinds>, Instant)>>,
}

impl std::fmt::Debug for KubeCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeCluster")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl KubeCluster {
    /// The cluster that a kubeconfig file names. Without `file` that is what
    /// `kubectl` would read: the files of `KUBECONFIG`, or the one in the home
    /// directory; without `context` it is the current one.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Config`] if the file cannot be read or is incomplete.
    /// The server is not asked yet.
    pub async fn from_kubeconfig(
        file: Option<&Path>,
        context: Option<&str>,
        options: KubeOptions,
    ) -> Result<Self, ClusterError> {
        let file = match file {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let choice = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(file.map_err(config_error)?, &choice)
            .await
            .map_err(config_error)?;
        Self::from_config(config, options)
    }

    /// The cluster that this process runs in, as its service account.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Config`] if this process runs in no pod.
    pub fn in_cluster(options: KubeOptions) -> Result<Self, ClusterError> {
        Self::from_config(Config::incluster().map_err(config_error)?, options)
    }

    /// The cluster that `kubectl` would speak to here: by `KUBECONFIG`, the
    /// file in the home directory, or the pod's service account.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Config`] if there is none of them.
    pub async fn infer(options: KubeOptions) -> Result<Self, ClusterError> {
        let config = Config::infer().await.map_err(config_error)?;
        Self::from_config(config, options)
    }

    /// The cluster behind a client that the caller made, with whatever layers
    /// it has.
    pub fn from_client(client: Client, options: KubeOptions) -> Self {
        Self::new(client, "the server", options)
    }

    fn new(client: Client, server: &str, options: KubeOptions) -> Self {
        KubeCluster(Arc::new(Inner {
            permits: Semaphore::new(options.in_flight.max(1)),
            client,
            server: server.into(),
            options,
            known: Mutex::new(None),
        }))
    }

    fn from_config(mut config: Config, options: KubeOptions) -> Result<Self, ClusterError> {
        // Requests are repeated here, where it is known which may be.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(config_error)?;
        Ok(Self::new(client, server.trim_end_matches('/'), options))
    }

    /// Sends a request, repeating it as far as that is sound.
    async fn send(&self, call: &Call<'_>) -> Result<Vec<u8>, ClusterError> {
        let answer = self.send_patiently(call).await;
        if let Err(ClusterError::UnknownKind { .. }) = answer {
            // What was known about kinds is out of date.
            *self.0.known.lock().await = None;
        }
        answer
    }

    async fn send_patiently(&self, call: &Call<'_>) -> Result<Vec<u8>, ClusterError> {
        let mut backoff = self.0.options.backoff;
        let mut left = self.0.options.retries;
        loop {
            let error = match self.send_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = match &error {
                // The server did not begin with it.
                ClusterError::TooManyRequests { .. } => true,
                ClusterError::Refused { status, .. } => *status == 503,
                ClusterError::Unreachable(_) => call.repeatable,
                _ => false,
            };
            if !again || left == 0 {
                return Err(error);
            }
            left -= 1;
            let asked = error.retry_after().unwrap_or_default();
            if asked > LONGEST_RETRY_AFTER {
                return Err(error);
            }
            tokio::time::sleep(asked.max(backoff)).await;
            backoff *= 2;
        }
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Vec<u8>, ClusterError> {
        let _permit = self.0.permits.acquire().await.expect("never closed");
        let request = call.request(Body::from(call.body.clone()))?;
        let exchange = async {
            let response = self
                .0
                .client
                .send(request)
                .await
                .map_err(|error| self.0.transport_error(error))?;
            let (parts, body) = response.into_parts();
            let body = body
                .collect_bytes()
                .await
                .map_err(|error| self.0.transport_error(error))?;
            Ok((parts, body))
        };
        let (parts, body) = tokio::time::timeout(self.0.options.timeout, exchange)
            .await
            .map_err(|late| self.0.unreachable(late))??;
        if parts.status.is_success() {
            return Ok(body.into());
        }
        let retry_after = parts
            .headers
            .get(http::header::RETRY_AFTER)
            .and_then(|text| text.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let status =
            json::parse(&body).unwrap_or_else(|_| Value::from(&*String::from_utf8_lossy(&body)));
        Err(refusal(parts.status, &status, retry_after, call))
    }

    async fn ask(&self, path: &str, accept: &'static str) -> Result<Value, ClusterError> {
        let answer = self.send(&Call::get(path.to_owned(), accept)).await?;
        json::parse(&answer).map_err(answer_error)
    }

    async fn ask_kinds(&self) -> Result<Kinds, ClusterError> {
        let version = self.ask("/version", JSON).await?;
        let version = version.get("gitVersion").and_then(Value::as_str);
        let mut kinds = Kinds::new(version.unwrap_or_default(), []);
        let (core, groups) = futures_util::future::try_join(
            self.ask("/api", AGGREGATED),
            self.ask("/apis", AGGREGATED),
        )
        .await?;
        let mut one_by_one = Vec::new();
        if is_aggregated(&core) {
            read::aggregated(&core, &mut kinds);
        } else {
            let versions = core.get("versions").and_then(Value::as_list);
            let versions = versions.unwrap_or_default().iter();
            one_by_one.extend(versions.filter_map(|version| version.as_str().map(Str::from)));
        }
        if is_aggregated(&groups) {
            read::aggregated(&groups, &mut kinds);
        } else {
            one_by_one.extend(read::groups(&groups));
        }
        let answers = one_by_one.iter().map(|version| async move {
            let root = if version.contains('/') { "apis" } else { "api" };
            self.ask(&format!("/{root}/{version}"), JSON).await
        });
        let answers = futures_util::future::join_all(answers).await;
        for (version, answer) in one_by_one.iter().zip(answers) {
            match answer {
                Ok(answer) => read::resources(version, &answer, &mut kinds),
                // An extension server that is down takes its kinds with it,
                // but not those of all others.
                Err(ClusterError::Refused { .. } | ClusterError::NotFound { .. }) => {
                    kinds.incomplete.push(version.clone());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(kinds)
    }

    /// The kind as the server serves it; asks again before it says no.
    async fn kind(&self, group: &str, version: &str, kind: &str) -> Result<Kind, ClusterError> {
        let mut known = self.0.known.lock().await;
        if let Some((kinds, asked)) = &*known {
            if let Some(found) = kinds.find(group, version, kind) {
                return Ok(found.clone());
            }
            if asked.elapsed() < UNKNOWN_KIND_PAUSE {
                return Err(unknown(group, version, kind));
            }
        }
        let kinds = Arc::new(self.ask_kinds().await?);
        *known = Some((kinds.clone(), Instant::now()));
        match kinds.find(group, version, kind) {
            Some(found) => Ok(found.clone()),
            None => Err(unknown(group, version, kind)),
        }
    }

    async fn kind_of(&self, gvk: &Gvk) -> Result<Kind, ClusterError> {
        self.kind(&gvk.group, &gvk.version, &gvk.kind).await
    }

    async fn write(&self, call: Call<'_>, kind: &Gvk) -> Result<Manifest, ClusterError> {
        let answer = self.send(&call).await?;
        object(json::parse(&answer).map_err(answer_error)?, kind)
    }
}

impl Cluster for KubeCluster {
    async fn kinds(&self) -> Result<Arc<Kinds>, ClusterError> {
        let mut known = self.0.known.lock().await;
        if let Some((kinds, _)) = &*known {
            return Ok(kinds.clone());
        }
        let kinds = Arc::new(self.ask_kinds().await?);
        *known = Some((kinds.clone(), Instant::now()));
        Ok(kinds)
    }

    async fn discover(&self) -> Result<Arc<Kinds>, ClusterError> {
        let mut known = self.0.known.lock().await;
        let kinds = Arc::new(self.ask_kinds().await?);
        *known = Some((kinds.clone(), Instant::now()));
        Ok(kinds)
    }

    async fn get(&self, key: &ObjectKey, version: &str) -> Result<Option<Manifest>, ClusterError> {
        let kind = self.kind(&key.group, version, &key.kind).await?;
        let mut call = Call::get(path(&kind, &key.namespace, &key.name), JSON);
        call.key = Some(key);
        match self.write(call, &kind.gvk).await {
            Ok(object) => Ok(Some(object)),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, selection: &Selection) -> Result<Listing, ClusterError> {
        let kind = self.kind_of(&selection.gvk).await?;
        let base = path(&kind, &selection.namespace, "");
        let mut listing = Listing::default();
        let mut from = String::new();
        loop {
            let mut query = Query::default();
            query.add("limit", &self.0.options.page.to_string());
            query.add("labelSelector", &selection.labels);
            query.add("continue", &from);
            let answer = match self.ask(&query.on(&base), JSON).await {
                // The page was so long in coming that the server has forgotten
                // what the first ones were made from.
                Err(ClusterError::Gone) if !from.is_empty() => {
                    from.clear();
                    listing.items.clear();
                    continue;
                }
                answer => answer?,
            };
            let metadata = answer.get("metadata").unwrap_or(&Value::Null);
            let text = |name: &str| {
                let text = metadata.get(name).and_then(Value::as_str);
                text.unwrap_or_default().to_owned()
            };
            from = text("continue");
            listing.resource_version = text("resourceVersion").into();
            match answer.get("items") {
                Some(Value::List(items)) => {
                    listing.items.reserve(items.len());
                    for item in items {
                        listing.items.push(object(item.clone(), &kind.gvk)?);
                    }
                }
                Some(Value::Null) => {}
                // Whoever says nothing has not said that there is nothing.
                _ => {
                    return Err(ClusterError::Answer {
                        problem: format!("a list of {} without items", kind.gvk),
                    });
                }
            }
            if from.is_empty() {
                return Ok(listing);
            }
        }
    }

    async fn apply(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        let kind = self.kind_of(object.gvk()).await?;
        let mut query = write_query(write);
        query.add("force", if write.force { "true" } else { "false" });
        let call = Call {
            method: Method::PATCH,
            path: query.on(&written(&kind, object.key(), write)),
            accept: JSON,
            content: "application/apply-patch+yaml",
            body: bytes_of(&object.to_value()),
            key: Some(object.key()),
            sent: Some(object.object()),
            repeatable: true,
        };
        self.write(call, &kind.gvk).await
    }

    async fn create(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        let kind = self.kind_of(object.gvk()).await?;
        let call = Call {
            method: Method::POST,
            path: write_query(write).on(&path(&kind, object.namespace(), "")),
            accept: JSON,
            content: JSON,
            body: bytes_of(&object.to_value()),
            key: Some(object.key()),
            sent: Some(object.object()),
            // A second object, or a puzzling AlreadyExists, would be the price.
            repeatable: write.dry_run,
        };
        self.write(call, &kind.gvk).await
    }

    async fn replace(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        let kind = self.kind_of(object.gvk()).await?;
        let pinned = object.at(&["metadata", "resourceVersion"]).is_some();
        let call = Call {
            method: Method::PUT,
            path: write_query(write).on(&written(&kind, object.key(), write)),
            accept: JSON,
            content: JSON,
            body: bytes_of(&object.to_value()),
            key: Some(object.key()),
            sent: Some(object.object()),
            // The second of two pinned writes conflicts with the first.
            repeatable: write.dry_run || !pinned,
        };
        self.write(call, &kind.gvk).await
    }

    async fn patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
        write: &Write,
    ) -> Result<Manifest, ClusterError> {
        let kind = self.kind(&key.group, "", &key.kind).await?;
        let pinned = patch.at(&["metadata", "resourceVersion"]).is_some();
        let call = Call {
            method: Method::PATCH,
            path: write_query(write).on(&written(&kind, key, write)),
            accept: JSON,
            content: "application/merge-patch+json",
            body: bytes_of(patch),
            key: Some(key),
            sent: patch.as_map(),
            repeatable: write.dry_run || !pinned,
        };
        self.write(call, &kind.gvk).await
    }

    async fn delete(&self, key: &ObjectKey, deletion: &Deletion) -> Result<(), ClusterError> {
        let kind = self.kind(&key.group, "", &key.kind).await?;
        let mut options = Map::from_iter([
            ("kind", Value::from("DeleteOptions")),
            ("apiVersion", Value::from("v1")),
            (
                "propagationPolicy",
                Value::from(deletion.propagation.name()),
            ),
        ]);
        let preconditions = [
            ("uid", &deletion.uid),
            ("resourceVersion", &deletion.resource_version),
        ];
        let preconditions = preconditions.into_iter();
        let preconditions: Map = preconditions
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name, text.clone()))
            .collect();
        if !preconditions.is_empty() {
            options.insert("preconditions", preconditions);
        }
        if deletion.dry_run {
            options.insert("dryRun", Value::from_iter([Value::from("All")]));
        }
        let call = Call {
            method: Method::DELETE,
            path: path(&kind, &key.namespace, &key.name),
            accept: JSON,
            content: JSON,
            body: bytes_of(&Value::Map(options)),
            key: Some(key),
            sent: None,
            repeatable: true,
        };
        self.send(&call).await.map(drop)
    }

    async fn watch(
        &self,
        selection: &Selection,
        resource_version: &str,
    ) -> Result<Watch, ClusterError> {
        let kind = self.kind_of(&selection.gvk).await?;
        let mut query = Query::default();
        query.add("watch", "true");
        query.add("allowWatchBookmarks", "true");
        query.add("labelSelector", &selection.labels);
        query.add("resourceVersion", resource_version);
        let lasting = self.0.options.watch;
        query.add("timeoutSeconds", &lasting.as_secs().to_string());
        let call = Call::get(query.on(&path(&kind, &selection.namespace, "")), JSON);
        let request = call.request(Vec::new())?;
        let lines = match self.0.client.request_stream(request).await {
            Ok(lines) => lines,
            Err(kube_client::Error::Api(status)) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::BAD_GATEWAY);
                let status = Map::from_iter([
                    ("message", status.message.clone()),
                    ("reason", status.reason.clone()),
                ]);
                return Err(refusal(code, &Value::Map(status), None, &call));
            }
            Err(error) => return Err(self.0.transport_error(error)),
        };
        // A connection that died without a word must not look like silence.
        let patience = lasting + Duration::from_secs(30);
        let lines = Box::pin(lines);
        let cluster = self.clone();
        Ok(Watch::new(stream::unfold(
            Some((lines, kind.gvk, cluster)),
            move |state| async move {
                let (mut lines, gvk, cluster) = state?;
                let mut line = Vec::new();
                let read = lines.read_until(b'\n', &mut line);
                match tokio::time::timeout(patience, read).await {
                    Ok(Ok(0)) => None,
                    // Connections end in the middle of an event when a server
                    // goes down; the watch is resumed from the last whole one.
                    Ok(Ok(_)) if line.last() != Some(&b'\n') => None,
                    Ok(Ok(_)) => match event(&line, &gvk) {
                        Ok(event) => Some((Ok(event), Some((lines, gvk, cluster)))),
                        Err(error) => Some((Err(error), None)),
                    },
                    Ok(Err(error)) => Some((Err(cluster.0.unreachable(error)), None)),
                    Err(late) => Some((Err(cluster.0.unreachable(late)), None)),
                }
            },
        )))
    }
}

const JSON: &str = "application/json";

/// One request, in a form that can be sent again.
struct Call<'a> {
    method: Method,
    path: String,
    accept: &'static str,
    content: &'static str,
    body: Vec<u8>,
    /// What the request is about, for the error.
    key: Option<&'a ObjectKey>,
    /// What was sent, whose secrets the error must not quote.
    sent: Option<&'a Map>,
    /// Whether doing it twice is doing it once.
    repeatable: bool,
}

impl Call<'_> {
    fn get(path: String, accept: &'static str) -> Self {
        Call {
            method: Method::GET,
            path,
            accept,
            content: "",
            body: Vec::new(),
            key: None,
            sent: None,
            repeatable: true,
        }
    }

    fn request<B>(&self, body: B) -> Result<Request<B>, ClusterError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(http::header::ACCEPT, self.accept);
        if !self.content.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, self.content);
        }
        request
            .body(body)
            .map_err(|error| ClusterError::Config(error.into()))
    }
}

/// The path of a kind's objects, or of one of them.
fn path(kind: &Kind, namespace: &str, name: &str) -> String {
    let root = if kind.gvk.group.is_empty() {
        "api"
    } else {
        "apis"
    };
    let mut path = format!("/{root}/{}", kind.gvk.api_version());
    if kind.namespaced && !namespace.is_empty() {
        path.push_str("/namespaces/");
        escape(namespace, &mut path);
    }
    path.push('/');
    path.push_str(&kind.plural);
    if !name.is_empty() {
        path.push('/');
        escape(name, &mut path);
    }
    path
}

/// The path of an object, or of the part of it that is written.
fn written(kind: &Kind, key: &ObjectKey, write: &Write) -> String {
    let mut path = path(kind, &key.namespace, &key.name);
    if !write.subresource.is_empty() {
        path.push('/');
        escape(&write.subresource, &mut path);
    }
    path
}

/// Query parameters; empty values are left out.
#[derive(Default)]
struct Query(String);

impl Query {
    fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        escape(value, &mut self.0);
    }

    fn on(&self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

fn write_query(write: &Write) -> Query {
    let mut query = Query::default();
    query.add("fieldManager", &write.manager);
    query.add("dryRun", if write.dry_run { "All" } else { "" });
    query.add(
        "fieldValidation",
        if write.validate { "Strict" } else { "Ignore" },
    );
    query
}

/// Percent-encodes what is not plain in a path segment or a query value.
fn escape(text: &str, into: &mut String) {
    for &byte in text.as_bytes() {
        // The colon is common in names of roles, and plain in both places.
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for digit in [byte >> 4, byte & 15] {
                into.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
}

fn is_aggregated(answer: &Value) -> bool {
    answer.get("kind").and_then(Value::as_str) == Some("APIGroupDiscoveryList")
}

/// An object of an answer. Items of a list do not name their kind.
fn object(mut value: Value, gvk: &Gvk) -> Result<Manifest, ClusterError> {
    if let Value::Map(map) = &mut value {
        if !map.contains_key("kind") {
            map.insert("kind", gvk.kind.clone());
        }
        if !map.contains_key("apiVersion") {
            map.insert("apiVersion", gvk.api_version());
        }
    }
    Manifest::new(value, Origin::default()).map_err(|error| ClusterError::Answer {
        problem: error.to_string(),
    })
}

fn event(line: &[u8], gvk: &Gvk) -> Result<WatchEvent, ClusterError> {
    let mut event = json::parse(line).map_err(answer_error)?;
    let what = event.get("type").and_then(Value::as_str).map(Str::from);
    let what = what.unwrap_or_default();
    let item = event
        .as_map_mut()
        .and_then(|event| event.remove("object"))
        .unwrap_or_default();
    Ok(match what.as_str() {
        "ADDED" => WatchEvent::Added(object(item, gvk)?),
        "MODIFIED" => WatchEvent::Modified(object(item, gvk)?),
        "DELETED" => WatchEvent::Deleted(object(item, gvk)?),
        "BOOKMARK" => WatchEvent::Bookmark {
            resource_version: item
                .at(&["metadata", "resourceVersion"])
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into(),
        },
        "ERROR" => {
            let code = item.get("code").and_then(Value::as_i64).unwrap_or(500);
            let code = u16::try_from(code).unwrap_or(500);
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(refusal(code, &item, None, &Call::get(String::new(), JSON)));
        }
        other => {
            return Err(ClusterError::Answer {
                problem: format!("unknown watch event {other:?}"),
            });
        }
    })
}

/// What a `Status` means.
fn refusal(
    code: StatusCode,
    status: &Value,
    retry_after: Option<Duration>,
    call: &Call<'_>,
) -> ClusterError {
    let text = |path: &[&str]| status.at(path).and_then(Value::as_str).unwrap_or_default();
    let mut message = match status {
        Value::String(text) => text.trim().to_owned(),
        _ => text(&["message"]).to_owned(),
    };
    if message.is_empty() {
        message = format!("the server says {code}");
    }
    if let Some(key) = call.key {
        message = Mask::of(key, call.sent).hide(message);
    }
    if let Value::String(_) = status {
        // A page that some proxy made; cut off only now, since half a value
        // would be one that nobody knows.
        message = message.chars().take(500).collect();
    }
    let key = || {
        call.key.cloned().unwrap_or(ObjectKey {
            group: text(&["details", "group"]).into(),
            kind: text(&["details", "kind"]).into(),
            namespace: Str::new(),
            name: text(&["details", "name"]).into(),
        })
    };
    match (code.as_u16(), text(&["reason"])) {
        (401, _) => ClusterError::Unauthorized { message },
        (403, _) => ClusterError::Forbidden { message },
        // A missing object is named in the answer, a missing path is not: the
        // kind is no longer served, which must not read as "no such object".
        (404, _) if text(&["details", "name"]).is_empty() => {
            let key = key();
            unknown(&key.group, "", &key.kind)
        }
        (404, _) => ClusterError::NotFound {
            key: key(),
            message,
        },
        (409, "AlreadyExists") => ClusterError::AlreadyExists { key: key() },
        (409, _) => {
            let causes = status.at(&["details", "causes"]).and_then(Value::as_list);
            let mut fields: Vec<FieldConflict> = causes
                .unwrap_or_default()
                .iter()
                .filter(|cause| {
                    cause.get("reason").and_then(Value::as_str) == Some("FieldManagerConflict")
                })
                .map(|cause| {
                    let text = |name| cause.get(name).and_then(Value::as_str).unwrap_or_default();
                    let message = text("message");
                    let manager = message.strip_prefix("conflict with ").unwrap_or(message);
                    FieldConflict {
                        manager: manager.to_owned(),
                        field: text("field").to_owned(),
                    }
                })
                .collect();
            // The server lists them in the order of a Go map.
            fields.sort();
            ClusterError::Conflict {
                key: key(),
                message,
                fields,
            }
        }
        (410, _) | (_, "Expired" | "Gone") => ClusterError::Gone,
        (422, _) => ClusterError::Invalid {
            key: key(),
            message,
        },
        (400 | 413, _) if call.sent.is_some() => ClusterError::Invalid {
            key: key(),
            message,
        },
        (500, _) if is_invalid(&message) => ClusterError::Invalid {
            key: key(),
            message,
        },
        (429, _) => ClusterError::TooManyRequests { retry_after },
        (status, _) => ClusterError::Refused { status, message },
    }
}

/// Whether it is the object that is wrong, though the server calls it its own
/// error: fields that the schema does not have, or values that cannot be read
/// (text that is no base64, say). Conversion by a webhook may well succeed later.
fn is_invalid(message: &str) -> bool {
    message.starts_with("failed to create typed ")
        || (message.starts_with("failed to convert new object")
            && message.contains("unable to convert unstructured object"))
}

fn unknown(group: &str, version: &str, kind: &str) -> ClusterError {
    ClusterError::UnknownKind {
        gvk: Gvk {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        },
    }
}

/// Which server it was that did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{server}")]
struct At {
    server: Str,
    source: BoxError,
}

impl Inner {
    fn unreachable(&self, error: impl Into<BoxError>) -> ClusterError {
        ClusterError::Unreachable(Box::new(At {
            server: self.server.clone(),
            source: error.into(),
        }))
    }

    fn transport_error(&self, error: kube_client::Error) -> ClusterError {
        match error {
            kube_client::Error::Auth(error) => ClusterError::Config(error.into()),
            // What it wraps says the same and more.
            kube_client::Error::Service(error) => self.unreachable(error),
            error => self.unreachable(error),
        }
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    json::to_string(value).into_bytes()
}

fn answer_error(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Answer {
        problem: error.to_string(),
    }
}

fn config_error(error: impl Into<BoxError>) -> ClusterError {
    ClusterError::Config(error.into())
}
