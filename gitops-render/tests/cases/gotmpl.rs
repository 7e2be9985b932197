//! Go templates.
//!
//! The files in `gotmpl/` hold small templates, each with what Go 1.26's
//! text/template makes of it (with Helm's `include` and `tpl`, and
//! `missingkey=zero`), or its error. `values.json` is their data, under
//! `.Values`.

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use gitops_render::gotmpl::{
    Args, Context, ErrorKind, Failure, File, Function, Functions, Host, Kind, Limits, List, Map,
    MapKind, Method, MissingKey, Object, Set, Slice, Str, TEMPLATE_FUNCTIONS, Type, Value, printf,
};
use proptest::prelude::*;

// ---- the world around a template ----

/// A host that gives up after it was asked `patience` times.
struct TestHost {
    patience: Cell<u32>,
}

impl Default for TestHost {
    fn default() -> Self {
        TestHost {
            patience: Cell::new(u32::MAX),
        }
    }
}

impl Host for TestHost {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<gitops_core::Value, Failure> {
        Ok(gitops_core::Map::new().into())
    }

    fn resolve(&self, _: &str) -> Str {
        Str::new()
    }

    fn expired(&self) -> bool {
        let left = self.patience.get();
        self.patience.set(left.saturating_sub(1));
        left == 0
    }
}

type Outcome = Result<Value, Failure>;

/// The functions of the case files, besides `include` and `tpl`.
static FUNCTIONS: &[Function] = &[
    Function::variadic("list", &[Type::Any], Type::List, |_, args| {
        Ok(Value::List(args.take_from(0).into()))
    }),
    Function::variadic("dict", &[Type::Any], Type::Map, |_, args| {
        let entries: Map = args
            .from(0)
            .chunks_exact(2)
            .map(|pair| (printf::sprint(&pair[0]), pair[1].clone()))
            .collect();
        Ok(Value::Map(entries))
    }),
    Function::new("set", &[Type::Map, Type::Str, Type::Any], Type::Map, set),
    Function::variadic("default", &[Type::Any, Type::Any], Type::Any, |_, args| {
        let given = args.len() > 1 && args.value(1).is_true();
        Ok(args.take(usize::from(given)))
    }),
    Function::new("upper", &[Type::Str], Type::Str, |_, args| {
        Ok(args.str(0).to_text().to_uppercase().into())
    }),
    Function::new("typeOf", &[Type::Any], Type::Str, |_, args| {
        Ok(args.value(0).type_name().as_ref().into())
    }),
    Function::variadic("strs", &[Type::Str], Type::Strings, |_, args| {
        let items: Slice<Str> = (0..args.len()).map(|i| args.str(i).clone()).collect();
        Ok(Value::Strings(items))
    }),
    Function::variadic("ints", &[Type::Int], Type::Ints, |_, args| {
        Ok(Value::Ints((0..args.len()).map(|i| args.int(i)).collect()))
    }),
    Function::variadic("smap", &[Type::Str], Type::StringMap, |_, args| {
        let entries: Map = (0..args.len() / 2)
            .map(|i| (args.str(2 * i).clone(), args.value(2 * i + 1).clone()))
            .collect();
        Ok(Value::Map(entries.with_kind(MapKind::Strings)))
    }),
    Function::new("bytes", &[Type::Str], Type::Bytes, |_, args| {
        Ok(Value::Bytes(args.str(0).as_bytes().into()))
    }),
    Function::new("fail", &[Type::Str], Type::Str, |_, args| {
        Err(Failure::abort(args.str(0).to_string()))
    }),
    Function::new("last", &[Type::List], Type::Any, |_, args| {
        Ok(args.list(0).last().cloned().unwrap_or_default())
    }),
];

fn set(_: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    args.map(0)
        .insert(args.str(1).clone(), args.value(2).clone())?;
    Ok(args.take(0))
}

fn functions() -> Functions {
    Functions::new(&[&TEMPLATE_FUNCTIONS, FUNCTIONS])
}

fn set_of(text: &str) -> Result<Set, gitops_render::gotmpl::Error> {
    let mut set = Set::new("gotpl", Arc::new(functions()));
    set.parse("f", text.as_bytes())?;
    Ok(set)
}

