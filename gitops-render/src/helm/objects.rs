//! What templates see beside the values: `.Chart`, `.Capabilities`, `.Files`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gitops_core::{TreeError, Value as Core};

use super::capabilities::Capabilities;
use super::chart::File;
use super::metadata::{Dependency, Maintainer};
use super::profile::Profile;
use super::subcharts::Node;
use super::world::Asked;
use crate::glob::Glob;
use crate::gotmpl::{Failure, Kind, Map, MapKind, Method, Object, Slice, Str, Type, Value};

/// A Go struct whose fields are known by name.
struct Record {
    type_name: &'static str,
    kind: Kind,
    fields: Vec<Field>,
    methods: &'static [Method],
    /// What Go's `String` returns.
    text: Option<Str>,
    /// Told when the Kubernetes version is read, if this is it.
    asked: Option<Asked>,
}

impl Record {
    fn note(&self) {
        if let Some(asked) = &self.asked {
            asked.note().kube_version = true;
        }
    }
}

struct Field {
    name: &'static str,
    /// The name in JSON, and whether an empty value is left out there.
    json: &'static str,
    omit_empty: bool,
    value: Value,
}

impl Field {
    fn new(name: &'static str, json: &'static str, value: impl Into<Value>) -> Field {
        Field {
            name,
            json,
            omit_empty: true,
            value: value.into(),
        }
    }

    fn kept(self) -> Field {
        Field {
            omit_empty: false,
            ..self
        }
    }
}

impl Object for Record {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.note();
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(field.value.clone())
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        self.note();
        self.fields
            .iter()
            .map(|field| (Str::from(field.name), field.value.clone()))
            .collect()
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        self.methods.iter().find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        self.note();
        self.text.clone()
    }

    fn members(&self) -> Option<Vec<(&'static str, Value)>> {
        self.note();
        let written = |field: &&Field| !field.omit_empty || field.value.is_true();
        let fields = self.fields.iter().filter(written);
        Some(
            fields
                .map(|field| (field.json, field.value.clone()))
                .collect(),
        )
    }

    fn to_core(&self) -> Result<Core, Failure> {
        let members = self.members().unwrap_or_default();
        let members = members
            .iter()
            .map(|(name, value)| Ok((*name, value.to_core()?)));
        Ok(Core::Map(members.collect::<Result<_, Failure>>()?))
    }

    fn same(&self, other: &dyn Object) -> bool {
        other.downcast_ref::<Record>().is_some_and(|other| {
            self.fields.len() == other.fields.len()
                && self
                    .fields
                    .iter()
                    .zip(&other.fields)
                    .all(|(a, b)| a.value.deep_equal(&b.value))
        })
    }
}

/// A Go slice of pointers or structs, or a named slice of strings.
struct Items {
    type_name: &'static str,
    items: Vec<Value>,
    nil: bool,
    methods: &'static [Method],
    /// Told when API versions are read, if these are they.
    asked: Option<Asked>,
}

impl Items {
    fn note(&self) {
        if let Some(asked) = &self.asked {
            asked.note().all_api_versions = true;
        }
    }
}

impl Object for Items {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn kind(&self) -> Kind {
        Kind::Slice
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        self.note();
        self.items
            .iter()
            .map(|item| (Str::new(), item.clone()))
            .collect()
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        self.methods.iter().find(|method| method.name == name)
    }

    fn to_core(&self) -> Result<Core, Failure> {
        self.note();
        if self.nil {
            return Ok(Core::Null);
        }
        let items = self.items.iter().map(Value::to_core);
        Ok(Core::List(items.collect::<Result<_, _>>()?))
    }

    fn same(&self, other: &dyn Object) -> bool {
        other.downcast_ref::<Items>().is_some_and(|other| {
            self.items.len() == other.items.len()
                && self
                    .items
                    .iter()
                    .zip(&other.items)
                    .all(|(a, b)| a.deep_equal(b))
        })
    }
}

fn strings(items: &[gitops_core::Str]) -> Value {
    if items.is_empty() {
        return Value::Strings(Slice::nil());
    }
    Value::Strings(items.iter().cloned().map(Str::from).collect())
}

fn pointers(type_name: &'static str, items: Vec<Value>, nil: bool) -> Value {
    Value::object(Items {
        type_name,
        items,
        nil,
        methods: &[],
        asked: None,
    })
}

/// A slice that is not nil.
pub(super) fn slice(type_name: &'static str, items: Vec<Value>) -> Value {
    pointers(type_name, items, false)
}

