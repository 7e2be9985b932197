//! `metadata.managedFields`: what kube-apiserver wraps around structured merge
//! (`apimachinery/pkg/util/managedfields`).
//!
//! [`apply`] and [`update`] take whole objects and return whole objects, with
//! the entries of all managers brought up to date, as a server would before
//! defaulting and admission.
//!
//! Of the layers upstream puts around structured merge, what is kept for the
//! manager `kubectl` alone (`lastapplied*.go`) is not here.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Map, Str, Value, json};

use crate::normalize;
use crate::smd::{
    self, ApplyError, Conflict, Conflicts, Duplicates, ManagedFields, Ownership, PathElement,
    Rules, SameVersion, Set, Typed,
};

/// One manager's entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The manager's name.
    pub manager: Str,
    /// How it writes.
    pub operation: Operation,
    /// The version in which its fields are meant.
    pub api_version: Str,
    /// When it last took a field, as RFC 3339 in seconds.
    pub time: Str,
    /// The subresource through which it writes; empty for the object itself.
    pub subresource: Str,
    /// What it owns.
    pub fields: Set,
}

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By anything else.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

impl Entry {
    /// What tells managers apart: the entry as JSON without its fields and its
    /// time and, if it applies, without its version.
    pub fn identifier(&self) -> Str {
        let mut fields = Vec::with_capacity(4);
        let mut push = |name: &str, text: &str| {
            if !text.is_empty() {
                let text = json::to_string(&Value::from(text));
                fields.push(format!("\"{name}\":{text}"));
            }
        };
        push("manager", &self.manager);
        push("operation", self.operation.name());
        if self.operation == Operation::Update {
            push("apiVersion", &self.api_version);
        }
        push("subresource", &self.subresource);
        ecow::eco_format!("{{{}}}", fields.join(","))
    }

    /// How the manager is named in a conflict.
    pub fn describe(&self) -> String {
        let mut text = json::to_string(&Value::from(self.manager.clone()));
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource \"{}\"", self.subresource));
        }
        if self.operation == Operation::Update && !self.api_version.is_empty() {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    fn read(value: &Value) -> Option<Entry> {
        let text = |name: &str| -> Str {
            let text = value.get(name).and_then(Value::as_str);
            text.unwrap_or_default().into()
        };
        Some(Entry {
            manager: text("manager"),
            operation: match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            },
            api_version: text("apiVersion"),
            time: text("time"),
            subresource: text("subresource"),
            fields: Set::from_fields_v1(value.get("fieldsV1").unwrap_or(&Value::Null)).ok()?,
        })
    }

    /// The entry as an object holds it; `fields` is what the set was read
    /// from, if that is known.
    fn write(&self, fields: Option<&Value>) -> Value {
        let fields = match fields {
            Some(fields) => fields.clone(),
            None => self.fields.to_fields_v1(),
        };
        let mut map = Vec::with_capacity(7);
        let mut set = |name: &'static str, value: Value| map.push((name, value));
        set("apiVersion", self.api_version.clone().into());
        set("fieldsType", "FieldsV1".into());
        set("fieldsV1", fields);
        set("manager", self.manager.clone().into());
        set("operation", self.operation.name().into());
        if !self.subresource.is_empty() {
            set("subresource", self.subresource.clone().into());
        }
        if !self.time.is_empty() {
            set("time", self.time.clone().into());
        }
        Map::from_iter(map).into()
    }
}

/// `metadata.managedFields` as it stands.
pub(crate) fn listed(object: &Map) -> &[Value] {
    let list = object
        .get("metadata")
        .and_then(|metadata| metadata.get("managedFields"))
        .and_then(Value::as_list);
    list.unwrap_or_default()
}

/// Whether an entry is that of a manager who applies the object itself.
pub(crate) fn is_applied_by(entry: &Value, manager: &str) -> bool {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    text("operation") == "Apply" && text("manager") == manager && text("subresource").is_empty()
}

/// The entries of an object. An entry that cannot be read voids them all, as
/// on a server.
pub fn entries(object: &Map) -> Vec<Entry> {
    listed(object)
        .iter()
        .map(Entry::read)
        .collect::<Option<Vec<Entry>>>()
        .unwrap_or_default()
}

