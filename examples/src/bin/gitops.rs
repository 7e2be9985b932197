//! A command line on the libraries: what an embedder would build first.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command prints"
)]

use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gitops_apply::cluster::cache::CacheOptions;
use gitops_apply::cluster::kube::KubeOptions;
use gitops_apply::reconcile::{
    self, AppStatus, Discovered, ReconcileOptions, RunOptions, SyncStatus,
};
use gitops_apply::report::Event;
use gitops_apply::{Cluster, KubeCluster, Reconciler, SyncRequest};
use gitops_core::app::App;
use gitops_core::{Value, yaml};
use gitops_examples::helm::{Outcome, Template};
use gitops_examples::kustomize::Build;
use gitops_examples::repo::{Found, Workspace};
use gitops_examples::screen::{Color, Screen};
use gitops_render::helm::{Capabilities, Seed};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

/// GitOps without Argo CD, Flux, helm or kubectl.
#[derive(Parser)]
#[command(name = "gitops", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// Arguments are set up for the command that is given.
#[derive(Subcommand)]
#[command(defer = true)]
enum Command {
    /// List the applications that a repository declares
    Apps(Repo),
    /// Print the manifests of an application or a chart
    Render {
        #[command(subcommand)]
        what: Render,
    },
    /// Compare applications with the cluster: exits 0 if they are the same, 1
    /// if not, above 1 if that could not be found out
    Diff(OnCluster),
    /// Make the cluster what the applications declare
    Sync {
        #[command(flatten)]
        target: OnCluster,
        /// Only ask the server
        #[arg(long)]
        dry_run: bool,
        /// Delete what is declared no more, whatever the applications say
        #[arg(long)]
        prune: bool,
    },
    /// Keep the cluster what the applications declare, until interrupted
    Run {
        #[command(flatten)]
        target: OnCluster,
        /// How many seconds lie between two looks at Git
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        poll: u64,
    },
}

#[derive(Subcommand)]
#[command(defer = true)]
enum Render {
    /// An application of a repository
    App {
        #[command(flatten)]
        repo: Repo,
        /// The application's name
        name: String,
    },
    /// A chart, as `helm template` prints it
    Helm(Box<Template>),
    /// A kustomization, as `kustomize build` prints it
    Kustomize(Build),
}

#[derive(Args)]
struct Repo {
    /// The repository: a path or a URL
    repo: String,
    /// What is read of the repository: a branch, tag, commit or range
    #[arg(long, value_name = "R")]
    revision: Option<String>,
    /// Find the repository of this URL at this path
    #[arg(long, value_name = "URL=PATH")]
    map: Vec<String>,
    /// Only these applications
    #[arg(long, value_name = "NAME")]
    app: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Args)]
struct OnCluster {
    #[command(flatten)]
    repo: Repo,
    /// The kubeconfig file; $KUBECONFIG or ~/.kube/config by default
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context within the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that a render may hold or let go without the system hearing of it.
const KEPT: usize = 16 << 20;

/// Lets the C library keep what is freed.
///
/// It gives memory back to the system as soon as 128 KiB lie free, and takes
/// it again, page by page, for the next chart file. Freeing one large block
/// teaches it to keep twice as much. The block itself is never touched.
fn keep_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT)));
}

fn main() -> ExitCode {
    keep_memory();
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Render {
            what: Render::Helm(template),
        } => return finish(template.run(Path::new(".")), template.explain_errors),
        Command::Render {
            what: Render::Kustomize(build),
        } => return finish(build.run(Path::new(".")), false),
        command => run(command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", explain(&*error));
            ExitCode::from(2)
        }
    }
}

fn finish(outcome: Outcome, explain_errors: bool) -> ExitCode {
    eprint!("{}", outcome.stderr);
    if let Some(report) = &outcome.report
        && (explain_errors || std::io::stderr().is_terminal())
    {
        eprint!("\n{report}");
    }
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let written = outcome.stdout.write_to(&mut out).and_then(|()| out.flush());
    let code = match written {
        Ok(()) => ExitCode::from(outcome.code),
        Err(error) => {
            eprintln!("error: the output cannot be written: {error}");
            ExitCode::FAILURE
        }
    };
    drop(out);
    // Taking a large chart to pieces takes as long as rendering it, and the
    // process ends here.
    std::mem::forget(outcome);
    code
}

/// Not in `main`, whose frame would have to hold the futures: seven pages that
/// a render touches for nothing.
#[inline(never)]
fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Apps(repo) => apps(repo),
        Command::Render {
            what: Render::App { repo, name },
        } => render(repo, name),
        Command::Render { .. } => Ok(ExitCode::SUCCESS),
        Command::Diff(target) => on_cluster(diff(target)),
        Command::Sync {
            target,
            dry_run,
            prune,
        } => on_cluster(sync(target, *dry_run, *prune)),
        Command::Run { target, poll } => on_cluster(keep(target, *poll)),
    }
}