/// `.Chart`: in Helm 3 a struct, in Helm 4 a map of the same names.
pub(super) fn chart(node: &Node, root: bool, profile: Profile) -> Value {
    let metadata = &node.chart.metadata;
    let annotations: Map = metadata
        .annotations
        .iter()
        .map(|(name, text)| (Str::from(name.clone()), Value::from(text.clone())))
        .collect();
    let annotations = match metadata.annotations.is_empty() {
        true => Map::nil(),
        false => annotations,
    };
    let fields = vec![
        Field::new("Name", "name", node.name.clone()),
        Field::new("Home", "home", metadata.home.clone()),
        Field::new("Sources", "sources", strings(&metadata.sources)),
        Field::new("Version", "version", metadata.version.clone()),
        Field::new("Description", "description", metadata.description.clone()),
        Field::new("Keywords", "keywords", strings(&metadata.keywords)),
        Field::new(
            "Maintainers",
            "maintainers",
            pointers(
                "[]*chart.Maintainer",
                metadata.maintainers.iter().map(maintainer).collect(),
                metadata.maintainers.is_empty(),
            ),
        ),
        Field::new("Icon", "icon", metadata.icon.clone()),
        Field::new("APIVersion", "apiVersion", metadata.api_version.clone()),
        Field::new("Condition", "condition", metadata.condition.clone()),
        Field::new("Tags", "tags", metadata.tags.clone()),
        Field::new("AppVersion", "appVersion", metadata.app_version.clone()),
        Field::new("Deprecated", "deprecated", Value::Bool(metadata.deprecated)),
        Field::new(
            "Annotations",
            "annotations",
            Value::Map(annotations.with_kind(MapKind::Strings)),
        ),
        Field::new("KubeVersion", "kubeVersion", metadata.kube_version.clone()),
        Field::new(
            "Dependencies",
            "dependencies",
            pointers(
                "[]*chart.Dependency",
                node.dependencies
                    .iter()
                    .flatten()
                    .map(|declared| dependency(&declared.entry.borrow()))
                    .collect(),
                node.dependencies.is_none(),
            ),
        ),
        Field::new("Type", "type", metadata.kind.clone()),
        Field::new("IsRoot", "IsRoot", Value::Bool(root)).kept(),
    ];
    match profile.is_4() {
        false => Value::object(Record {
            type_name: "struct { chart.Metadata; IsRoot bool }",
            kind: Kind::Struct,
            fields,
            methods: &[],
            text: None,
            asked: None,
        }),
        true => Value::Map(
            fields
                .into_iter()
                .map(|field| (Str::from(field.name), without_structs(field.value)))
                .collect(),
        ),
    }
}

/// Helm 4 turns the structs of the metadata into maps of the same names, and
/// every slice into one of interfaces.
fn without_structs(value: Value) -> Value {
    match &value {
        Value::Object(object) => match object.kind() {
            Kind::Slice => list(value.elements().unwrap_or_default().into_owned()),
            _ => Value::Map(
                object
                    .entries()
                    .into_iter()
                    .map(|(name, value)| (name, without_structs(value)))
                    .collect(),
            ),
        },
        Value::Strings(_) | Value::List(_) => {
            list(value.elements().unwrap_or_default().into_owned())
        }
        _ => value,
    }
}

fn list(items: Vec<Value>) -> Value {
    items
        .into_iter()
        .map(without_structs)
        .collect::<Vec<_>>()
        .into()
}

fn maintainer(maintainer: &Maintainer) -> Value {
    Value::object(Record {
        type_name: "*chart.Maintainer",
        kind: Kind::Ptr,
        fields: vec![
            Field::new("Name", "name", maintainer.name.clone()),
            Field::new("Email", "email", maintainer.email.clone()),
            Field::new("URL", "url", maintainer.url.clone()),
        ],
        methods: &[],
        text: None,
        asked: None,
    })
}

fn dependency(dependency: &Dependency) -> Value {
    let imports: Vec<Value> = dependency
        .import_values
        .iter()
        .map(|import| match Value::from(import) {
            // Helm writes them down anew, as maps of strings.
            Value::Map(import) => Value::Map(import.with_kind(MapKind::Strings)),
            other => other,
        })
        .collect();
    Value::object(Record {
        type_name: "*chart.Dependency",
        kind: Kind::Ptr,
        fields: vec![
            Field::new("Name", "name", dependency.name.clone()).kept(),
            Field::new("Version", "version", dependency.version.clone()),
            Field::new("Repository", "repository", dependency.repository.clone()).kept(),
            Field::new("Condition", "condition", dependency.condition.clone()),
            Field::new("Tags", "tags", strings(&dependency.tags)),
            Field::new("Enabled", "enabled", Value::Bool(dependency.enabled)),
            Field::new("ImportValues", "import-values", Value::List(imports.into())),
            Field::new("Alias", "alias", dependency.alias.clone()),
        ],
        methods: &[],
        text: None,
        asked: None,
    })
}