/// Puts entries into an object, in the order in which a server keeps them:
/// those who apply first, then by time, manager, version and subresource.
pub fn set_entries(object: &mut Map, entries: Vec<Entry>) {
    let entries = entries.into_iter().map(|entry| (entry, None)).collect();
    write_entries(object, entries);
}

/// Puts entries into an object, each with what its fields were read from if
/// they are still that.
fn write_entries(object: &mut Map, mut entries: Vec<(Entry, Option<&Value>)>) {
    entries.sort_by(|(a, _), (b, _)| {
        let key = |entry: &Entry| (entry.operation, entry.time.clone());
        let name = |entry: &Entry| {
            let Entry {
                manager,
                api_version,
                subresource,
                ..
            } = entry;
            (manager.clone(), api_version.clone(), subresource.clone())
        };
        key(a).cmp(&key(b)).then_with(|| name(a).cmp(&name(b)))
    });
    let metadata = object.entry("metadata");
    if !matches!(metadata, Value::Map(_)) {
        *metadata = Value::Map(Map::new());
    }
    let Value::Map(metadata) = metadata else {
        return;
    };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        let entries = entries.iter();
        let list: Value = entries
            .map(|(entry, fields)| entry.write(*fields))
            .collect();
        metadata.insert("managedFields", list);
    }
}

/// Who writes, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The field manager's name.
    pub manager: Str,
    /// The subresource; empty for the object itself.
    pub subresource: Str,
    /// The time for new entries, as RFC 3339 in seconds.
    pub now: Str,
    /// Whether an apply takes fields from their owners.
    pub force: bool,
    /// What pruning leaves of a container that it emptied; true for Kubernetes
    /// 1.36.0 to 1.36.2 only.
    pub keep_emptied: bool,
}

impl Writer {
    /// A manager that writes whole objects, at a time that does not matter.
    pub fn new(manager: impl Into<Str>) -> Self {
        Writer {
            manager: manager.into(),
            subresource: Str::new(),
            now: Str::new(),
            force: false,
            keep_emptied: false,
        }
    }
}

/// Whether a server of this version (`v1.36.2+k3s1`) leaves `{}` and `[]`
/// where pruning emptied a container, rather than null; for
/// [`Writer::keep_emptied`].
pub fn keeps_emptied(server_version: &str) -> bool {
    let plain = server_version.trim_start_matches('v');
    let end = plain.find(['-', '+']).unwrap_or(plain.len());
    let pre_release = plain[end..].starts_with("-alpha") || plain[end..].starts_with("-beta");
    match &plain[..end] {
        "1.36.0" | "1.36.1" | "1.36.2" => !pre_release,
        "1.37.0" => plain[end..].starts_with("-alpha.1") || plain[end..].starts_with("-alpha.2"),
        _ => false,
    }
}

/// The server's message for an apply that was not forced.
///
/// Managers are in the order of their identifiers, their fields in order of
/// path.
pub fn conflict_message(conflicts: &Conflicts) -> String {
    if let [only] = conflicts.0.as_slice() {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            only.manager, only.path
        );
    }
    let mut message = format!("Apply failed with {} conflicts:", conflicts.0.len());
    let mut manager = "";
    for (index, conflict) in conflicts.0.iter().enumerate() {
        if conflict.manager != manager {
            manager = &conflict.manager;
            message.push(if index == 0 { ' ' } else { '\n' });
            message.push_str(&format!("conflicts with {manager}:"));
        }
        message.push_str(&format!("\n- {}", conflict.path));
    }
    message
}

/// The manager of what was there before anybody applied.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager of updates so old that they are not told apart any more.
const ANCIENT: &str = "ancient-changes";

/// How many entries by update an object may have.
const MOST_UPDATES: usize = 10;

