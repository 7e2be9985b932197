//! Rebuilds the table of built-in types from public sources:
//!
//! ```text
//! go mod download k8s.io/kubernetes@v1.36.3 k8s.io/client-go@v0.36.3
//! mods=$(go env GOMODCACHE)/k8s.io
//! cargo run --release -p gitops-testkit --bin schema-table -- \
//!     "$mods/kubernetes@v1.36.3/api/openapi-spec/v3" \
//!     "$mods/client-go@v0.36.3/applyconfigurations/internal/internal.go" \
//!     >gitops-core/src/schema/builtin.txt
//! ```
//!
//! The first is what a server publishes, group by group. The second adds the
//! versions that servers no longer serve by default.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use gitops_core::schema::Schema;
use gitops_core::{json, yaml};

/// Prints the table of built-in types.
#[derive(Parser)]
struct Command {
    /// The directory of OpenAPI v3 documents in the source of Kubernetes
    openapi: PathBuf,
    /// The file of client-go that holds its own schema
    internal: PathBuf,
}

/// Lists of objects are not applied, and neither is what only asks.
fn is_object(name: &str) -> bool {
    !name.ends_with("List")
        && !["io.k8s.api.authentication.", "io.k8s.api.authorization."]
            .iter()
            .any(|group| name.starts_with(group))
}

fn main() -> Result<(), Box<dyn Error>> {
    let command = Command::parse();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&command.openapi)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut all = Schema::deduced().clone();
    for file in files {
        let document = json::parse(&std::fs::read(&file)?)?;
        let schema = Schema::from_openapi(&document)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        all.extend(&schema, is_object);
    }
    let source = std::fs::read_to_string(&command.internal)?;
    let definition = source
        .split_once('`')
        .and_then(|(_, rest)| rest.split_once('`'))
        .map(|(definition, _)| definition)
        .ok_or("client-go's schema is no string between backquotes any more")?;
    let older = Schema::from_definition(&yaml::parse(definition.as_bytes())?)?;
    all.extend(&older, is_object);
    all.forget_idle_defaults();
    println!(
        "# Types of the kinds built into Kubernetes 1.36 (Apache-2.0), written by testkit's \
         schema-table. The notation is described in table.rs."
    );
    print!("{}", all.to_table());
    Ok(())
}