/// `.Capabilities`.
pub(super) fn capabilities(capabilities: &Capabilities, profile: Profile, asked: &Asked) -> Value {
    let version = &capabilities.kube_version;
    let four = profile.is_4();
    // Helm 4 shows what the cluster says, and prints what it makes of it.
    let shown = match four {
        false => version.version.clone(),
        true => version.full.clone(),
    };
    let kube_version = Value::object(Record {
        type_name: match four {
            false => "chartutil.KubeVersion",
            true => "common.KubeVersion",
        },
        kind: Kind::Struct,
        fields: vec![
            Field::new("Version", "Version", shown).kept(),
            Field::new("Major", "Major", version.major.clone()).kept(),
            Field::new("Minor", "Minor", version.minor.clone()).kept(),
        ],
        methods: KUBE_VERSION,
        text: Some(Str::from(version.version.clone())),
        asked: Some(asked.clone()),
    });
    let versions = Value::object(Items {
        type_name: match four {
            false => "chartutil.VersionSet",
            true => "common.VersionSet",
        },
        items: capabilities
            .api_versions
            .iter()
            .map(|version| Value::from(version.clone()))
            .collect(),
        nil: false,
        methods: VERSION_SET,
        asked: Some(asked.clone()),
    });
    let (helm, go) = profile.versions();
    let mut fields = vec![
        Field::new("Version", "version", helm),
        Field::new("GitCommit", "git_commit", ""),
        Field::new("GitTreeState", "git_tree_state", "clean"),
        Field::new("GoVersion", "go_version", go),
    ];
    if four {
        fields.push(Field::new("KubeClientVersion", "kube_client_version", "v1.36").kept());
    }
    let helm_version = Value::object(Record {
        type_name: "version.BuildInfo",
        kind: Kind::Struct,
        fields,
        methods: &[],
        text: None,
        asked: None,
    });
    Value::object(Record {
        type_name: match four {
            false => "*chartutil.Capabilities",
            true => "*common.Capabilities",
        },
        kind: Kind::Ptr,
        fields: vec![
            Field::new("KubeVersion", "KubeVersion", kube_version).kept(),
            Field::new("APIVersions", "APIVersions", versions).kept(),
            Field::new("HelmVersion", "HelmVersion", helm_version).kept(),
        ],
        methods: &[],
        text: None,
        asked: None,
    })
}

const KUBE_VERSION: &[Method] = &[
    Method::new("GitVersion", &[], Type::Str, |object, _, _| {
        Ok(object.field("Version").unwrap_or_default())
    }),
    Method::new("String", &[], Type::Str, |object, _, _| {
        Ok(Value::Str(object.text().unwrap_or_default()))
    }),
];

const VERSION_SET: &[Method] = &[Method::new(
    "Has",
    &[Type::Str],
    Type::Bool,
    |object, _, args| {
        let versions = object.downcast_ref::<Items>();
        let wanted = args.str(0);
        let has = versions.is_some_and(|versions| {
            versions
                .items
                .iter()
                .any(|version| version.as_bytes() == Some(wanted.as_bytes()))
        });
        if let Some(asked) = versions.and_then(|versions| versions.asked.as_ref()) {
            let asked = &mut asked.note().api_versions;
            asked.insert(wanted.to_core(), has);
        }
        Ok(Value::Bool(has))
    },
)];

/// `.Files`: every file of a chart that is nothing else.
pub(super) struct Files {
    files: Rc<BTreeMap<gitops_core::Str, File>>,
    profile: Profile,
    unread: Unread,
}

/// The first file that could not be read when a template asked for it. What the
/// template made of it counts for nothing.
pub(super) type Unread = Rc<RefCell<Option<TreeError>>>;

impl Files {
    pub(super) fn new(files: &[File], profile: Profile, unread: &Unread) -> Files {
        Files {
            profile,
            unread: unread.clone(),
            files: Rc::new(
                files
                    .iter()
                    .map(|file| (file.name.clone(), file.clone()))
                    .collect(),
            ),
        }
    }