fn on_cluster(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

impl Repo {
    fn open(&self) -> Result<Workspace, Failure> {
        Ok(Workspace::open(
            &self.repo,
            self.revision.as_deref(),
            &self.map,
        )?)
    }

    /// The applications that were asked for, and the others. One that cannot be
    /// read is said so, and the others go on.
    fn select(&self, found: Found) -> Result<Discovered, Failure> {
        for error in &found.errors {
            eprintln!("error: {error}");
        }
        let complete = found.errors.is_empty();
        for name in &self.app {
            let app = found.apps.iter().find(|app| app.name == *name);
            let names = found.apps.iter().map(|app| app.name.as_str());
            match (app, gitops_core::suggest::nearest(name, names)) {
                (Some(_), _) => {}
                (None, Some(near)) => {
                    return Err(format!("no application {name:?}; did you mean {near:?}?").into());
                }
                (None, None) => return Err(format!("no application {name:?}").into()),
            }
        }
        let is_selected =
            |app: &App| self.app.is_empty() || self.app.iter().any(|name| *name == *app.name);
        let (apps, others) = found.apps.into_iter().partition(is_selected);
        Ok(Discovered {
            apps,
            others,
            complete,
        })
    }
}

fn apps(repo: &Repo) -> Result<ExitCode, Failure> {
    let found = repo.open()?.discover()?;
    let commit = found.commit.clone();
    let failed = !found.errors.is_empty();
    let apps = repo.select(found)?.apps;
    if repo.output == Output::Json {
        let list: Vec<serde_json::Value> = apps.iter().map(describe).collect();
        println!("{}", serde_json::to_string_pretty(&list)?);
    } else {
        let screen = Screen::stdout();
        let mut rows = vec![
            [
                "NAME",
                "WAVE",
                "SOURCE",
                "NAMESPACE",
                "AUTOMATED",
                "DECLARED",
            ]
            .map(String::from)
            .to_vec(),
        ];
        for app in &apps {
            let automated = match app.sync.automated {
                None => "no".to_owned(),
                Some(policy) => [
                    Some("sync"),
                    policy.prune.then_some("prune"),
                    policy.self_heal.then_some("heal"),
                ]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
            };
            let source = app.sources.first().map_or("", |source| &source.path);
            rows.push(vec![
                app.name.to_string(),
                app.wave.to_string(),
                source.to_owned(),
                app.destination.namespace.to_string(),
                automated,
                app.origin.to_string(),
            ]);
        }
        print!("{}", screen.table(&rows));
        println!(
            "{}",
            screen.paint(
                &format!("{} applications at {}", apps.len(), commit.short()),
                Color::Dim
            )
        );
    }
    Ok(code(failed))
}

fn describe(app: &App) -> serde_json::Value {
    serde_json::json!({
        "name": app.name,
        "namespace": app.namespace,
        "project": app.project,
        "wave": app.wave,
        "destination": {
            "server": app.destination.server,
            "name": app.destination.name,
            "namespace": app.destination.namespace,
        },
        "sources": app.sources.iter().map(|source| serde_json::json!({
            "repoURL": source.repo_url,
            "targetRevision": source.revision,
            "path": source.path,
            "chart": source.chart,
        })).collect::<Vec<_>>(),
        "declared": app.origin.to_string(),
    })
}

fn render(repo: &Repo, name: &str) -> Result<ExitCode, Failure> {
    let workspace = repo.open()?;
    let found = workspace.discover()?;
    let named = Repo {
        app: vec![name.to_owned()],
        repo: repo.repo.clone(),
        revision: None,
        map: Vec::new(),
        output: repo.output,
    };
    let apps = named.select(found)?.apps;
    let app = apps.first().ok_or("no such application")?;
    let desired = reconcile::desired(
        app,
        &workspace.repositories,
        &reconcile::Surroundings {
            capabilities: Capabilities::default(),
            seed: Seed::System,
            objects: None,
        },
    )?;
    for warning in &desired.warnings {
        eprintln!("warning: {warning}");
    }
    if repo.output == Output::Json {
        let list: Vec<Value> = desired.manifests.iter().map(|m| m.to_value()).collect();
        println!("{}", serde_json::to_string_pretty(&list)?);
    } else {
        for manifest in &desired.manifests {
            println!("---\n# {}", manifest.origin);
            print!("{}", yaml::to_string(&manifest.to_value())?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl OnCluster {
    async fn connect(&self) -> Result<KubeCluster, Failure> {
        let options = KubeOptions::default();
        let cluster = match (&self.kubeconfig, &self.context) {
            (None, None) => KubeCluster::infer(options).await?,
            (file, context) => {
                KubeCluster::from_kubeconfig(file.as_deref(), context.as_deref(), options).await?
            }
        };
        // An unreachable server is said once, not once for each application.
        cluster.kinds().await?;
        Ok(cluster)
    }
}

async fn diff(target: &OnCluster) -> Result<ExitCode, Failure> {
    let workspace = target.repo.open()?;
    let found = workspace.discover()?;
    let found = target.repo.select(found)?;
    let mut failed = !found.complete;
    let cluster = target.connect().await?;
    let mut reconciler = Reconciler::new(
        &cluster,
        workspace.repositories.clone(),
        ReconcileOptions::default(),
    );
    reconciler.manage(found.apps.iter().chain(&found.others));
    reconciler.set_complete(found.complete);
    let screen = Screen::stdout();
    let mut statuses = Vec::new();
    let mut different = false;
    for app in &found.apps {
        let status = reconciler.refresh(app, Timestamp::now()).await;
        failed |= status.failed();
        different |= status.sync == SyncStatus::OutOfSync;
        if target.repo.output == Output::Text {
            print!("{}", screen.status(&status));
            for task in status.plan.iter().flat_map(|plan| &plan.tasks) {
                if let Some(difference) = task.preview() {
                    print!("{}", difference.unified(screen.color)?);
                }
            }
        }
        statuses.push(status);
    }
    if target.repo.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&statuses)?);
    }
    Ok(match (failed, different) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

async fn sync(target: &OnCluster, dry_run: bool, prune: bool) -> Result<ExitCode, Failure> {
    let workspace = target.repo.open()?;
    let found = workspace.discover()?;
    let found = target.repo.select(found)?;
    let mut failed = !found.complete;
    let cluster = target.connect().await?;
    let mut reconciler = Reconciler::new(
        &cluster,
        workspace.repositories.clone(),
        ReconcileOptions::default(),
    );
    reconciler.manage(found.apps.iter().chain(&found.others));
    reconciler.set_complete(found.complete);
    let screen = Screen::stdout();
    let request = SyncRequest {
        prune: prune.then_some(true),
        dry_run,
    };
    let mut statuses = Vec::new();
    for app in &found.apps {
        let progress = Progress::new(&app.name);
        let status = reconciler
            .sync(app, request, Timestamp::now(), |event| progress.show(event))
            .await;
        progress.finish();
        failed |= status.failed();
        if target.repo.output == Output::Text {
            print!("{}", screen.status(&status));
        }
        statuses.push(status);
    }
    if target.repo.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&statuses)?);
    }
    Ok(code(failed))
}

async fn keep(target: &OnCluster, poll: u64) -> Result<ExitCode, Failure> {
    let workspace = target.repo.open()?;
    let cluster = target.connect().await?;
    let reconcile = ReconcileOptions {
        cache: Some(CacheOptions::default()),
        ..ReconcileOptions::default()
    };
    let mut reconciler = Reconciler::new(&cluster, workspace.repositories.clone(), reconcile);
    let options = RunOptions {
        poll: Duration::from_secs(poll.max(1)),
        ..RunOptions::default()
    };
    let discover = async || {
        let workspace = workspace.clone();
        let found = tokio::task::spawn_blocking(move || workspace.discover()).await;
        let found = match found {
            Ok(Ok(found)) => found,
            // The repository may be back at the next poll.
            Ok(Err(error)) => {
                eprintln!("error: {}", explain(&error));
                return Discovered::default();
            }
            Err(error) => {
                eprintln!("error: {error}");
                return Discovered::default();
            }
        };
        match target.repo.select(found) {
            Ok(found) => found,
            Err(error) => {
                eprintln!("error: {error}");
                Discovered::default()
            }
        }
    };
    let screen = Screen::stdout();
    let report = |status: &AppStatus| {
        if target.repo.output == Output::Json {
            if let Ok(line) = serde_json::to_string(status) {
                println!("{line}");
            }
        } else {
            print!("{}", screen.status(status));
        }
    };
    let stop = async {
        // Without a signal handler there is only the default one, which ends
        // the process as well.
        let _ = tokio::signal::ctrl_c().await;
    };
    reconcile::run(&mut reconciler, &options, discover, report, |_| {}, stop).await;
    Ok(ExitCode::SUCCESS)
}

/// A line that shows how far a sync has come; silent where there is no
/// terminal.
struct Progress(ProgressBar);

impl Progress {
    fn new(app: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {prefix}  {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(app.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress(bar)
    }

    fn show(&self, event: &Event) {
        self.0.set_message(event.to_string());
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn code(failed: bool) -> ExitCode {
    ExitCode::from(u8::from(failed) * 2)
}

/// An error with its causes, in one line.
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let detail = error.to_string();
        if !text.contains(&detail) {
            text.push_str(": ");
            text.push_str(&detail);
        }
        cause = error.source();
    }
    text
}
