//! Tables of Kustomize's unit tests whose rows can be seen from outside.
//!
//! | table                        | seen as                                  |
//! |------------------------------|------------------------------------------|
//! | hashes                       | the end of an object's name              |
//! | matching, splitting of images | an image that is renamed                |
//! | Git URLs                     | what is to be cloned, and where          |
//! | strategic merge filters      | a patch on its object                    |

use std::path::Path;

use gitops_core::tree::MemoryTree;
use gitops_core::{Map, TreePath, Value, yaml};
use gitops_render::kustomize::{GitSource, KustomizeOptions, build};
use serde_json::Value as Json;

use super::{LoadError, Set};
use crate::case::{Case, Failure};

pub(super) fn load(file: &Path) -> Result<Set, LoadError> {
    let tables: Json = serde_json::from_slice(&std::fs::read(file)?)?;
    let mut set = Set::default();
    let wanted: [(&str, &str, Check); 7] = [
        ("api/hasher", "TestConfigMapHash", hash),
        ("api/hasher", "TestSecretHash", hash),
        ("api/internal/image", "TestIsImageMatched", image_match),
        ("api/internal/image", "TestSplit", image_split),
        ("api/internal/git", "TestNewRepoSpecFromUrl_Smoke", git_url),
        (
            "api/internal/git",
            "TestNewRepoSpecFromUrlErrors",
            git_error,
        ),
        ("api/filters/patchstrategicmerge", "TestFilter", merge),
    ];
    for (package, test, check) in wanted {
        let found = tables[package]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|table| table["test"] == test);
        for table in found {
            let rows = table["cases"].as_array().cloned().unwrap_or_default();
            for (number, row) in rows.into_iter().enumerate() {
                if let Some(reason) = left_out(&row) {
                    *set.left_out.entry(reason).or_default() += 1;
                    continue;
                }
                set.cases.push(Case {
                    name: format!("{package}/{test}/{number}"),
                    run: Box::new(move || check(&row)),
                });
            }
        }
    }
    Ok(set)
}

/// Why a row cannot be seen from outside.
fn left_out(row: &Json) -> Option<&'static str> {
    let image = text(row, "value");
    if (image.contains('@') && !image.contains("@sha256:")) || text(row, "name") == "[" {
        return Some("newer than 5.8.1");
    }
    let patch = text(row, "patch");
    if !patch.is_empty() && !patch.contains("kind:") {
        return Some("the patch is no object");
    }
    let number = |line: &str| {
        line.trim_start()
            .starts_with(|first: char| first.is_ascii_digit())
    };
    if patch.lines().any(number) {
        return Some("the object cannot be written");
    }
    None
}

type Check = fn(&Json) -> Result<(), Failure>;

fn text<'a>(row: &'a Json, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

fn same(what: &'static str, expected: &str, actual: &str) -> Result<(), Failure> {
    match expected == actual {
        true => Ok(()),
        false => Err(Failure {
            what,
            expected: expected.to_owned(),
            actual: actual.to_owned(),
            line: 0,
        }),
    }
}

/// The objects that a kustomization makes of one file.
fn built(kustomization: &str, files: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
    let mut tree = MemoryTree::new();
    let file = ("kustomization.yaml", kustomization);
    for (path, text) in files.iter().chain([&file]) {
        let path = TreePath::parse(path).unwrap_or_default();
        tree.insert(&path, text.as_bytes().to_vec());
    }
    build(&tree, &TreePath::ROOT, &KustomizeOptions::default())
        .map(|built| built.objects)
        .map_err(|error| Failure {
            what: "build",
            expected: "objects".into(),
            actual: error.to_string(),
            line: 0,
        })
}