    fn get(&self, name: &Str) -> Option<&[u8]> {
        self.files.get(name.as_str()?).map(|file| self.data(file))
    }

    fn all(&self) -> impl Iterator<Item = (&gitops_core::Str, &[u8])> {
        let files = self.files.iter();
        files.map(|(name, file)| (name, self.data(file)))
    }

    fn data<'f>(&self, file: &'f File) -> &'f [u8] {
        file.data().map_or_else(
            |error| {
                self.unread.borrow_mut().get_or_insert(error);
                &[][..]
            },
            |data| &data[..],
        )
    }

    /// The contents by base name; of equal names the last path wins.
    fn by_base_name(&self, encode: impl Fn(&[u8]) -> Core) -> Value {
        let map: gitops_core::Map = self
            .all()
            .map(|(path, data)| {
                let name = path.rsplit('/').next().unwrap_or(path);
                (name, encode(data))
            })
            .collect();
        let map = Value::from(&Core::Map(map));
        Value::from(super::funcs::to_yaml(&map, usize::MAX).unwrap_or_default())
    }
}

impl Object for Files {
    fn type_name(&self) -> &str {
        "engine.files"
    }

    fn kind(&self) -> Kind {
        Kind::Map
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(Value::Bytes(match self.files.get(name) {
            Some(file) => Slice::from(self.data(file)),
            None => Slice::nil(),
        }))
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        self.all()
            .map(|(name, data)| (Str::from(name.clone()), Value::Bytes(Slice::from(data))))
            .collect()
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        FILES.iter().find(|method| method.name == name)
    }

    fn to_core(&self) -> Result<Core, Failure> {
        Ok(Core::Map(
            self.all()
                .map(|(name, data)| (name.clone(), BASE64_STANDARD.encode(data)))
                .map(|(name, text)| (name, Core::from(text)))
                .collect(),
        ))
    }

    fn same(&self, other: &dyn Object) -> bool {
        other
            .downcast_ref::<Files>()
            .is_some_and(|other| self.all().eq(other.all()))
    }
}

fn files(object: &dyn Object) -> Result<&Files, Failure> {
    object
        .downcast_ref()
        .ok_or_else(|| Failure::new("not a set of files"))
}

const FILES: &[Method] = &[
    Method::new("Get", &[Type::Str], Type::Str, |object, _, args| {
        let data = files(object)?.get(args.str(0));
        Ok(Value::Str(data.map_or_else(Str::new, Str::from_bytes)))
    }),
    Method::new("GetBytes", &[Type::Str], Type::Bytes, |object, _, args| {
        let data = files(object)?.get(args.str(0));
        Ok(Value::Bytes(Slice::from(data.unwrap_or_default())))
    }),
    Method::new(
        "Glob",
        &[Type::Str],
        Type::Object("engine.files"),
        |object, _, args| {
            let pattern = args.str(0).to_text();
            let glob = Glob::new(&pattern, Some('/')).ok();
            let files = files(object)?;
            Ok(Value::object(Files {
                profile: files.profile,
                unread: files.unread.clone(),
                files: Rc::new(
                    files
                        .files
                        .iter()
                        // A pattern that cannot be read matches everything.
                        .filter(|(name, _)| glob.as_ref().is_none_or(|glob| glob.matches(name)))
                        .map(|(name, file)| (name.clone(), file.clone()))
                        .collect(),
                ),
            }))
        },
    ),
    Method::new("Lines", &[Type::Str], Type::Strings, |object, _, args| {
        let data = files(object)?.get(args.str(0));
        let data = match data {
            None => return Ok(Value::Strings(Vec::new().into())),
            Some([]) => {
                return match files(object)?.profile.fails_for_lines_of_nothing() {
                    false => Ok(Value::Strings(Vec::new().into())),
                    true => Err(Failure::new("runtime error: index out of range [-1]")),
                };
            }
            Some(data) => data.strip_suffix(b"\n").unwrap_or(data),
        };
        let lines = data.split(|byte| *byte == b'\n').map(Str::from_bytes);
        Ok(Value::Strings(lines.collect()))
    }),
    Method::new("AsConfig", &[], Type::Str, |object, _, _| {
        Ok(files(object)?.by_base_name(|data| Core::from(&*String::from_utf8_lossy(data))))
    }),
    Method::new("AsSecrets", &[], Type::Str, |object, _, _| {
        Ok(files(object)?.by_base_name(|data| Core::from(BASE64_STANDARD.encode(data))))
    }),
];