fn core(json: &serde_json::Value) -> gitops_core::Value {
    use gitops_core::Value as Core;
    match json {
        serde_json::Value::Null => Core::Null,
        serde_json::Value::Bool(flag) => Core::Bool(*flag),
        serde_json::Value::Number(number) => Core::Float(number.as_f64().expect("a number")),
        serde_json::Value::String(text) => Core::from(text.as_str()),
        serde_json::Value::Array(items) => items.iter().map(core).collect(),
        serde_json::Value::Object(entries) => Core::Map(
            entries
                .iter()
                .map(|(key, value)| (key.as_str(), core(value)))
                .collect(),
        ),
    }
}

fn values() -> gitops_core::Value {
    core(&serde_json::from_str(include_str!("gotmpl/values.json")).expect("valid JSON"))
}

fn data() -> Map {
    [("Values", Value::from(values()))].into_iter().collect()
}

fn render_with(
    text: &str,
    data: Value,
    limits: Limits,
) -> Result<String, gitops_render::gotmpl::Error> {
    let set = set_of(text)?;
    let host = TestHost::default();
    let mut out = Vec::new();
    Context::new(&set, &host, limits).execute("f", data, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn render(text: &str) -> Result<String, gitops_render::gotmpl::Error> {
    render_with(text, Value::Map(data()), Limits::default())
}

// ---- against Go ----

#[test]
fn templates_do_what_go_does() {
    let files = [
        include_str!("gotmpl/text.txt"),
        include_str!("gotmpl/numbers.txt"),
        include_str!("gotmpl/scope.txt"),
        include_str!("gotmpl/control.txt"),
        include_str!("gotmpl/fields.txt"),
        include_str!("gotmpl/calls.txt"),
        include_str!("gotmpl/builtins.txt"),
        include_str!("gotmpl/print.txt"),
        include_str!("gotmpl/templates.txt"),
    ];
    let mut count = 0;
    let mut wrong = Vec::new();
    for case in files.iter().flat_map(|file| file.split("== ").skip(1)) {
        let (name, rest) = case.split_once('\n').expect("a name");
        let (text, output, error) = match rest.split_once("\n-- output\n") {
            Some((text, output)) => (text, Some(output), None),
            None => {
                let (text, error) = rest.split_once("\n-- error\n").expect("a result");
                (text, None, Some(error))
            }
        };
        let expected = output.or(error).map(|text| text.strip_suffix("\n\n"));
        let expected = expected.flatten().expect("a blank line behind each case");
        let got = match render(text) {
            Ok(got) if output.is_some() => got,
            Err(got) if error.is_some() => got.to_string(),
            Ok(got) => format!("output instead of an error: {got}"),
            Err(got) => format!("an error instead of output: {got}"),
        };
        count += 1;
        if got != expected {
            wrong.push(format!("{name}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 150, "only {count} cases were found");
}

#[test]
fn a_template_displays_as_its_canonical_text() {
    let text = "{{- if .a }}x{{else if $.b}}{{ $x:=1 |printf `%d` }}{{end}}{{range $k,$v:=.c}}{{break}}{{end}}\
                {{with (.d).e}}{{template \"t\" .}}{{end}}";
    let file = File::parse("f", text.into(), &functions()).expect("a template");
    let shown: Vec<String> = file.templates().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "{{if .a}}\"x\"{{else}}{{if $.b}}{{$x := 1 | printf `%d`}}{{end}}{{end}}\
             {{range $k, $v := .c}}{{break}}{{end}}\
             {{with (.d).e}}{{template \"t\" .}}{{end}}"
        ]
    );
}

// ---- sets ----

#[test]
fn a_later_file_replaces_definitions_unless_its_own_are_empty() {
    let mut set = Set::new("gotpl", Arc::new(functions()));
    for (name, text) in [
        (
            "a",
            "{{ define \"x\" }}first{{ end }}{{ define \"y\" }}first{{ end }}",
        ),
        (
            "b",
            "{{ define \"x\" }}second{{ end }}{{ define \"y\" }} {{/* c */}}{{ end }}",
        ),
        ("c", "{{ template \"x\" }} {{ template \"y\" }}"),
    ] {
        set.parse(name, text.as_bytes()).expect("a template");
    }
    let host = TestHost::default();
    let mut out = Vec::new();
    Context::new(&set, &host, Limits::default())
        .execute("c", Value::Nil, &mut out)
        .expect("both are defined");
    assert_eq!(out, b"second first");
}

#[test]
fn files_and_sets_are_shared_between_threads() {
    let set = set_of("{{ .Values.s }}").expect("a template");
    let written: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut out = Vec::new();
                    Context::new(&set, &TestHost::default(), Limits::default())
                        .execute("f", Value::Map(data()), &mut out)
                        .expect("nothing to fail");
                    out
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert_eq!(written, [b"hello", b"hello"]);
}

#[test]
fn one_context_executes_again_after_a_failure() {
    let mut set = set_of("{{ define \"bad\" }}{{ range .l }}{{ fail \"x\" }}{{ end }}{{ end }}")
        .expect("a template");
    set.parse("outer", b"{{ include \"bad\" . }}")
        .expect("a template");
    set.parse("good", b"{{ $x := 1 }}{{ $x }}")
        .expect("a template");
    let host = TestHost::default();
    let mut context = Context::new(&set, &host, Limits::default());
    let mut out = Vec::new();
    assert!(
        context
            .execute("outer", Value::from(values()), &mut out)
            .is_err()
    );
    context
        .execute("good", Value::Nil, &mut out)
        .expect("unrelated to the failure");
    assert_eq!(out, b"1");
}

#[test]
fn missing_keys_can_be_errors() {
    let set = set_of("{{ .nope }}").expect("a template");
    let host = TestHost::default();
    let run = |missing| {
        let mut out = Vec::new();
        Context::new(&set, &host, Limits::default())
            .with_missing_key(missing)
            .execute("f", Value::Map(Map::new()), &mut out)
            .map(|()| String::from_utf8(out).expect("UTF-8"))
            .map_err(|error| error.to_string())
    };
    assert_eq!(run(MissingKey::Zero).as_deref(), Ok("<no value>"));
    assert_eq!(run(MissingKey::Invalid).as_deref(), Ok("<no value>"));
    assert_eq!(
        run(MissingKey::Error),
        Err(
            "template: f:1:3: executing \"f\" at <.nope>: map has no entry for key \"nope\"".into()
        )
    );
}

// ---- errors ----

#[test]
fn an_error_knows_where_why_and_from_what() {
    let error = render("{{ define \"a\" }}\n{{ fail \"give up\" }}{{ end }}{{ include \"a\" . }}")
        .expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Abort);
    assert_eq!(error.abort(), Some("give up"));
    let places: Vec<_> = error
        .chain()
        .filter_map(|error| error.location())
        .map(|at| {
            (
                at.line,
                at.column,
                at.template.as_deref().map(str::to_owned),
                at.node.clone(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            (
                2,
                Some(32),
                Some("f".into()),
                Some("include \"a\" .".into())
            ),
            (
                2,
                Some(3),
                Some("a".into()),
                Some("fail \"give up\"".into())
            ),
        ]
    );
}

// ---- values ----

#[test]
fn what_nobody_touched_is_given_back_as_it_was() {
    let source = values();
    let value = Value::from(&source);
    assert_eq!(value.to_core().expect("plain data"), source);
    let map = value.as_map().expect("a map").clone();
    let inner = map.get("m").expect("a key");
    inner
        .as_map()
        .expect("a map")
        .insert("new", Value::Int(1))
        .expect("not nil");
    let changed = value.to_core().expect("plain data");
    assert_eq!(changed.at(&["m", "new"]), Some(&gitops_core::Value::Int(1)));
    assert_eq!(source.at(&["m", "new"]), None);
}

#[test]
fn maps_are_references() {
    let value = Value::from(values());
    let map = value.as_map().expect("a map");
    let (first, second) = (map.get("m"), map.get("m"));
    let (Some(Value::Map(first)), Some(Value::Map(second))) = (first, second) else {
        panic!("m is a map");
    };
    assert!(first.is(&second));
    first.insert("x", "y").expect("not nil");
    assert_eq!(
        second
            .get("x")
            .and_then(|x| x.as_str().map(str::to_owned))
            .as_deref(),
        Some("y")
    );
    assert!(Map::nil().insert("x", "y").is_err());
}

#[test]
fn a_map_stays_sorted_however_it_grows() {
    let map = Map::new();
    let mut numbers: Vec<u32> = (0..2000).collect();
    // Neither sorted nor reversed.
    numbers.sort_by_key(|number| number.wrapping_mul(2_654_435_761));
    for number in &numbers {
        map.insert(format!("{number:05}"), Value::Int(i64::from(*number)))
            .expect("not nil");
    }
    for number in (0..2000).step_by(3) {
        assert!(map.remove(&format!("{number:05}").into()).is_some());
    }
    let keys = map.keys();
    assert!(keys.is_sorted());
    assert_eq!(keys.len(), map.len());
    assert_eq!(map.len(), 1333);
    assert!(map.get("00001").is_some() && map.get("00003").is_none());
}

#[test]
fn strings_are_bytes() {
    let cut = Str::from_bytes(b"\xc3");
    assert_eq!(cut.as_str(), None);
    assert_eq!(cut.to_core(), "\u{fffd}");
    let map: Map = [(cut.clone(), Value::Int(1))].into_iter().collect();
    assert!(map.contains_key(&cut));
    let data: Map = [
        ("a", Value::Str(cut)),
        ("b", Value::Str(Str::from_bytes(b"\xa9"))),
    ]
    .into_iter()
    .collect();
    let out = render_with("{{ .a }}{{ .b }}", Value::Map(data), Limits::default());
    assert_eq!(out.expect("nothing to fail"), "é");
}

/// A struct with a field, a method and a text.
struct Version {
    major: u64,
}

static COMPARE: Method = Method::new(
    "Compare",
    &[Type::Object("*test.Version")],
    Type::Int,
    |receiver, _, args| {
        let version: &Version = receiver.downcast_ref().expect("the method of a version");
        let other: &Version = args.object(0);
        Ok(Value::Int(version.major.cmp(&other.major) as i64))
    },
);

static STRING: Method = Method::new("String", &[], Type::Str, |receiver, _, _| {
    Ok(Value::Str(receiver.text().unwrap_or_default()))
});

impl Object for Version {
    fn type_name(&self) -> &str {
        "*test.Version"
    }

    fn kind(&self) -> Kind {
        Kind::Ptr
    }

    fn field(&self, name: &str) -> Option<Value> {
        (name == "Major").then_some(Value::Uint64(self.major))
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        vec![("Major".into(), Value::Uint64(self.major))]
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        match name {
            "Compare" => Some(&COMPARE),
            "String" => Some(&STRING),
            _ => None,
        }
    }

    fn text(&self) -> Option<Str> {
        Some(format!("v{}", self.major).into())
    }

    fn to_core(&self) -> Result<gitops_core::Value, Failure> {
        Ok(format!("v{}", self.major).into())
    }

    fn same(&self, other: &dyn Object) -> bool {
        other
            .downcast_ref::<Version>()
            .is_some_and(|other| other.major == self.major)
    }
}

#[test]
fn objects_have_fields_and_methods() {
    let data: Map = [
        ("one", Value::object(Version { major: 1 })),
        ("two", Value::object(Version { major: 2 })),
    ]
    .into_iter()
    .collect();
    let render = |text: &str| {
        render_with(text, Value::Map(data.clone()), Limits::default())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        render("{{ .one }} {{ .one.Major }} {{ .one.Compare .two }} {{ .two.String | upper }} {{ typeOf .one }}")
            .as_deref(),
        Ok("v1 1 -1 V2 *test.Version")
    );
    assert_eq!(
        render("{{ printf \"%d %s\" .one .two }}").as_deref(),
        Ok("&{1} v2")
    );
    assert_eq!(
        render("{{ if .one }}{{ eq .one .one }}{{ end }}").as_deref(),
        Ok("true")
    );
    for (text, error) in [
        (
            "{{ .one.Nope }}",
            "<.one.Nope>: can't evaluate field Nope in type interface {}",
        ),
        (
            "{{ $v := .one }}{{ $v.Nope }}",
            "<$v.Nope>: can't evaluate field Nope in type *test.Version",
        ),
        (
            "{{ .one.Compare 1 }}",
            "<1>: can't handle 1 for arg of type *test.Version",
        ),
        (
            "{{ .one.Compare }}",
            "<.one.Compare>: wrong number of args for Compare: want 1 got 0",
        ),
        (
            "{{ .one.Major 1 }}",
            "<.one.Major>: Major has arguments but cannot be invoked as function",
        ),
    ] {
        let got = render(text).expect_err("it fails");
        assert!(got.ends_with(error), "{got}");
    }
}

#[test]
fn values_have_methods_that_hide_keys() {
    static METHODS: &[Method<Map>] = &[
        Method::new("AsMap", &[], Type::Map, |map, _, _| {
            Ok(Value::Map(map.clone().with_kind(MapKind::Plain)))
        }),
        Method::new("Table", &[Type::Str], Type::Map, |map, _, args| {
            Ok(map.get(&args.str(0).to_text()).unwrap_or_default())
        }),
    ];
    let functions = functions().with_values_methods(METHODS);
    let mut set = Set::new("gotpl", Arc::new(functions));
    let text = "{{ typeOf .Values }} {{ typeOf .Values.AsMap }} {{ .Values.AsMap.s }} \
                {{ (.Values.Table \"m\").b }} {{ .Values.m.AsMap }}";
    set.parse("f", text.as_bytes()).expect("a template");
    let Value::Map(values) = Value::from(values()) else {
        panic!("values are a map");
    };
    values.insert("AsMap", "hidden").expect("not nil");
    let data: Map = [(
        "Values",
        Value::Map(values.with_kind(MapKind::ChartutilValues)),
    )]
    .into_iter()
    .collect();
    let host = TestHost::default();
    let mut out = Vec::new();
    Context::new(&set, &host, Limits::default())
        .execute("f", Value::Map(data), &mut out)
        .expect("nothing to fail");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "chartutil.Values map[string]interface {} hello 1 <no value>"
    );
}

// ---- limits ----

fn limit(text: &str, limits: Limits) -> String {
    let error = render_with(text, Value::Map(data()), limits).expect_err("it reaches a limit");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let innermost = error.chain().last().expect("a chain is not empty");
    innermost.detail().to_owned()
}

#[test]
fn templates_recurse_as_deep_as_go_lets_them() {
    let text = "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}";
    assert_eq!(
        limit(text, Limits::default()),
        "exceeded maximum template depth (100000)"
    );
}

#[test]
fn include_recurses_as_deep_as_helm_lets_it() {
    let text = "{{ define \"r\" }}{{ include \"r\" . }}{{ end }}{{ include \"r\" . }}";
    let error = render(text).expect_err("it never ends");
    assert_eq!(error.chain().count(), 1002);
    let text = error.to_string();
    assert!(
        text.ends_with(
            "error calling include: rendering template has a nested reference name: r: \
             unable to execute template"
        ),
        "{}",
        &text[text.len() - 200..]
    );
}

#[test]
fn endless_templates_end() {
    let steps = || Limits {
        steps: 100_000,
        ..Limits::default()
    };
    let bytes = || Limits {
        bytes: 1 << 20,
        ..Limits::default()
    };
    let nesting = || Limits {
        nesting: 100,
        ..Limits::default()
    };
    assert!(
        limit("{{ range 1000000000000 }}{{ end }}", steps()).contains("more than 100000 steps")
    );
    assert!(
        limit("{{ range 1000000000000 }}xxxxxxxxxxx{{ end }}", bytes()).contains("1048576 bytes")
    );
    let doubling = "{{ $x := \"xx\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}";
    assert!(limit(doubling, bytes()).contains("1048576 bytes"));
    let wide = "{{ $x := \"\" }}{{ range 100 }}{{ $x = printf \"%999999d\" 1 }}{{ end }}";
    assert!(limit(wide, bytes()).contains("1048576 bytes"));
    let tpl =
        "{{ define \"t\" }}{{ tpl \"{{ include \\\"t\\\" . }}\" . }}{{ end }}{{ include \"t\" . }}";
    assert!(limit(tpl, nesting()).contains("more than 100 levels"));
}

#[test]
fn a_host_can_give_up() {
    let set = set_of("{{ range 1000000000000 }}{{ end }}").expect("a template");
    let host = TestHost {
        patience: Cell::new(3),
    };
    let error = Context::new(&set, &host, Limits::default())
        .execute("f", Value::Nil, &mut Vec::new())
        .expect_err("it never ends");
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn a_map_that_contains_itself_is_an_error_where_it_is_walked() {
    let root = data();
    let error = render_with(
        "{{ $_ := set . \"self\" . }}{{ .self.self.Values.s }}{{ . }}",
        Value::Map(root.clone()),
        Limits::default(),
    )
    .expect_err("it has no end");
    assert_eq!(error.kind(), ErrorKind::Limit);
    let value = Value::Map(root.clone());
    assert!(value.to_core().is_err());
    assert!(value.deep_equal(&value));
    root.dismantle();
    assert!(root.is_empty());
}

#[test]
fn nesting_exhausts_no_stack() {
    let deep = "{{ $x := list }}{{ range 200000 }}{{ $x = list $x }}{{ end }}{{ len $x }}";
    assert_eq!(render(deep).expect("nothing to fail"), "1");
    let printed = deep.replace("200000", "900").replace("len", "");
    assert_eq!(render(&printed).expect("shallow enough").len(), 1802);
    let parentheses =
        |depth: usize| format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(render(&parentheses(900)).expect("deep enough"), "1");
    let error = render(&parentheses(100_000)).expect_err("too deep");
    assert_eq!(
        error.to_string(),
        "template: f:1: max expression depth exceeded"
    );
    let blocks = |depth: usize| "{{ if 1 }}".repeat(depth) + "x" + &"{{ end }}".repeat(depth);
    assert_eq!(render(&blocks(900)).expect("deep enough"), "x");
    assert!(render(&blocks(100_000)).is_err());
}

// ---- properties ----

/// Pieces of templates, to be put together in any order.
fn piece() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "if ",
        "else",
        "end",
        "range ",
        "with ",
        "define ",
        "block ",
        "template ",
        "break",
        "continue",
        "nil",
        "true",
        ".",
        ".Values",
        ".Values.l",
        ".a.b",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        " ",
        "\n",
        "\"a\"",
        "\"",
        "`",
        "`b`",
        "'c'",
        "'",
        "1",
        "0x",
        "1.5",
        "1e9",
        "9223372036854775807",
        "-",
        "+",
        "i",
        "_",
        "é",
        "/*",
        "*/",
        "\\",
        "\0",
        "print ",
        "printf ",
        "\"%d%*v%[9]q\"",
        "index ",
        "len ",
        "eq ",
        "lt ",
        "and ",
        "or ",
        "not ",
        "slice ",
        "include ",
        "tpl ",
        "call ",
        "list ",
        "dict ",
        "set ",
        "upper ",
        "{{if .}}",
        "{{range 9}}",
        "{{end}}",
        "{{else}}",
        "{{define \"a\"}}",
        "{{include \"a\" .}}",
    ]);
    prop_oneof![
        20 => words.prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(pieces in prop::collection::vec(piece(), 0..24)) {
        let root = data();
        let limits = Limits { steps: 20_000, bytes: 1 << 20, nesting: 20, template_depth: 50, ..Limits::default() };
        // Either result will do.
        let _ = render_with(&pieces.concat(), Value::Map(root.clone()), limits);
        root.dismantle();
    }

    #[test]
    fn no_action_panics(pieces in prop::collection::vec(piece(), 0..12)) {
        let root = data();
        let limits = Limits { steps: 20_000, bytes: 1 << 20, nesting: 20, template_depth: 50, ..Limits::default() };
        let text = format!("{{{{define \"a\"}}}}x{{{{end}}}}{{{{$x := .Values}}}}{{{{{}}}}}", pieces.join(" "));
        let _ = render_with(&text, Value::Map(root.clone()), limits);
        root.dismantle();
    }

    #[test]
    fn no_format_panics(format in "[%0-9.*\\[\\]+# \\-a-zA-Z]{0,12}", number in any::<f64>(), text in any::<Vec<u8>>()) {
        let values = [
            Value::Float(number),
            Value::Str(text.into()),
            Value::Int(number as i64),
            Value::List(List::from(vec![Value::Nil, Value::Bool(true)])),
        ];
        let mut out = Vec::new();
        let _ = printf::sprintf(&mut out, format.as_bytes(), &values, 1 << 20);
    }

    #[test]
    fn floats_read_back_the_same(number in any::<f64>()) {
        prop_assume!(number.is_finite());
        prop_assert_eq!(printf::float_text(number).parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
    }
}