fn hash(row: &Json) -> Result<(), Failure> {
    let source = match text(row, "cmYaml") {
        "" => text(row, "secretYaml"),
        source => source,
    };
    let mut object = yaml::parse(source.as_bytes()).unwrap_or_default();
    if let Some(map) = object.as_map_mut() {
        let asks = [("internal.config.kubernetes.io/needsHashSuffix", "enabled")];
        let mut metadata = Map::from_iter([("name", "x")]);
        metadata.insert("annotations", Map::from_iter(asks));
        map.insert("metadata", metadata);
    }
    let file = yaml::to_string(&object).unwrap_or_default();
    let objects = built("resources: [a.yaml]", &[("a.yaml", &file)])?;
    let name = objects
        .first()
        .and_then(|object| object.at(&["metadata", "name"]))
        .and_then(Value::as_str)
        .unwrap_or_default();
    same("hash", &format!("x-{}", text(row, "hash")), name)
}

/// What becomes of an image under one entry of `images`.
fn renamed(image: &str, entry: &str) -> Result<String, Failure> {
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: {image:?}}}]}}\n"
    );
    let kustomization = format!("resources: [a.yaml]\nimages: [{entry}]\n");
    let objects = built(&kustomization, &[("a.yaml", &pod)])?;
    let containers = objects
        .first()
        .and_then(|pod| pod.at(&["spec", "containers"]));
    let image = containers
        .and_then(Value::as_list)
        .and_then(|list| list.first())
        .and_then(|container| container.get("image"))
        .and_then(Value::as_str);
    Ok(image.unwrap_or_default().to_owned())
}

fn image_match(row: &Json) -> Result<(), Failure> {
    let (value, name) = (text(row, "value"), text(row, "name"));
    let new = renamed(value, &format!("{{name: {name:?}, newName: changed}}"))?;
    let expected = row["isMatched"].as_bool().unwrap_or_default();
    same(
        "match",
        &expected.to_string(),
        &new.starts_with("changed").to_string(),
    )
}

fn image_split(row: &Json) -> Result<(), Failure> {
    let (name, tag, digest) = (text(row, "name"), text(row, "tag"), text(row, "digest"));
    let new = renamed(
        text(row, "value"),
        &format!("{{name: {name:?}, newName: n}}"),
    )?;
    let mut expected = "n".to_owned();
    for (mark, part) in [(":", tag), ("@", digest)] {
        if !part.is_empty() {
            expected.push_str(mark);
            expected.push_str(part);
        }
    }
    same("split", &expected, &new)
}

fn git_url(row: &Json) -> Result<(), Failure> {
    let spec = &row["repoSpec"];
    let source = GitSource::parse(text(row, "input")).map_err(|error| Failure {
        what: "URL",
        expected: text(row, "cloneSpec").to_owned(),
        actual: error.to_string(),
        line: 0,
    })?;
    same("clone spec", text(row, "cloneSpec"), &source.clone_spec())?;
    same("host", text(spec, "Host"), &source.host)?;
    same("path", text(spec, "KustRootPath"), &source.path)?;
    same("revision", text(spec, "Ref"), &source.reference)
}

fn git_error(row: &Json) -> Result<(), Failure> {
    match GitSource::parse(text(row, "url")) {
        Ok(source) => same("URL", text(row, "error"), &source.clone_spec()),
        Err(error) if error.to_string().contains(text(row, "error")) => Ok(()),
        Err(error) => same("URL", text(row, "error"), &error.to_string()),
    }
}

fn merge(row: &Json) -> Result<(), Failure> {
    let expected: Vec<Value> = yaml::documents(text(row, "expected").as_bytes())
        .filter_map(|document| document.ok().map(|document| document.value))
        .filter(|value| !value.is_null())
        .collect();
    let kustomization = "resources: [a.yaml]\npatches: [{path: p.yaml, target: {kind: .*}}]\n";
    let files = [
        ("a.yaml", text(row, "input")),
        ("p.yaml", text(row, "patch")),
    ];
    let objects = built(kustomization, &files)?;
    same("objects", &format!("{expected:?}"), &format!("{objects:?}"))
}
