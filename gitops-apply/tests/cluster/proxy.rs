//! A line to a real server that can be cut.
//!
//! Bytes are passed on as they are, TLS included. What can be seen of TLS is
//! enough: a connection that is asked for something again after an answer has
//! begun a new request. The end of a handshake counts as one, too, and so does
//! a part of a request that comes late.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gitops_apply::KubeCluster;
use gitops_apply::cluster::kube::KubeOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::faults::{Cut, Line};

/// The type of TLS records that hold what is said, once it is encrypted.
const APPLICATION_DATA: u8 = 23;

/// A line between this process and the server of a kubeconfig.
pub(crate) struct Proxy {
    kubeconfig: PathBuf,
    state: Arc<State>,
}

struct State {
    server: String,
    plan: Mutex<Plan>,
    /// Whether the line is cut, for whoever uses it just now.
    down: watch::Sender<bool>,
}

struct Plan {
    seen: usize,
    at: usize,
    cut: Cut,
    after: Arc<Notify>,
}

impl State {
    /// What becomes of a new request.
    fn next(&self) -> Option<Cut> {
        let mut plan = self.plan.lock().expect("no panic holds it");
        plan.seen += 1;
        (plan.seen - 1 == plan.at).then_some(plan.cut)
    }

    fn fail(&self) {
        self.down.send_replace(true);
        self.plan
            .lock()
            .expect("no panic holds it")
            .after
            .notify_one();
    }
}

impl Proxy {
    /// A line to the server of a kubeconfig with one cluster.
    pub(crate) async fn new(kubeconfig: &std::path::Path, name: &str) -> Proxy {
        let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
        let (_, server) = text.split_once("https://").expect("a server");
        let end = server
            .find(['"', '\n', ',', ' ', '}'])
            .expect("the end of its URL");
        let server = server[..end].trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let path = std::env::temp_dir().join(format!("{name}.kubeconfig"));
        std::fs::write(&path, text.replace(&server, &address)).expect("room for a kubeconfig");
        let state = Arc::new(State {
            server,
            plan: Mutex::new(Plan {
                seen: 0,
                at: usize::MAX,
                cut: Cut::Refused,
                after: Arc::default(),
            }),
            down: watch::Sender::new(false),
        });
        tokio::spawn(serve(listener, state.clone()));
        Proxy {
            kubeconfig: path,
            state,
        }
    }
}

impl Line<KubeCluster> for Proxy {
    async fn cut(&self, at: usize, cut: Cut, after: Arc<Notify>) -> KubeCluster {
        *self.state.plan.lock().expect("no panic holds it") = Plan {
            seen: 0,
            at,
            cut,
            after,
        };
        let options = KubeOptions {
            retries: 0,
            in_flight: 4,
            ..KubeOptions::default()
        };
        KubeCluster::from_kubeconfig(Some(&self.kubeconfig), None, options)
            .await
            .expect("the kubeconfig is good")
    }

    fn mend(&self) -> usize {
        let mut plan = self.state.plan.lock().expect("no panic holds it");
        plan.at = usize::MAX;
        // Connections of the time before stay cut.
        self.state.down.send_replace(true);
        self.state.down.send_replace(false);
        plan.seen
    }
}

impl Proxy {
    /// How many requests were made.
    pub(crate) fn seen(&self) -> u64 {
        let seen = self.state.plan.lock().expect("no panic holds it").seen;
        u64::try_from(seen).expect("not that many")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        std::fs::remove_file(&self.kubeconfig).ok();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        if *state.down.borrow() {
            continue;
        }
        let state = state.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(&state.server).await else {
                return;
            };
            let (mut down, connection) = (state.down.subscribe(), Connection::default());
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Whichever is first: dropping the others closes both ends.
            tokio::select! {
                () = connection.ask(from_client, to_server, &state) => {}
                () = connection.answer(from_server, to_client, &state) => {}
                _ = down.changed() => {}
            }
        });
    }
}

#[derive(Default)]
struct Connection {
    /// Whether there was an answer to the last request.
    answered: AtomicBool,
    /// Whether the answer to come is to be lost.
    losing: AtomicBool,
}

impl Connection {
    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
        self.answered.store(true, Ordering::SeqCst);
        while let Some(record) = record(&mut from).await {
            if record[0] == APPLICATION_DATA && self.answered.swap(false, Ordering::SeqCst) {
                match state.next() {
                    None => {}
                    Some(Cut::Refused) => return state.fail(),
                    Some(Cut::Lost | Cut::Killed) => self.losing.store(true, Ordering::SeqCst),
                }
            }
            if to.write_all(&record).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
        while let Some(record) = record(&mut from).await {
            if record[0] == APPLICATION_DATA {
                if self.losing.load(Ordering::SeqCst) {
                    return state.fail();
                }
                self.answered.store(true, Ordering::SeqCst);
            }
            if to.write_all(&record).await.is_err() {
                return;
            }
        }
    }
}

/// One record of TLS: a type, a version, a length, and so many bytes.
async fn record(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut record = vec![0; 5];
    from.read_exact(&mut record).await.ok()?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + length, 0);
    from.read_exact(&mut record[5..]).await.ok()?;
    Some(record)
}
