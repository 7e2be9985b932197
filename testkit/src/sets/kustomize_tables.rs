//! Tables of Kustomize's unit tests whose rows can be seen from outside.
//!
//! | table                        | seen as                                  |
//! |------------------------------|------------------------------------------|
//! | hashes                       | the end of an object's name              |
//! | matching, splitting of images | an image that is renamed                |
//! | Git URLs                     | what is to be cloned, and where          |
//! | strategic merge filters      | a patch on its object                    |
//! | JSON patch filters           | a patch on its object                    |
//! | replacements                 | `replacements` of a kustomization        |
//! | filters of fields            | a built-in transformer, by document      |
//! | anchors and merges           | the object that is read                  |
//! | lines, file sources          | a generated config map                   |

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
    let wanted: [(&str, &str, Check); 22] = [
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
        ("api/internal/git", "TestParseQuery", git_query),
        (GIT_HOSTS.0, GIT_HOSTS.1, git_host),
        ("api/filters/patchstrategicmerge", "TestFilter", merge),
        ("api/filters/patchjson6902", "TestSomething", json_patch),
        ("api/filters/replacement", "TestFilter", replace),
        (
            "api/filters/replacement",
            "TestValueInlineStructuredData",
            replace,
        ),
        ("api/filters/labels", "TestLabels_Filter", field_filter),
        (
            "api/filters/annotations",
            "TestAnnotations_Filter",
            field_filter,
        ),
        (
            "api/filters/imagetag",
            "TestImageTagUpdater_Filter",
            field_filter,
        ),
        (
            "api/filters/namespace",
            "TestNamespace_Filter",
            field_filter,
        ),
        ("api/filters/prefix", "TestFilter", field_filter),
        ("api/filters/suffix", "TestFilter", field_filter),
        ("api/filters/replicacount", "TestFilter", field_filter),
        ("kyaml/yaml", "TestDeAnchorMerge", read_object),
        ("api/kv", "TestKeyValuesFromLines", lines),
        (
            "api/internal/generators",
            "TestParseFileSource",
            file_source,
        ),
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
                if let Some(reason) = left_out(&row).or_else(|| differs(test, number)) {
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
    if text(row, "expected").contains("internal.config.kubernetes.io") {
        return Some("annotations of the build, which do not leave it");
    }
    let unnamed =
        |object: &Value| object.as_map().is_some() && object.at(&["metadata", "name"]).is_none();
    if objects_of(text(row, "input")).iter().any(unnamed) {
        return Some("the object has no name");
    }
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

/// Rows that a whole build of version 5.8.1 answers otherwise.
fn differs(test: &str, number: usize) -> Option<&'static str> {
    Some(match (test, number) {
        // Parts of texts in texts.
        ("TestValueInlineStructuredData", 8..=15) => "newer than 5.8.1",
        // A number as `sourceValue`, in place of text.
        ("TestFilter", 47) => "the kustomization cannot be written",
        // The transformer runs another filter before this one.
        ("TestImageTagUpdater_Filter", 17) => "not what a whole build gives",
        // Keys of one map that are text and numbers, or there twice.
        ("TestLabels_Filter", 6) | ("TestAnnotations_Filter", 3) | ("TestDeAnchorMerge", 1) => {
            "the object cannot be written"
        }
        ("TestDeAnchorMerge", 14) => "two objects of one name",
        // The table has lost the bytes.
        ("TestKeyValuesFromLines", 4) => "JSON cannot hold the text",
        _ => return None,
    })
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
        &format!("{{name: {name:?}, newName: new}}"),
    )?;
    let mut expected = "new".to_owned();
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

fn git_query(row: &Json) -> Result<(), Failure> {
    let url = format!("https://example.com/org/repo?{}", text(row, "input"));
    let source = GitSource::parse(&url).map_err(|error| Failure {
        what: "URL",
        expected: url.clone(),
        actual: error.to_string(),
        line: 0,
    })?;
    same("revision", text(row, "ref"), &source.reference)?;
    let submodules = row["submodules"].as_bool().unwrap_or_default();
    same(
        "submodules",
        &submodules.to_string(),
        &source.submodules.to_string(),
    )
}

const GIT_HOSTS: (&str, &str) = ("api/internal/git", "TestNewRepoSpecFromUrl_Permute");

fn git_host(row: &Json) -> Result<(), Failure> {
    let url = format!("{}org/repo", text(row, "raw"));
    match GitSource::parse(&url) {
        Ok(source) => same("host", text(row, "normalized"), &source.host),
        Err(error) => same("host", text(row, "normalized"), &error.to_string()),
    }
}

fn objects_of(text: &str) -> Vec<Value> {
    yaml::documents(text.as_bytes())
        .filter_map(|document| document.ok().map(|document| document.value))
        .filter(|value| !value.is_null())
        .collect()
}

/// Compares what a kustomization makes of the row's objects with the objects
/// or the error that the row expects.
fn compare(kustomization: &str, row: &Json) -> Result<(), Failure> {
    let field = |names: [&'static str; 2]| match text(row, names[0]) {
        "" => text(row, names[1]),
        text => text,
    };
    let refused = row["expectedErr"].as_bool() == Some(true);
    let problem = match row["expectedErr"]["_error"].as_str() {
        Some(problem) => problem,
        None => field(["expectedErr", "error"]),
    };
    // Filters do not sort, and do not drop what is not for the cluster.
    let kustomization = format!("sortOptions: {{order: fifo}}\n{kustomization}");
    let is_local = |object: &Value| {
        let path = [
            "metadata",
            "annotations",
            "config.kubernetes.io/local-config",
        ];
        object.at(&path).is_some()
    };
    match built(&kustomization, &[("a.yaml", text(row, "input"))]) {
        Ok(objects) if problem.is_empty() && !refused => {
            let mut expected = objects_of(field(["expected", "expectedOutput"]));
            expected.retain(|object| !is_local(object));
            same("objects", &format!("{expected:?}"), &format!("{objects:?}"))
        }
        Ok(_) => same("error", problem, "it was built"),
        Err(failure) if problem.is_empty() && !refused => Err(failure),
        Err(failure) if failure.actual.contains(problem) => Ok(()),
        Err(failure) => same("error", problem, &failure.actual),
    }
}

fn json_patch(row: &Json) -> Result<(), Failure> {
    let patch = text(&row["filter"], "Patch");
    let kustomization =
        format!("resources: [a.yaml]\npatches: [{{target: {{kind: .*}}, patch: {patch:?}}}]\n");
    compare(&kustomization, row)
}

fn replace(row: &Json) -> Result<(), Failure> {
    compare(
        &format!("resources: [a.yaml]\n{}", text(row, "replacements")),
        row,
    )
}

fn read_object(row: &Json) -> Result<(), Failure> {
    compare("resources: [a.yaml]\n", row)
}

/// A field spec, spelled as in documents.
fn field_specs(specs: &Json) -> Vec<Json> {
    let spec = |spec: &Json| {
        serde_json::json!({
            "path": spec["Path"],
            "group": spec["Gvk"]["Group"].as_str().unwrap_or_default(),
            "version": spec["Gvk"]["Version"].as_str().unwrap_or_default(),
            "kind": spec["Gvk"]["Kind"].as_str().unwrap_or_default(),
            "create": spec["CreateIfNotPresent"].as_bool().unwrap_or_default(),
        })
    };
    specs.as_array().into_iter().flatten().map(spec).collect()
}

/// A filter, as the document of the transformer that runs it.
fn field_filter(row: &Json) -> Result<(), Failure> {
    let filter = &row["filter"];
    let mut specs = field_specs(&filter["FsSlice"]);
    if specs.is_empty() {
        specs = field_specs(&row["fsslice"]);
    }
    if filter["FieldSpec"].is_object() {
        specs = field_specs(&Json::from(vec![filter["FieldSpec"].clone()]));
    }
    let mut document = if filter["Labels"].is_object() {
        serde_json::json!({"kind": "LabelTransformer", "labels": filter["Labels"]})
    } else if filter["Annotations"].is_object() {
        // The test adds what every object has.
        specs.push(serde_json::json!({"path": "metadata/annotations", "create": true}));
        serde_json::json!({"kind": "AnnotationsTransformer", "annotations": filter["Annotations"]})
    } else if filter["ImageTag"].is_object() {
        let image = &filter["ImageTag"];
        let part = |name: &str| image[name].as_str().unwrap_or_default().to_owned();
        serde_json::json!({"kind": "ImageTagTransformer", "imageTag": {
            "name": part("Name"), "newName": part("NewName"), "newTag": part("NewTag"),
            "digest": part("Digest"), "tagSuffix": part("TagSuffix"),
        }})
    } else if filter["Replica"].is_object() {
        let replica = &filter["Replica"];
        serde_json::json!({"kind": "ReplicaCountTransformer", "replica": {
            "name": replica["Name"], "count": replica["Count"],
        }})
    } else if let Some(prefix) = filter["Prefix"].as_str() {
        serde_json::json!({"kind": "PrefixTransformer", "prefix": prefix})
    } else if let Some(suffix) = filter["Suffix"].as_str() {
        serde_json::json!({"kind": "SuffixTransformer", "suffix": suffix})
    } else {
        serde_json::json!({"kind": "NamespaceTransformer"})
    };
    document["apiVersion"] = "builtin".into();
    document["metadata"] = serde_json::json!({"name": "x"});
    if let Some(namespace) = filter["Namespace"].as_str() {
        document["metadata"]["namespace"] = namespace.into();
        if filter["UnsetOnly"].as_bool() == Some(true) {
            document["unsetOnly"] = true.into();
        }
        let subjects = &filter["SetRoleBindingSubjects"];
        if let Some(mode) = subjects.as_str() {
            document["setRoleBindingSubjects"] = mode.into();
        }
    }
    document["fieldSpecs"] = specs.into();
    let text = document.to_string();
    compare(
        &format!("resources: [a.yaml]\ntransformers: [{text:?}]\n"),
        row,
    )
}

/// The data of a config map that is generated.
fn generated(source: &str, files: &[(&str, &str)]) -> Result<String, String> {
    let kustomization = format!("configMapGenerator: [{{name: x, {source}}}]\n");
    let objects = built(&kustomization, files).map_err(|failure| failure.actual)?;
    let data = objects.first().and_then(|object| object.get("data"));
    Ok(data.map_or_else(|| "{}".to_owned(), gitops_core::json::to_string))
}

fn lines(row: &Json) -> Result<(), Failure> {
    let content = text(row, "content");
    let mut expected = Map::new();
    for pair in row["expectedPairs"].as_array().into_iter().flatten() {
        expected.insert(text(pair, "Key"), text(pair, "Value"));
    }
    let expected = gitops_core::json::to_string(&Value::Map(expected));
    match generated("envs: [e]", &[("e", content)]) {
        Ok(data) => same("pairs", &expected, &data),
        Err(_) if row["expectedErr"].as_bool() == Some(true) => Ok(()),
        Err(problem) => same("pairs", &expected, &problem),
    }
}

fn file_source(row: &Json) -> Result<(), Failure> {
    let (file, key, problem) = (text(row, "Filename"), text(row, "Key"), text(row, "Error"));
    let source = format!("files: [{:?}]", text(row, "Input"));
    let files = [(file, "text")];
    let files = match file.is_empty() {
        true => &[][..],
        false => &files,
    };
    match generated(&source, files) {
        Ok(data) => same("data", &format!("{{{key:?}:\"text\"}}"), &data),
        Err(error) if !problem.is_empty() && error.contains(problem) => Ok(()),
        Err(error) => same("error", problem, &error),
    }
}

fn merge(row: &Json) -> Result<(), Failure> {
    let expected = objects_of(text(row, "expected"));
    let kustomization = "resources: [a.yaml]\npatches: [{path: p.yaml, target: {kind: .*}}]\n";
    let files = [
        ("a.yaml", text(row, "input")),
        ("p.yaml", text(row, "patch")),
    ];
    let objects = built(kustomization, &files)?;
    same("objects", &format!("{expected:?}"), &format!("{objects:?}"))
}