/// Unites the oldest entries by update, version by version, until there are no
/// more than an object may have (`internal/capmanagers.go`).
fn cap(entries: &mut Vec<Entry>) {
    let is_update = |entry: &Entry| entry.operation == Operation::Update;
    let count = entries.iter().filter(|entry| is_update(entry)).count();
    if count <= MOST_UPDATES {
        return;
    }
    let (mut updates, mut kept): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(is_update);
    updates.sort_by_cached_key(|entry| (entry.time.clone(), entry.identifier()));
    let mut length = count;
    // The first entry of a version stays what it is unless a second one comes.
    let mut first: BTreeMap<Str, Entry> = BTreeMap::new();
    for entry in updates {
        match first.get_mut(&entry.api_version) {
            _ if length <= MOST_UPDATES => kept.push(entry),
            None => {
                first.insert(entry.api_version.clone(), entry);
            }
            Some(bucket) => {
                bucket.manager = ANCIENT.into();
                bucket.subresource = Str::new();
                bucket.fields = bucket.fields.union(&entry.fields);
                bucket.time = entry.time;
                length -= 1;
            }
        }
    }
    kept.extend(first.into_values());
    *entries = kept;
}

/// The live object after the fields that the client `from` owns by updating
/// them have become those of `manager`, who applies; `None` if it owns none.
///
/// A client that applied an object, `kubectl-client-side-apply` most likely,
/// owns its fields by updating them. Who then applies on the server shares
/// every field with it, and what is declared no more stays for the sake of the
/// other. Once the fields have changed hands the next apply removes them, and
/// with them the annotation in which kubectl kept what it had applied.
///
/// Follows `client-go/util/csaupgrade`, except that the client's fields in
/// other versions of the API are taken over, too, instead of being forgotten:
/// a field that nobody owns is one that nobody removes.
pub fn taken_over(live: &Manifest, from: &str, manager: &str) -> Option<Manifest> {
    let is_client = |entry: &Entry| {
        entry.operation == Operation::Update
            && entry.subresource.is_empty()
            && entry.manager == from
    };
    // Seen before anything is read: most objects have no such client.
    let named = |entry: &Value| entry.get("manager").and_then(Value::as_str) == Some(from);
    if !listed(live.object()).iter().any(named) {
        return None;
    }
    let (client, mut kept): (Vec<Entry>, Vec<Entry>) =
        entries(live.object()).into_iter().partition(is_client);
    if client.is_empty() {
        return None;
    }
    let is_ours = |entry: &Entry| {
        entry.operation == Operation::Apply
            && entry.subresource.is_empty()
            && entry.manager == manager
    };
    for client in client {
        match kept.iter_mut().find(|entry| is_ours(entry)) {
            Some(entry) => entry.fields = entry.fields.union(&client.fields),
            None => kept.push(Entry {
                manager: manager.into(),
                operation: Operation::Apply,
                ..client
            }),
        }
    }
    let mut object = live.object().clone();
    set_entries(&mut object, kept);
    let taken = Manifest::new(object.into(), live.origin.clone());
    Some(taken.expect("owners are no names"))
}

/// What an apply comes to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The object as it would be stored, before defaulting and admission.
    pub object: Map,
    /// Whether anything but the time of an entry changed.
    pub changed: bool,
}

/// Applies `config` to `live`, which is `None` if there is no object yet.
///
/// Both are in the same API version. Managers who spoke another version are
/// taken at their word in this one.
///
/// # Errors
///
/// [`ApplyError::Conflicts`] with the managers as the server prints them, or
/// [`ApplyError::Typed`] if `config` does not fit the schema.
pub fn apply(
    live: Option<&Manifest>,
    config: &Manifest,
    schemas: &Schemas,
    writer: &Writer,
) -> Result<Applied, ApplyError> {
    let before = live.map_or_else(Vec::new, |live| entries(live.object()));
    let mut merged = merge(live, &before, config, schemas, writer)?;
    let written = live.map_or(&[][..], |live| listed(live.object()));
    let entries = std::mem::take(&mut merged.entries).into_iter();
    let entries = entries.map(|(entry, from)| {
        let fields = from.and_then(|index| written.get(index)?.get("fieldsV1"));
        (entry, fields)
    });
    let entries = entries.collect();
    write_entries(&mut merged.object, entries);
    Ok(Applied {
        object: merged.object,
        changed: merged.changed,
    })
}

