//! Single files over http and https.
//!
//! What a Git repository is for many files, this is for one: a kustomization
//! may name a URL where it could name a file. Nothing but a `GET` is sent, and
//! no credentials.

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;

use crate::git::without_credentials;

/// What a file may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// How many bytes it may have.
    pub bytes: u64,
    /// How long all of it may take.
    pub time: Duration,
}

impl Default for HttpLimits {
    /// 64 MiB, 30 seconds.
    fn default() -> Self {
        HttpLimits {
            bytes: 64 << 20,
            time: Duration::from_secs(30),
        }
    }
}

/// Why a file could not be had. No text holds credentials or the URL's query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The server has an answer, and it is no file.
    #[error("{url}: status {code} ({reason})")]
    Status {
        /// The URL.
        url: String,
        /// The status code, which is not 2xx.
        code: u16,
        /// What the code means.
        reason: &'static str,
    },
    /// The file is larger than the limit.
    #[error("{url}: more than the limit of {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is no answer, or none that can be understood.
    #[error("{url}: cannot be fetched")]
    Unreachable {
        /// The URL.
        url: String,
        /// What the transport said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The contents of an http(s) URL; redirects are followed.
///
/// This blocks, also where an asynchronous runtime forbids that the transport
/// does: it has a thread of its own.
///
/// # Errors
///
/// [`HttpError`].
pub fn get(url: &str, limits: &HttpLimits) -> Result<Bytes, HttpError> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| get_here(url, limits));
        thread.join().expect("the transport does not panic")
    })
}

fn get_here(url: &str, limits: &HttpLimits) -> Result<Bytes, HttpError> {
    let shown = || {
        let url = without_credentials(url);
        url.split('?').next().unwrap_or_default().to_owned()
    };
    let unreachable = |error: reqwest::Error| HttpError::Unreachable {
        url: shown(),
        // Its own text shows the URL.
        source: error.without_url().into(),
    };
    // reqwest comes without a TLS provider; ring, unless the program that
    // embeds us has chosen one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::builder()
        .timeout(limits.time)
        .user_agent(concat!("gitops-core/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(unreachable)?;
    let response = client.get(url).send().map_err(unreachable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(HttpError::Status {
            url: shown(),
            code: status.as_u16(),
            reason: status.canonical_reason().unwrap_or_default(),
        });
    }
    let mut contents = Vec::new();
    response
        .take(limits.bytes.saturating_add(1))
        .read_to_end(&mut contents)
        .map_err(|error| HttpError::Unreachable {
            url: shown(),
            source: error.into(),
        })?;
    if contents.len() as u64 > limits.bytes {
        return Err(HttpError::TooLarge {
            url: shown(),
            limit: limits.bytes,
        });
    }
    Ok(contents.into())
}
