//! Runs a case set and counts: `conformance SET DIR [--jobs N] [--only REGEX]`.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use gitops_testkit::case::Case;
use gitops_testkit::sets;
use rayon::prelude::*;

/// Runs a case set against the library.
#[derive(Parser)]
struct Command {
    /// The set: see the error for the names
    set: String,
    /// The directory into which it was unpacked
    dir: PathBuf,
    /// How many cases run at once; as many as there are cores by default
    #[arg(long)]
    jobs: Option<usize>,
    /// Run only the cases whose names match this regular expression
    #[arg(long, value_name = "REGEX")]
    only: Option<regex::Regex>,
    /// Print only the names of failing cases
    #[arg(long)]
    brief: bool,
    /// Count by what stands before the first slash of the names, too
    #[arg(long)]
    areas: bool,
}

/// A template may nest a thousand includes deep.
const STACK: usize = 64 << 20;

fn main() -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let command = Command::parse();
    let sets::Set {
        mut cases,
        left_out,
    } = sets::load(&command.set, &command.dir)?;
    if let Some(only) = &command.only {
        cases.retain(|case| only.is_match(&case.name));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(command.jobs.unwrap_or(0))
        .stack_size(STACK)
        .build_global()?;
    let failed = AtomicUsize::new(0);
    let lines: Vec<Option<String>> = cases
        .par_iter()
        .map(|case| {
            let line = run(case, command.brief)?;
            failed.fetch_add(1, Ordering::Relaxed);
            Some(line)
        })
        .collect();
    let mut areas = BTreeMap::<&str, [usize; 2]>::new();
    for (case, line) in cases.iter().zip(&lines) {
        let area = case.name.split('/').next().unwrap_or_default();
        areas.entry(area).or_default()[usize::from(line.is_some())] += 1;
    }
    for line in lines.iter().flatten() {
        println!("{line}");
    }
    if command.areas {
        for (area, [passed, failed]) in areas {
            println!("{area}: {passed} passed, {failed} failed");
        }
    }
    for (reason, count) in left_out {
        println!("not run: {count} ({reason})");
    }
    let failed = failed.into_inner();
    println!("{} passed, {failed} failed", cases.len() - failed);
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// What to print of a case that failed; a panic fails its case only.
fn run(case: &Case, brief: bool) -> Option<String> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (case.run)()));
    let problem = match result {
        Ok(Ok(())) => return None,
        Ok(Err(failure)) => failure.to_string(),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            format!("panicked: {}", text.unwrap_or("without a word"))
        }
    };
    Some(match brief {
        true => format!("FAIL {}", case.name),
        false => format!("FAIL {}: {problem}", case.name),
    })
}