/// What an apply comes to, with the entries beside the object.
pub(crate) struct Merged {
    /// The object without entries.
    pub(crate) object: Map,
    /// The entries and, where the fields of one are as they were, which of
    /// those before it was.
    entries: Vec<(Entry, Option<usize>)>,
    /// Whether anything but the time of an entry changed.
    changed: bool,
}

/// [`apply`] to an object whose entries have been read.
pub(crate) fn merge(
    live: Option<&Manifest>,
    before: &[Entry],
    config: &Manifest,
    schemas: &Schemas,
    writer: &Writer,
) -> Result<Merged, ApplyError> {
    let schema = schemas.of(config.gvk());
    let has_status = schemas.has_status(config.gvk());
    let stripped = without_entries(config.object());
    let config_typed = Typed::new(Value::Map(stripped), schema, Duplicates::Refuse)?;
    let empty = Map::new();
    let live_object = live.map_or(&empty, Manifest::object);
    // Fields of an object that nobody has applied are not up for grabs.
    let first;
    let (before, as_read) = match live.filter(|_| before.is_empty()) {
        None => (before, true),
        Some(live) => {
            let writer = Writer {
                manager: BEFORE_FIRST_APPLY.into(),
                ..writer.clone()
            };
            first = entries(&update(None, live, schemas, &writer)?);
            (first.as_slice(), false)
        }
    };
    let live_typed = Typed::trusted(Value::Map(without_entries(live_object)), schema);
    let me = Entry {
        manager: writer.manager.clone(),
        operation: Operation::Apply,
        api_version: config.gvk().api_version(),
        time: writer.now.clone(),
        subresource: writer.subresource.clone(),
        fields: Set::new(),
    };
    let identifier = me.identifier();
    let known: BTreeMap<Str, usize> = before
        .iter()
        .enumerate()
        .map(|(index, entry)| (entry.identifier(), index))
        .collect();
    let mut managers = managed(before, &known);
    let ignored = ignored(&writer.subresource, has_status);
    let rules = Rules {
        versions: &SameVersion,
        ignored: &|_| Some(&ignored),
        keep_emptied: writer.keep_emptied,
    };
    let result = smd::apply(
        &live_typed,
        &config_typed,
        &me.api_version,
        &mut managers,
        &identifier,
        writer.force,
        &rules,
    );
    let applied = match result {
        Err(ApplyError::Conflicts(conflicts)) => {
            return Err(ApplyError::Conflicts(named(conflicts, before, &known)));
        }
        other => other?,
    };
    let is_new = applied.is_some();
    let object = match applied.unwrap_or(live_typed).into_value() {
        Value::Map(object) => object,
        _ => Map::new(),
    };
    let mut after: Vec<(Entry, Option<usize>)> = Vec::with_capacity(managers.len());
    let mut changed = is_new;
    for (name, ownership) in managers {
        let index = known.get(&name).copied();
        let old = index.map(|index| &before[index]);
        let mut entry = old.unwrap_or(&me).clone();
        let set = without_meta(ownership.set);
        let as_before = old.is_some_and(|old| old.fields == set);
        changed |= !as_before && !set.is_empty();
        if name == identifier {
            if is_new || !as_before {
                entry.time = writer.now.clone();
            }
            entry.api_version = me.api_version.clone();
        }
        entry.fields = set;
        if !entry.fields.is_empty() {
            after.push((entry, index.filter(|_| as_read && as_before)));
        }
    }
    changed |= after.len() != known.len();
    Ok(Merged {
        object,
        entries: after,
        changed,
    })
}

