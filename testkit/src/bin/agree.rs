//! Random cases, here and through the original: `agree --helm PATH [--seed N]
//! [--cases N] [--helm-version V]`.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gitops_render::helm::Profile;
use gitops_testkit::random::run::{Plan, run};

/// Renders random charts here and through Helm, and compares.
#[derive(Parser)]
struct Command {
    /// The original: a helm of the version that is compared with
    #[arg(long, value_name = "PATH")]
    helm: PathBuf,
    /// Which Helm it is
    #[arg(long, value_name = "VERSION", default_value = "3")]
    helm_version: Profile,
    /// Where the cases come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many
    #[arg(long, default_value_t = 10_000)]
    cases: usize,
    /// How many disagreements are printed
    #[arg(long, default_value_t = 20)]
    show: usize,
}

fn main() -> std::io::Result<ExitCode> {
    let command = Command::parse();
    let scratch = std::env::temp_dir().join(format!("agree-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    // A template may nest a thousand includes deep.
    let pool = rayon::ThreadPoolBuilder::new()
        .stack_size(64 << 20)
        .build_global();
    pool.map_err(std::io::Error::other)?;
    let result = run(&Plan {
        helm: command.helm,
        profile: command.helm_version,
        seed: command.seed,
        cases: command.cases,
        scratch: scratch.clone(),
    });
    std::fs::remove_dir_all(&scratch)?;
    let report = result?;
    for found in report.disagreements.iter().take(command.show) {
        println!("== {}", found.case);
        println!("   expected {}", found.expected);
        println!("   actual   {}", found.actual);
    }
    println!(
        "{} agree, {} of them errors; {} disagree",
        report.agreed,
        report.errors,
        report.disagreements.len()
    );
    Ok(match report.disagreements.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}