/// Records that `new` was written over `live` by something else than apply,
/// and returns `new` with the entries it then has.
///
/// An object on a server of which nobody owns anything stays like that until
/// somebody applies it (`internal/skipnonapplied.go`).
///
/// # Errors
///
/// Never in one version; the signature is that of the merge underneath.
pub fn update(
    live: Option<&Manifest>,
    new: &Manifest,
    schemas: &Schemas,
    writer: &Writer,
) -> Result<Map, ApplyError> {
    let schema = schemas.of(new.gvk());
    let has_status = schemas.has_status(new.gvk());
    let empty = Map::new();
    let live_object = live.map_or(&empty, Manifest::object);
    let before = entries(live_object);
    let is_stored = live.is_some_and(|live| live.at(&["metadata", "uid"]).is_some());
    if before.is_empty() && is_stored {
        return Ok(without_entries(new.object()));
    }
    let known: BTreeMap<Str, usize> = before
        .iter()
        .enumerate()
        .map(|(index, entry)| (entry.identifier(), index))
        .collect();
    let live_typed = Typed::trusted(Value::Map(without_entries(live_object)), schema);
    let new_typed = Typed::trusted(Value::Map(without_entries(new.object())), schema);
    let mut managers = managed(&before, &known);
    let me = Entry {
        manager: writer.manager.clone(),
        operation: Operation::Update,
        api_version: new.gvk().api_version(),
        time: writer.now.clone(),
        subresource: writer.subresource.clone(),
        fields: Set::new(),
    };
    let identifier = me.identifier();
    let ignored = ignored(&writer.subresource, has_status);
    let rules = Rules {
        versions: &SameVersion,
        ignored: &|_| Some(&ignored),
        keep_emptied: writer.keep_emptied,
    };
    smd::update(
        &live_typed,
        &new_typed,
        &me.api_version,
        &mut managers,
        &identifier,
        &rules,
    )?;
    let mut after = Vec::new();
    for (name, ownership) in managers {
        let old = known.get(&name).map(|index| &before[*index]);
        let mut entry = old.unwrap_or(&me).clone();
        let set = without_meta(ownership.set);
        // Deletions alone leave the time as it was.
        if name == identifier && !set.difference(&entry.fields).is_empty() {
            entry.time = writer.now.clone();
        }
        entry.fields = set;
        if !entry.fields.is_empty() {
            after.push(entry);
        }
    }
    cap(&mut after);
    let mut object = without_entries(new.object());
    set_entries(&mut object, after);
    Ok(object)
}

/// Of entries of one manager the last one counts.
fn managed(entries: &[Entry], known: &BTreeMap<Str, usize>) -> ManagedFields {
    let owned = known.iter().map(|(name, index)| {
        let entry = &entries[*index];
        let ownership = Ownership {
            set: entry.fields.clone(),
            api_version: entry.api_version.clone(),
            applied: entry.operation == Operation::Apply,
        };
        (name.clone(), ownership)
    });
    owned.collect()
}

/// The conflicts with managers named as a server names them.
fn named(conflicts: Conflicts, entries: &[Entry], known: &BTreeMap<Str, usize>) -> Conflicts {
    let conflicts = conflicts.0.into_iter().map(|conflict| Conflict {
        manager: match known.get(&conflict.manager) {
            Some(index) => entries[*index].describe().into(),
            None => conflict.manager,
        },
        path: conflict.path,
    });
    Conflicts(conflicts.collect())
}

fn without_entries(object: &Map) -> Map {
    normalize::without_metadata(object.clone(), &["managedFields"])
}

/// What nobody owns: the object's identity, and what the server writes.
fn without_meta(set: Set) -> Set {
    const META: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    static UNOWNED: OnceLock<Set> = OnceLock::new();
    let unowned = UNOWNED.get_or_init(|| {
        let field = |name: &str| PathElement::Field(name.into());
        let mut meta = Set::new();
        for name in ["apiVersion", "kind", "metadata"] {
            meta.insert(&[field(name)]);
        }
        for name in META {
            meta.insert(&[field("metadata"), field(name)]);
        }
        meta
    });
    match set.is_disjoint(unowned) {
        true => set,
        false => set.difference(unowned),
    }
}

/// The fields that an endpoint does not write: `status` on the object itself
/// if it is written apart, everything else on `status`.
fn ignored(subresource: &str, has_status: bool) -> Set {
    let names: &[&str] = match subresource {
        "status" => &["spec", "metadata"],
        _ if has_status => &["status"],
        _ => &[],
    };
    let mut set = Set::new();
    for name in names {
        set.insert(&[PathElement::Field((*name).into())]);
    }
    set
}
